//! A fine-tuned model of a sentence task.

use super::head::{SentenceNet, SentencePrediction};
use crate::{
    adopt::Foreign,
    answer::{Answer, Request, RequestForm},
    error::Result,
    head::HeadSite,
    model::{HeadClass, Header},
    model_kind::{Inference, ModelKind},
    texts::data::TextColumns,
};
use electra_model::hf::{Architecture, Labels};
use electra_scores::{Label, LabelSpace, Metric};
use serde::{Deserialize, Serialize};

/// The `task.json` of a sentence task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentenceInfo {
    /// The keys of every kind.
    #[serde(flatten)]
    pub header: Header,
    /// The columns of the texts.
    #[serde(flatten)]
    pub texts: TextColumns,
    /// The column of the label.
    pub label: String,
    /// The label space.
    #[serde(rename = "answers")]
    pub space: LabelSpace,
}

impl ModelKind for SentenceInfo {
    const KIND: &'static str = "sentence";
    type Net = SentenceNet;

    fn class(&self) -> HeadClass {
        let labels = match &self.space {
            LabelSpace::Classes(names) => Labels::Classes(names.clone()),
            LabelSpace::Range { .. } => Labels::Number,
        };
        HeadClass::of_sequences(&self.header.head, labels)
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<SentenceNet> {
        SentenceNet::new(site, &self.space)
    }

    fn adopt(folder: &Foreign<'_>) -> Result<Option<Self>> {
        let Architecture::ElectraForSequenceClassification = folder.config.architecture else {
            return Ok(None);
        };
        let (metric, space) = match &folder.config.labels {
            Some(Labels::Classes(names)) => (Metric::Accuracy, LabelSpace::Classes(names.clone())),
            // Its outputs are already on the scale that it was trained on.
            Some(Labels::Number) => (Metric::Pearson, LabelSpace::Range { min: 0.0, max: 1.0 }),
            Some(Labels::Set(_)) | None => return Ok(None),
        };
        let texts = TextColumns::new(folder.texts)?;
        let label = "label".to_owned();
        Ok(Some(Self { header: folder.header(metric), texts, label, space }))
    }

    fn form(&self) -> RequestForm {
        let classes = match &self.space {
            LabelSpace::Classes(names) => names.clone(),
            LabelSpace::Range { .. } => Vec::new(),
        };
        self.texts.form(classes, "")
    }

    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>> {
        let inputs = self.texts.inputs(requests, model, self.header.max_length)?;
        let answer = |SentencePrediction { label, probabilities }| match label {
            Label::Class(_) => Answer::Class { label: self.space.text(label), probabilities },
            Label::Value(value) => Answer::Number(value),
        };
        Ok(model.predict(&inputs)?.into_iter().map(answer).collect())
    }
}
