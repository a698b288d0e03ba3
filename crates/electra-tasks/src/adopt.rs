//! Classifiers that `transformers` has trained, made ready to predict here.

use crate::{
    Answers, Error, Result,
    config::{HeadConfig, HeadKind, Pooling},
    encoded::check_label,
    model::{FORMAT, Header, Kind, write_info},
    multi_label::MultiLabelInfo,
    scores::Metric,
    sentence::SentenceInfo,
};
use electra_model::hf::{self, Architecture, Labels};
use std::path::Path;

/// Writes `task.json` beside a classifier that `transformers` has trained, so that it predicts here. Its inputs are
/// in the columns `text_a` and, for pairs, `text_b`; `task` is what it is called.
///
/// # Errors
/// If the folder is of another kind of model.
pub fn classifier(dir: &Path, task: &str, text_a: &str, text_b: Option<&str>) -> Result<()> {
    let config = hf::read_config(dir)?;
    let labels = match (config.architecture, config.labels) {
        (Architecture::ElectraForSequenceClassification, Some(labels)) => labels,
        (other, _) => return Err(Error::file(dir, format!("{other:?} is no classifier"))),
    };
    let (kind, metric) = match labels {
        Labels::Classes(_) => (Kind::Sentence, Metric::Accuracy),
        Labels::Number => (Kind::Sentence, Metric::Pearson),
        Labels::Set(_) => (Kind::MultiLabel, Metric::MicroF1),
    };
    let header = Header {
        format: FORMAT,
        kind,
        task: task.to_owned(),
        metric,
        max_length: config.encoder.max_positions as usize,
        head: HeadConfig {
            kind: HeadKind::Hf,
            dropout: config.classifier_dropout.unwrap_or(config.encoder.dropout),
            pooling: Pooling::First,
        },
        seed: 0,
    };
    let (text_a, text_b) = (text_a.to_owned(), text_b.map(str::to_owned));
    let answers = match labels {
        Labels::Classes(names) => Answers::Classes(names),
        // The scale that it was trained on is the scale of its outputs.
        Labels::Number => Answers::Range { min: 0.0, max: 1.0 },
        Labels::Set(labels) => {
            let (threshold, separator) = (0.5, separator(dir, &labels)?);
            let info = MultiLabelInfo { header, text_a, text_b, labels, threshold, separator };
            return write_info(dir, &info);
        }
    };
    write_info(dir, &SentenceInfo { header, text_a, text_b, label: "label".to_owned(), answers })
}

/// What stands between the labels of a set in a table: the first of some that no label has in it.
fn separator(dir: &Path, labels: &[String]) -> Result<String> {
    labels.iter().try_for_each(|label| check_label(label)).map_err(|why| Error::file(dir, why))?;
    let free = |separator: &&str| labels.iter().all(|label| !label.contains(*separator));
    match [",", ";", "|", " / "].into_iter().find(free) {
        Some(separator) => Ok(separator.to_owned()),
        None => Err(Error::file(
            dir,
            "its labels have `,`, `;`, `|` and ` / ` in them: nothing divides them in a table",
        )),
    }
}
