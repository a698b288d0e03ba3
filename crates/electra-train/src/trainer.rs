//! The training loop.

use crate::{
    error::Result,
    host,
    metrics::{Figures, MetricsFile, Sink, Totals, number},
    objective::{Batch, LossCounts, Objective, evaluation_pass},
    run_dir::RunDir,
    session::{Metrics, Session, Update},
    state,
    summary::RunSummary,
    tensorboard::EventFile,
};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tch::no_grad;
use tracing::trace_span;

/// A source of batches. Its only state is the seed and the position, a number of examples.
pub trait Source {
    /// The batch type.
    type Batch: Batch;

    /// The batch of the next update.
    ///
    /// # Errors
    /// If reading or preparing it fails.
    fn next_batch(&mut self) -> Result<Self::Batch>;

    /// Examples consumed since the start of the run.
    fn position(&self) -> u64;

    /// Time spent waiting for batches since the last call.
    fn take_wait(&mut self) -> Duration;
}

/// A progress event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Training begins or resumes.
    Begin(&'a RunSummary),
    /// An update is done.
    Step {
        /// Updates done.
        step: u64,
        /// Total number of updates.
        total: u64,
    },
    /// Losses and norms were fetched from the device. A step synchronizes with a GPU only for this, for rows of metrics and
    /// for checkpoints.
    Fetched {
        /// Number of updates that they belong to.
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
    /// The run was stopped early, with a checkpoint.
    Stopped,
}

/// The settings of the loop.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Total number of updates.
    pub steps: u64,
    /// Updates between rows of metrics.
    pub log_every: u64,
    /// Updates between checkpoints.
    pub checkpoint_every: u64,
    /// How many of the newest checkpoints to keep; 0 keeps all.
    pub keep_last: usize,
    /// Updates between evaluations; 0 disables evaluation.
    pub evaluate_every: u64,
    /// Stop with a checkpoint after this many updates.
    pub stop_after: Option<u64>,
    /// Stop with a checkpoint after this time.
    pub time_limit: Option<Duration>,
}

/// A training run.
pub struct Trainer<'a, B> {
    /// The networks and optimizers, new or resumed.
    pub session: Session<'a, B>,
    /// The batches.
    pub source: &'a mut dyn Source<Batch = B>,
    /// The settings of the loop.
    pub settings: Settings,
    /// The output folder.
    pub run: RunDir,
    /// Computes held-out figures, usually with [`evaluate`].
    pub evaluation: &'a dyn Fn() -> Result<Figures>,
    /// Set to stop the run, for example by Ctrl-C.
    pub stop: &'a AtomicBool,
    /// Callback for progress events.
    pub on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<B: Batch> Trainer<'_, B> {
    /// Trains to the end.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] naming the step, or if reading or writing fails.
    pub fn train(mut self) -> Result<Outcome> {
        let start = self.session.step();
        let mut sinks = self.sinks(start)?;
        let Settings { steps, log_every, evaluate_every, checkpoint_every, .. } = self.settings;
        if start == 0 && evaluate_every > 0 {
            self.evaluate(0, &mut sinks)?;
        }
        let mut clock = Clock::start();
        for done in start + 1..=steps {
            let batch = trace_span!("data").in_scope(|| self.source.next_batch())?;
            let last = done == steps;
            let reporting = done.is_multiple_of(log_every) || last;
            clock.add(&batch);
            let metrics = if reporting { Metrics::Observed } else { Metrics::Skipped };
            let Update { mut totals, rate, norm, fetched } = self.session.update(batch, metrics)?;
            self.report_fetched(fetched);

            (self.on_event)(Event::Step { step: done, total: steps });
            if reporting {
                let mut row = row("train", done, totals.figures());
                row.insert("learning_rate".to_owned(), number(rate));
                row.insert("gradient_norm".to_owned(), number(norm));
                clock.report(self.source.take_wait(), &mut row);
                self.write(&mut sinks, &row)?;
            }
            if evaluate_every > 0 && (done.is_multiple_of(evaluate_every) || last) {
                clock.pause(|| self.evaluate(done, &mut sinks))?;
            }
            let stop = self.stop.load(Ordering::Relaxed)
                || self.settings.stop_after == Some(done)
                || self.settings.time_limit.is_some_and(|limit| clock.run.elapsed() >= limit);
            let stopping = self.session.world().any(stop);
            if done.is_multiple_of(checkpoint_every) || last || stopping {
                clock.pause(|| self.checkpoint(&mut sinks))?;
            }
            if stopping && !last {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// The sinks of metrics; none if this process does not write the run's files.
    fn sinks(&self, start: u64) -> Result<Vec<Box<dyn Sink>>> {
        if !self.session.world().writes() {
            return Ok(Vec::new());
        }
        Ok(vec![
            Box::new(MetricsFile::open(&self.run.metrics(), start)?),
            Box::new(EventFile::create(&self.run.tensorboard(), start)?),
        ])
    }

    fn evaluate(&mut self, step: u64, sinks: &mut [Box<dyn Sink>]) -> Result<()> {
        let figures = (self.evaluation)()?;
        self.write(sinks, &row("evaluate", step, figures))
    }

    fn checkpoint(&mut self, sinks: &mut [Box<dyn Sink>]) -> Result<()> {
        // The rows up to a checkpoint must be on disk before it.
        sinks.iter_mut().try_for_each(|sink| sink.sync())?;
        let fetched = self.session.fetch_losses()?;
        self.report_fetched(fetched);
        if !self.session.world().writes() {
            return Ok(());
        }
        let folder = self.run.checkpoints();
        let path = self.session.save(&folder, self.source.position())?;
        state::prune(&folder, &path, self.settings.keep_last)?;
        (self.on_event)(Event::Checkpoint(&path));
        Ok(())
    }

    fn report_fetched(&mut self, updates: usize) {
        if updates > 0 {
            (self.on_event)(Event::Fetched { updates });
        }
    }

    fn write(&mut self, sinks: &mut [Box<dyn Sink>], row: &Figures) -> Result<()> {
        sinks.iter_mut().try_for_each(|sink| sink.write(row))?;
        (self.on_event)(Event::Figures(row));
        Ok(())
    }
}

impl<B> std::fmt::Debug for Trainer<'_, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Evaluates an objective over batches, without dropout; losses are normalized over all of them.
///
/// Calls `batches` twice: once to count, once to run.
///
/// # Errors
/// If reading a batch fails.
pub fn evaluate<B: Batch, I>(
    objective: &dyn Objective<Batch = B>,
    batches: impl Fn() -> I,
) -> Result<Figures>
where
    I: Iterator<Item = Result<B>>,
{
    let mut whole = LossCounts::default();
    for batch in batches() {
        whole = whole + objective.loss_counts(&batch?);
    }
    let mut totals = Totals::default();
    for batch in batches() {
        let batch = batch?;
        no_grad(|| {
            totals.add(&evaluation_pass(objective, &batch, &whole).observe());
        });
    }
    let mut figures = totals.figures();
    figures.insert("tokens".to_owned(), whole.tokens.into());
    Ok(figures)
}

fn row(kind: &str, step: u64, figures: Figures) -> Figures {
    let mut row = Figures::new();
    row.insert("kind".to_owned(), kind.into());
    row.insert("step".to_owned(), step.into());
    row.extend(figures);
    row
}

/// Tokens and time since the last report, without evaluations and checkpoints, for the rates and the wait share in a row.
/// (The losses and accuracies in a row only cover the batch of its update.)
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
