//! A kind of task, as fine-tuning sees it: the seam where spans, tags and others go.

use crate::{
    Error, FinetuneConfig, Result,
    baseline::{Baselines, SplitScores},
    batch::{Feature, epoch_order, grouped_order},
    config::{Batches, HeadConfig, HeadKind, TrainConfig},
    details::Details,
    heads::Head,
    model::{Header, Kind},
    objective::{Answering, HEAD},
    report::{Examples, LeftOut},
    scores::{Metric, Scores},
};
use electra_model::{
    EncoderConfig,
    hf::{Architecture, Labels},
};
use electra_tokenize::WordPiece;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt::Debug, path::Path, sync::Arc};
use tch::nn;

/// What one row teaches a problem's head.
pub type Target<P> = <<P as Problem>::Head as Head>::Target;
/// The training set as a network sees it: one feature or several an example.
pub type Features<T> = Arc<[Arc<Feature<T>>]>;

/// A kind of task. The value is its description (files, columns, metric); it is written to `inputs.json`, and a run
/// is gone on with only under an equal one.
///
/// [`crate::Finetune`] knows this trait and nothing of any task: data is read once, every seed builds a head, and
/// what the network says of features is turned back into answers to examples, scored and written.
pub trait Problem: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// What stands on the encoder.
    type Head: Head;
    /// The data and all that was learned from reading it, such as the classes. Shared by all seeds.
    type Data;
    /// The answers to the examples of a split.
    type Answers;

    /// What it is called in reports.
    fn name(&self) -> &str;

    /// What seeds are compared by.
    fn metric(&self) -> Metric;

    /// Checks the description, and the config against it, before anything is read.
    ///
    /// # Errors
    /// Naming the first key that does not fit.
    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        Ok(())
    }

    /// What the folder of the encoder calls the variables that the head begins with, where it does not begin with fresh
    /// ones.
    fn pretrained_head(&self) -> Option<&'static str> {
        None
    }

    /// Reads and encodes the data.
    ///
    /// # Errors
    /// Naming file, line and column of what cannot be used.
    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>>
    where
        Self: Sized;

    /// The head with fresh weights under `path`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        data: &Self::Data,
    ) -> electra_model::Result<Self::Head>;

    /// The answers to the examples of `split`, one of [`Loaded::splits`].
    fn answers(
        &self,
        network: Answering<'_, Self::Head>,
        data: &Self::Data,
        split: &Split,
        batch_size: usize,
    ) -> Self::Answers;

    /// What a report shows of the answers to the dev set besides scores: the hardest examples, tables by kind.
    fn details(
        &self,
        _data: &Self::Data,
        _split: &Split,
        _answers: &Self::Answers,
    ) -> Vec<Details> {
        Vec::new()
    }

    /// Every score of the answers to `split`.
    fn score(&self, data: &Self::Data, split: &Split, answers: &Self::Answers) -> Scores;

    /// The scores of the parts that a split has, by name, where it has some: those of several tasks.
    fn parts(
        &self,
        _data: &Self::Data,
        _split: &Split,
        _answers: &Self::Answers,
    ) -> BTreeMap<String, Scores> {
        BTreeMap::new()
    }

    /// Writes the answers to `split` into the folder `dir`, which is there, beside the scores; nothing by default.
    ///
    /// # Errors
    /// Naming the file.
    fn write(
        &self,
        _data: &Self::Data,
        _split: &Split,
        _answers: &Self::Answers,
        _dir: &Path,
    ) -> Result<()> {
        Ok(())
    }

    /// What no network gives; nothing is said by default.
    fn baselines(&self, _data: &Self::Data) -> Baselines {
        let majority = SplitScores { dev: Scores::new(), test: None };
        Baselines { majority, bag_of_words: None }
    }

    /// What the model folder of `seed` says besides weights; by default, that its head is one of your own.
    fn remember(&self, _data: &Self::Data, config: &FinetuneConfig, seed: u64) -> Remembered {
        let header = Header::new(Kind::Own, self, config, seed);
        let info = serde_json::to_value(header).expect("plain values serialise");
        Remembered { info, class: HeadClass::none(), members: Vec::new() }
    }

    /// What the model card says of the task.
    fn card(&self, _data: &Self::Data) -> TaskCard {
        TaskCard {
            pipeline: "feature-extraction",
            rows: Vec::new(),
            predict: "# with the program that trained it: the head is one of its own",
        }
    }
}

/// Examples that are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// Seeds are compared on it.
    Dev,
    /// Scored as the dev set is, and nothing chosen by; it has a name.
    MoreDev(String),
    /// Scored at the end, and nothing chosen by.
    Test,
}

impl Split {
    /// Its name, as folders have it.
    pub fn name(&self) -> String {
        match self {
            Self::Dev => "dev".to_owned(),
            Self::MoreDev(name) => format!("dev-{}", name.replace(['/', '\\'], "-")),
            Self::Test => "test".to_owned(),
        }
    }
}

/// What data is read with.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadSite<'a> {
    /// The folder that the task's files are in.
    pub data: &'a Path,
    /// The encoder's folder, for errors.
    pub model: &'a Path,
    /// The encoder's sizes.
    pub encoder: &'a EncoderConfig,
    /// Its tokenizer.
    pub tokenizer: &'a WordPiece,
    /// How it is learned.
    pub config: &'a FinetuneConfig,
}

impl<'a> LoadSite<'a> {
    /// A site whose encoder has the positions that the config asks for.
    ///
    /// # Errors
    /// If it has fewer.
    pub fn new(
        data: &'a Path,
        model: &'a Path,
        encoder: &'a EncoderConfig,
        tokenizer: &'a WordPiece,
        config: &'a FinetuneConfig,
    ) -> Result<Self> {
        let max_length = config.train.max_length;
        if max_length as i64 > encoder.max_positions {
            let limit =
                format!("must be at most {}, the positions of the model", encoder.max_positions);
            return Err(Error::value("train.max_length", max_length, limit));
        }
        Ok(Self { data, model, encoder, tokenizer, config })
    }

