//! The one training loop.

use crate::{
    Fetch, Result, host,
    losses::Losses,
    metrics::{Figures, MetricsFile, Totals, number},
    objective::{Batch, Normaliser, Objective},
    optim::Adam,
    run_dir::RunDir,
    schedule::Schedule,
    state::{self, State},
    update::{Metrics, Update, Updated},
};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tch::{Tensor, no_grad};
use tracing::trace_span;

/// Where batches come from. Its position is a number of examples: with the seed it is all the state
/// that a source has.
pub trait Source {
    /// What it makes.
    type Batch: Batch;

    /// The batch of the next update.
    ///
    /// # Errors
    /// Whatever reading or preparing it says.
    fn next_batch(&mut self) -> Result<Self::Batch>;

    /// Examples consumed since the start of the run.
    fn position(&self) -> u64;

    /// Time that the trainer has waited for batches since the last call.
    fn take_wait(&mut self) -> Duration;
}

/// What happens, for whoever shows progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An update was done.
    Step {
        /// Updates done.
        step: u64,
        /// Updates in all.
        total: u64,
    },
    /// Losses and norms were fetched from the device: those of so many updates. A step waits for a GPU only here, for
    /// rows of metrics and for checkpoints.
    Fetched {
        /// Updates.
        updates: usize,
    },
    /// A row of metrics was written.
    Figures(&'a Figures),
    /// A checkpoint was written.
    Checkpoint(&'a Path),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// It was asked to stop, and a checkpoint was written.
    Stopped,
}

/// The plain numbers of the loop.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Updates in all.
    pub steps: u64,
    /// Parts that each update's batch is divided into.
    pub accumulate: usize,
    /// Seed of dropout.
    pub seed: u64,
    /// Updates between rows of metrics.
    pub log_every: u64,
    /// When losses are looked at.
    pub fetch: Fetch,
    /// Updates between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints kept; 0 keeps all.
    pub keep_last: usize,
    /// Updates between evaluations; 0 for none.
    pub evaluate_every: u64,
    /// Stop after this many updates with a checkpoint, as if asked to.
    pub stop_after: Option<u64>,
}

/// Everything that a run is made of.
pub struct Trainer<'a, O, S> {
    /// What is trained.
    pub objective: &'a O,
    /// Where batches come from.
    pub source: S,
    /// The objective's variables by name.
    pub variables: Vec<(String, Tensor)>,
    /// `seam=part` for every seam, for checkpoints.
    pub parts: Vec<String>,
    /// Their optimizer.
    pub adam: Adam,
    /// Its learning rate.
    pub schedule: Schedule,
    /// The plain numbers.
    pub settings: Settings,
    /// Where everything is written.
    pub run: RunDir,
    /// Held-out figures, by [`evaluate`].
    pub evaluation: &'a dyn Fn(&O) -> Result<Figures>,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
    /// Told what happens.
    pub on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<O, S> Trainer<'_, O, S>
