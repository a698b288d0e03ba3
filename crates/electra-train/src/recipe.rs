//! Builds a pre-training run from a config, with optional custom parts, masking and objective.

use crate::{
    config::RunConfig,
    error::Result,
    held_out::HeldOut,
    init::Initialization,
    losses::Fetch,
    metrics::Figures,
    objective::{Objective, ObjectiveSettings, ObjectiveSite, Objectives, TrainedNetwork},
    optim::{Decay, Rule},
    random::{INITIAL_WEIGHTS, mix},
    report,
    run_dir::RunDir,
    session::{Plan, Session, check_stop_after},
    state::{self, Checkpoint},
    trainer::{Event, Outcome, Settings, Source, Trainer},
    world::SingleProcess,
};
use electra_data::{Loader, LoaderConfig, MaskedBatch, Masking, ShardSet, Split};
use electra_files::Existing;
use electra_model::{
    NetworkSpec, Parts,
    tensors::{Named, variables},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::AtomicBool,
    time::Duration,
};
use tch::nn;

/// Batches that the loader prepares ahead.
const PREFETCH: usize = 8;

type PretrainingObjective = dyn Objective<Batch = MaskedBatch>;

/// A config with the parts and objectives that it can name, and optionally a custom masking.
///
/// ```no_run
/// # fn main() -> electra_train::Result<()> {
/// # use electra_model::{LayerContext, SelfAttention};
/// # use electra_train::{Recipe, RunConfig, Start};
/// # #[derive(Debug)] struct MeanMix;
/// # impl SelfAttention for MeanMix {
/// #     fn forward_t(&self, x: &tch::Tensor, _: &LayerContext<'_>, _: bool) -> tch::Tensor { x.shallow_clone() }
/// # }
/// let config = RunConfig::read("configs/pretrain-small.toml".as_ref(), &[])?;
/// let recipe = Recipe::from_config(config);
/// let parts = electra_model::Parts::shipped().with_attention("mean-mix", |_site| Ok(MeanMix));
/// recipe.with_parts(parts).pretrain(&Start::new("runs/mean-mix"))?;
/// # Ok(())
/// # }
/// ```
pub struct Recipe {
    config: RunConfig,
    parts: Parts,
    /// A custom masking; without one, the config's is built for the shards that are opened.
    masking: Option<Arc<dyn Masking>>,
    objectives: Objectives,
}

/// Where a run is written and how it starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// The run folder.
    pub out: PathBuf,
    /// Whether to start a new run or resume.
    pub from: StartFrom,
    /// Stop with a checkpoint after this many updates, like Ctrl-C.
    pub stop_after: Option<u64>,
}

/// Whether to start a new run or resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// A new run.
    Scratch(Existing),
    /// Resume from the newest intact checkpoint of the run folder.
    Checkpoint,
}

impl Start {
    /// A new run in an empty or new folder.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), from: StartFrom::Scratch(Existing::Refuse), stop_after: None }
    }

    /// Resumes from the newest intact checkpoint of `run`.
    pub fn resume(run: impl Into<PathBuf>) -> Self {
        Self { out: run.into(), from: StartFrom::Checkpoint, stop_after: None }
    }
}

impl Recipe {
    /// A recipe with the built-in parts, maskings and objectives.
    pub fn from_config(config: RunConfig) -> Self {
        let (parts, objectives) = (Parts::shipped(), Objectives::shipped());
        Self { config, parts, masking: None, objectives }
    }

    /// The config.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The parts for the networks.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Makes parts available; those that are selected are used in both networks, and the config gets their names.
    #[must_use]
    pub fn with_parts(mut self, parts: Parts) -> Self {
        self.config.model = parts.applied_to(&self.config.model);
        self.parts = parts;
        self
    }

    /// Uses a custom masking.
    #[must_use]
    pub fn with_masking(mut self, masking: impl Masking + 'static) -> Self {
        self.masking = Some(Arc::new(masking));
        self
    }

    /// Makes objectives available, one of which the config names.
    #[must_use]
    pub fn with_objectives(mut self, objectives: Objectives) -> Self {
        self.objectives = objectives;
        self
    }

    /// Checks, before any data is opened, that the parts and the objective of the config are available.
    fn check(&self) -> Result<()> {
        self.parts.check_pair(&self.config.model)?;
        self.objectives.check(&self.config.objective)
    }

    /// Trains to the end, without events.
    ///
    /// # Errors
    /// As [`Self::pretrain_with`].
    pub fn pretrain(&self, start: &Start) -> Result<Outcome> {
        self.pretrain_with(start, &AtomicBool::new(false), &mut |_| {})
    }

