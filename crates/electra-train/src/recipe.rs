//! From a config to a run: the composition that `electra pretrain` is, open at every seam.

use crate::{
    Error, Fetch, Result, RunConfig,
    metrics::Figures,
    objective::{Objective, ObjectiveSite, ReplacedToken, Shown},
    optim::{Adam, Decay, Rule},
    report,
    run_dir::{Manifest, RunDir},
    state,
    trainer::{Event, Outcome, Settings, Source, Trainer, evaluate, mix},
};
use electra_data::{
    Loader, LoaderConfig, MaskedBatch, Masking, ShardSet, Split, evaluation_batches,
};
use electra_files::Existing;
use electra_model::{Parts, networks::variables};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::AtomicBool,
    time::Duration,
};
use tch::{Tensor, nn, no_grad};

/// Seed of the masks and samples of held-out evaluation: every run is measured on the same ones.
const EVALUATION_SEED: u64 = 0;

/// Batches that the loader prepares ahead.
const PREFETCH: usize = 8;

/// Held-out sequences that the report shows.
const SHOWN: usize = 8;

/// A step number no update has: initial weights are drawn with `mix(seed, INITIAL_WEIGHTS)`.
const INITIAL_WEIGHTS: u64 = u64::MAX - 1;

type Build<O> = Box<dyn Fn(&ObjectiveSite<'_>) -> Result<O>>;

/// A config with the parts, the masking and the objective that it names, or others in their place.
///
/// ```no_run
/// # fn main() -> electra_train::Result<()> {
/// # use electra_model::{PaddingMask, SelfAttention};
/// # use electra_train::{Recipe, RunConfig, Start};
/// # #[derive(Debug)] struct MeanMix;
/// # impl SelfAttention for MeanMix {
/// #     fn forward_t(&self, x: &tch::Tensor, _: &PaddingMask, _: bool) -> tch::Tensor { x.shallow_clone() }
/// # }
/// let config = RunConfig::read("configs/pretrain-small.toml".as_ref(), &[])?;
/// let recipe = Recipe::from_config(config);
/// let parts = recipe.parts().clone().with_attention("mean-mix", |_site| Ok(MeanMix));
/// recipe.with_parts(parts).pretrain(&Start::new("runs/mean-mix"))?;
/// # Ok(())
/// # }
/// ```
pub struct Recipe<O> {
    config: RunConfig,
    parts: Parts,
    masking: Arc<dyn Masking>,
    build: Build<O>,
}

/// Where a run is written and how it begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// The run folder.
    pub out: PathBuf,
    /// Whether the run begins or goes on.
    pub from: From,
    /// Stop with a checkpoint after this many updates, as Ctrl-C would.
    pub stop_after: Option<u64>,
}

/// Whether a run begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A new run.
    Scratch(Existing),
    /// The newest whole checkpoint of the run folder.
    Checkpoint,
}

impl Start {
    /// A new run in a folder that is empty or not there.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), from: From::Scratch(Existing::Refuse), stop_after: None }
    }

    /// The newest whole checkpoint of `run`.
    pub fn resume(run: impl Into<PathBuf>) -> Self {
        Self { out: run.into(), from: From::Checkpoint, stop_after: None }
    }
}

impl Recipe<ReplacedToken> {
    /// What the config names.
    pub fn from_config(config: RunConfig) -> Self {
        let parts = Parts::from_config(&config.model);
        let masking = config.objective.replaced_token().masking.build();
        Self { config, parts, masking, build: Box::new(ReplacedToken::new) }
    }
}

impl<O: Objective<Batch = MaskedBatch>> Recipe<O> {
    /// The config.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The parts that networks are built from.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Other parts.
    #[must_use]
    pub fn with_parts(mut self, parts: Parts) -> Self {
        self.parts = parts;
        self
    }

    /// Another masking.
    #[must_use]
    pub fn with_masking(mut self, masking: impl Masking + 'static) -> Self {
        self.masking = Arc::new(masking);
        self
    }

