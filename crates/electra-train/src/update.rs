//! One update: the gradients of a batch's parts, the clipping norm, the optimizer. Its parts are spans of `tracing`,
//! which cost nothing when nobody listens; [`crate::profile`] does.

use crate::{
    Result,
    losses::Losses,
    metrics::Totals,
    objective::{Batch, Normaliser, Objective},
    optim::Adam,
    trainer::mix,
};
use electra_torch::{attach, requires_grad};
use tch::{Kind, Tensor, no_grad};
use tracing::{Span, trace_span};

/// Which update it is, and how it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    /// Seed of dropout.
    pub(crate) seed: u64,
    /// Updates done before it.
    pub(crate) step: u64,
    /// The learning rate.
    pub(crate) rate: f64,
    /// Parts that the batch is divided into.
    pub(crate) accumulate: usize,
    /// Whether metrics are made of it.
    pub(crate) metrics: Metrics,
}

/// Whether metrics are made of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metrics {
    /// The row of this update is written.
    Observed,
    /// None is.
    Skipped,
}

/// What came of an update.
#[derive(Debug)]
pub(crate) struct Updated {
    /// Sums for the row, empty where metrics are skipped.
    pub(crate) totals: Totals,
    /// Updates whose losses were fetched from the device.
    pub(crate) fetched: usize,
}

impl Update {
    /// Does it. Loss and norm go to `losses`, which are looked at before the row of this update is made, or when they
    /// say so themselves; nothing else of an update waits for a GPU.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] naming the first of the updates that were looked at whose loss or norm is not
    /// finite.
    pub(crate) fn run<O: Objective>(
        &self,
        objective: &O,
        adam: &mut Adam,
        losses: &mut Losses,
        batch: O::Batch,
    ) -> Result<Updated> {
        // Dropout is a function of (seed, step), so a resumed run draws what an unbroken one did.
        tch::manual_seed(mix(self.seed, self.step));
        let whole: Normaliser = objective.normaliser(&batch);
        let mut totals = Totals::default();
        let mut sum = Tensor::from(0f64);
        adam.zero_grad();
        for part in batch.split(self.accumulate) {
            let loss = objective.loss(&part, &whole, true);
            trace_span!("backward").in_scope(|| loss.total.backward());
            sum += loss.total.detach().to_kind(Kind::Double);
            if self.metrics == Metrics::Observed {
                totals.add(&no_grad(|| objective.observe(&part, &loss.outputs)));
            }
        }
        let norm = trace_span!("clip").in_scope(|| adam.gradient_norm());
        losses.push(self.step, &sum, &norm);
        let due = self.metrics == Metrics::Observed || losses.are_due();
        let fetched = if due { losses.look()? } else { 0 };
        trace_span!("optimizer").in_scope(|| adam.step(self.rate, &norm));
        Ok(Updated { totals, fetched })
    }
}

/// `loss`; where somebody listens, its backward pass begins by entering `part`, which ends with the span around it.
///
/// libtorch's engine runs the nodes of a graph from the newest to the oldest, so what was computed before `loss` is
/// not run before its backward pass begins, and what was computed after it has been.
pub(crate) fn backward_of(loss: Tensor, part: Span) -> Tensor {
    if part.is_disabled() || !requires_grad(&[&loss]) {
        return loss;
    }
    let marked = loss.detach().copy();
    attach(&marked, &[&loss], move |slope| {
        part.with_subscriber(|(id, listener)| listener.enter(id));
        vec![Some(slope.shallow_clone())]
    });
    marked
}
