//! A function that is computed again in the backward pass: the same numbers, draws and gradients, and what it keeps.

use crate::ops::turn;
use electra_torch::{ops, recompute, set_grad};
use tch::{Device, Kind, Tensor, no_grad};

const SIZE: [i64; 2] = [9, 16];

fn leaf(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

/// A layer that draws in both ways there are: a key for dropout by counter, and a mask of libtorch's own.
fn layer(x: &Tensor, weight: &Tensor) -> Tensor {
    let y = ops::dropout(&x.linear(weight, None::<&Tensor>).tanh(), 0.3, true);
    (y + x).dropout(0.2, true)
}

#[derive(Debug, PartialEq)]
struct Found {
    value: Vec<f32>,
    input: Vec<f32>,
    weight: Vec<f32>,
    /// What the generator draws afterwards.
    next: Vec<f32>,
}

/// Three layers of one weight, whose gradient is a view of a buffer, through `wrap`.
fn through(wrap: impl Fn(&Tensor, &Tensor) -> Tensor) -> Found {
    tch::manual_seed(5);
    let (x, weight) = (leaf(&SIZE), leaf(&[16, 16]));
    let buffer = Tensor::zeros([256], (Kind::Float, Device::Cpu));
    set_grad(&weight, &buffer.view([16, 16])).expect("the view has the weight's shape");
    let mut y = x.shallow_clone() * 1.0;
    for _ in 0..3 {
        y = wrap(&y, &weight);
    }
    y.square().sum(Kind::Float).backward();
    let next = Tensor::rand([4], (Kind::Float, Device::Cpu));
    let plain = |t: &Tensor| Vec::try_from(t.detach().flatten(0, -1)).expect("floats");
    Found { value: plain(&y), input: plain(&x.grad()), weight: plain(&buffer), next: plain(&next) }
}

#[test]
fn values_draws_and_gradients_are_the_same_bits() {
    let _turn = turn();
    let kept = through(layer);
    assert!(kept.weight.iter().any(|&g| g != 0.0));
    let again = through(|x, weight| {
        let weight = weight.shallow_clone();
        recompute(&[x], move |inputs| layer(&inputs[0], &weight))
    });
    assert_eq!(again, kept);
}

#[test]
fn it_runs_twice_with_a_backward_pass_and_once_without() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    let _turn = turn();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = |x: &Tensor| {
        let runs = Arc::clone(&runs);
        recompute(&[x], move |inputs| {
            runs.fetch_add(1, Ordering::Relaxed);
            &inputs[0] * 2.0
        })
    };
    let x = leaf(&SIZE);
    let y = counted(&x);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    y.sum(Kind::Float).backward();
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(x.grad(), x.ones_like() * 2.0);
    // Nothing is asked for: it is just called.
    assert!(!no_grad(|| counted(&x)).requires_grad());
    assert!(!counted(&x.detach()).requires_grad());
    assert_eq!(runs.load(Ordering::Relaxed), 4);
}

/// Parameters behind an input without a gradient are trained all the same.
#[test]
fn an_input_without_a_gradient_loses_no_parameters_gradient() {
    let _turn = turn();
    let weight = leaf(&[16, 16]);
    let x = Tensor::ones(SIZE, (Kind::Float, Device::Cpu));
    let inside = weight.shallow_clone();
    recompute(&[&x], move |inputs| inputs[0].linear(&inside, None::<&Tensor>))
        .sum(Kind::Float)
        .backward();
    // Every entry of a weight multiplies 9 ones.
    assert_eq!(weight.grad(), weight.ones_like() * 9.0);
}
