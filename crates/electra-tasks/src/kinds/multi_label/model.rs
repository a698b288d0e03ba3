//! A fine-tuned model of a multi-label task.

use super::head::MultiLabelNet;
use crate::{
    adopt::Foreign,
    answer::{Answer, Request, RequestForm},
    error::{Error, Result},
    head::HeadSite,
    model::{HeadClass, Header},
    model_kind::{Inference, ModelKind},
    texts::data::TextColumns,
};
use electra_model::hf::{Architecture, Labels};
use electra_scores::{Metric, check_label, multi_label::names};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The `task.json` of a multi-label task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelInfo {
    /// The keys of every kind.
    #[serde(flatten)]
    pub header: Header,
    /// The columns of the texts.
    #[serde(flatten)]
    pub texts: TextColumns,
    /// The labels in the order of their logits.
    pub labels: Vec<String>,
    /// A label is predicted if its probability is at least this.
    pub threshold: f64,
    /// The separator between the labels of a row in tables.
    pub separator: String,
}

/// For each label, whether it is predicted.
pub(super) fn predicted(probabilities: &[f32], threshold: f64) -> Vec<bool> {
    probabilities.iter().map(|&p| f64::from(p) >= threshold).collect()
}

impl ModelKind for MultiLabelInfo {
    const KIND: &'static str = "multi-label";
    type Net = MultiLabelNet;

    fn class(&self) -> HeadClass {
        HeadClass::of_sequences(&self.header.head, Labels::Set(self.labels.clone()))
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<MultiLabelNet> {
        MultiLabelNet::new(site, self.labels.len())
    }

    fn adopt(folder: &Foreign<'_>) -> Result<Option<Self>> {
        let (Architecture::ElectraForSequenceClassification, Some(Labels::Set(labels))) =
            (folder.config.architecture, &folder.config.labels)
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            header: folder.header(Metric::MicroF1).of_kind(Self::KIND),
            texts: TextColumns::new(folder.texts)?,
            labels: labels.clone(),
            threshold: 0.5,
            separator: separator(folder.dir, labels)?,
        }))
    }

    fn form(&self) -> RequestForm {
        self.texts.form(self.labels.clone(), &self.separator)
    }

    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>> {
        let inputs = self.texts.inputs(requests, model, self.header.max_length)?;
        let answer = |probabilities: Vec<f32>| {
            let labels = names(&self.labels, &predicted(&probabilities, self.threshold));
            Answer::Labels { labels, probabilities }
        };
        Ok(model.predict(&inputs)?.into_iter().map(answer).collect())
    }
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
