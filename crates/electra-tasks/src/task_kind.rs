//! The code that all kinds of tasks share: a [`TaskKind`] has what differs between kinds.

use crate::{
    baseline::{Baselines, SplitScores},
    batch::{Input, InputGroups},
    body::Body,
    config::TrainConfig,
    details::{ByLabel, Details},
    error::Result,
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
    model::{Header, ModelFiles},
    order::Order,
    report::Examples,
    split::{Split, Splits},
    task::{Answers, LoadedTask, TaskCard, TaskData, TaskHead},
};
use electra_scores::{LeftOut, MatchCounts, Scores};
use electra_train::metrics::Observations;
use serde_json::Value;
use std::{borrow::Borrow, fmt::Debug, path::Path, sync::Arc};
use tch::Tensor;

/// A kind of task. A value of the type is a task whose data was read, with what follows from the data, such as its
/// classes.
pub trait TaskKind: Debug + Send + Sync + Sized + 'static {
    /// The label of a group of training inputs; most kinds have one input in a group.
    type Label: Debug + Send + Sync;
    /// The encoded examples of a split, with their labels.
    type Examples: Debug + Send + Sync;
    /// The layers on the encoder.
    type Net: HeadNet<Label = Self::Label>;
    /// The prediction for an example.
    type Prediction: Debug;

    /// The name of the head in manifests and checkpoints.
    fn head_name(&self) -> &'static str;

    /// The head with fresh weights.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<Self::Net>;

    /// A label as JSON, for the checksum that a resumed run compares.
    fn label_json(&self, label: &Self::Label) -> Value;

    /// The number of examples in a split.
    fn count(&self, examples: &Self::Examples) -> usize;

    /// The predictions for the examples of a split, in order.
    fn predict(&self, network: &Network<'_, Self>, set: &Self::Examples) -> Vec<Self::Prediction>;

    /// Every score of the predictions for a split.
    fn score(&self, examples: &Self::Examples, predictions: &[Self::Prediction]) -> Scores;

    /// Scores without a network; none by default.
    fn baselines(&self, _labels: &[Self::Label], _splits: &Splits<Self::Examples>) -> Baselines {
        Baselines { majority: SplitScores::default(), bag_of_words: None }
    }

    /// The counts of each class, label, type or tag; none by default. They are in the report, in `results.json` and in a
    /// file next to the predictions.
    fn by_label(&self, _: &Self::Examples, _predictions: &[Self::Prediction]) -> Option<ByLabel> {
        None
    }

    /// Further sections of the report on the dev set; none by default.
    fn details(&self, _: &Self::Examples, _predictions: &[Self::Prediction]) -> Vec<Details> {
        Vec::new()
    }

    /// Writes the predictions for a split into the existing folder `dir`, next to the scores; nothing by default.
    ///
    /// # Errors
    /// Naming the file.
    fn write(&self, _: &Self::Examples, _predictions: &[Self::Prediction], _: &Path) -> Result<()> {
        Ok(())
    }

    /// The model folder's files besides weights; by default those of a head that only your program can load.
    fn model_files(&self, header: Header) -> ModelFiles {
        ModelFiles::own(header)
    }

    /// The task in the model card.
    fn card(&self) -> TaskCard {
        TaskCard {
            pipeline: "feature-extraction",
            rows: Vec::new(),
            predict: "# only with the program that trained it, which defines the head",
        }
    }
}

type Output<K> = <<K as TaskKind>::Net as HeadNet>::Output;

/// The network of a head during fine-tuning.
#[derive(Debug)]
pub struct Network<'a, K: TaskKind> {
    body: &'a Body,
    net: &'a K::Net,
    batch_size: usize,
}

impl<K: TaskKind> Network<'_, K> {
    /// The outputs for inputs, in order.
    pub fn predict(&self, inputs: &[impl Borrow<Input>]) -> Vec<Output<K>> {
        self.body.predict(inputs, self.batch_size, self.net)
    }
}

