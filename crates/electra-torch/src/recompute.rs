//! Less memory for more work: what a function keeps for its backward pass is computed again.

use crate::{
    autograd::{attach, records},
    generator::GeneratorState,
};
use tch::{Kind, Tensor, no_grad, with_grad};

/// `f(x)`, of which only `x` is kept: the backward pass runs `f` again, with the same random draws.
///
/// Values and gradients are those of `f(x)`, bit for bit on a CPU. The gradients of what `f` uses besides `x` (a
/// layer's parameters) are added to it during the backward pass, so ask for them by `backward`, not by `run_backward`.
/// Where no gradient of `x` is asked for, nothing is computed twice.
///
/// Source: Chen et al. 2016, section 3; PyTorch's `torch.utils.checkpoint` with `use_reentrant=True`.
pub fn recompute(x: &Tensor, f: impl Fn(&Tensor) -> Tensor + Send + 'static) -> Tensor {
    if !records(&[x]) {
        return f(x);
    }
    let generator = GeneratorState::of(x);
    let input = x.detach();
    let y = no_grad(|| f(&input));
    attach(&y, &[x], move |dy| {
        let input = input.set_requires_grad(true);
        let y = generator.replay(|| with_grad(|| f(&input)));
        // A node whose backward pass hands on the gradient that is there already.
        let end = Tensor::zeros([], (Kind::Float, y.device()));
        let dy = dy.shallow_clone();
        with_grad(|| attach(&end, &[&y], move |_| vec![Some(dy)]));
        // From here on the graph alone holds what was computed, and lets go of it node by node.
        drop(y);
        end.backward();
        let gradient = input.grad();
        vec![gradient.defined().then_some(gradient)]
    });
    y
}
