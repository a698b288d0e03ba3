//! Sentence tasks as a problem: classes or a number for a text or a pair of texts.

use crate::{
    Error, FinetuneConfig, Result, Task,
    baseline::{BagOfWords, Baselines, SplitScores, majority},
    batch::{Feature, encode_examples},
    config::{HeadConfig, HeadKind, Pooling},
    details::{self, Details, Texts},
    heads::{SentenceHead, SentencePrediction},
    model::{self, FORMAT, Header, Kind},
    objective::Answering,
    problem::{HeadClass, LoadSite, Loaded, Problem, Remembered, Split, TaskCard},
    report::Examples,
    scores::{Metric, Scores},
    task::{Answers, Dataset, Target},
};
use electra_model::{
    EncoderConfig,
    hf::{self, Architecture, Labels},
};
use electra_tokenize::{SpecialTokens, Tokenizer};
use electra_train::folder::write_file;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, sync::Arc};
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

impl SentenceInfo {
    /// Columns of the texts.
    pub fn text_columns(&self) -> Vec<&str> {
        std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect()
    }

    pub(crate) fn class(&self) -> HeadClass {
        head_class(&self.header.head, &self.answers)
    }
}

/// The data of a sentence task, encoded.
#[derive(Debug)]
pub struct SentenceData {
    answers: Answers,
    train: Arc<[Arc<Feature<Target>>]>,
    dev: Vec<Arc<Feature<Target>>>,
    /// What the dev set's features were made of, for the report.
    dev_texts: Vec<Texts>,
    more_dev: BTreeMap<String, Vec<Arc<Feature<Target>>>>,
    test: Option<Vec<Arc<Feature<Target>>>>,
    vocab_size: usize,
    special: SpecialTokens,
}

impl SentenceData {
    /// The features of a split, none where there is no such split.
    fn split(&self, split: &Split) -> &[Arc<Feature<Target>>] {
        match split {
            Split::Dev => &self.dev,
            Split::MoreDev(name) => self.more_dev.get(name).map_or(&[], Vec::as_slice),
            Split::Test => self.test.as_deref().unwrap_or(&[]),
        }
    }

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
        let Dataset { answers, train, dev, more_dev, test, left_out } =
            Task::load(self, site.data)?;
        if left_out > 0 {
            tracing::warn!("{}: {left_out} rows of all files are left out", site.data.display());
        }
        let examples = Examples {
            train: train.len(),
            dev: dev.len(),
            test: test.as_ref().map_or(0, Vec::len),
        };
        let max_length = site.config.train.max_length;
        let encode = |examples: &[_]| encode_examples(site.tokenizer, examples, max_length);
        let train: Arc<[_]> = encode(&train)?.into();
        let dev_texts = dev.iter().map(|e| (e.text_a.clone(), e.text_b.clone())).collect();
        let more_dev = more_dev.into_iter().map(|(name, examples)| Ok((name, encode(&examples)?)));
        let data = SentenceData {
            answers,
            train: Arc::clone(&train),
            dev: encode(&dev)?,
            dev_texts,
            more_dev: more_dev.collect::<Result<_>>()?,
            test: test.map(|examples| encode(&examples)).transpose()?,
            vocab_size: site.tokenizer.vocab().len(),
            special: *site.tokenizer.vocab().special(),
        };
        let more = data.more_dev.keys().cloned().map(Split::MoreDev);
        let test = data.test.as_ref().map(|_| Split::Test);
        let splits = std::iter::once(Split::Dev).chain(more).chain(test).collect();
        Ok(Loaded::each_once(&site.config.train, train, examples, splits, data))
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
                details::sentences(&data.answers, &data.dev_texts, &targets(&data.dev), answers)
            }
            Split::MoreDev(_) | Split::Test => Vec::new(),
        }
    }

    fn score(&self, data: &SentenceData, split: &Split, answers: &Self::Answers) -> Scores {
        let predicted: Vec<Target> = answers.iter().map(|prediction| prediction.answer).collect();
        data.answers.score(&predicted, &targets(data.split(split)))
    }

    /// `predictions.tsv`: `index` and `prediction`, as `electra predict` writes them.
    fn write(
        &self,
        data: &SentenceData,
        _split: &Split,
        answers: &Self::Answers,
        dir: &Path,
    ) -> Result<()> {
        let mut text = "index\tprediction\n".to_owned();
        for (index, prediction) in answers.iter().enumerate() {
            text += &format!("{index}\t{}\n", data.answers.text(prediction.answer));
        }
        Ok(write_file(&dir.join("predictions.tsv"), &text)?)
    }

    fn baselines(&self, data: &SentenceData) -> Baselines {
        let split = |predict: &dyn Fn(&Feature<Target>) -> Target| SplitScores {
            dev: data.score(&Split::Dev, predict),
            test: data.test.as_ref().map(|_| data.score(&Split::Test, predict)),
        };
        let constant = majority(&targets(&data.train), &data.answers);
        let bag_of_words = match &data.answers {
            Answers::Classes(labels) => {
                let (classes, vocab) = (labels.len(), data.vocab_size);
                let model = BagOfWords::train(&data.train, classes, vocab, &data.special);
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

/// What `transformers` calls the head, if it has it.
fn head_class(head: &HeadConfig, answers: &Answers) -> HeadClass {
    match head.kind {
        HeadKind::Reference => HeadClass::none(),
        HeadKind::Hf => HeadClass {
            architecture: Architecture::ElectraForSequenceClassification,
            labels: Some(match answers {
                Answers::Classes(names) => Labels::Classes(names.clone()),
                Answers::Range { .. } => Labels::Number,
            }),
            dropout: Some(head.dropout),
            head: "classifier",
        },
    }
}

/// Writes `task.json` beside a classifier that `transformers` has trained, so that it predicts here. Its inputs are
/// in the columns `text_a` and, for pairs, `text_b`; `task` is what it is called.
///
/// # Errors
/// If the folder is of another kind of model.
pub fn adopt_classifier(
    dir: &Path,
    task: &str,
    text_a: &str,
    text_b: Option<&str>,
) -> Result<SentenceInfo> {
    let config = hf::read_config(dir)?;
    let answers = match (config.architecture, config.labels) {
        (Architecture::ElectraForSequenceClassification, Some(Labels::Classes(names))) => {
            Answers::Classes(names)
        }
        // The scale that it was trained on is the scale of its outputs.
        (Architecture::ElectraForSequenceClassification, Some(Labels::Number)) => {
            Answers::Range { min: 0.0, max: 1.0 }
        }
        (other, _) => return Err(Error::file(dir, format!("{other:?} is no classifier"))),
    };
    let header = Header {
        format: FORMAT,
        kind: Kind::Sentence,
        task: task.to_owned(),
        metric: match answers {
            Answers::Classes(_) => Metric::Accuracy,
            Answers::Range { .. } => Metric::Pearson,
        },
        max_length: config.encoder.max_positions as usize,
        head: HeadConfig {
            kind: HeadKind::Hf,
            dropout: config.classifier_dropout.unwrap_or(config.encoder.dropout),
            pooling: Pooling::First,
        },
        seed: 0,
    };
    let info = SentenceInfo {
        header,
        text_a: text_a.to_owned(),
        text_b: text_b.map(str::to_owned),
        label: "label".to_owned(),
        answers,
    };
    model::write_info(dir, &info)?;
    Ok(info)
}
