//! Adam on flat parameters: one pass over weights, gradients and both moments.

use super::pieces::for_pieces;
use crate::{
    floats::{floats, is_cpu_f32},
    parallel::Shared,
    simd::kernel,
};
use tch::Tensor;

/// Hyperparameters of one update.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate.
    pub rate: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub decay: f64,
    /// Factor for the gradients, from clipping.
    pub scale: f64,
}

/// `m = b1 m + (1 - b1) s g; v = b2 v + (1 - b2) (s g)^2; w = w (1 - rate decay) - rate m / (sqrt(v) + epsilon)`,
/// in place, without bias correction.
///
/// # Shapes
/// - all of one length, contiguous `f32` CPU tensors that do not overlap.
///
/// # Panics
/// On other tensors.
pub fn adam(
    weights: &mut Tensor,
    gradients: &Tensor,
    first: &mut Tensor,
    second: &mut Tensor,
    step: &AdamStep,
) {
    let n = gradients.numel();
    for tensor in [&*weights, gradients, &*first, &*second] {
        assert!(
            is_cpu_f32(tensor) && tensor.is_contiguous() && tensor.numel() == n,
            "Adam's tensors must be contiguous f32 CPU tensors of one length"
        );
    }
    let mut addresses = [&*weights, gradients, &*first, &*second].map(|t| t.data_ptr() as usize);
    addresses.sort_unstable();
    let disjoint = addresses.windows(2).all(|pair| pair[0] + n * size_of::<f32>() <= pair[1]);
    assert!(disjoint, "Adam's tensors must not overlap");
    /// Elements per kernel call.
    const BLOCK: usize = 4096;
    let constants = Constants {
        keep: (1.0 - step.rate * step.decay) as f32,
        rate: step.rate as f32,
        beta1: step.beta1 as f32,
        rest1: (1.0 - step.beta1) as f32,
        beta2: step.beta2 as f32,
        rest2: (1.0 - step.beta2) as f32,
        epsilon: step.epsilon as f32,
        scale: step.scale as f32,
    };
    let gradients = floats(gradients);
    let [weights, first, second] = [weights, first, second].map(|tensor| {
        // Other views of these tensors may exist, but nothing reads them during an update.
        Shared::new(crate::floats::floats_mut(tensor))
    });
    for_pieces(n.div_ceil(BLOCK), |_, part| {
        for block in part {
            let at = block * BLOCK..((block + 1) * BLOCK).min(n);
            // SAFETY: each block belongs to one thread.
            #[allow(unsafe_code)]
            let (w, m, v) = unsafe {
                (weights.part(at.clone()), first.part(at.clone()), second.part(at.clone()))
            };
            update(w, &gradients[at], m, v, &constants);
        }
    });
}

/// The constants of the inner loop.
pub(crate) struct Constants {
    keep: f32,
    rate: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    epsilon: f32,
    scale: f32,
}

kernel! {
    /// One block.
    fn update(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], constants: &Constants) {
        let n = w.len();
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        let &Constants { keep, rate, beta1, rest1, beta2, rest2, epsilon, scale } = constants;
        for i in 0..n {
            let gradient = g[i] * scale;
            m[i] = beta1 * m[i] + rest1 * gradient;
            v[i] = beta2 * v[i] + rest2 * gradient * gradient;
            w[i] = keep * w[i] - rate * (m[i] / (v[i].sqrt() + epsilon));
        }
    }
}
