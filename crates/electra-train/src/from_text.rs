//! From text to an evaluated and exported model, in one folder.
//!
//! | in the folder | |
//! |---|---|
//! | `train.json` | the request, and the size that was chosen |
//! | `vocab.txt`, `tokenizer_config.json` | the vocabulary and its settings, unless one is given |
//! | `shards/` | the corpus in tokens |
//! | `pretrain.toml` | the config, with the numbers of this corpus and machine |
//! | `run/` | the run: checkpoints, metrics, report |
//! | `evaluate.json` | metrics on held-out text |
//! | `discriminator/`, `generator/` | the models, in Hugging Face's format |
//!
//! Each is written once, atomically: the same request for the same folder resumes after what is there.

mod length;
mod proposal;
mod request;

pub use length::{Length, Reason};
pub use proposal::{Candidate, DEFAULT_HOURS, Proposal};
pub use request::Request;

use crate::{
    Error, Event, Outcome, Recipe, Result, RunConfig, Start, StartFrom, evaluation::evaluation,
    export::ExportPart, objective::Objectives, presets::Preset, run_dir::RunDir, state,
};
use electra_data::{BuildConfig, Corpus, ShardIndex, build_shards, train_vocabulary};
use electra_files::{Existing, folder, if_there, read_json, write_file, write_json};
use electra_model::Parts;
use electra_tokenize::{Tokenizer, TrainConfig, WordPiece};
use proposal::PROBE;
use request::{Record, key_of};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

/// The share of the hours for evaluation, export, and updates that are slower than those of the probe: measured on 2 cores,
/// training of the smallest size was 20 % slower, with evaluations and the loader on the same cores.
const RESERVE: f64 = 0.2;

/// The share of the hours for evaluation and export after a run that its time limit stops.
const RESERVE_AT_LIMIT: f64 = 0.03;

/// The fraction of the text to hold out, and that of a small corpus, which needs more for a stable loss.
const HELD_OUT: f64 = 0.01;
const HELD_OUT_OF_SMALL: f64 = 0.05;

/// Bytes of the files of a small corpus.
const SMALL: u64 = 10_000_000;

