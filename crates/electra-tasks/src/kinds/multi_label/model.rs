//! A fine-tuned model of a multi-label task.

use super::head::MultiLabelNet;
use crate::{
    answer::{Answer, Request, RequestForm, TaskModel},
    error::Result,
    model::{HeadClass, Header, read_info},
    pool::{ModelSite, NetworkPool},
    texts::data::encode,
};
use electra_model::{EncoderConfig, hf::Labels};
use electra_scores::multi_label::names;
use electra_tokenize::WordPiece;
use serde::{Deserialize, Serialize};
use tch::nn;

/// The kind in `task.json`, and the name of the head in checkpoints.
pub const KIND: &str = "multi-label";

/// The `task.json` of a multi-label task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelInfo {
    /// What every kind has.
    #[serde(flatten)]
    pub header: Header,
    /// Column of the (first) text.
    pub text_a: String,
    /// Column of the second text, for pairs.
    pub text_b: Option<String>,
    /// The labels in the order of their numbers.
    pub labels: Vec<String>,
    /// A label holds if its probability is at least this.
    pub threshold: f64,
    /// What separates the labels of a row in tables.
    pub separator: String,
}

impl MultiLabelInfo {
    /// The class of `transformers` that the folder is for.
    pub(crate) fn class(&self) -> HeadClass {
        HeadClass::of_sequences(&self.header.head, Labels::Set(self.labels.clone()))
    }
}

/// Which labels hold.
pub(super) fn holds(probabilities: &[f32], threshold: f64) -> Vec<bool> {
    probabilities.iter().map(|&p| f64::from(p) >= threshold).collect()
}

/// A model that predicts sets of labels.
#[derive(Debug)]
struct MultiLabelModel {
    info: MultiLabelInfo,
    tokenizer: WordPiece,
    network: NetworkPool<MultiLabelNet>,
}

/// Opens a model of the kind.
pub(crate) fn open(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let info: MultiLabelInfo = read_info(site.dir)?;
    let (head, labels) = (info.header.head.clone(), info.labels.len());
    let build = move |path: &nn::Path<'_>, encoder: &EncoderConfig| {
        MultiLabelNet::new(path, encoder, &head, labels)
    };
    let (network, tokenizer) = NetworkPool::read(site, info.class().head, build)?;
    Ok(Box::new(MultiLabelModel { info, tokenizer, network }))
}

impl TaskModel for MultiLabelModel {
    fn form(&self) -> RequestForm {
        let columns = std::iter::once(&self.info.text_a).chain(&self.info.text_b);
        RequestForm::Rows {
            columns: columns.cloned().collect(),
            classes: self.info.labels.clone(),
            separator: self.info.separator.clone(),
        }
    }

    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Vec<Answer>> {
        let MultiLabelInfo { header, labels, threshold, text_b, .. } = &self.info;
        let texts = Request::texts(requests, text_b.is_some())?;
        let inputs = encode(&self.tokenizer, &texts, header.max_length)?;
        let predictions = self.network.predict(&inputs, batch_size, MultiLabelNet::predict)?;
        let answer = |probabilities: Vec<f32>| {
            let labels = names(labels, &holds(&probabilities, *threshold));
            Answer::Labels { labels, probabilities }
        };
        Ok(predictions.into_iter().map(answer).collect())
    }
}
