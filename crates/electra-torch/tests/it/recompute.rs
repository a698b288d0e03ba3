//! `recompute` gives the same values, random numbers and gradients as a plain call.

use crate::ops::turn;
use electra_torch::{ops, recompute, set_grad};
use tch::{Device, Kind, Tensor, no_grad};

const SIZE: [i64; 2] = [9, 16];

fn leaf(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

/// A layer that uses randomness in both ways: a key for counter-based dropout, and a mask drawn by libtorch.
fn layer(x: &Tensor, weight: &Tensor) -> Tensor {
    let y = ops::dropout(&x.linear(weight, None::<&Tensor>).tanh(), 0.3, true);
    (y + x).dropout(0.2, true)
}

#[derive(Debug, PartialEq)]
struct Results {
    value: Vec<f32>,
    input: Vec<f32>,
    weight: Vec<f32>,
    /// The next numbers from the generator.
    next: Vec<f32>,
}

/// Runs three layers with a shared weight, whose gradient is a view of a buffer; `wrap` calls a layer.
fn run(wrap: impl Fn(&Tensor, &Tensor) -> Tensor) -> Results {
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
    Results {
        value: plain(&y),
        input: plain(&x.grad()),
        weight: plain(&buffer),
        next: plain(&next),
    }
}

#[test]
fn values_random_numbers_and_gradients_are_bitwise_equal() {
    let _turn = turn();
    let plain = run(layer);
    assert!(plain.weight.iter().any(|&g| g != 0.0));
    let recomputed = run(|x, weight| {
        let weight = weight.shallow_clone();
        recompute(&[x], move |inputs| layer(&inputs[0], &weight))
    });
    assert_eq!(recomputed, plain);
}

#[test]
fn the_function_runs_twice_with_a_backward_pass_and_once_without() {
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
    // Without gradients it is a plain call.
    assert!(!no_grad(|| counted(&x)).requires_grad());
    assert!(!counted(&x.detach()).requires_grad());
    assert_eq!(runs.load(Ordering::Relaxed), 4);
}

/// Parameters get a gradient even if the input does not require one.
#[test]
fn parameters_of_a_function_of_a_constant_get_gradients() {
    let _turn = turn();
    let weight = leaf(&[16, 16]);
    let x = Tensor::ones(SIZE, (Kind::Float, Device::Cpu));
    let inside = weight.shallow_clone();
    recompute(&[&x], move |inputs| inputs[0].linear(&inside, None::<&Tensor>))
        .sum(Kind::Float)
        .backward();
    // Every entry of the weight is multiplied by 9 ones.
    assert_eq!(weight.grad(), weight.ones_like() * 9.0);
}