/// A progress report.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A step begins, or was done before.
    Step(&'static str, StepState),
    /// Bytes of text read in this step.
    Bytes(u64),
    /// The size was chosen.
    Proposed(&'a Proposal),
    /// The number of updates was chosen.
    Length(&'a Length),
    /// An event of pre-training.
    Training(Event<'a>),
}

/// Whether a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It begins.
    Begins,
    /// Its output is there.
    UpToDate,
}

/// A pipeline from a request to models in an output folder.
#[derive(Debug)]
pub struct FromText {
    request: Request,
    corpus: Corpus,
    out: PathBuf,
    max_unknown: Option<f64>,
    parts: Parts,
    objectives: Objectives,
    started: Instant,
}

impl FromText {
    /// A pipeline into `out`, which is new, empty, or has what an equal request left there.
    ///
    /// # Errors
    /// If the corpus has no readable file, a setting is invalid, or `out` has something else, or what another request made.
    pub fn new(mut request: Request, out: &Path) -> Result<Self> {
        if request.size.is_none() {
            request.hours.get_or_insert(DEFAULT_HOURS);
        }
        let corpus = Corpus::open(&request.corpus, request.reading.clone())?;
        request.check()?;
        let pipeline = Self {
            request,
            corpus,
            out: out.to_owned(),
            max_unknown: None,
            parts: Parts::shipped(),
            objectives: Objectives::shipped(),
            started: Instant::now(),
        };
        match pipeline.record()? {
            Some(record) => record.check(&pipeline.request, &pipeline.corpus, out)?,
            None => check_empty(out)?,
        }
        Ok(pipeline)
    }

    /// Building the shards fails if a larger share of the tokens is `[UNK]`: [`BuildConfig::max_unknown`].
    #[must_use]
    pub fn with_max_unknown(self, max_unknown: f64) -> Self {
        Self { max_unknown: Some(max_unknown), ..self }
    }

    /// Makes parts and objectives available, which the overrides name.
    #[must_use]
    pub fn with(self, parts: Parts, objectives: Objectives) -> Self {
        Self { parts: parts.by_name(), objectives, ..self }
    }

    /// The recipe of a config.
    fn recipe(&self, config: RunConfig) -> Recipe {
        let recipe = Recipe::from_config(config).with_parts(self.parts.clone());
        recipe.with_objectives(self.objectives.clone())
    }

    /// The corpus.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// A file or folder in the output folder.
    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn record(&self) -> Result<Option<Record>> {
        Ok(if_there(read_json(&self.path(Record::FILE)))?)
    }

    /// Chooses the size: the request's, or the largest that this machine can train well in the given time. Reads a part of
    /// the corpus and times some updates of each candidate; writes nothing.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn propose(&self) -> Result<Proposal> {
        Proposal::new(&self.request, &self.corpus, &|config| self.recipe(config))
    }

    /// Makes the vocabulary, the shards and the config.
    ///
    /// # Errors
    /// If the corpus cannot be read, or a file cannot be written.
    pub fn prepare(&self, on_progress: &mut dyn FnMut(Progress<'_>)) -> Result<RunConfig> {
        let size = match (self.record()?, self.request.size) {
            (Some(record), _) => record.size,
            (None, Some(size)) => size,
            (None, None) => {
                let proposal = self.propose()?;
                on_progress(Progress::Proposed(&proposal));
                proposal.size()
            }
        };
        fs::create_dir_all(&self.out).map_err(Error::io(&self.out))?;
        if self.record()?.is_none() {
            let record = Record::new(self.request.clone(), &self.corpus, size)?;
            write_json(&self.path(Record::FILE), &record)?;
        }
        let preset = size.config(&self.request.overrides)?;
        let tokenizer = self.vocabulary(&preset, on_progress)?;
        let index = self.shards(&preset, &tokenizer, on_progress)?;
        self.config(size, &index, on_progress)
    }

    fn vocabulary(
        &self,
        preset: &RunConfig,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<WordPiece> {
        let options = &self.request.tokenizer;
        if let Some(path) = &self.request.vocab {
            return Ok(WordPiece::from_file(path, options)?);
        }
        let path = self.path("vocab.txt");
        let done = path.is_file();
        on_progress(Progress::Step("vocabulary", StepState::of(done)));
        if !done {
            let size = preset.model.discriminator.vocab_size as usize;
            let mut on_bytes = |bytes| on_progress(Progress::Bytes(bytes));
            let config = TrainConfig::new(size);
            let trained =
                train_vocabulary(&self.corpus, &options.or_default(), &config, &mut on_bytes)?;
            trained.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            let tokens = trained.tokenizer.vocab().len();
            if tokens < size {
                tracing::warn!(
                    "the corpus is small: its vocabulary has {tokens} tokens, not {size}"
                );
            }
            trained.tokenizer.write_vocab(&path)?;
        }
        Ok(WordPiece::from_file(&path, options)?)
    }

    fn shards(
        &self,
        preset: &RunConfig,
        tokenizer: &WordPiece,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<ShardIndex> {
        let out = self.path("shards");
        let done = out.join("index.json").is_file();
        on_progress(Progress::Step("shards", StepState::of(done)));
        if !done {
            let bytes: u64 =
                self.corpus.files().iter().flat_map(fs::metadata).map(|m| m.len()).sum();
            let held_out = if bytes < SMALL { HELD_OUT_OF_SMALL } else { HELD_OUT };
            let length = preset.data.sequence_length;
            let usual = BuildConfig::new(&out, length);
            let max_unknown = self.max_unknown.unwrap_or(usual.max_unknown);
            let config = BuildConfig { held_out, seed: preset.train.seed, max_unknown, ..usual };
            // Pre-training warns about the statistics.
            build_shards(&self.corpus, tokenizer, &config, &mut |bytes| {
                on_progress(Progress::Bytes(bytes));
            })?;
        }
        Ok(ShardIndex::read(&out)?)
    }

    /// The config with the numbers of the shards, and as many updates as the time and the text allow.
    fn config(
        &self,
        size: Preset,
        index: &ShardIndex,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<RunConfig> {
        let path = self.path("pretrain.toml");
        let done = path.is_file();
        on_progress(Progress::Step("config", StepState::of(done)));
        if done {
            return RunConfig::read(&path, &[]);
        }
        let shards = self.path("shards");
        let mut overrides = vec![
            format!("data.shards={}", shards.display()),
            "data.sequence_length=shards".to_owned(),
            "model.vocab_size=shards".to_owned(),
        ];
        // The size of the vocabulary was set for training it; it may have turned out smaller.
        let others = self.request.overrides.iter().filter(|o| key_of(o) != "model.vocab_size");
        overrides.extend(others.cloned());
        let mut config = size.config(&overrides)?;
        let rate = match self.request.hours {
            None => None,
            Some(_) => Some(self.recipe(config.clone()).probe(PROBE.0, PROBE.1)?),
        };
        let left = |reserve: f64| {
            let hours = self.request.hours?;
            Some(3600.0 * hours * (1.0 - reserve) - self.started.elapsed().as_secs_f64())
        };
        let length = Length::new(&config, &index.train, rate.zip(left(RESERVE)), &self.request);
        length.apply(&mut config, &self.request);
        if let Some(seconds) = left(RESERVE_AT_LIMIT)
            && !self.request.sets("train.max_hours")
        {
            config.train.max_hours = seconds.max(60.0) / 3600.0;
        }
        on_progress(Progress::Length(&length));
        config.validate()?;
        write_file(&path, config.to_toml())?;
        Ok(config)
    }

    /// Pre-trains, or resumes pre-training. `stop` ends it with a checkpoint after the current update.
    ///
    /// # Errors
    /// As [`Recipe::pretrain_with`].
    pub fn pretrain(
        &self,
        config: RunConfig,
        stop: &AtomicBool,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Outcome> {
        let out = self.path("run");
        let steps = config.train.steps;
        let done = match out.exists() {
            true => updates_of(&out)?,
            false => 0,
        };
        on_progress(Progress::Step("pre-training", StepState::of(done == steps)));
        if done == steps {
            return Ok(Outcome::Finished);
        }
        let from = match done {
            0 if out.exists() => StartFrom::Scratch(Existing::Replace),
            0 => StartFrom::Scratch(Existing::Refuse),
            _ => StartFrom::Checkpoint,
        };
        let start = Start { out, from, stop_after: None };
        self.recipe(config).pretrain_with(&start, stop, &mut |event| {
            on_progress(Progress::Training(event));
        })
    }

    /// Evaluates the run and exports its networks.
    ///
    /// # Errors
    /// If a checkpoint or the shards are damaged, or a file cannot be written.
    pub fn finish(&self, on_progress: &mut dyn FnMut(Progress<'_>)) -> Result<Models> {
        let run = self.path("run");
        let path = self.path("evaluate.json");
        let newest = state::newest(&run)?.path;
        let evaluated: Option<Value> = if_there(read_json(&path))?;
        let done = evaluated.is_some_and(|old| old["checkpoint"] == newest.display().to_string());
        on_progress(Progress::Step("evaluation", StepState::of(done)));
        let recipe = self.recipe(RunConfig::read(&RunDir::open(&run)?.config(), &[])?);
        if !done {
            write_json(&path, &evaluation(&recipe, &run, None)?)?;
        }
        let metrics = read_json(&path)?;
        let mut folders = Vec::new();
        for (name, part) in
            [("discriminator", ExportPart::Default), ("generator", ExportPart::Generator)]
        {
            let folder = self.path(name);
            let exported = done && folder.join("config.json").is_file();
            on_progress(Progress::Step(name, StepState::of(exported)));
            if !exported {
                folder::recover(&folder, "config.json")?;
                recipe.export(&run, part, &folder, Existing::Replace)?;
            }
            folders.push(folder);
        }
        Ok(Models { folders, metrics })
    }
}

/// The updates of a run's newest checkpoint; 0 if it was interrupted before the first one.
fn updates_of(run: &Path) -> Result<u64> {
    RunDir::open(run)?;
    match state::newest(run) {
        Ok(checkpoint) => Ok(checkpoint.state.step),
        Err(Error::NoCheckpoint { rejected, .. }) if rejected.is_empty() => Ok(0),
        Err(error) => Err(error),
    }
}

impl StepState {
    fn of(done: bool) -> Self {
        if done { Self::UpToDate } else { Self::Begins }
    }
}

/// The results of [`FromText::finish`].
#[derive(Clone, Debug)]
pub struct Models {
    /// The exported models, the one to fine-tune first.
    pub folders: Vec<PathBuf>,
    /// The contents of `evaluate.json`.
    pub metrics: crate::metrics::Figures,
}

/// Refuses a folder with files of another command.
fn check_empty(out: &Path) -> Result<()> {
    let empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) if out.exists() => false,
        Err(_) => true,
    };
    match empty {
        true => Ok(()),
        false => {
            let message = format!(
                "is not empty and has no {}, so `electra train` did not make it: use another --out",
                Record::FILE
            );
            Err(Error::Config { path: out.to_owned(), message })
        }
    }
}
