//! Less memory for more work: what a function keeps for its backward pass is computed again.

use crate::{
    autograd::{attach, records},
    generator::GeneratorState,
};
use tch::{Kind, Tensor, no_grad, with_grad};

/// `f(inputs)`, of which only `inputs` are kept: the backward pass runs `f` again, with the same random draws.
///
/// Values and gradients are those of `f(inputs)`, bit for bit on a CPU. The gradients of what `f` uses besides its
/// inputs (a layer's parameters) are accumulated during the backward pass, so call `backward`, not `run_backward`.
/// What `f` uses besides must be leaves: pass what was computed as an input. If no input requires a gradient, nothing
/// is computed twice.
///
/// Source: Chen et al. 2016, section 3; PyTorch's `torch.utils.checkpoint` with `use_reentrant=True`.
///
/// # Panics
/// If there is no input.
pub fn recompute(inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Tensor + Send + 'static) -> Tensor {
    let kept: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    if !records(inputs) {
        return f(&kept);
    }
    let generator = GeneratorState::of(&kept[0]);
    let y = no_grad(|| f(&kept));
    let wanted: Vec<bool> = inputs.iter().map(|input| input.requires_grad()).collect();
    attach(&y, inputs, move |dy| {
        let inputs = kept.iter().zip(&wanted);
        let inputs: Vec<Tensor> =
            inputs.map(|(input, &wanted)| input.set_requires_grad(wanted)).collect();
        let y = generator.replay(|| with_grad(|| f(&inputs)));
        // A node whose backward pass hands on the gradient that is there already.
        let end = Tensor::zeros([], (Kind::Float, y.device()));
        let dy = dy.shallow_clone();
        with_grad(|| attach(&end, &[&y], move |_| vec![Some(dy)]));
        // From here on the graph alone holds what was computed, and lets go of it node by node.
        drop(y);
        end.backward();
        let gradients = inputs.iter().map(Tensor::grad);
        gradients.map(|gradient| gradient.defined().then_some(gradient)).collect()
    });
    y
}
