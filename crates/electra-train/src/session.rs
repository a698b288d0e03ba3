//! A session: the networks and optimizers of a run, with the code that starts, resumes, steps and saves it. Pre-training,
//! fine-tuning, profiles and the GPU check all use it.
//!
//! The parts of a step are `tracing` spans, which cost nothing without a subscriber; `profile.rs` is one.

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

/// The arguments of [`Session::new`].
#[derive(Debug)]
pub struct Plan<'a, B> {
    /// The objective.
    pub objective: &'a dyn Objective<Batch = B>,
    /// Its variables by name.
    pub variables: Named,
    /// `seam=part` for every seam, for checkpoints.
    pub parts: Vec<String>,
    /// The optimizer config.
    pub optimizer: OptimizerConfig,
    /// The learning rate schedule.
    pub schedule: Schedule,
    /// Gradient accumulation: the number of passes per update.
    pub accumulate: usize,
    /// Seed of dropout.
    pub seed: u64,
    /// The device of the variables.
    pub device: Device,
    /// When to fetch losses from the device, usually [`Fetch::of`] the device.
    pub fetch: Fetch,
    /// The processes that train together.
    pub world: &'a dyn World,
}

/// The networks and optimizers of a run, and the number of updates done.
#[derive(Debug)]
pub struct Session<'a, B> {
    plan: Plan<'a, B>,
    phases: Vec<(Phase, Adam)>,
    losses: Losses,
    step: u64,
    examples: u64,
}

/// Whether to compute metrics of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Compute metrics.
    Observed,
    /// Skip metrics.
    Skipped,
}

/// The results of an update.
#[derive(Debug)]
pub struct Update {
    /// Totals of the metrics; empty if metrics are skipped.
    pub totals: Totals,
    /// The learning rate of the last phase.
    pub rate: f64,
    /// The global gradient norm before clipping, of the last phase; NaN if it was not fetched.
    pub norm: f64,
    /// Number of updates whose losses were fetched from the device.
    pub fetched: usize,
}

impl<'a, B: Batch> Session<'a, B> {
    /// A new session; `rule` maps each variable to its update rule.
    ///
    /// # Errors
    /// If the optimizer's config is invalid, a variable is not trained by exactly one of the objective's phases, or a phase
    /// has no update.
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
        let total = plan.schedule.total_steps;
        if let Some(phase) = phases.iter().find(|phase| phase.steps(total).is_empty()) {
            let key = format!("phases of {}", plan.objective.name());
            let expected = format!("has none of {total} updates: increase the number of updates");
            return Err(Error::value(&key, phase.name, expected));
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

    /// Examples consumed before the session was resumed: the start position of the source.
    pub fn examples(&self) -> u64 {
        self.examples
    }

    /// The objective.
    pub fn objective(&self) -> &'a dyn Objective<Batch = B> {
        self.plan.objective
    }

    /// The processes that train together.
    pub fn world(&self) -> &'a dyn World {
        self.plan.world
    }

    /// Creates the folder of a new run, with its manifest and the files that `fill` writes.
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

    /// Loads weights, moments, step and position of a checkpoint.
    ///
    /// # Errors
    /// If its objective, parts or tensors do not match the session.
    pub fn resume(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let Plan { objective, parts, variables, .. } = &self.plan;
        checkpoint.load_model(objective.name(), parts, variables)?;
        checkpoint.load_optimizer(&self.moments())?;
        tracing::info!("resuming from {}", checkpoint.path.display());
        (self.step, self.examples) = (checkpoint.state.step, checkpoint.state.examples);
        Ok(())
    }

    /// One update: for each phase the gradients of the batch's parts, the gradient norm and the optimizer step. Loss and
    /// norm are fetched with metrics, or when due; nothing else in an update synchronizes with a GPU.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the first of the fetched updates whose loss or norm is not finite.
    pub fn update(&mut self, batch: B, metrics: Metrics) -> Result<Update> {
        let Plan { objective, schedule, accumulate, seed, world, .. } = &self.plan;
        // Dropout depends on (seed, step) only, so a resumed run has the same masks as an uninterrupted one.
        tch::manual_seed(mix(*seed, self.step));
        let (sequences, size) = (batch.sequences(), world.size());
        let own = batch.split(size).into_iter().nth(world.rank()).ok_or_else(|| {
            let expected = format!("must be at least 1 for each of {size} processes");
            Error::value("batch size", sequences, expected)
        })?;
        let whole = world.sum_counts(objective.loss_counts(&own));
        let parts = own.split(*accumulate);
        let mut passes: Vec<Option<Box<dyn Pass + '_>>> = parts.iter().map(|_| None).collect();
        let step = self.step;
        let steps = |phase: &Phase| phase.steps(schedule.total_steps);
        let mut active: Vec<_> = (self.phases.iter_mut().enumerate())
            .filter(|(_, (phase, _))| steps(phase).contains(&step))
            .collect();
        let last = active.len().saturating_sub(1);
        let mut update =
            Update { totals: Totals::default(), rate: 0.0, norm: f64::NAN, fetched: 0 };
        for (place, (index, (phase, adam))) in active.iter_mut().enumerate() {
            let steps = steps(phase);
            update.rate = schedule.over(steps.end - steps.start).rate(step - steps.start);
            if step == steps.start && step > 0 {
                objective.begin_phase(*index, &self.plan.variables)?;
            }
            let mut sum: Option<Tensor> = None;
            adam.zero_grad();
            for (part, slot) in parts.iter().zip(&mut passes) {
                let mut pass = slot.take().unwrap_or_else(|| objective.pass(part, &whole, true));
                let loss = pass.loss(*index);
                trace_span!("backward").in_scope(|| loss.backward());
                let loss = loss.detach().to_kind(tch::Kind::Double);
                sum = Some(sum.map_or_else(|| loss.shallow_clone(), |sum| sum + &loss));
                if place < last {
                    *slot = Some(pass);
                } else if metrics == Metrics::Observed {
                    update.totals.add(&no_grad(|| pass.observe()));
                }
            }
            adam.gradients_mut().for_each(|buffer| world.sum_gradients(buffer));
            let norm = trace_span!("clip").in_scope(|| adam.gradient_norm());
            self.losses.push(step, &sum.unwrap_or_else(|| Tensor::from(0f64)), &norm);
            if metrics == Metrics::Observed || self.losses.are_due() {
                update.fetched += self.losses.fetch()?;
                update.norm = self.losses.norm();
            }
            trace_span!("optimizer").in_scope(|| adam.step(update.rate, &norm));
        }
        self.step += 1;
        Ok(update)
    }

    /// Fetches and checks the pending losses and norms; returns how many updates they belong to.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn fetch_losses(&mut self) -> Result<usize> {
        self.losses.fetch()
    }

    /// Writes a checkpoint into `checkpoints`, after `examples` examples; call [`Self::fetch_losses`] before.
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

/// Checks the step to stop after.
///
/// # Errors
/// If `stop_after` is not greater than `done`, the number of updates done.
pub(crate) fn check_stop_after(stop_after: Option<u64>, done: u64) -> Result<()> {
    match stop_after.filter(|&stop| stop <= done) {
        Some(stop) => {
            let expected = format!("must be greater than {done}, the number of updates done");
            Err(Error::value("stop_after", stop, expected))
        }
        None => Ok(()),
    }
}
