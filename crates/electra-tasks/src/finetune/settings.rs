//! The settings of fine-tuning, and its events.

use super::{grid_report::CellReport, summary::FinetuneSummary};
use crate::{
    config::FinetuneConfig,
    error::Result,
    model::{EncoderWeights, Header, Source},
    report::{Report, SeedReport, Weights},
    task::{LoadedTask, Task},
};
use electra_model::Parts;
use electra_train::{Existing, StartFrom};
use std::path::PathBuf;

pub(super) const CONFIG: &str = "config.toml";
pub(super) const RESULT: &str = "result.json";
pub(super) const RESULTS: &str = "results.json";
pub(super) const MODEL: &str = "model";

/// Fine-tuning of a task over several seeds.
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
    /// The folder of the task's files.
    pub data: PathBuf,
    /// The encoder: a Hugging Face folder with a tokenizer.
    pub model: PathBuf,
    /// The initial weights of the encoder.
    pub weights: Weights,
    /// The fine-tuning config.
    pub config: &'a FinetuneConfig,
    /// The seeds, each with a run in `seed-N`.
    pub seeds: Vec<u64>,
    /// The output folder.
    pub out: PathBuf,
    /// Whether `out` is new or resumed; a resumed run skips finished seeds.
    pub from: StartFrom,
    /// The parts of the encoder; `None` for the shipped parts.
    pub parts: Option<Parts>,
}

/// How fine-tuning ended, with the report of all seeds, or of a grid.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion<R = Report> {
    /// It is finished.
    Finished(Box<R>),
    /// It was stopped; a checkpoint was written, from which the run can be resumed.
    Stopped,
}

/// An event of fine-tuning, for showing progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A cell of a grid begins.
    CellStarted {
        /// Its name, which is also the folder's.
        name: &'a str,
        /// Its index, from 0.
        index: usize,
        /// The number of cells.
        count: usize,
    },
    /// A cell of a grid is finished, now or before the run was resumed.
    CellFinished(&'a CellReport),
    /// The data is read and encoded, now or for an earlier cell.
    Loaded(&'a FinetuneSummary),
    /// A seed begins.
    SeedStarted {
        /// The seed.
        seed: u64,
        /// Its index, from 0.
        index: usize,
        /// The number of seeds.
        count: usize,
    },
    /// An event of the training loop, within a seed.
    Training(electra_train::Event<'a>),
    /// A seed is finished.
    SeedFinished(&'a SeedReport),
    /// A seed was finished before the run was resumed.
    SeedSkipped(&'a SeedReport),
}

/// The data that all seeds share, and the cells of a grid whose configs read the same data.
pub(super) struct Prepared {
    /// The config that it was read with.
    pub(super) config: FinetuneConfig,
    pub(super) source: Source,
    pub(super) encoder: Option<EncoderWeights>,
    pub(super) parts: Parts,
    pub(super) loaded: LoadedTask,
    pub(super) steps: u64,
}

impl<'a> Finetune<'a> {
    /// Fine-tuning with pre-trained weights, the seed of the config, shipped parts, and a new output folder.
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

    /// The encoder's config, with the names of custom parts, and its tokenizer. A part of the model that is replaced is
    /// logged.
    pub(super) fn source(&self) -> Result<Source> {
        let mut source = Source::read(&self.model)?;
        if let Some(parts) = &self.parts {
            let config = parts.applied_to_encoder(&source.config);
            for ((seam, from), (_, to)) in source.config.seams().into_iter().zip(config.seams()) {
                if from != to {
                    tracing::warn!(
                        "{}: {seam} = {from:?} is replaced with {to:?}, which starts from the weights of the same names",
                        self.model.display()
                    );
                }
            }
            source.config = config;
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
