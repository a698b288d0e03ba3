//! Activation checkpointing: recompute a function in the backward pass instead of saving its activations.

use crate::{
    autograd::{attach, requires_grad},
    generator::GeneratorState,
};
use tch::{Kind, Tensor, no_grad, with_grad};

/// Computes `f(x)` and saves only `x`: the backward pass runs `f` again, with the same random numbers.
///
/// Values and gradients equal those of `f(x)`, bit for bit on a CPU. Gradients of other tensors that `f` uses (the
/// parameters of a layer) are accumulated into them during the backward pass, so call `backward`, not `run_backward`.
/// If `x` does not require a gradient, `f` runs only once.
///
/// Source: Chen et al. 2016, section 3; PyTorch's `torch.utils.checkpoint` with `use_reentrant=True`.
pub fn recompute(x: &Tensor, f: impl Fn(&Tensor) -> Tensor + Send + 'static) -> Tensor {
    if !requires_grad(&[x]) {
        return f(x);
    }
    let generator = GeneratorState::of(x);
    let input = x.detach();
    let y = no_grad(|| f(&input));
    attach(&y, &[x], move |dy| {
        let input = input.set_requires_grad(true);
        let y = generator.replay(|| with_grad(|| f(&input)));
        // A node whose backward pass returns the gradient that is already known.
        let end = Tensor::zeros([], (Kind::Float, y.device()));
        let dy = dy.shallow_clone();
        with_grad(|| attach(&end, &[&y], move |_| vec![Some(dy)]));
        // Now only the graph owns the activations, and frees them node by node.
        drop(y);
        end.backward();
        let gradient = input.grad();
        vec![gradient.defined().then_some(gradient)]
    });
    y
}