/// An encoded training set.
#[derive(Debug)]
pub struct TrainingSet<L> {
    /// The number of examples, each of which gives one or several groups.
    pub examples: usize,
    /// The inputs.
    pub inputs: InputGroups,
    /// The label of each group.
    pub labels: Vec<L>,
    /// The examples of all files that are not used, by file.
    pub left_out: Vec<LeftOut>,
}

/// A task of some kind, with every group of training inputs once an epoch, and without summaries.
pub fn loaded<K: TaskKind>(
    kind: K,
    config: &TrainConfig,
    train: TrainingSet<K::Label>,
    splits: Splits<K::Examples>,
) -> LoadedTask {
    let TrainingSet { examples, inputs, labels, left_out } = train;
    let count = |set| kind.count(set);
    let test = splits.test.as_ref().map_or(0, count);
    let examples = Examples { train: examples, dev: count(&splits.dev), test };
    let (order, names) = (Order::each_once(config, inputs.lengths()), splits.names());
    let data = Arc::new(KindData { kind, labels, splits });
    LoadedTask { inputs, order, examples, splits: names, left_out, summaries: Vec::new(), data }
}

/// The data of a task of some kind.
#[derive(Debug)]
struct KindData<K: TaskKind> {
    kind: K,
    labels: Vec<K::Label>,
    splits: Splits<K::Examples>,
}

impl<K: TaskKind> TaskData for KindData<K> {
    fn head(self: Arc<Self>, site: &HeadSite<'_>) -> electra_model::Result<Box<dyn TaskHead>> {
        Ok(Box::new(KindHead { net: self.kind.net(site)?, data: self }))
    }

    fn label(&self, example: usize) -> Value {
        self.kind.label_json(&self.labels[example])
    }

    fn baselines(&self) -> Baselines {
        self.kind.baselines(&self.labels, &self.splits)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        self.kind.model_files(header)
    }

    fn card(&self) -> TaskCard {
        self.kind.card()
    }
}

#[derive(Debug)]
struct KindHead<K: TaskKind> {
    net: K::Net,
    data: Arc<KindData<K>>,
}

impl<K: TaskKind> KindHead<K> {
    fn labels(&self, examples: &[usize]) -> Vec<&K::Label> {
        examples.iter().map(|&example| &self.data.labels[example]).collect()
    }
}

impl<K: TaskKind> TaskHead for KindHead<K> {
    fn name(&self) -> &'static str {
        self.data.kind.head_name()
    }

    fn losses(&self, x: &HeadInput<'_>, examples: &[usize]) -> RowLosses {
        self.net.losses(x, &self.labels(examples))
    }

    fn observe(&self, examples: &[usize], outputs: &[Tensor], seen: &mut Observations) {
        self.net.observe(&self.labels(examples), outputs, seen);
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        let (data, network) = (&self.data, Network { body, net: &self.net, batch_size });
        let predictions = data.kind.predict(&network, data.splits.of(split));
        Box::new(KindAnswers { data: Arc::clone(data), split: split.clone(), predictions })
    }
}

/// The predictions for a split.
#[derive(Debug)]
struct KindAnswers<K: TaskKind> {
    data: Arc<KindData<K>>,
    split: Split,
    predictions: Vec<K::Prediction>,
}

impl<K: TaskKind> KindAnswers<K> {
    fn examples(&self) -> &K::Examples {
        self.data.splits.of(&self.split)
    }

    fn counts(&self) -> Option<ByLabel> {
        self.data.kind.by_label(self.examples(), &self.predictions)
    }
}

impl<K: TaskKind> Answers for KindAnswers<K> {
    fn score(&self) -> Scores {
        self.data.kind.score(self.examples(), &self.predictions)
    }

    fn by_label(&self) -> Vec<(String, MatchCounts)> {
        self.counts().map_or_else(Vec::new, |found| found.counts)
    }

    fn details(&self) -> Vec<Details> {
        let by_label = self.counts().map(|found| found.details());
        let others = self.data.kind.details(self.examples(), &self.predictions);
        by_label.into_iter().chain(others).collect()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        self.counts().map_or(Ok(()), |found| found.write(dir))?;
        self.data.kind.write(self.examples(), &self.predictions, dir)
    }
}
