//! Prediction with classifiers trained by `transformers`.

use crate::{
    error::{Error, Result},
    kinds::{multi_label::MultiLabelInfo, sentence::SentenceInfo},
    model::{Header, write_info},
    model_kind::ModelKind,
    texts::data::TextColumns,
};
use electra_model::hf::{self, Architecture, Labels};
use electra_scores::{LabelSpace, Metric, check_label};
use std::path::Path;

/// Writes `task.json` into the folder of a classifier trained by `transformers`, so that [`crate::Predictor`] opens it.
/// `task` is the name of the task; the texts are in the columns `text_a` and, for pairs, `text_b`.
///
/// # Errors
/// If the folder has another kind of model.
pub fn classifier(dir: &Path, task: &str, text_a: &str, text_b: Option<&str>) -> Result<()> {
    let config = hf::read_config(dir)?;
    let labels = match (config.architecture, &config.labels) {
        (Architecture::ElectraForSequenceClassification, Some(labels)) => labels.clone(),
        (other, _) => return Err(Error::file(dir, format!("{other:?} is not a classifier"))),
    };
    let header = |metric| Header::foreign(task, metric, &config);
    let texts = TextColumns { text_a: text_a.to_owned(), text_b: text_b.map(str::to_owned) };
    let (header, space) = match labels {
        Labels::Classes(names) => (header(Metric::Accuracy), LabelSpace::Classes(names)),
        // Its outputs are already on the scale that it was trained on.
        Labels::Number => (header(Metric::Pearson), LabelSpace::Range { min: 0.0, max: 1.0 }),
        Labels::Set(labels) => {
            let header = header(Metric::MicroF1).of_kind(MultiLabelInfo::KIND);
            let (threshold, separator) = (0.5, separator(dir, &labels)?);
            let info = MultiLabelInfo { header, texts, labels, threshold, separator };
            return write_info(dir, &info);
        }
    };
    write_info(dir, &SentenceInfo { header, texts, label: "label".to_owned(), space })
}

/// The separator between the labels of a set in a table: the first of a fixed list that no label contains.
fn separator(dir: &Path, labels: &[String]) -> Result<String> {
    labels.iter().try_for_each(|label| check_label(label)).map_err(|why| Error::file(dir, why))?;
    let free = |separator: &&str| labels.iter().all(|label| !label.contains(*separator));
    match [",", ";", "|", " / "].into_iter().find(free) {
        Some(separator) => Ok(separator.to_owned()),
        None => Err(Error::file(
            dir,
            "the labels contain `,`, `;`, `|` and ` / `: no separator is left for tables; rename the labels",
        )),
    }
}
