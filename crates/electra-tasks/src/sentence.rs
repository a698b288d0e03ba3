//! Sentence tasks as a problem: classes or a number for a text or a pair of texts.

use crate::{
    FinetuneConfig, Result, Task,
    baseline::{BagOfWords, Baselines, majority},
    batch::Feature,
    details::{self, Details},
    encoded::{TextData, loaded},
    heads::{SentenceHead, SentencePrediction},
    model::{Header, Kind},
    objective::Answering,
    predict::{Prediction, TextInfo},
    problem::{HeadClass, LoadSite, Loaded, Problem, Remembered, Split, TaskCard},
    scores::{Metric, Scores},
    task::{Answers, Target, classes},
};
use electra_model::{EncoderConfig, hf::Labels};
use electra_train::metrics::number;
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc};
use tch::nn;

/// What a model of a sentence task needs besides weights: its `task.json`.
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
    /// What answers look like.
    pub answers: Answers,
}

impl TextInfo for SentenceInfo {
    type Head = SentenceHead;
    type Prediction = Prediction;
    const KIND: Kind = Kind::Sentence;

    fn header(&self) -> &Header {
        &self.header
    }

    fn texts(&self) -> (&str, Option<&str>) {
        (&self.text_a, self.text_b.as_deref())
    }

    fn class(&self) -> HeadClass {
        let labels = match &self.answers {
            Answers::Classes(names) => Labels::Classes(names.clone()),
            Answers::Range { .. } => Labels::Number,
        };
        HeadClass::of_sentences(&self.header.head, labels)
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
    ) -> electra_model::Result<SentenceHead> {
        SentenceHead::new(path, encoder, &self.header.head, &self.answers)
    }

    fn classes(&self) -> &[String] {
        match &self.answers {
            Answers::Classes(names) => names,
            Answers::Range { .. } => &[],
        }
    }

    fn prediction(&self, said: SentencePrediction) -> Prediction {
        let SentencePrediction { answer, probabilities } = said;
        Prediction { label: self.answers.text(answer), answer, probabilities }
    }

    fn text(&self, prediction: &Prediction) -> String {
        prediction.label.clone()
    }

    fn json(&self, prediction: &Prediction) -> serde_json::Value {
        match prediction.answer {
            Target::Class(_) => prediction.label.as_str().into(),
            Target::Value(value) => number(value),
        }
    }

    fn probabilities<'a>(&self, prediction: &'a Prediction) -> &'a [f32] {
        &prediction.probabilities
    }

    fn is_finite(&self, prediction: &Prediction) -> bool {
        match prediction.answer {
            Target::Value(value) => value.is_finite(),
            Target::Class(_) => prediction.probabilities.iter().all(|p| p.is_finite()),
        }
    }
}

/// The data of a sentence task, encoded.
pub type SentenceData = TextData<Answers, Target>;

impl SentenceData {
    fn score(&self, split: &Split, predict: &dyn Fn(&Feature<Target>) -> Target) -> Scores {
        let features = self.split(split);
        let predicted: Vec<Target> = features.iter().map(|feature| predict(feature)).collect();
        self.answers.score(&predicted, &targets(features))
    }
}

impl Problem for Task {
    type Head = SentenceHead;
    type Data = SentenceData;
    type Answers = Vec<SentencePrediction>;

    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        self.validate()
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>> {
        if self.text_b.is_some() {
            site.two_segments()?;
        }
        loaded(site, Task::load(self, site.data)?)
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        data: &SentenceData,
    ) -> electra_model::Result<SentenceHead> {
        SentenceHead::new(path, encoder, &config.head, &data.answers)
    }

    fn answers(
        &self,
        network: Answering<'_, SentenceHead>,
        data: &SentenceData,
        split: &Split,
        batch_size: usize,
    ) -> Vec<SentencePrediction> {
        network.predict(data.split(split), batch_size)
    }

    fn details(&self, data: &SentenceData, split: &Split, answers: &Self::Answers) -> Vec<Details> {
        match split {
            Split::Dev => {
                let gold = targets(data.split(split));
                details::sentences(&data.answers, &data.dev_texts, &gold, answers)
            }
            Split::MoreDev(_) | Split::Test => Vec::new(),
        }
    }

    fn score(&self, data: &SentenceData, split: &Split, answers: &Self::Answers) -> Scores {
        let predicted: Vec<Target> = answers.iter().map(|prediction| prediction.answer).collect();
        data.answers.score(&predicted, &targets(data.split(split)))
    }

    /// `predictions.tsv`: `index`, the number of the row in the file, and `prediction`, as `electra predict` writes them.
    fn write(
        &self,
        data: &SentenceData,
        split: &Split,
        answers: &Self::Answers,
        dir: &Path,
    ) -> Result<()> {
        let texts = answers.iter().map(|prediction| data.answers.text(prediction.answer));
        data.write_predictions(split, texts, dir)
    }

    fn baselines(&self, data: &SentenceData) -> Baselines {
        let split = |predict: &dyn Fn(&Feature<Target>) -> Target| {
            data.split_scores(|split| data.score(split, predict))
        };
        let constant = majority(&targets(&data.train), &data.answers);
        let bag_of_words = match &data.answers {
            Answers::Classes(labels) => {
                let gold = classes(&targets(&data.train));
                let train = data.train.iter().zip(gold.iter().copied());
                let model = BagOfWords::train(train, labels.len(), data.vocab_size, &data.special);
                Some(split(&|feature| Target::Class(model.predict(feature))))
            }
            Answers::Range { .. } => None,
        };
        Baselines { majority: split(&|_| constant), bag_of_words }
    }

    fn remember(&self, data: &SentenceData, config: &FinetuneConfig, seed: u64) -> Remembered {
        let info = SentenceInfo {
            header: Header::new(Kind::Sentence, self, config, seed),
            text_a: self.text_a.clone(),
            text_b: self.text_b.clone(),
            label: self.label.clone(),
            answers: data.answers.clone(),
        };
        let class = info.class();
        let info = serde_json::to_value(info).expect("plain values serialise");
        Remembered { info, class, members: Vec::new() }
    }

    fn card(&self, data: &SentenceData) -> TaskCard {
        let kind = match &data.answers {
            Answers::Classes(labels) => format!("classification: {}", labels.join(", ")),
            Answers::Range { min, max } => format!("regression from {min} to {max}"),
        };
        TaskCard {
            pipeline: "text-classification",
            rows: vec![("task", kind), ("text columns", self.text_columns().join(", "))],
            predict: "electra predict --model FOLDER --input new.tsv --output predictions.tsv",
        }
    }
}

fn targets(features: &[Arc<Feature<Target>>]) -> Vec<Target> {
    features.iter().map(|feature| feature.target).collect()
}