    /// Trains; `stop` ends the run with a checkpoint after the current update. Writes `report.html` in both cases.
    ///
    /// # Errors
    /// If shards, vocabulary and config do not match, the output folder is not empty, there
    /// is no intact checkpoint to resume from, the loss is not finite, or a file cannot be read or written.
    pub fn pretrain_with(
        &self,
        start: &Start,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome> {
        let config = &self.config;
        self.check()?;
        if start.from == StartFrom::Checkpoint {
            config.check_resumed(&RunDir::open(&start.out)?.config())?;
        }
        if matches!(start.from, StartFrom::Scratch(_)) {
            let warnings = config.objective.warnings(&config.model);
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        let lock = RunDir::lock(&start.out)?;
        let train_split = Arc::new(self.open_shards(&config.data.shards, Split::Train)?);
        if matches!(start.from, StartFrom::Scratch(_)) {
            let shards = config.data.shards.display();
            let warnings = train_split.index().report.warnings();
            warnings.iter().for_each(|warning| tracing::warn!("{shards}: {warning}"));
        }
        let masking = self.masking(&train_split)?;
        let built = self.build(&train_split.unigram_counts()?)?;
        let networks = built.objective.networks();
        let specs: Vec<NetworkSpec<'_>> = networks.iter().map(TrainedNetwork::spec).collect();
        self.step_memory(&specs, built.parameters()?).check(built.vs.device())?;
        let mut session = self.session(&built)?;
        let held_out = match config.evaluate.every {
            0 => None,
            _ => {
                let (shards, split) = (&config.data.shards, Split::HeldOut);
                Some(self.evaluation(shards, self.open_shards(shards, split)?, &built)?)
            }
        };
        let index = train_split.index().clone();
        config.padding_note(&index).iter().for_each(|note| tracing::info!("{note}"));
        match start.from {
            StartFrom::Scratch(_) => {
                let initialization = Initialization {
                    config,
                    objective: built.objective.name(),
                    parts: &config.model.part_names(),
                    networks: &built.objective.networks(),
                    variables: &built.variables()?,
                };
                initialization.apply(&index)?.iter().for_each(|note| note.log());
            }
            StartFrom::Checkpoint => {
                let (run, checkpoint) = (RunDir::open(&start.out)?, state::newest(&start.out)?);
                run.check_shards(&config.data.shards, &index)?;
                session.resume(&checkpoint)?;
            }
        }
        check_stop_after(start.stop_after, session.step())?;
        let mut source = self.loader(train_split, Arc::clone(&masking), session.examples())?;
        // All checks have passed, so an existing run may now be replaced.
        let run = match start.from {
            StartFrom::Scratch(existing) => session.begin(&start.out, existing, |run| {
                run.write("config.toml", &config.to_toml())?;
                run.write_shards(&index)?;
                Ok(electra_data::copy_tokenizer(&config.data.shards, &run.tokenizer())?)
            })?,
            StartFrom::Checkpoint => {
                let run = RunDir::open(&start.out)?;
                run.write("config.toml", &config.to_toml())?;
                run
            }
        };
        // A new folder has its own lock. Hold the lock until the end of the run.
        let _lock = match start.from {
            StartFrom::Scratch(_) => RunDir::lock(run.path())?,
            StartFrom::Checkpoint => lock,
        };
        let evaluation = || match &held_out {
            None => Ok(Figures::new()),
            Some(evaluation) => evaluation.figures(&*built.objective),
        };
        let summary = self.summary(&built, &index.train)?;
        if session.step() == 0 {
            summary.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        on_event(Event::Begin(&summary));
        let mut done = session.step();
        let mut on_event = |event: Event<'_>| {
            if let Event::Step { step, .. } = event {
                done = step;
            }
            on_event(event);
        };
        let trainer = Trainer {
            session,
            source: &mut source,
            settings: Settings {
                steps: config.train.steps,
                log_every: config.train.log_every,
                checkpoint_every: config.checkpoint.every,
                keep_last: config.checkpoint.keep_last,
                evaluate_every: config.evaluate.every,
                stop_after: start.stop_after,
                time_limit: config.time_limit(),
            },
            run: run.clone(),
            evaluation: &evaluation,
            stop,
            on_event: &mut on_event,
        };
        let outcome = trainer.train()?;
        let samples = held_out.as_ref().map(|evaluation| evaluation.samples(&*built.objective));
        report::write(&run, config, done, &samples.transpose()?.unwrap_or_default())?;
        Ok(outcome)
    }

    /// Evaluates a checkpoint on the whole held-out split of `shards`. Results are reproducible, since masks and samples
    /// depend only on the example.
    ///
    /// # Errors
    /// If the checkpoint is damaged, or shards and config do not match.
    pub fn evaluate(&self, run: &RunDir, checkpoint: &Path, shards: &Path) -> Result<Figures> {
        self.check()?;
        let split = self.open_shards(shards, Split::HeldOut)?;
        run.check_vocabulary(shards, split.index())?;
        let built = self.build(&split.unigram_counts()?)?;
        built.load(&state::open(checkpoint)?, &self.config)?;
        self.evaluation(shards, split, &built)?.figures(&*built.objective)
    }

    /// The evaluation of the config on a split of `shards`.
    fn evaluation(
        &self,
        shards: &Path,
        split: ShardSet,
        built: &BuiltObjective,
    ) -> Result<HeldOut> {
        let masking = self.masking(&split)?;
        let device = built.vs.device();
        let parts = &self.parts;
        HeldOut::new(&self.config, parts, shards, split, masking, &*built.objective, device)
    }

    /// Builds the objective and loads the weights of a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is damaged or does not match the config.
    pub fn load_weights(&self, checkpoint: &Path) -> Result<BuiltObjective> {
        let built = self.untrained()?;
        built.load(&state::open(checkpoint)?, &self.config)?;
        Ok(built)
    }

    /// Builds the objective with untrained networks.
    ///
    /// # Errors
    /// If the config is invalid or a part cannot be built.
    pub fn untrained(&self) -> Result<BuiltObjective> {
        // Without shards there are no counts: for an initial output bias, or for a unigram generator.
        self.build(&vec![0; self.config.model.discriminator.token_count() as usize])
    }

    /// A new session of the config.
    pub(crate) fn session<'a>(
        &self,
        built: &'a BuiltObjective,
    ) -> Result<Session<'a, MaskedBatch>> {
        let config = &self.config;
        let plan = Plan {
            objective: &*built.objective,
            variables: built.variables()?,
            parts: config.model.part_names(),
            optimizer: config.optimizer.clone(),
            schedule: config.schedule(),
            accumulate: config.train.accumulate,
            seed: config.train.seed,
            device: built.vs.device(),
            fetch: Fetch::of(built.vs.device()),
            world: &SingleProcess,
        };
        Session::new(plan, |name| Rule { decay: Decay::of(name), rate: 1.0 })
    }

