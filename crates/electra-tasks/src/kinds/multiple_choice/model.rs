//! A fine-tuned model of multiple choice.

use super::head::{ChoiceNet, ChoicePrediction};
use crate::{
    adopt::Foreign,
    answer::{Answer, Request, RequestForm},
    batch::Input,
    config::HeadKind,
    error::Result,
    head::HeadSite,
    model::{HeadClass, Header},
    model_kind::{Inference, ModelKind},
    summary::Truncated,
    texts::data::encode,
};
use electra_files::final_path;
use electra_model::hf::Architecture;
use electra_scores::Metric;
use electra_tokenize::Tokenizer;
use serde::{Deserialize, Serialize};

/// The `task.json` of multiple choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceInfo {
    /// The keys of every kind.
    #[serde(flatten)]
    pub header: Header,
    /// The column of the text.
    pub text: String,
    /// The columns of the choices.
    pub choices: Vec<String>,
    /// The names of the choices in predictions.
    pub labels: Vec<String>,
}

/// The names of choices that were not given any: their numbers from 0.
pub(super) fn numbered(choices: usize) -> Vec<String> {
    (0..choices).map(|number| number.to_string()).collect()
}

/// The inputs of rows, each a text and its choices: an input for each choice, row after row; and the truncated ones.
pub(super) fn inputs<'a>(
    rows: impl Iterator<Item = (&'a String, &'a [String])>,
    tokenizer: &dyn Tokenizer,
    max_length: usize,
) -> Result<(Vec<Input>, Truncated)> {
    let pairs = |(text, choices): (&'a String, &'a [String])| {
        choices.iter().map(|choice| (text.as_str(), Some(choice.as_str())))
    };
    encode(tokenizer, &rows.flat_map(pairs).collect::<Vec<_>>(), max_length)
}

impl ModelKind for ChoiceInfo {
    const KIND: &'static str = "multiple-choice";
    type Net = ChoiceNet;

    fn class(&self) -> HeadClass {
        match self.header.head.kind {
            HeadKind::Reference => HeadClass::none(),
            HeadKind::Hf => HeadClass {
                architecture: Architecture::ElectraForMultipleChoice,
                labels: None,
                dropout: None,
                head: "",
            },
        }
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<ChoiceNet> {
        ChoiceNet::new(site, self.choices.len())
    }

    /// The columns are the text's and those of at least two choices: a model does not depend on their number.
    fn adopt(folder: &Foreign<'_>) -> Result<Option<Self>> {
        match (folder.config.architecture, folder.texts) {
            (Architecture::ElectraForMultipleChoice, [text, choices @ ..]) if choices.len() > 1 => {
                Ok(Some(Self {
                    header: folder.header(Metric::Accuracy).of_kind(Self::KIND),
                    text: text.clone(),
                    choices: choices.to_vec(),
                    labels: numbered(choices.len()),
                }))
            }
            (Architecture::ElectraForMultipleChoice, _) => {
                tracing::warn!(
                    "{}: a multiple choice model predicts only if the columns of the text and of at least two choices are given; \
                     import it again with their names: --text-a TEXT --text-b CHOICE --text-b CHOICE",
                    final_path(folder.dir).display()
                );
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn form(&self) -> RequestForm {
        RequestForm::Rows {
            columns: std::iter::once(&self.text).chain(&self.choices).cloned().collect(),
            classes: self.labels.clone(),
            separator: String::new(),
        }
    }

    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>> {
        let choices = self.choices.len();
        let expected = format!("must be a text and {choices} choices");
        let rows = Request::all(requests, &expected, |request| match request {
            Request::Texts { texts } if texts.len() == 1 + choices => texts.split_first(),
            _ => None,
        })?;
        let (inputs, truncated) =
            inputs(rows.into_iter(), model.tokenizer, self.header.max_length)?;
        model.add_truncated(truncated);
        let answer = |logits: &[f32]| {
            let ChoicePrediction { choice, probabilities } = ChoicePrediction::new(logits);
            Answer::Class { label: self.labels[choice].clone(), probabilities }
        };
        Ok(model.predict(&inputs)?.chunks(choices).map(answer).collect())
    }
}
