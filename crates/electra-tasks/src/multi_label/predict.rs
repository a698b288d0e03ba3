//! What a multi-label model answers, and what its folder says.

use super::head::MultiLabelHead;
use crate::{
    model::{Header, Kind},
    predict::{TextInfo, TextPredictor},
    problem::HeadClass,
};
use electra_model::{EncoderConfig, hf::Labels};
use serde::{Deserialize, Serialize};
use tch::nn;

/// What a multi-label model needs besides weights: its `task.json`.
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
    /// A label holds where its probability is at least this.
    pub threshold: f64,
    /// What stands between the labels of a row in tables.
    pub separator: String,
}

/// Predicts sets of labels.
///
/// ```no_run
/// use electra_tasks::MultiLabelPredictor;
///
/// let predictor = MultiLabelPredictor::open("runs/topics/model".as_ref(), "auto")?;
/// for answer in predictor.predict(&[("Rates rise again.", None), ("It rains.", None)])? {
///     println!("{} {:?}", answer.labels.join(", "), answer.probabilities);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
pub type MultiLabelPredictor = TextPredictor<MultiLabelInfo>;

/// The labels of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSet {
    /// Those that hold, in the order of [`MultiLabelInfo::labels`]; there may be none.
    pub labels: Vec<String>,
    /// The probability of each label, in the same order.
    pub probabilities: Vec<f32>,
}

/// Which labels hold.
pub(super) fn held(probabilities: &[f32], threshold: f64) -> Vec<bool> {
    probabilities.iter().map(|&p| f64::from(p) >= threshold).collect()
}

/// The names of the labels that hold.
pub(super) fn names(labels: &[String], held: &[bool]) -> Vec<String> {
    labels.iter().zip(held).filter(|(_, held)| **held).map(|(name, _)| name.clone()).collect()
}

impl TextInfo for MultiLabelInfo {
    type Head = MultiLabelHead;
    type Prediction = LabelSet;
    const KIND: Kind = Kind::MultiLabel;

    fn header(&self) -> &Header {
        &self.header
    }

    fn texts(&self) -> (&str, Option<&str>) {
        (&self.text_a, self.text_b.as_deref())
    }

    fn class(&self) -> HeadClass {
        HeadClass::of_sentences(&self.header.head, Labels::Set(self.labels.clone()))
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
    ) -> electra_model::Result<MultiLabelHead> {
        MultiLabelHead::new(path, encoder, &self.header.head, self.labels.len())
    }

    fn classes(&self) -> &[String] {
        &self.labels
    }

    fn prediction(&self, probabilities: Vec<f32>) -> LabelSet {
        let held = held(&probabilities, self.threshold);
        LabelSet { labels: names(&self.labels, &held), probabilities }
    }

    fn text(&self, prediction: &LabelSet) -> String {
        prediction.labels.join(&self.separator)
    }

    fn json(&self, prediction: &LabelSet) -> serde_json::Value {
        prediction.labels.clone().into()
    }

    fn probabilities<'a>(&self, prediction: &'a LabelSet) -> &'a [f32] {
        &prediction.probabilities
    }

    fn is_finite(&self, prediction: &LabelSet) -> bool {
        prediction.probabilities.iter().all(|p| p.is_finite())
    }
}
