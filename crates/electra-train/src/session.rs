//! A session: networks with their optimizers at some step of a run. The one place where a run begins, resumes, steps and
//! is saved; pre-training, fine-tuning, profiles and the GPU check all step through it.
//!
//! The parts of a step are spans of `tracing`, which cost nothing when nobody listens; `profile.rs` does.

use crate::{
    error::{Error, Result},
    losses::{Fetch, Losses},
    metrics::Totals,
    objective::{Batch, Objective, Pass, Phase},
    optim::{Adam, OptimizerConfig, Rule},
    random::mix,
    run_dir::{Manifest, RunDir},
    schedule::Schedule,
    state::{self, Checkpoint, State},
    world::World,
};
use electra_files::Existing;
use electra_model::tensors::Named;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor, no_grad};
use tracing::trace_span;

/// What a session is made of.
#[derive(Debug)]
pub struct Plan<'a, B> {
    /// What is trained.
    pub objective: &'a dyn Objective<Batch = B>,
    /// Its variables by name.
    pub variables: Named,
    /// `seam=part` for every seam, for checkpoints.
    pub parts: Vec<String>,
    /// How they are updated.
    pub optimizer: OptimizerConfig,
    /// The learning rate of every step.
    pub schedule: Schedule,
    /// Parts that each update's batch is divided into.
    pub accumulate: usize,
    /// Seed of dropout.
    pub seed: u64,
    /// The device of the variables.
    pub device: Device,
    /// When losses are fetched from it: [`Fetch::of`] says what suits it.
    pub fetch: Fetch,
    /// The processes that train together.
    pub world: &'a dyn World,
}

/// Networks with their optimizers after some updates of a run.
#[derive(Debug)]
pub struct Session<'a, B> {
    plan: Plan<'a, B>,
    phases: Vec<(Phase, Adam)>,
    losses: Losses,
    step: u64,
    examples: u64,
}

/// Whether metrics are made of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// The row of this update is written.
    Observed,
    /// None is.
    Skipped,
}

/// What came of an update.
#[derive(Debug)]
pub struct Updated {
    /// Sums for the row, empty where metrics are skipped.
    pub totals: Totals,
    /// The learning rate.
    pub rate: f64,
    /// The global norm of the gradients before clipping, of the last phase; NaN where it was not fetched.
    pub norm: f64,
    /// Updates whose losses were fetched from the device.
    pub fetched: usize,
}

impl<'a, B: Batch> Session<'a, B> {
    /// A session at its start; `rule` says how each variable is updated.
    ///
    /// # Errors
    /// If the optimizer's config is not valid, or the objective's phases train a variable twice or not at all.
    pub fn new(plan: Plan<'a, B>, rule: impl Fn(&str) -> Rule) -> Result<Self> {
        let phases = plan.objective.phases();
        for (name, _) in plan.variables.iter().filter(|(_, tensor)| tensor.requires_grad()) {
            let count = phases.iter().filter(|phase| phase.trains(name)).count();
            if count != 1 {
                let key = format!("phases of {}", plan.objective.name());
                let expected = format!("must be trained by exactly one phase, not {count}");
                return Err(Error::value(&key, name, expected));
            }
        }
        let optimizer = |phase: Phase| {
            let own = plan.variables.iter().filter(|(name, _)| phase.trains(name));
            let own: Named =
                own.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
            Ok((phase, Adam::new(&plan.optimizer, &own, &rule)?))
        };
        let phases = phases.into_iter().map(optimizer).collect::<Result<_>>()?;
        let losses = Losses::new(plan.fetch);
        Ok(Self { plan, phases, losses, step: 0, examples: 0 })
    }

    /// Updates done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Examples consumed by them when the session was resumed: where the source goes on.
    pub fn examples(&self) -> u64 {
        self.examples
    }

