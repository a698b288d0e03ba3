//! A task over several seeds: the composition that `electra finetune` is.

mod chosen;
mod folder;
pub mod grid;
mod page;
mod seed;

use crate::{
    Error, FinetuneConfig, Result, Task, card,
    model::{EncoderWeights, Header, Source},
    problem::{LoadSite, Loaded, Problem},
    report::{Examples, LeftOut, Report, SeedReport, best},
    scores::Summary,
};
use electra_model::Parts;
use electra_train::{Existing, StartFrom};
use folder::{read_json, write_json};
use grid::CellReport;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, sync::atomic::AtomicBool, time::Instant};

const CONFIG: &str = "config.toml";
const RESULT: &str = "result.json";
const RESULTS: &str = "results.json";
const MODEL: &str = "model";

/// Whether an encoder's weights are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Those of the model folder.
    Pretrained,
    /// Fresh ones in the sizes of the folder's `config.json`: the control that shows what
    /// pre-training is worth.
    Random,
}

/// Everything that fine-tuning is made of.
///
/// ```no_run
/// use electra_tasks::{Completion, Finetune, FinetuneConfig, Task};
///
/// let task = Task::read("data/mine".as_ref())?;
/// let config = FinetuneConfig::read("configs/finetune-small.toml".as_ref(), &[])?;
/// let mut finetune = Finetune::new(&task, "data/mine", "models/small", &config, "runs/mine");
/// finetune.seeds = vec![1, 2, 3];
/// if let Completion::Finished(report) = finetune.run(&false.into(), &mut |_| {})? {
///     println!("{:?}", report.dev);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Finetune<'a, P = Task> {
    /// What is learned.
    pub task: &'a P,
    /// The folder that the task's files are in.
    pub data: PathBuf,
    /// The encoder: a Hugging Face folder with its tokenizer.
    pub model: PathBuf,
    /// Whether its weights are used.
    pub weights: Weights,
    /// How it is learned.
    pub config: &'a FinetuneConfig,
    /// One run each, in `seed-N`.
    pub seeds: Vec<u64>,
    /// Where everything is written.
    pub out: PathBuf,
    /// Whether `out` is new or gone on with; finished seeds are then skipped.
    pub from: StartFrom,
    /// What the encoder is built from; `None` for the shipped parts.
    pub parts: Option<Parts>,
}

/// How fine-tuning ended, with a report of all seeds, or of a grid.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion<R = Report> {
    /// Everything is done.
    Finished(Box<R>),
    /// It was asked to stop; a checkpoint was written, and resuming goes on from there.
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
struct Prepared<P: Problem> {
    /// What it was read with.
    config: FinetuneConfig,
    source: Source,
    encoder: Option<EncoderWeights>,
    parts: Parts,
    loaded: Loaded<P>,
    steps: u64,
}

