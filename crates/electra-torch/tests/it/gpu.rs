//! The functions of GPU training steps, tested on a CPU: libtorch's kernels exist for both.

use electra_torch::{Clipping, Peak, adam_on_device, ops::AdamStep, peak_device_memory, upload};
use tch::{Device, Kind, Tensor};

const STEP: AdamStep =
    AdamStep { rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-6, decay: 0.01, scale: 1.0 };

fn floats(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor).unwrap()
}

/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= rate (m / (sqrt(v) + eps) + decay w)`, in 64 bits, with
/// gradients divided by `max(norm, limit) / limit`.
#[test]
fn adam_on_device_follows_its_formula() {
    let start = [1.0f32, -2.0, 0.5, 0.0, 3.0];
    let gradient = [0.3f32, -4.0, 0.0, 1e-4, 2.0];
    for (limit, decay) in [(1.0, 0.01), (100.0, 0.0)] {
        let weights = Tensor::from_slice(&start);
        let (first, second) = (weights.zeros_like(), weights.zeros_like());
        let mut expected = start.map(|w| (f64::from(w), 0.0, 0.0));
        for update in 1..=4 {
            let gradients = Tensor::from_slice(&gradient) * f64::from(update);
            let norm = gradients.norm();
            let exact = gradient.map(|g| f64::from(g) * f64::from(update));
            let exact_norm = exact.iter().map(|g| g * g).sum::<f64>().sqrt();
            adam_on_device(
                [&weights, &gradients, &first, &second],
                &Clipping::new(&norm, limit),
                &AdamStep { decay, ..STEP },
            );
            for ((w, m, v), g) in expected.iter_mut().zip(exact) {
                let g = g * limit / exact_norm.max(limit);
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                *w -= 0.1 * (*m / (v.sqrt() + 1e-6) + decay * *w);
            }
        }
        for ((w, m, v), (expected_w, expected_m, expected_v)) in floats(&weights)
            .iter()
            .zip(floats(&first))
            .zip(floats(&second))
            .map(|((w, m), v)| (*w, m, v))
            .zip(expected)
        {
            for (found, expected) in [(w, expected_w), (m, expected_m), (v, expected_v)] {
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 2e-6 * expected.abs().max(0.1), "{found}, expected {expected}");
            }
        }
    }
}

#[test]
fn non_finite_gradients_change_nothing() {
    for wrong in [f32::NAN, f32::INFINITY] {
        let vectors = [1.0f32, 0.5, 0.25].map(|x| Tensor::from_slice(&[x, x]));
        let [weights, first, second] = &vectors;
        let gradients = Tensor::from_slice(&[1.0, wrong]);
        let clipping = Clipping::new(&gradients.norm(), 1.0);
        adam_on_device([weights, &gradients, first, second], &clipping, &STEP);
        assert_eq!(vectors.each_ref().map(floats), [[1.0; 2], [0.5; 2], [0.25; 2]].map(Vec::from));
    }
}

#[test]
fn a_tensor_on_the_device_is_not_copied() {
    let tensor = Tensor::arange(3, (Kind::Int64, Device::Cpu));
    assert_eq!(upload(&tensor, Device::Cpu).data_ptr(), tensor.data_ptr());
    assert_eq!(peak_device_memory(Device::Cpu, Peak::Keep), None);
}
