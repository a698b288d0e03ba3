//! Drawing the generator's replacements.

use tch::{Kind, Tensor};

/// One token per row from `softmax(logits / temperature)`, by inverting the cumulative distribution.
///
/// The uniforms come from the loader, keyed by (seed, epoch, example): the sample of an example is the
/// same in any batch, on any number of threads, after any resume.
///
/// # Shapes
/// - `logits_pv`: `[p, v]` float, `uniforms_p`: `[p]` float in [0, 1). Result: `[p]` int64.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `sample_from_softmax`. Departure: the reference
/// adds Gumbel noise and takes the argmax, which draws from the same distribution with `v` random
/// numbers a position instead of one.
pub fn sample(logits_pv: &Tensor, uniforms_p: &Tensor, temperature: f64) -> Tensor {
    let last = logits_pv.size()[1] - 1;
    let probabilities_pv = (logits_pv / temperature).softmax(-1, Kind::Float);
    let cumulative_pv = probabilities_pv.cumsum(-1, Kind::Float);
    // Rounding leaves the last sum a little off 1; scaling by it keeps every draw inside the row.
    let target_p1 = uniforms_p.unsqueeze(-1) * cumulative_pv.narrow(-1, last, 1);
    // The first index whose sum exceeds the target, so that tokens of probability 0 are never drawn.
    target_p1
        .searchsorted(&cumulative_pv, false, true, "right", None::<&Tensor>)
        .squeeze_dim(-1)
        .clamp(0, last)
}
