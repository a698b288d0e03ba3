//! `tracing` spans that start with a backward pass. They cost nothing without a subscriber; `profile.rs` is one.

use electra_torch::{attach, requires_grad};
use tch::Tensor;
use tracing::Span;

/// Returns `loss`; with a subscriber, its backward pass starts by entering `span`, which ends with the enclosing span.
///
/// libtorch's engine runs the nodes of a graph from newest to oldest: the backward pass of everything computed before
/// `loss` comes after this mark, and of everything computed after `loss` before it.
pub(crate) fn mark_backward(loss: Tensor, span: Span) -> Tensor {
    if span.is_disabled() || !requires_grad(&[&loss]) {
        return loss;
    }
    let marked = loss.detach().copy();
    attach(&marked, &[&loss], move |gradient| {
        span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        vec![Some(gradient.shallow_clone())]
    });
    marked
}
