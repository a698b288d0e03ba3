//! Profiles training updates: the time of each stage, and its FLOPs compared with the machine's peak rate.

use crate::{
    error::{Error, Result},
    objective::{Stage, TrainedNetwork},
    recipe::Recipe,
    session::Metrics,
    trainer::Source,
};
use electra_data::{MaskedBatch, Split};
use electra_model::flops::{Products, Work};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tch::{Cuda, Device, Kind, Tensor, no_grad};
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher, span, trace_span};

#[cfg(test)]
mod tests;

/// The stages before and after an objective's own stages.
const BEFORE: Stage = Stage { span: "data", label: "waiting for data", products: |_| 0.0 };
const AFTER: [Stage; 2] = [
    Stage { span: "clip", label: "gradient norm", products: |_| 0.0 },
    Stage { span: "optimizer", label: "optimizer", products: |_| 0.0 },
];

/// Times of one update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// The time in each of [`Profile::stages`].
    pub stages: Vec<Duration>,
    /// How often each stage was entered.
    pub entered: Vec<u64>,
    /// The total, from requesting a batch to the end of the optimizer step.
    pub whole: Duration,
}

impl Times {
    /// The time outside of all stages.
    pub fn other(&self) -> Duration {
        self.whole.saturating_sub(self.stages.iter().sum())
    }
}

/// A profiled update.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The times.
    pub times: Times,
    /// The work of the batch.
    pub work: Work,
    /// FLOPs of the forward pass of each of the objective's networks.
    pub products: Vec<Products>,
}

impl Step {
    /// FLOPs of the matrix products, forward and backward.
    pub fn flops(&self) -> f64 {
        self.products.iter().map(Products::step).sum()
    }
}

/// A profile of several updates.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The stages of an update. The rest (making tensors, zeroing gradients) is "other".
    pub stages: Vec<Stage>,
    /// The updates, without the warm-up.
    pub steps: Vec<Step>,
}

impl Profile {
    /// Untimed updates at the start, which fill the allocator's cache and the loader's queue.
    pub const WARM_UP: u64 = 3;

    /// The median of a figure over the updates.
    pub fn median(&self, figure: impl Fn(&Step) -> f64) -> f64 {
        let mut all: Vec<f64> = self.steps.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        match all.len() {
            0 => f64::NAN,
            n => (all[(n - 1) / 2] + all[n / 2]) / 2.0,
        }
    }
}

impl Recipe {
    /// Profiles `steps` updates of a new run; writes nothing.
    ///
    /// On a GPU this synchronizes after each stage, which training does not do.
    ///
    /// # Errors
    /// As [`Self::pretrain_with`], except for errors of the run folder.
    pub fn profile(&self, steps: u64) -> Result<Profile> {
        let config = self.config();
        let split = Arc::new(self.open_shards(&config.data.shards, Split::Train)?);
        let built = self.build(&split.unigram_counts()?)?;
        let mut session = self.session(&built)?;
        let networks = built.objective.networks();
        let masking = self.masking(&split)?;
        let mut source = self.loader(split, masking, 0)?;
        let stages = [&[BEFORE], built.objective.stages(), &AFTER].concat();
        let timer = Timer::new(built.vs.device(), &stages);
        let dispatch = Dispatch::new(timer.clone());
        let mut profile = Profile { stages, steps: Vec::new() };
        for step in 0..Profile::WARM_UP + steps {
            timer.restart();
            let work = dispatcher::with_default(&dispatch, || {
                let batch = trace_span!("data").in_scope(|| source.next_batch())?;
                let work = work(&batch);
                session.update(batch, Metrics::Skipped)?;
                Ok::<_, Error>(work)
            })?;
            let times = timer.stop();
            if step >= Profile::WARM_UP {
                let products = self.products(&networks, &work);
                profile.steps.push(Step { times, work, products });
            }
        }
        Ok(profile)
    }

    /// FLOPs of a batch's forward pass in each of an objective's networks.
    pub(crate) fn products(&self, networks: &[TrainedNetwork<'_>], work: &Work) -> Vec<Products> {
        networks.iter().map(|network| Products::new(self.parts(), &network.spec(), work)).collect()
    }
}

/// The amount of work in a batch.
pub(crate) fn work(batch: &MaskedBatch) -> Work {
    let squares = batch.lengths().into_iter().map(|length| (length * length) as f64);
    Work {
        tokens: batch.tokens as f64,
        pairs: squares.sum(),
        predictions: batch.masked_labels.len() as f64,
    }
}

/// A `tracing` subscriber that times the spans of stages, and forwards events to the previous subscriber.
///
/// Time is attributed to the innermost open stage. A stage that is entered but not exited (`spans::mark_backward`) ends with
/// the enclosing span.
#[derive(Clone)]
struct Timer {
    spans: Arc<[&'static str]>,
    state: Arc<Mutex<TimerState>>,
    device: Device,
    previous: Dispatch,
}

#[derive(Debug)]
struct TimerState {
    open: Vec<Option<usize>>,
    since: Instant,
    start: Instant,
    times: Times,
}

impl TimerState {
    fn new(stages: usize) -> Self {
        let now = Instant::now();
        let (times, entered) = (vec![Duration::ZERO; stages], vec![0; stages]);
        let times = Times { stages: times, entered, whole: Duration::ZERO };
        Self { open: Vec::new(), since: now, start: now, times }
    }