impl<'a, P: Problem> Finetune<'a, P> {
    /// Pre-trained weights, the config's one seed, shipped parts, a new folder.
    pub fn new(
        task: &'a P,
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

    /// Trains and scores every seed; writes `seed-N/`, `model/` (the best seed's) and `results.json`.
    ///
    /// # Errors
    /// If data, model or config cannot be used, `out` is not empty, or is of another run.
    pub fn run(
        &self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion> {
        self.run_after(&mut None, stop, on_event)
    }

    /// [`Finetune::run`] with what another run of the same task, data and model has read; leaves what this one has.
    fn run_after(
        &self,
        read: &mut Option<Prepared<P>>,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion> {
        let clock = Instant::now();
        self.check()?;
        let prepared = self.prepare(read.take())?;
        let prepared = read.insert(prepared);
        // Whatever the networks cannot be made of is said before a folder is replaced.
        self.build(self.seeds[0], prepared)?;
        let _lock = self.begin(prepared)?;
        self.list_left_out(&prepared.loaded.left_out)?;
        let examples = prepared.loaded.examples;
        on_event(Event::Loaded { examples, steps: prepared.steps });

        let mut done = self.done()?;
        for (index, &seed) in self.seeds.iter().enumerate() {
            if let Some(report) = done.get(&seed) {
                on_event(Event::SeedSkipped(report));
                continue;
            }
            on_event(Event::SeedStarted { seed, index, count: self.seeds.len() });
            match self.seed(seed, prepared, &done, stop, on_event)? {
                Some(report) => {
                    on_event(Event::SeedFinished(&report));
                    done.insert(seed, report);
                }
                None => return Ok(Completion::Stopped),
            }
        }
        let seeds: Vec<SeedReport> =
            self.seeds.iter().filter_map(|seed| done.remove(seed)).collect();

        let metric = self.task.metric();
        let chosen = best(seeds.iter(), metric).expect("there is at least one seed").clone();
        self.check_kept(&chosen)?;
        let summary = |score: &dyn Fn(&SeedReport) -> Option<f64>| {
            Summary::of(&seeds.iter().filter_map(score).collect::<Vec<_>>())
        };
        let report = Report {
            task: self.task.name().to_owned(),
            metric,
            model: self.model.clone(),
            weights: self.weights,
            examples,
            steps: prepared.steps,
            best_seed: chosen.seed,
            dev: summary(&|seed| seed.dev_score(metric)),
            test: summary(&|seed| seed.test_score(metric)),
            best_seed_test: chosen.test_score(metric),
            baselines: self.task.baselines(&prepared.loaded.data),
            seeds,
            left_out: prepared.loaded.left_out.iter().map(LeftOut::shortened).collect(),
            seconds: clock.elapsed().as_secs_f64(),
        };
        let (model, best) = (self.out.join(MODEL), self.seed_dir(report.best_seed));
        let remembered = self.task.remember(&prepared.loaded.data, self.config, chosen.seed);
        let notes = self.task.card(&prepared.loaded.data);
        card::write(&model, &best, &report, self.config, &notes, &remembered.class)?;
        page::write(&self.out, &report, self.config)?;
        // Last: what has it is whole.
        write_json(&self.out.join(RESULTS), &report)?;
        Ok(Completion::Finished(Box::new(report)))
    }

    /// What the seeds that are done have to report.
    fn done(&self) -> Result<BTreeMap<u64, SeedReport>> {
        let mut done = BTreeMap::new();
        for &seed in &self.seeds {
            done.extend(read_json(&self.seed_dir(seed).join(RESULT))?.map(|report| (seed, report)));
        }
        Ok(done)
    }

    /// `model/` is the best seed's, unless somebody took that away.
    fn check_kept(&self, chosen: &SeedReport) -> Result<()> {
        let model = self.out.join(MODEL);
        match Header::read(&model)?.seed {
            kept if kept == chosen.seed => Ok(()),
            kept => {
                let best = self.seed_dir(chosen.seed);
                let message = format!(
                    "is of seed {kept}, and seed {} is the best: remove {} and resume, which trains it again",
                    chosen.seed,
                    best.display()
                );
                Err(Error::file(model, message))
            }
        }
    }

    fn check(&self) -> Result<()> {
        self.config.validate()?;
        self.task.check(self.config)?;
        let mut sorted = self.seeds.clone();
        sorted.sort_unstable();
        if sorted.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::value(
                "seeds",
                format!("{:?}", self.seeds),
                "must be at least one, none twice",
            ));
        }
        Ok(())
    }

    /// Reads tokenizer, data and weights, and encodes the data, unless that is what `read` has.
    fn prepare(&self, read: Option<Prepared<P>>) -> Result<Prepared<P>> {
        let mut prepared = match read.filter(|read| read.config.reads_as(self.config)) {
            Some(read) => read,
            None => self.read()?,
        };
        prepared.source.config.precision = self.config.train.precision;
        let features = prepared.loaded.train.len();
        prepared.steps = self.config.steps(features);
        if prepared.steps == 0 {
            let few = format!("is less than one update of the {features} training examples");
            return Err(Error::value("train.epochs", self.config.train.epochs, few));
        }
        Ok(prepared)
    }

    fn read(&self) -> Result<Prepared<P>> {
        let source = self.source()?;
        let (encoder, tokenizer) = (&source.config, &source.tokenizer);
        let site = LoadSite::new(&self.data, &self.model, encoder, tokenizer, self.config)?;
        let loaded = self.task.load(&site)?;
        let encoder = match self.weights {
            Weights::Pretrained => {
                Some(EncoderWeights::read(&self.model, self.task.pretrained_head())?)
            }
            Weights::Random => None,
        };
        let (config, parts) = (self.config.clone(), self.parts.clone().unwrap_or_default());
        Ok(Prepared { config, source, encoder, parts, loaded, steps: 0 })
    }

    /// The encoder's folder, whose config names the parts from outside.
    fn source(&self) -> Result<Source> {
        let mut source = Source::read(&self.model)?;
        if let Some(parts) = &self.parts {
            source.config = parts.applied_to_encoder(&source.config);
        }
        Ok(source)
    }

    fn seed_dir(&self, seed: u64) -> PathBuf {
        self.out.join(format!("seed-{seed}"))
    }
}
