//! The interface between fine-tuning and tasks of any kind.

use crate::{
    baseline::Baselines,
    batch::InputGroups,
    body::Body,
    config::FinetuneConfig,
    details::Details,
    error::{Error, Result},
    head::{HeadInput, HeadSite, RowLosses},
    model::{Header, ModelFiles},
    order::Order,
    preset::Group,
    report::Examples,
    split::Split,
    summary::SplitSummary,
};
use electra_model::EncoderConfig;
use electra_scores::{LeftOut, MatchCounts, Metric, Scores};
use electra_tokenize::WordPiece;
use electra_train::metrics::Observations;
use std::{collections::BTreeMap, fmt::Debug, path::Path, sync::Arc};
use tch::Tensor;

/// The methods of [`Task`] that are the same for every description with the keys `name` and `metric`.
#[macro_export]
macro_rules! described_by_keys {
    () => {
        fn name(&self) -> &str {
            &self.name
        }

        fn metric(&self) -> electra_scores::Metric {
            self.metric
        }

        fn description(&self) -> serde_json::Value {
            serde_json::to_value(self).expect("plain values serialize")
        }
    };
}

/// A task: its description (files, columns, metric).
///
/// [`crate::Finetune`] uses this trait alone: data is read once, every seed builds a head, and the head's answers for
/// each split are scored and written.
pub trait Task: Debug + Send + Sync {
    /// The name in reports.
    fn name(&self) -> &str;

    /// The metric that seeds are compared by.
    fn metric(&self) -> Metric;

    /// The description as JSON, for `inputs.json`: a run can be resumed only with an equal description.
    fn description(&self) -> serde_json::Value;

    /// The group whose published hyperparameters are used.
    fn group(&self) -> Group {
        Group::Usual
    }

    /// Checks the description.
    ///
    /// # Errors
    /// Naming the first invalid key.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Checks that the config suits the task, before anything is read.
    ///
    /// # Errors
    /// Naming the first key that does not.
    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        Ok(())
    }

    /// The name of the variables in the encoder's folder that initialize the head; `None` for a new head.
    fn pretrained_head(&self) -> Option<&'static str> {
        None
    }

    /// Reads and encodes the data.
    ///
    /// # Errors
    /// Naming file, line and column of the first invalid entry.
    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask>;
}

/// The data of a task, shared by all seeds.
pub trait TaskData: Debug + Send + Sync {
    /// The head with fresh weights.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    fn head(self: Arc<Self>, site: &HeadSite<'_>) -> electra_model::Result<Box<dyn TaskHead>>;

    /// The label of a group of training inputs as JSON, for the checksum that a resumed run compares.
    fn label(&self, example: usize) -> serde_json::Value;

    /// Scores without a network.
    fn baselines(&self) -> Baselines;

    /// The model folder's files besides weights.
    fn model_files(&self, header: Header) -> ModelFiles;

    /// The task in the model card.
    fn card(&self) -> TaskCard;
}

/// The layers of a task on the encoder, with the task's data.
pub trait TaskHead: Debug + Send {
    /// The name of the head in manifests and checkpoints.
    fn name(&self) -> &'static str;

    /// The losses of the groups of training inputs with the numbers `examples`; `x` has their inputs in order.
    fn losses(&self, x: &HeadInput<'_>, examples: &[usize]) -> RowLosses;

    /// Adds the head's own metrics to those of a pass; the loss is already among them.
    fn observe(&self, _examples: &[usize], _outputs: &[Tensor], _seen: &mut Observations) {}

    /// The answers for `split`, one of [`LoadedTask::splits`].
    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers>;
}

/// The answers of a network for a split.
pub trait Answers: Debug {
    /// Every score.
    fn score(&self) -> Scores;

    /// The scores of each of several tasks, by name; none by default.
    fn parts(&self) -> BTreeMap<String, Scores> {
        BTreeMap::new()
    }

    /// The counts of each class, label, type or tag; none by default. For several tasks, labels are after the name of
    /// the task and a slash.
    fn by_label(&self) -> Vec<(String, MatchCounts)> {
        Vec::new()
    }

    /// Further sections of the report: the hardest examples, scores by type.
    fn details(&self) -> Vec<Details> {
        Vec::new()
    }

    /// Writes the answers into the existing folder `dir`, next to the scores; nothing by default.
    ///
    /// # Errors
    /// Naming the file.
    fn write(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }
}

/// The inputs of [`Task::load`].
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadSite<'a> {
    /// The folder of the task's files.
    pub data: &'a Path,
    /// The encoder's folder, for errors.
    pub model: &'a Path,
    /// The encoder's sizes.
    pub encoder: &'a EncoderConfig,
    /// Its tokenizer.
    pub tokenizer: &'a WordPiece,
    /// The fine-tuning config.
    pub config: &'a FinetuneConfig,
}

impl<'a> LoadSite<'a> {
    /// Checks that the encoder has `train.max_length` positions.
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

    /// The same for another folder of files.
    pub(crate) fn with_data<'b>(&self, data: &'b Path) -> LoadSite<'b>
    where
        'a: 'b,
    {
        LoadSite { data, ..*self }
    }

    /// Checks that the encoder has an embedding for second segments.
    ///
    /// # Errors
    /// If it has none.
    pub fn two_segments(&self) -> Result<()> {
        match self.encoder.segments {
            0 | 1 => {
                let message = "the model has one segment, but the task has pairs of texts";
                Err(Error::file(self.model, message))
            }
            _ => Ok(()),
        }
    }
}

/// A task whose data was read and encoded.
#[derive(Debug)]
pub struct LoadedTask {
    /// The training inputs; an example gives one or several groups.
    pub inputs: InputGroups,
    /// The order of the groups in an epoch.
    pub order: Order,
    /// The numbers of examples.
    pub examples: Examples,
    /// The splits that are scored: the dev set and all others.
    pub splits: Vec<Split>,
    /// The examples that are not used, by file: listed in `left-out.txt` and in the report.
    pub left_out: Vec<LeftOut>,
    /// What was read for each split, in the log and in `results.json`.
    pub summaries: Vec<SplitSummary>,
    /// The data itself.
    pub data: Arc<dyn TaskData>,
}

/// The entries of a task in a model card.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCard {
    /// The hub's `pipeline_tag`.
    pub pipeline: &'static str,
    /// Rows of the table of training.
    pub rows: Vec<(&'static str, String)>,
    /// A command that predicts with `FOLDER`.
    pub predict: &'static str,
}

impl TaskCard {
    /// The entries with `task` as the only row.
    pub fn new(pipeline: &'static str, task: String, predict: &'static str) -> Self {
        Self { pipeline, rows: vec![("task", task)], predict }
    }
}
