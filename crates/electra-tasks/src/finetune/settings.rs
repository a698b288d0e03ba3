//! What fine-tuning is made of, and what happens during it.

use super::grid_report::CellReport;
use crate::{
    config::FinetuneConfig,
    error::Result,
    model::{EncoderWeights, Header, Source},
    report::{Examples, Report, SeedReport, Weights},
    task::{LoadedTask, Task},
};
use electra_model::Parts;
use electra_train::{Existing, StartFrom};
use std::path::PathBuf;

pub(super) const CONFIG: &str = "config.toml";
pub(super) const RESULT: &str = "result.json";
pub(super) const RESULTS: &str = "results.json";
pub(super) const MODEL: &str = "model";

/// Everything that fine-tuning is made of.
///
/// ```no_run
/// use electra_tasks::{Completion, Finetune, FinetuneConfig};
///
/// let task = electra_tasks::Kinds::default().read("data/mine".as_ref(), &[])?;
/// let config = FinetuneConfig::read("configs/finetune-small.toml".as_ref(), &[])?;
/// let mut finetune = Finetune::new(&*task, "data/mine", "models/small", &config, "runs/mine");
/// finetune.seeds = vec![1, 2, 3];
/// if let Completion::Finished(report) = finetune.run(&false.into(), &mut |_| {})? {
///     println!("{:?}", report.dev);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Finetune<'a> {
    /// The task.
    pub task: &'a dyn Task,
    /// The folder that the task's files are in.
    pub data: PathBuf,
    /// The encoder: a Hugging Face folder with its tokenizer.
    pub model: PathBuf,
    /// Whether its weights are used.
    pub weights: Weights,
    /// The fine-tuning config.
    pub config: &'a FinetuneConfig,
    /// One run each, in `seed-N`.
    pub seeds: Vec<u64>,
    /// Where everything is written.
    pub out: PathBuf,
    /// Whether `out` is new or resumed; finished seeds are then skipped.
    pub from: StartFrom,
    /// What the encoder is built from; `None` for the shipped parts.
    pub parts: Option<Parts>,
}

/// How fine-tuning ended, with a report of all seeds, or of a grid.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion<R = Report> {
    /// Everything is done.
    Finished(Box<R>),
    /// It was asked to stop; a checkpoint was written, from which the run can be resumed.
    Stopped,
}

/// What happens, for whoever shows progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A cell of a grid begins.
    CellStarted {
        /// Its name, which is its folder's.
        name: &'a str,
        /// How many were before it.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A cell of a grid is done, or was done before.
    CellFinished(&'a CellReport),
    /// The data is read and encoded, or there already from the cell before.
    Loaded {
        /// Numbers of examples.
        examples: Examples,
        /// Updates of each seed.
        steps: u64,
    },
    /// A seed begins.
    SeedStarted {
        /// The seed.
        seed: u64,
        /// How many were before it.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// From the loop, within a seed.
    Training(electra_train::Event<'a>),
    /// A seed is done.
    SeedFinished(&'a SeedReport),
    /// A seed was done before and is skipped.
    SeedSkipped(&'a SeedReport),
}

/// What all seeds have in common, read once; cells of a grid too, where they read the same.
pub(super) struct Prepared {
    /// What it was read with.
    pub(super) config: FinetuneConfig,
    pub(super) source: Source,
    pub(super) encoder: Option<EncoderWeights>,
    pub(super) parts: Parts,
    pub(super) loaded: LoadedTask,
    pub(super) steps: u64,
}

impl<'a> Finetune<'a> {
    /// Pre-trained weights, the config's one seed, shipped parts, a new folder.
    pub fn new(
        task: &'a dyn Task,
        data: impl Into<PathBuf>,
        model: impl Into<PathBuf>,
        config: &'a FinetuneConfig,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            task,
            data: data.into(),
            model: model.into(),
            weights: Weights::Pretrained,
            config,
            seeds: vec![config.train.seed],
            out: out.into(),
            from: StartFrom::Scratch(Existing::Refuse),
            parts: None,
        }
    }

    /// The encoder's folder, whose config names the parts from outside.
    pub(super) fn source(&self) -> Result<Source> {
        let mut source = Source::read(&self.model)?;
        if let Some(parts) = &self.parts {
            source.config = parts.applied_to_encoder(&source.config);
        }
        Ok(source)
    }

    /// The header of a seed's `task.json`.
    pub(super) fn header(&self, seed: u64) -> Header {
        Header::new(self.task.name(), self.task.metric(), self.config, seed)
    }

    pub(super) fn seed_dir(&self, seed: u64) -> PathBuf {
        self.out.join(format!("seed-{seed}"))
    }

    /// The folder of the best seed's model.
    pub(super) fn model_dir(&self) -> PathBuf {
        self.out.join(MODEL)
    }
}