    /// The site of another task's files.
    pub(crate) fn of<'b>(&self, data: &'b Path) -> LoadSite<'b>
    where
        'a: 'b,
    {
        LoadSite { data, ..*self }
    }

    /// Checks that the encoder tells two texts from each other.
    ///
    /// # Errors
    /// If it has one segment.
    pub fn two_segments(&self) -> Result<()> {
        match self.encoder.segments {
            0 | 1 => {
                let message = "the model has one segment, and the task has pairs of texts";
                Err(Error::file(self.model, message))
            }
            _ => Ok(()),
        }
    }
}

/// A problem's data, read.
pub struct Loaded<P: Problem> {
    /// What is learned from.
    pub train: Features<Target<P>>,
    /// The order of the training features in an epoch.
    pub order: Order,
    /// Numbers of examples, before they were divided into features.
    pub examples: Examples,
    /// What is scored: the dev set and whatever else there is.
    pub splits: Vec<Split>,
    /// What is not used, by file: written to `left-out.txt` and to the report.
    pub left_out: Vec<LeftOut>,
    /// What the problem itself needs.
    pub data: P::Data,
}

impl<P: Problem> Loaded<P> {
    /// Every training feature once an epoch, in a new random order each, as the config's `train.batches` says.
    pub fn each_once(
        config: &TrainConfig,
        train: Features<Target<P>>,
        examples: Examples,
        splits: Vec<Split>,
        data: P::Data,
    ) -> Self {
        let features = train.len();
        let batch_size = config.batch_size * config.accumulate;
        let order = match config.batches {
            Batches::Shuffled => Order::new(move |seed, epoch| epoch_order(features, seed, epoch)),
            Batches::ByLength => {
                let lengths: Vec<usize> = train.iter().map(|feature| feature.ids.len()).collect();
                Order::new(move |seed, epoch| grouped_order(&lengths, batch_size, seed, epoch))
            }
        };
        Self { train, order, examples, splits, left_out: Vec::new(), data }
    }
}

impl<P: Problem> Debug for Loaded<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("examples", &self.examples).finish_non_exhaustive()
    }
}

/// Which features an epoch has, in which order: a pure function of (seed, epoch), so that a run can be gone on with
/// from its position alone. Every epoch has as many places as there are training features; some may stand twice and
/// others not at all, where several tasks are sampled.
#[derive(Clone)]
pub struct Order(Arc<dyn Fn(u64, u64) -> Vec<usize> + Send + Sync>);

impl Order {
    /// The order that `places(seed, epoch)` gives.
    pub fn new(places: impl Fn(u64, u64) -> Vec<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(places))
    }

    /// The numbers of the features of an epoch.
    pub fn places(&self, seed: u64, epoch: u64) -> Vec<usize> {
        (self.0)(seed, epoch)
    }
}

impl Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Order")
    }
}

/// What a model folder says besides weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// `task.json`: has at least the keys of [`crate::model::Header`].
    pub info: serde_json::Value,
    /// The class of `transformers` that the folder is for.
    pub class: HeadClass,
    /// Models in it that share the encoder; where there are some, the folder itself is the encoder alone.
    pub members: Vec<MemberModel>,
}

/// A model in the folder of another, with the same encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberModel {
    /// Its folder in that one.
    pub folder: String,
    /// What its variables are under, among those of heads.
    pub variables: String,
    /// What it says of itself.
    pub remembered: Remembered,
}

/// The class of `transformers` that loads a model folder, and what it calls the head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadClass {
    /// The class; [`Architecture::ElectraModel`] where none has such a head.
    pub architecture: Architecture,
    /// What its outputs mean.
    pub labels: Option<Labels>,
    /// Dropout before the head, where it is not the encoder's.
    pub dropout: Option<f64>,
    /// What the head's variables are under.
    pub head: &'static str,
}

impl HeadClass {
    /// No class has such a head; `transformers` loads the encoder.
    pub fn none() -> Self {
        Self { architecture: Architecture::ElectraModel, labels: None, dropout: None, head: HEAD }
    }

    /// The class of a head on the whole input with such outputs, if it has one.
    pub(crate) fn of_sentences(head: &HeadConfig, labels: Labels) -> Self {
        match head.kind {
            HeadKind::Reference => Self::none(),
            HeadKind::Hf => Self {
                architecture: Architecture::ElectraForSequenceClassification,
                labels: Some(labels),
                dropout: Some(head.dropout),
                head: "classifier",
            },
        }
    }

    /// The class to load the folder with, and whether that loads the head.
    pub(crate) fn auto_model(&self) -> (&'static str, bool) {
        match self.architecture {
            Architecture::ElectraForSequenceClassification => {
                ("AutoModelForSequenceClassification", true)
            }
            Architecture::ElectraForTokenClassification => {
                ("AutoModelForTokenClassification", true)
            }
            Architecture::ElectraForQuestionAnswering => ("AutoModelForQuestionAnswering", true),
            Architecture::ElectraForPreTraining => ("AutoModelForPreTraining", true),
            _ => ("AutoModel", false),
        }
    }
}

/// What a model card says of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCard {
    /// The hub's `pipeline_tag`.
    pub pipeline: &'static str,
    /// Rows of the table of training: what is predicted, from what.
    pub rows: Vec<(&'static str, String)>,
    /// A command that predicts with `FOLDER`.
    pub predict: &'static str,
}