where
    O: Objective,
    S: Source<Batch = O::Batch>,
{
    /// Trains from `start` updates done to the end.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] naming the step, or whatever reading and writing say.
    pub fn train(mut self, start: u64) -> Result<Outcome> {
        let mut metrics = MetricsFile::open(&self.run.metrics(), start)?;
        if start == 0 && self.settings.evaluate_every > 0 {
            self.evaluate(0, &mut metrics)?;
        }
        let mut losses = Losses::new(self.settings.fetch);
        let mut clock = Clock::start();
        for step in start..self.settings.steps {
            let batch = trace_span!("data").in_scope(|| self.source.next_batch())?;
            let done = step + 1;
            let reporting =
                done.is_multiple_of(self.settings.log_every) || done == self.settings.steps;
            clock.add(&batch);
            let update = Update {
                seed: self.settings.seed,
                step,
                rate: self.schedule.rate(step),
                accumulate: self.settings.accumulate,
                metrics: if reporting { Metrics::Observed } else { Metrics::Skipped },
            };
            let Updated { mut totals, fetched } =
                update.run(self.objective, &mut self.adam, &mut losses, batch)?;
            self.tell_fetched(fetched);

            (self.on_event)(Event::Step { step: done, total: self.settings.steps });
            if reporting {
                let mut row = row("train", done, totals.figures());
                row.insert("learning_rate".to_owned(), number(update.rate));
                row.insert("gradient_norm".to_owned(), number(losses.norm()));
                clock.report(self.source.take_wait(), &mut row);
                self.write(&mut metrics, &row)?;
            }
            let last = done == self.settings.steps;
            let every = self.settings.evaluate_every;
            if every > 0 && (done.is_multiple_of(every) || last) {
                clock.pause(|| self.evaluate(done, &mut metrics))?;
            }
            let stopping =
                self.stop.load(Ordering::Relaxed) || self.settings.stop_after == Some(done);
            if done.is_multiple_of(self.settings.checkpoint_every) || last || stopping {
                clock.pause(|| self.checkpoint(done, &mut losses, &metrics))?;
            }
            if stopping && !last {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    fn evaluate(&mut self, step: u64, metrics: &mut MetricsFile) -> Result<()> {
        let figures = (self.evaluation)(self.objective)?;
        self.write(metrics, &row("evaluate", step, figures))
    }

    fn checkpoint(&mut self, step: u64, losses: &mut Losses, metrics: &MetricsFile) -> Result<()> {
        // No checkpoint outlives the rows before it.
        metrics.sync()?;
        let fetched = losses.look()?;
        self.tell_fetched(fetched);
        let state = State::new(
            step,
            self.source.position(),
            self.settings.seed,
            self.objective.name(),
            self.parts.clone(),
        );
        let folder = self.run.checkpoints();
        let path = state::save(&folder, state, &self.variables, &self.adam.state())?;
        state::prune(&folder, &path, self.settings.keep_last)?;
        (self.on_event)(Event::Checkpoint(&path));
        Ok(())
    }

    fn tell_fetched(&mut self, updates: usize) {
        if updates > 0 {
            (self.on_event)(Event::Fetched { updates });
        }
    }

    fn write(&mut self, metrics: &mut MetricsFile, row: &Figures) -> Result<()> {
        metrics.write(row)?;
        (self.on_event)(Event::Figures(row));
        Ok(())
    }
}

impl<O, S> std::fmt::Debug for Trainer<'_, O, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Figures of an objective over batches, without dropout; losses are normalised over all of them.
///
/// `batches` is called twice: once to count, once to run.
///
/// # Errors
/// Whatever reading a batch says.
pub fn evaluate<O: Objective, I>(objective: &O, batches: impl Fn() -> I) -> Result<Figures>
where
    I: Iterator<Item = Result<O::Batch>>,
{
    let mut whole = Normaliser { predictions: 0, tokens: 0 };
    for batch in batches() {
        let counts = objective.normaliser(&batch?);
        whole.predictions += counts.predictions;
        whole.tokens += counts.tokens;
    }
    let mut totals = Totals::default();
    for batch in batches() {
        let batch = batch?;
        no_grad(|| {
            let loss = objective.loss(&batch, &whole, false);
            totals.add(&objective.observe(&batch, &loss.outputs));
        });
    }
    let mut figures = totals.figures();
    figures.insert("tokens".to_owned(), whole.tokens.into());
    Ok(figures)
}

/// A seed for libtorch from a run's seed and a step (SplitMix64's finaliser).
pub fn mix(seed: u64, step: u64) -> i64 {
    let mut z = seed ^ step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).cast_signed()
}

fn row(kind: &str, step: u64, figures: Figures) -> Figures {
    let mut row = Figures::new();
    row.insert("kind".to_owned(), kind.into());
    row.insert("step".to_owned(), step.into());
    row.extend(figures);
    row
}

/// Tokens and time since the last report, without evaluations and checkpoints: what a row's rates and its wait
/// share are of. The losses and accuracies in a row are of the reported update's batch alone.
struct Clock {
    run: Instant,
    since: Instant,
    paused: Duration,
    tokens: usize,
    sequences: usize,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self { run: now, since: now, paused: Duration::ZERO, tokens: 0, sequences: 0 }
    }

    fn add(&mut self, batch: &impl Batch) {
        self.tokens += batch.tokens();
        self.sequences += batch.sequences();
    }

    fn pause<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.paused += start.elapsed();
        result
    }

    fn report(&mut self, wait: Duration, row: &mut Figures) {
        let seconds = (self.since.elapsed().saturating_sub(self.paused)).as_secs_f64();
        row.insert("tokens_per_second".to_owned(), number(self.tokens as f64 / seconds));
        row.insert("sequences_per_second".to_owned(), number(self.sequences as f64 / seconds));
        row.insert("wait_share".to_owned(), number(wait.as_secs_f64() / seconds));
        row.insert("seconds".to_owned(), number(self.run.elapsed().as_secs_f64()));
        row.insert(
            "peak_memory_bytes".to_owned(),
            host::peak_memory().map_or(number(f64::NAN), Into::into),
        );
        *self = Self { run: self.run, ..Self::start() };
    }
}
