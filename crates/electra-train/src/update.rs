//! One update: the gradients of a batch's parts, the clipping norm, the optimizer. Its parts are spans of `tracing`,
//! which cost nothing when nobody listens; [`crate::profile`] does.

use crate::{
    Error, Result,
    metrics::Totals,
    objective::{Batch, Normaliser, Objective},
    optim::Adam,
    trainer::mix,
};
use electra_torch::{attach, records};
use tch::{Tensor, no_grad};
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
    /// Global norm of the gradients before clipping.
    pub(crate) norm: f64,
    /// Sums for the row, empty where metrics are skipped.
    pub(crate) totals: Totals,
}

impl Update {
    /// Does it.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the step, before anything is changed.
    pub(crate) fn run<O: Objective>(
        &self,
        objective: &O,
        adam: &mut Adam,
        batch: O::Batch,
    ) -> Result<Updated> {
        // Dropout is a function of (seed, step), so a resumed run draws what an unbroken one did.
        tch::manual_seed(mix(self.seed, self.step));
        let whole: Normaliser = objective.normaliser(&batch);
        let mut totals = Totals::default();
        let mut loss_sum = 0.0;
        adam.zero_grad();
        for part in batch.split(self.accumulate) {
            let loss = objective.loss(&part, &whole, true);
            trace_span!("backward").in_scope(|| loss.total.backward());
            loss_sum += loss.total.double_value(&[]);
            if self.metrics == Metrics::Observed {
                totals.add(&no_grad(|| objective.observe(&part, &loss.outputs)));
            }
        }
        let norm = trace_span!("clip").in_scope(|| adam.gradient_norm());
        if !norm.is_finite() || !loss_sum.is_finite() {
            return Err(Error::NonFinite { step: self.step, loss: loss_sum, norm });
        }
        trace_span!("optimizer").in_scope(|| adam.step(self.rate, norm));
        Ok(Updated { norm, totals })
    }
}

/// `loss`; where somebody listens, its backward pass begins by entering `part`, which ends with the span around it.
///
/// libtorch's engine runs the nodes of a graph from the newest to the oldest, so what was computed before `loss` is
/// not run before its backward pass begins, and what was computed after it has been.
pub(crate) fn backward_of(loss: Tensor, part: Span) -> Tensor {
    if part.is_disabled() || !records(&[&loss]) {
        return loss;
    }
    let marked = loss.detach().copy();
    attach(&marked, &[&loss], move |slope| {
        part.with_subscriber(|(id, listener)| listener.enter(id));
        vec![Some(slope.shallow_clone())]
    });
    marked
}