    /// What is trained.
    pub fn objective(&self) -> &'a dyn Objective<Batch = B> {
        self.plan.objective
    }

    /// The processes that train together.
    pub fn world(&self) -> &'a dyn World {
        self.plan.world
    }

    /// Makes the folder of a new run, with its manifest and what `fill` writes.
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn begin(
        &self,
        out: &Path,
        existing: Existing,
        fill: impl FnOnce(&RunDir) -> Result<()>,
    ) -> Result<RunDir> {
        let Plan { objective, parts, device, seed, .. } = &self.plan;
        let parameters = self.phases.iter().map(|(_, adam)| adam.parameters()).sum();
        let manifest = Manifest::new(objective.name(), parts.clone(), *device, *seed, parameters);
        RunDir::create(out, existing, &manifest, fill)
    }

    /// Takes weights, moments, step and position of a checkpoint.
    ///
    /// # Errors
    /// If it is of another objective, other parts or another seed, or its tensors are not the session's.
    pub fn resume(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let Plan { objective, parts, variables, .. } = &self.plan;
        checkpoint.load_model(objective.name(), parts, variables)?;
        checkpoint.load_optimizer(&self.moments())?;
        tracing::info!("resuming from {}", checkpoint.path.display());
        (self.step, self.examples) = (checkpoint.state.step, checkpoint.state.examples);
        Ok(())
    }

    /// One update: the gradients of the batch's parts, the clipping norm, the optimizer, for each phase. Loss and norm
    /// are fetched when metrics are observed, or when it is time; nothing else of an update waits for a GPU.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the first of the fetched updates whose loss or norm is not finite.
    pub fn update(&mut self, batch: B, metrics: Metrics) -> Result<Updated> {
        let Plan { objective, schedule, accumulate, seed, world, .. } = &self.plan;
        // Dropout is a function of (seed, step), so a resumed run draws what an unbroken one did.
        tch::manual_seed(mix(*seed, self.step));
        let rate = schedule.rate(self.step);
        let (sequences, size) = (batch.sequences(), world.size());
        let own = batch.split(size).into_iter().nth(world.rank()).ok_or_else(|| {
            let expected = format!("must be at least 1 for each of {size} processes");
            Error::value("sequences of a batch", sequences, expected)
        })?;
        let whole = world.sum_counts(objective.normaliser(&own));
        let parts = own.split(*accumulate);
        let mut passes: Vec<Option<Box<dyn Pass + '_>>> = parts.iter().map(|_| None).collect();
        let last = self.phases.len() - 1;
        let mut updated = Updated { totals: Totals::default(), rate, norm: f64::NAN, fetched: 0 };
        for (index, (_, adam)) in self.phases.iter_mut().enumerate() {
            let mut sum: Option<Tensor> = None;
            adam.zero_grad();
            for (part, kept) in parts.iter().zip(&mut passes) {
                let mut pass = kept.take().unwrap_or_else(|| objective.pass(part, &whole, true));
                let loss = pass.loss(index);
                trace_span!("backward").in_scope(|| loss.backward());
                let loss = loss.detach().to_kind(tch::Kind::Double);
                sum = Some(sum.map_or_else(|| loss.shallow_clone(), |sum| sum + &loss));
                if index < last {
                    *kept = Some(pass);
                } else if metrics == Metrics::Observed {
                    updated.totals.add(&no_grad(|| pass.observe()));
                }
            }
            adam.gradients_mut().for_each(|buffer| world.sum_gradients(buffer));
            let norm = trace_span!("clip").in_scope(|| adam.gradient_norm());
            self.losses.push(self.step, &sum.unwrap_or_else(|| Tensor::from(0f64)), &norm);
            if metrics == Metrics::Observed || self.losses.are_due() {
                updated.fetched += self.losses.look()?;
                updated.norm = self.losses.norm();
            }
            trace_span!("optimizer").in_scope(|| adam.step(rate, &norm));
        }
        self.step += 1;
        Ok(updated)
    }

    /// Looks at the losses and norms that were not fetched yet; how many there were.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn look(&mut self) -> Result<usize> {
        self.losses.look()
    }

    /// Writes a checkpoint into `checkpoints`, after `examples` examples; [`Self::look`] first.
    ///
    /// # Errors
    /// Naming the file that cannot be written.
    pub fn save(&self, checkpoints: &Path, examples: u64) -> Result<PathBuf> {
        let Plan { objective, parts, variables, seed, .. } = &self.plan;
        let state = State::new(self.step, examples, *seed, objective.name(), parts.clone());
        state::save(checkpoints, state, variables, &self.moments())
    }

    /// The optimizers' moments by variable, sorted by name.
    fn moments(&self) -> Named {
        let mut moments: Named = self.phases.iter().flat_map(|(_, adam)| adam.state()).collect();
        moments.sort_by(|a, b| a.0.cmp(&b.0));
        moments
    }
}

/// An update of a run that was asked to stop before its start.
///
/// # Errors
/// Where `stop_after` is not above the updates that are `done`.
pub(crate) fn check_stop_after(stop_after: Option<u64>, done: u64) -> Result<()> {
    match stop_after.filter(|&stop| stop <= done) {
        Some(stop) => {
            let expected = format!("must be above {done}, the updates that are done");
            Err(Error::value("stop_after", stop, expected))
        }
        None => Ok(()),
    }
}
