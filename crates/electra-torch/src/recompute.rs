//! Activation checkpointing: recompute a function in the backward pass instead of saving its activations.

use crate::{
    autograd::{attach, requires_grad},
    generator::GeneratorState,
};
use tch::{Kind, Tensor, no_grad, with_grad};

/// Computes `f(inputs)` and saves only `inputs`: the backward pass runs `f` again, with the same random numbers.
///
/// Values and gradients equal those of `f(inputs)`, bit for bit on a CPU. Gradients of other tensors that `f` uses (the
/// parameters of a layer) are accumulated into them during the backward pass, so call `backward`, not `run_backward`.
/// These tensors must be leaves: pass computed tensors as inputs. If no input requires a gradient, `f` runs only once.
///
/// Source: Chen et al. 2016, section 3; PyTorch's `torch.utils.checkpoint` with `use_reentrant=True`.
///
/// # Panics
/// If there is no input.
pub fn recompute(inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Tensor + Send + 'static) -> Tensor {
    let kept: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    if !requires_grad(inputs) {
        return f(&kept);
    }
    let generator = GeneratorState::of(&kept[0]);
    let y = no_grad(|| f(&kept));
    let required: Vec<bool> = inputs.iter().map(|input| input.requires_grad()).collect();
    attach(&y, inputs, move |dy| {
        let inputs = kept.iter().zip(&required);
        let inputs: Vec<Tensor> =
            inputs.map(|(input, &required)| input.set_requires_grad(required)).collect();
        let y = generator.replay(|| with_grad(|| f(&inputs)));
        // A node whose backward pass returns the gradient that is already known.
        let end = Tensor::zeros([], (Kind::Float, y.device()));
        let dy = dy.shallow_clone();
        with_grad(|| attach(&end, &[&y], move |_| vec![Some(dy)]));
        // Now only the graph owns the activations, and frees them node by node.
        drop(y);
        end.backward();
        let gradients = inputs.iter().map(Tensor::grad);
        gradients.map(|gradient| gradient.defined().then_some(gradient)).collect()
    });
    y
}
