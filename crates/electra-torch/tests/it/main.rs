//! Tests of the public API of `electra-torch`.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod gpu;
mod ops;
mod recompute;

use electra_torch::{Error, device, set_grad};
use tch::{Device, Kind, Tensor};

fn parameter(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).set_requires_grad(true)
}

#[test]
fn backward_accumulates_into_the_view() {
    let flat = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    let (a, b) = (parameter(&[1.0, 2.0]), parameter(&[5.0]));
    set_grad(&a, &flat.narrow(0, 0, 2)).unwrap();
    set_grad(&b, &flat.narrow(0, 2, 1)).unwrap();
    for _ in 0..2 {
        // d/da sum(a^2) * b = 2 a b; d/db = sum(a^2) = 5
        ((&a * &a).sum(Kind::Float) * &b).sum(Kind::Float).backward();
    }
    assert_eq!(Vec::<f32>::try_from(&flat).unwrap(), [20.0, 40.0, 10.0]);
}

#[test]
fn a_gradient_of_another_shape_or_kind_is_rejected() {
    let a = parameter(&[1.0, 2.0]);
    let wrong_shape = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    let wrong_kind = Tensor::zeros([2], (Kind::Double, Device::Cpu));
    assert!(matches!(set_grad(&a, &wrong_shape), Err(Error::Grad { .. })));
    assert!(matches!(set_grad(&a, &wrong_kind), Err(Error::Grad { .. })));
}

#[test]
fn device_names() {
    assert_eq!(device("cpu").unwrap(), Device::Cpu);
    assert!(matches!(device("tpu"), Err(Error::UnknownDevice(_))));
    assert!(matches!(device("cuda:x"), Err(Error::UnknownDevice(_))));
    assert!(matches!(device("cuda:99"), Err(Error::NoCuda(_, _))));
    assert!(matches!(device("auto").unwrap(), Device::Cpu | Device::Cuda(0)));
}