    /// Attributes the time since the last change to the open stage.
    fn update(&mut self) {
        let now = Instant::now();
        if let Some(&Some(stage)) = self.open.last() {
            self.times.stages[stage] += now - self.since;
        }
        self.since = now;
    }
}

impl Timer {
    fn new(device: Device, stages: &[Stage]) -> Self {
        let previous = dispatcher::get_default(Clone::clone);
        let state = Arc::new(Mutex::new(TimerState::new(stages.len())));
        Self { spans: stages.iter().map(|stage| stage.span).collect(), state, device, previous }
    }

    /// Synchronizes with the device and locks the state.
    fn synchronized(&self) -> MutexGuard<'_, TimerState> {
        synchronize(self.device);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of the stage with a span's id.
    fn stage(&self, id: &span::Id) -> Option<usize> {
        usize::try_from(id.into_u64() - 1).ok().filter(|&index| index < self.spans.len())
    }

    fn restart(&self) {
        *self.synchronized() = TimerState::new(self.spans.len());
    }

    fn stop(&self) -> Times {
        let mut state = self.synchronized();
        state.update();
        Times { whole: state.since - state.start, ..std::mem::take(&mut state.times) }
    }
}

impl Subscriber for Timer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || self.previous.enabled(metadata)
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        // The index of the stage, counted from 1, or the index after the last one for other spans.
        let name = attributes.metadata().name();
        let index = self.spans.iter().position(|&span| span == name);
        span::Id::from_u64(index.unwrap_or(self.spans.len()) as u64 + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if self.previous.enabled(event.metadata()) {
            self.previous.event(event);
        }
    }

    fn enter(&self, id: &span::Id) {
        let mut state = self.synchronized();
        state.update();
        let stage = self.stage(id);
        if let Some(stage) = stage {
            state.times.entered[stage] += 1;
        }
        state.open.push(stage);
    }

    fn exit(&self, id: &span::Id) {
        let mut state = self.synchronized();
        state.update();
        let stage = self.stage(id);
        if let Some(index) = state.open.iter().rposition(|&open| open == stage) {
            state.open.truncate(index);
        }
    }
}

/// Waits for all work on a GPU to finish.
pub(crate) fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// The peak rate of a device, measured on large matrix products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// FLOPs per second.
    pub rate: f64,
    /// `m`, `k` and `n` of the product.
    pub shape: [i64; 3],
}

impl Limit {
    /// The best rate of several products of `kind` on `device`, each at its fastest repetition.
    pub fn measure(device: Device, kind: Kind) -> Self {
        // A GPU needs larger products than a CPU to reach its peak.
        let scale = if device.is_cuda() { 4 } else { 1 };
        let shapes = [[4096, 1024, 1024], [4096, 1024, 4096], [1024; 3], [2048; 3]];
        let shapes = shapes.map(|shape: [i64; 3]| shape.map(|n| n * scale));
        let measured = shapes.map(|shape| Self { rate: rate(device, kind, shape), shape });
        let first = measured[0];
        measured
            .into_iter()
            .fold(first, |best, next| if next.rate > best.rate { next } else { best })
    }
}

fn rate(device: Device, kind: Kind, [m, k, n]: [i64; 3]) -> f64 {
    const REPETITIONS: usize = 4;
    let random =
        |rows, columns| Tensor::randn([rows, columns], (Kind::Float, device)).to_kind(kind);
    no_grad(|| {
        let (a, b) = (random(m, k), random(k, n));
        let mut c = a.matmul(&b);
        let times = (0..REPETITIONS).map(|_| {
            synchronize(device);
            let start = Instant::now();
            c = c.f_matmul_out(&a, &b).unwrap_or_else(|_| a.matmul(&b));
            synchronize(device);
            start.elapsed()
        });
        let best = times.min().unwrap_or(Duration::MAX);
        2.0 * (m * k * n) as f64 / best.as_secs_f64()
    })
}
