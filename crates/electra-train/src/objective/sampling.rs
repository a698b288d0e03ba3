//! Samples the generator's replacements.

use tch::{Kind, Tensor};

/// Samples one token per row from `softmax(logits / temperature)`, by inverting the cumulative distribution.
///
/// The uniforms come from the loader, keyed by (seed, epoch, example): an example's samples do not depend on the batch,
/// the number of threads or resuming.
///
/// # Shapes
/// - `logits_pv`: `[p, v]` float, `uniforms_p`: `[p]` float in [0, 1). Result: `[p]` int64.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `sample_from_softmax`. Departure: the reference
/// adds Gumbel noise and takes the argmax, which samples from the same distribution with `v` random
/// numbers per position instead of one.
pub fn sample(logits_pv: &Tensor, uniforms_p: &Tensor, temperature: f64) -> Tensor {
    let last = logits_pv.size()[1] - 1;
    let probabilities_pv = (logits_pv / temperature).softmax(-1, Kind::Float);
    let cumulative_pv = probabilities_pv.cumsum(-1, Kind::Float);
    // Due to rounding the last sum is not exactly 1; scaling by it keeps every sample inside the row.
    let target_p1 = uniforms_p.unsqueeze(-1) * cumulative_pv.narrow(-1, last, 1);
    // The first index whose sum exceeds the target, so that tokens of probability 0 are never sampled.
    target_p1
        .searchsorted(&cumulative_pv, false, true, "right", None::<&Tensor>)
        .squeeze_dim(-1)
        .clamp(0, last)
}