    /// The custom masking, or the config's for a split of shards.
    pub(crate) fn masking(&self, split: &ShardSet) -> Result<Arc<dyn Masking>> {
        match &self.masking {
            Some(masking) => Ok(Arc::clone(masking)),
            None => self.config.objective.masking().build(split),
        }
    }

    /// A loader of `split` that starts after `examples` examples.
    pub(crate) fn loader(
        &self,
        split: Arc<ShardSet>,
        masking: Arc<dyn Masking>,
        examples: u64,
    ) -> Result<Loader> {
        let config = &self.config;
        let loader = LoaderConfig {
            seed: config.train.seed,
            batch_size: config.train.batch_size * config.train.accumulate,
            threads: config.data.loader_threads,
            prefetch: PREFETCH,
        };
        Ok(Loader::new(split, masking, loader, examples)?)
    }

    pub(crate) fn build(&self, unigram_counts: &[u64]) -> Result<BuiltObjective> {
        self.build_config(&self.config, unigram_counts)
    }

    /// The recipe's objective and parts with the networks and the device of another config.
    pub(crate) fn build_config(
        &self,
        config: &RunConfig,
        unigram_counts: &[u64],
    ) -> Result<BuiltObjective> {
        let device = electra_torch::device(&config.train.device)?;
        tch::manual_seed(mix(config.train.seed, INITIAL_WEIGHTS));
        let vs = nn::VarStore::new(device);
        let (mut model, tokens) = (config.model.clone(), unigram_counts.len() as i64);
        for network in model.networks_mut().filter(|network| network.vocab_size != tokens) {
            network.tokens = Some(tokens);
        }
        let site = ObjectiveSite::new(vs.root(), &model, &self.parts, unigram_counts);
        let objective = self.objectives.build(&self.config.objective, &site)?;
        Ok(BuiltObjective { vs, objective })
    }

    pub(crate) fn open_shards(&self, shards: &Path, split: Split) -> Result<ShardSet> {
        let set = ShardSet::open(shards, split)?;
        self.config.check_sizes(shards, set.index())?;
        Ok(set)
    }
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe")
            .field("config", &self.config)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// An objective and the store of its variables.
#[derive(Debug)]
pub struct BuiltObjective {
    /// The variables.
    pub vs: nn::VarStore,
    /// The objective.
    pub objective: Box<PretrainingObjective>,
}

impl BuiltObjective {
    /// The variables, sorted by name.
    ///
    /// # Errors
    /// If a name is a duplicate.
    pub fn variables(&self) -> Result<Named> {
        Ok(variables(&self.vs)?)
    }

    /// Loads the weights of a checkpoint, strictly.
    pub(crate) fn load(&self, checkpoint: &Checkpoint, config: &RunConfig) -> Result<()> {
        let (objective, parts) = (self.objective.name(), config.model.part_names());
        checkpoint.load_model(objective, &parts, &self.variables()?)
    }
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
