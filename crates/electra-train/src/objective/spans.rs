//! Spans of `tracing` that begin with a backward pass. They cost nothing when nobody listens; `profile.rs` does.

use electra_torch::{attach, requires_grad};
use tch::Tensor;
use tracing::Span;

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
