//! Where the time of an update goes: the real objective, loader and optimizer, timed part by part, and what each
//! part's matrix products are worth beside the machine's.

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

/// What comes before an objective's own stages, and behind them.
const BEFORE: Stage = Stage { span: "data", label: "waiting for data", products: |_| 0.0 };
const BEHIND: [Stage; 2] = [
    Stage { span: "clip", label: "norm of the gradients", products: |_| 0.0 },
    Stage { span: "optimizer", label: "optimizer", products: |_| 0.0 },
];

/// The stages of an update with an objective that has `own`, in their order.
fn stages(own: &[Stage]) -> Vec<Stage> {
    [&[BEFORE], own, &BEHIND].concat()
}

/// Time of one update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// In each of [`Profile::stages`].
    pub stages: Vec<Duration>,
    /// How often each stage was entered.
    pub entered: Vec<u64>,
    /// From the request for a batch to the end of the optimizer.
    pub whole: Duration,
}

impl Times {
    /// What is in no stage.
    pub fn other(&self) -> Duration {
        self.whole.saturating_sub(self.stages.iter().sum())
    }
}

/// An update: its time and its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its time.
    pub times: Times,
    /// Its batch.
    pub work: Work,
    /// Floating-point operations of the forward pass of each of the objective's networks.
    pub products: Vec<Products>,
}

impl Step {
    /// Floating-point operations of the matrix products, forward and backward.
    pub fn flops(&self) -> f64 {
        self.products.iter().map(Products::step).sum()
    }
}

/// Updates that were timed.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The stages of an update. What is in none of them (integers to tensors, zeroed gradients) is "other".
    pub stages: Vec<Stage>,
    /// One by one; those of the warm-up are left out.
    pub steps: Vec<Step>,
}

impl Profile {
    /// Updates before those that count: the allocator's memory and the loader's queue fill up.
    pub const WARM_UP: u64 = 3;

    /// The median over the updates of some figure of each.
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
    /// Times `steps` updates of a run that begins; nothing is written.
    ///
    /// On a GPU each part is waited for, which a run does not do.
    ///
    /// # Errors
    /// As [`Self::pretrain_with`], but for the run folder.
    pub fn profile(&self, steps: u64) -> Result<Profile> {
        let config = self.config();
        let split = Arc::new(self.open_shards(&config.data.shards, Split::Train)?);
        let built = self.build(&split.unigram_counts()?)?;
        let mut session = self.session(&built)?;
        let networks = built.objective.networks();
        let mut source = self.loader(split, 0)?;
        let stages = stages(built.objective.stages());
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

    /// Floating-point operations of a batch's forward pass in each of an objective's networks.
    pub(crate) fn products(&self, networks: &[TrainedNetwork<'_>], work: &Work) -> Vec<Products> {
        let of = |network: &TrainedNetwork<'_>| Products::new(self.parts(), &network.spec(), work);
        networks.iter().map(of).collect()
    }
}

/// What a batch asks of the networks.
pub(crate) fn work(batch: &MaskedBatch) -> Work {
    let lengths = batch.attention_mask.chunks_exact(batch.length.max(1));
    let lengths = lengths.map(|row| row.iter().sum::<i64>() as f64);
    Work {
        tokens: batch.tokens as f64,
        pairs: lengths.map(|length| length * length).sum(),
        predictions: batch.masked_labels.len() as f64,
    }
}

/// Listens to the spans of stages and hands everything else on to whoever listened before.
///
/// Time goes to the innermost stage. A stage that is entered and never left (`spans::backward_of`) ends with the span
/// around it.
#[derive(Clone)]
struct Timer {
    spans: Arc<[&'static str]>,
    state: Arc<Mutex<State>>,
    device: Device,
    before: Dispatch,
}

#[derive(Debug)]
struct State {
    open: Vec<Option<usize>>,
    since: Instant,
    begun: Instant,
    times: Times,
}

impl State {
    /// The time since the last change goes to the part that is open.
    fn charge(&mut self) {
        let now = Instant::now();
        if let Some(&Some(stage)) = self.open.last() {
            self.times.stages[stage] += now - self.since;
        }
        self.since = now;
    }
}

impl State {
    /// Nothing timed yet, of so many stages.
    fn of(stages: usize) -> Self {
        let now = Instant::now();
        let (times, entered) = (vec![Duration::ZERO; stages], vec![0; stages]);
        let times = Times { stages: times, entered, whole: Duration::ZERO };
        Self { open: Vec::new(), since: now, begun: now, times }
    }
}

impl Timer {
    fn new(device: Device, stages: &[Stage]) -> Self {
        let before = dispatcher::get_default(Clone::clone);
        let state = Arc::new(Mutex::new(State::of(stages.len())));
        Self { spans: stages.iter().map(|stage| stage.span).collect(), state, device, before }
    }

    /// The state, after what the device was asked for is done.
    fn now(&self) -> MutexGuard<'_, State> {
        synchronize(self.device);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place among the stages that a span's number says.
    fn stage(&self, id: &span::Id) -> Option<usize> {
        usize::try_from(id.into_u64() - 1).ok().filter(|&place| place < self.spans.len())
    }

    fn restart(&self) {
        *self.now() = State::of(self.spans.len());
    }

    fn stop(&self) -> Times {
        let mut state = self.now();
        state.charge();
        Times { whole: state.since - state.begun, ..std::mem::take(&mut state.times) }
    }
}

impl Subscriber for Timer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || self.before.enabled(metadata)
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        // Its place among the stages counted from 1, or the one behind them for a span of no stage.
        let name = attributes.metadata().name();
        let place = self.spans.iter().position(|&span| span == name);
        span::Id::from_u64(place.unwrap_or(self.spans.len()) as u64 + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if self.before.enabled(event.metadata()) {
            self.before.event(event);
        }
    }

    fn enter(&self, id: &span::Id) {
        let mut state = self.now();
        state.charge();
        let stage = self.stage(id);
        if let Some(stage) = stage {
            state.times.entered[stage] += 1;
        }
        state.open.push(stage);
    }

    fn exit(&self, id: &span::Id) {
        let mut state = self.now();
        state.charge();
        let stage = self.stage(id);
        if let Some(place) = state.open.iter().rposition(|&open| open == stage) {
            state.open.truncate(place);
        }
    }
}

/// Waits for what a GPU was asked for.
pub(crate) fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// The best rate of a large matrix product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Floating-point operations a second.
    pub rate: f64,
    /// `m`, `k` and `n` of the product.
    pub shape: [i64; 3],
}

impl Limit {
    /// The best of a few products of `kind` on `device`, each as its fastest repetition.
    pub fn measure(device: Device, kind: Kind) -> Self {
        // A GPU is not filled by what a processor is.
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
            let begun = Instant::now();
            c = c.f_matmul_out(&a, &b).unwrap_or_else(|_| a.matmul(&b));
            synchronize(device);
            begun.elapsed()
        });
        let best = times.min().unwrap_or(Duration::MAX);
        2.0 * (m * k * n) as f64 / best.as_secs_f64()
    })
}