    /// Another objective.
    pub fn with_objective<P: Objective<Batch = MaskedBatch>>(
        self,
        build: impl Fn(&ObjectiveSite<'_>) -> Result<P> + 'static,
    ) -> Recipe<P> {
        let Self { config, parts, masking, .. } = self;
        Recipe { config, parts, masking, build: Box::new(build) }
    }

    /// Trains without telling anybody, until the end.
    ///
    /// # Errors
    /// As [`Self::pretrain_with`].
    pub fn pretrain(&self, start: &Start) -> Result<Outcome> {
        self.pretrain_with(start, &AtomicBool::new(false), &mut |_| {})
    }

    /// Trains; `stop` ends the run with a checkpoint after the current update. Either way `report.html` is written.
    ///
    /// # Errors
    /// If shards, vocabulary and config do not fit each other, the output folder is not empty, there
    /// is no whole checkpoint to resume, the loss is not finite, or a file cannot be read or written.
    pub fn pretrain_with(
        &self,
        start: &Start,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome> {
        let config = &self.config;
        if start.from == From::Checkpoint {
            config.check_resumed(&RunDir::open(&start.out)?.config())?;
        }
        let lock = RunDir::lock(&start.out)?;
        let train_split = Arc::new(self.open_shards(&config.data.shards, Split::Train)?);
        let network = self.build(&train_split.unigram_counts()?)?;
        let variables = variables(&network.vs)?;
        let adam = self.adam(&variables)?;

        let names = self.parts.names();
        let held_out = match config.evaluate.every {
            0 => None,
            _ => Some(self.open_shards(&config.data.shards, Split::HeldOut)?),
        };
        let (index, objective) = (train_split.index().clone(), network.objective.name());
        let (step, examples) = match start.from {
            From::Scratch(_) => {
                for note in config.init.apply(config, objective, &names, &index, &variables)? {
                    note.log();
                }
                (0, 0)
            }
            From::Checkpoint => {
                let run = RunDir::open(&start.out)?;
                let checkpoint = state::newest(&start.out)?;
                run.check_shards(&config.data.shards, &index)?;
                checkpoint.load_model(objective, &names, &variables)?;
                checkpoint.load_optimizer(&adam.state())?;
                tracing::info!("resuming from {}", checkpoint.path.display());
                (checkpoint.state.step, checkpoint.state.examples)
            }
        };
        if let Some(stop) = start.stop_after.filter(|&stop| stop <= step) {
            let expected = format!("must be above {step}, the updates that are done");
            return Err(Error::value("stop_after", stop, expected));
        }
        let source = self.loader(train_split, examples)?;
        // Everything was checked: only now may a run that is there be replaced.
        let run = match start.from {
            From::Scratch(existing) => {
                let (device, seed) = (network.vs.device(), config.train.seed);
                let manifest =
                    Manifest::new(objective, names.clone(), device, seed, adam.parameters());
                RunDir::create(&start.out, existing, &manifest, |run| {
                    run.write("config.toml", &config.to_toml())?;
                    run.write_shards(&index)?;
                    Ok(electra_data::copy_tokenizer(&config.data.shards, &run.tokenizer())?)
                })?
            }
            From::Checkpoint => {
                let run = RunDir::open(&start.out)?;
                run.write("config.toml", &config.to_toml())?;
                run
            }
        };
        // A new folder has a lock of its own; until the end of the run.
        let _lock = match start.from {
            From::Scratch(_) => RunDir::lock(run.path())?,
            From::Checkpoint => lock,
        };
        let evaluation = |objective: &O| match &held_out {
            None => Ok(Figures::new()),
            Some(split) => self.evaluate_split(objective, split),
        };
        let mut done = step;
        let mut on_event = |event: Event<'_>| {
            if let Event::Step { step, .. } = event {
                done = step;
            }
            on_event(event);
        };
        let trainer = Trainer {
            objective: &network.objective,
            source,
            variables,
            parts: names,
            adam,
            schedule: config.schedule(),
            settings: Settings {
                steps: config.train.steps,
                accumulate: config.train.accumulate,
                seed: config.train.seed,
                log_every: config.train.log_every,
                fetch: Fetch::of(network.vs.device()),
                checkpoint_every: config.checkpoint.every,
                keep_last: config.checkpoint.keep_last,
                evaluate_every: config.evaluate.every,
                stop_after: start.stop_after,
            },
            run: run.clone(),
            evaluation: &evaluation,
            stop,
            on_event: &mut on_event,
        };
        let outcome = trainer.train(step)?;
        let shown = held_out.as_ref().map(|split| self.show(&network.objective, split));
        report::write(&run, config, done, &shown.transpose()?.unwrap_or_default())?;
        Ok(outcome)
    }

    /// Held-out figures of a checkpoint over all of the held-out split of `shards`; the same on every
    /// run, since masks and samples are keyed by example alone.
    ///
    /// # Errors
    /// If the checkpoint is damaged, or shards and config do not fit each other.
    pub fn evaluate(&self, run: &RunDir, checkpoint: &Path, shards: &Path) -> Result<Figures> {
        let held_out = self.open_shards(shards, Split::HeldOut)?;
        run.check_vocabulary(shards, held_out.index())?;
        self.evaluate_split(&self.load_weights(checkpoint)?.objective, &held_out)
    }

    /// The networks of a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is damaged or of another config.
    pub fn load_weights(&self, checkpoint: &Path) -> Result<Network<O>> {
        // Counts only set initial values, which the checkpoint's replace.
        let network = self.build(&vec![0; self.config.model.vocab_size as usize])?;
        let checkpoint = state::open(checkpoint)?;
        let variables = variables(&network.vs)?;
        checkpoint.load_model(network.objective.name(), &self.parts.names(), &variables)?;
        Ok(network)
    }

    fn evaluate_split(&self, objective: &O, split: &ShardSet) -> Result<Figures> {
        let size = self.config.train.batch_size;
        let batches = || {
            evaluation_batches(split, self.masking.as_ref(), EVALUATION_SEED, size)
                .map(|batch| Ok(batch?))
        };
        evaluate(objective, batches)
    }

    /// The first held-out sequences as the networks see them.
    fn show(&self, objective: &O, split: &ShardSet) -> Result<Vec<Vec<Shown>>> {
        let mut batches = evaluation_batches(split, self.masking.as_ref(), EVALUATION_SEED, SHOWN);
        let Some(batch) = batches.next().transpose()? else { return Ok(Vec::new()) };
        Ok(no_grad(|| {
            let loss = objective.loss(&batch, &objective.normaliser(&batch), false);
            objective.show(&batch, &loss.outputs)
        }))
    }

    /// The optimizer of the config over `variables`.
    pub(crate) fn adam(&self, variables: &[(String, Tensor)]) -> Result<Adam> {
        let rule = |name: &str| Rule { decay: Decay::of(name), rate: 1.0 };
        Adam::new(&self.config.optimizer, variables, rule)
    }

    /// Batches of `split` for updates after `examples`.
    pub(crate) fn loader(&self, split: Arc<ShardSet>, examples: u64) -> Result<Loader> {
        let config = &self.config;
        let loader = LoaderConfig {
            seed: config.train.seed,
            batch_size: config.train.batch_size * config.train.accumulate,
            threads: config.data.loader_threads,
            prefetch: PREFETCH,
        };
        Ok(Loader::new(split, Arc::clone(&self.masking), loader, examples)?)
    }

    pub(crate) fn build(&self, unigram_counts: &[u64]) -> Result<Network<O>> {
        let device = electra_torch::device(&self.config.train.device)?;
        tch::manual_seed(mix(self.config.train.seed, INITIAL_WEIGHTS));
        let vs = nn::VarStore::new(device);
        let site = ObjectiveSite::new(vs.root(), &self.config, &self.parts, unigram_counts);
        let objective = (self.build)(&site)?;
        Ok(Network { vs, objective })
    }

    pub(crate) fn open_shards(&self, shards: &Path, split: Split) -> Result<ShardSet> {
        let set = ShardSet::open(shards, split)?;
        let (length, wanted) = (set.sequence_length(), self.config.data.sequence_length);
        if length != wanted {
            let found =
                format!("must be {length}, the length of the shards in {}", shards.display());
            return Err(Error::value("data.sequence_length", wanted, found));
        }
        let (size, wanted) = (set.vocab_size(), self.config.model.vocab_size as usize);
        if size != wanted {
            let found =
                format!("must be {size}, the vocabulary of the shards in {}", shards.display());
            return Err(Error::value("model.vocab_size", wanted, found));
        }
        Ok(set)
    }
}

impl<O> std::fmt::Debug for Recipe<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe")
            .field("config", &self.config)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// An objective with the store of its variables.
#[derive(Debug)]
pub struct Network<O> {
    /// The variables.
    pub vs: nn::VarStore,
    /// What they are.
    pub objective: O,
}

impl Source for Loader {
    type Batch = MaskedBatch;

    fn next_batch(&mut self) -> Result<MaskedBatch> {
        Ok(self.next()?)
    }

    fn position(&self) -> u64 {
        Self::position(self)
    }

    fn take_wait(&mut self) -> Duration {
        Self::take_wait(self)
    }
}
