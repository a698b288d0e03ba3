//! Where the time of an update goes: the real objective, loader and optimizer, timed part by part, and what each
//! part's matrix products are worth beside the machine's.

use crate::{
    Error, Fetch, Recipe, Result,
    losses::Losses,
    objective::ReplacedToken,
    trainer::Source,
    update::{Metrics, Update},
};
use electra_data::{MaskedBatch, Split};
use electra_model::{
    flops::{Products, Work},
    networks::variables,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tch::{Cuda, Device, Kind, Tensor, no_grad};
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher, span, trace_span};

#[cfg(test)]
mod tests;

/// A part of an update, by the name of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The span.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
}

const fn part(name: &'static str, label: &'static str) -> Part {
    Part { name, label }
}

/// The parts in the order of a step. What is in none of them (integers to tensors, labels and losses of the
/// discriminator, zeroed gradients) is "other".
pub const PARTS: [Part; 8] = [
    part("data", "waiting for data"),
    part("generator", "generator, forward"),
    part("sampling", "its output layer, loss and samples"),
    part("discriminator", "discriminator, forward"),
    part("discriminator_backward", "discriminator, backward"),
    part("generator_backward", "generator, backward"),
    part("clip", "norm of the gradients"),
    part("optimizer", "optimizer"),
];

/// Time of one update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// In each of [`PARTS`].
    pub parts: [Duration; PARTS.len()],
    /// How often each part was entered.
    pub entered: [u64; PARTS.len()],
    /// From the request for a batch to the end of the optimizer.
    pub whole: Duration,
}

impl Times {
    /// What is in no part.
    pub fn other(&self) -> Duration {
        self.whole.saturating_sub(self.parts.iter().sum())
    }
}

/// An update: its time and its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its time.
    pub times: Times,
    /// Its batch.
    pub work: Work,
    /// Floating-point operations of the forward pass.
    pub products: Products,
}

impl Step {
    /// Floating-point operations of the matrix products in each of [`PARTS`]; 0 where there are none.
    pub fn flops(&self) -> [f64; PARTS.len()] {
        let p = &self.products;
        let of = |name| match name {
            "generator" => p.generator,
            "sampling" => p.vocabulary,
            "discriminator" => p.discriminator,
            "discriminator_backward" => 2.0 * p.discriminator,
            "generator_backward" => 2.0 * (p.generator + p.vocabulary),
            _ => 0.0,
        };
        PARTS.map(|part| of(part.name))
    }
}

/// Updates that were timed.
#[derive(Clone, Debug)]
pub struct Profile {
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

impl Recipe<ReplacedToken> {
    /// Times `steps` updates of a run that begins; nothing is written.
    ///
    /// On a GPU each part is waited for, which a run does not do.
    ///
    /// # Errors
    /// As [`Self::pretrain_with`], but for the run folder.
    pub fn profile(&self, steps: u64) -> Result<Profile> {
        let config = self.config();
        let split = Arc::new(self.open_shards(&config.data.shards, Split::Train)?);
        let network = self.build(&split.unigram_counts()?)?;
        let mut adam = self.adam(&variables(&network.vs)?)?;
        let mut source = self.loader(split, 0)?;
        let timer = Timer::new(network.vs.device());
        let dispatch = Dispatch::new(timer.clone());
        let mut profile = Profile { steps: Vec::new() };
        let mut losses = Losses::new(Fetch::of(network.vs.device()));
        for step in 0..Profile::WARM_UP + steps {
            let update = Update {
                seed: config.train.seed,
                step,
                rate: config.schedule().rate(step),
                accumulate: config.train.accumulate,
                metrics: Metrics::Skipped,
            };
            timer.restart();
            let work = dispatcher::with_default(&dispatch, || {
                let batch = trace_span!("data").in_scope(|| source.next_batch())?;
                let work = work(&batch);
                update.run(&network.objective, &mut adam, &mut losses, batch)?;
                Ok::<_, Error>(work)
            })?;
            let times = timer.stop();
            if step >= Profile::WARM_UP {
                let products = Products::new(&config.model, &work);
                profile.steps.push(Step { times, work, products });
            }
        }
        Ok(profile)
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

/// Listens to the spans of [`PARTS`] and hands everything else on to whoever listened before.
///
/// Time goes to the innermost part. A part that is entered and never left (`update::backward_of`) ends with the span
/// around it.
#[derive(Clone)]
struct Timer {
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
        if let Some(&Some(part)) = self.open.last() {
            self.times.parts[part] += now - self.since;
        }
        self.since = now;
    }
}

impl Timer {
    fn new(device: Device) -> Self {
        let now = Instant::now();
        let state = State { open: Vec::new(), since: now, begun: now, times: Times::default() };
        let before = dispatcher::get_default(Clone::clone);
        Self { state: Arc::new(Mutex::new(state)), device, before }
    }

    /// The state, after what the device was asked for is done.
    fn now(&self) -> MutexGuard<'_, State> {
        synchronize(self.device);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restart(&self) {
        let mut state = self.now();
        let now = Instant::now();
        *state = State { open: Vec::new(), since: now, begun: now, times: Times::default() };
    }

    fn stop(&self) -> Times {
        let mut state = self.now();
        state.charge();
        Times { whole: state.since - state.begun, ..std::mem::take(&mut state.times) }
    }
}

/// A span's number: its place in [`PARTS`] counted from 1, or the one behind them for a span of no part.
fn number(name: &str) -> u64 {
    PARTS.iter().position(|part| part.name == name).unwrap_or(PARTS.len()) as u64 + 1
}

/// The place in [`PARTS`] that a number says.
fn place(id: &span::Id) -> Option<usize> {
    usize::try_from(id.into_u64() - 1).ok().filter(|&place| place < PARTS.len())
}

impl Subscriber for Timer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || self.before.enabled(metadata)
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(number(attributes.metadata().name()))
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
        let part = place(id);
        if let Some(part) = part {
            state.times.entered[part] += 1;
        }
        state.open.push(part);
    }

    fn exit(&self, id: &span::Id) {
        let mut state = self.now();
        state.charge();
        let part = place(id);
        if let Some(place) = state.open.iter().rposition(|&open| open == part) {
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
