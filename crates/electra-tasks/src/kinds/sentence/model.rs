//! A fine-tuned model of a sentence task.

use super::head::{SentenceNet, SentencePrediction};
use crate::{
    answer::{Answer, Request, RequestForm, TaskModel},
    error::Result,
    model::{HeadClass, Header, read_info},
    pool::{ModelSite, NetworkPool},
    texts::data::encode,
};
use electra_model::{EncoderConfig, hf::Labels};
use electra_scores::{Label, LabelSpace};
use electra_tokenize::WordPiece;
use serde::{Deserialize, Serialize};
use tch::nn;

/// The kind in `task.json`.
pub const KIND: &str = "sentence";

/// The `task.json` of a sentence task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentenceInfo {
    /// What every kind has.
    #[serde(flatten)]
    pub header: Header,
    /// Column of the (first) text.
    pub text_a: String,
    /// Column of the second text, for pairs.
    pub text_b: Option<String>,
    /// Column of the label.
    pub label: String,
    /// The labels that there are.
    #[serde(rename = "answers")]
    pub space: LabelSpace,
}

impl SentenceInfo {
    /// The class of `transformers` that the folder is for.
    pub(crate) fn class(&self) -> HeadClass {
        let labels = match &self.space {
            LabelSpace::Classes(names) => Labels::Classes(names.clone()),
            LabelSpace::Range { .. } => Labels::Number,
        };
        HeadClass::of_sequences(&self.header.head, labels)
    }
}

/// A model that predicts classes or numbers.
#[derive(Debug)]
struct SentenceModel {
    info: SentenceInfo,
    tokenizer: WordPiece,
    network: NetworkPool<SentenceNet>,
}

/// Opens a model of the kind.
pub(crate) fn open(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let info: SentenceInfo = read_info(site.dir)?;
    let (head, space) = (info.header.head.clone(), info.space.clone());
    let build = move |path: &nn::Path<'_>, encoder: &EncoderConfig| {
        SentenceNet::new(path, encoder, &head, &space)
    };
    let (network, tokenizer) = NetworkPool::read(site, info.class().head, build)?;
    Ok(Box::new(SentenceModel { info, tokenizer, network }))
}

impl TaskModel for SentenceModel {
    fn form(&self) -> RequestForm {
        let columns = std::iter::once(&self.info.text_a).chain(&self.info.text_b);
        let classes = match &self.info.space {
            LabelSpace::Classes(names) => names.clone(),
            LabelSpace::Range { .. } => Vec::new(),
        };
        let (columns, separator) = (columns.cloned().collect(), String::new());
        RequestForm::Rows { columns, classes, separator }
    }

    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Vec<Answer>> {
        let texts = Request::texts(requests, self.info.text_b.is_some())?;
        let inputs = encode(&self.tokenizer, &texts, self.info.header.max_length)?;
        let predictions = self.network.predict(&inputs, batch_size, SentenceNet::predict)?;
        let answer = |SentencePrediction { label, probabilities }| match label {
            Label::Class(_) => Answer::Class { label: self.info.space.text(label), probabilities },
            Label::Value(value) => Answer::Number(value),
        };
        Ok(predictions.into_iter().map(answer).collect())
    }
}
