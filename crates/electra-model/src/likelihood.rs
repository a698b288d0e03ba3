//! Probabilities of tokens and texts from the logits of a discriminator.
//!
//! # A discriminator of replaced token detection
//!
//! For one position with context `c`, let `p(x)` be the probability of token `x` in the data, `q(x)` that of the generator,
//! and `m` the mask rate. With probability `m` the position is masked and shows a sample of the generator, else it shows
//! the original token. "Real" means that the token is the original; a sample that equals the original is real too. So
//!
//! ```text
//! P(x, real)     = (1 - m) p(x) + m p(x) q(x)
//! P(x, replaced) = m q(x) (1 - p(x))
//! ```
//!
//! and with `a = (1 - m) / m` the optimal discriminator `D(x) = P(real | x)` and its solution for `p` are
//!
//! ```text
//! D(x) = p(x) (a + q(x)) / (a p(x) + q(x))
//! p(x) = D(x) q(x) / (a (1 - D(x)) + q(x))
//! ```
//!
//! If samples that equal the original counted as replaced, the denominator would be `a (1 - D(x))`. The context is taken to
//! be the same for the generator (which sees `[MASK]` at the other masked positions) and the discriminator (which sees
//! samples there).
//!
//! Source: Clark et al. 2020, "ELECTRA", appendix G.
//!
//! # A discriminator of Electric
//!
//! Its logit is the energy `E(x)_t` of the token at position `t`: `p(x_t | context)` is proportional to `exp(-E(x)_t)`, and
//! noise-contrastive estimation makes the factor close to 1. The sum of `-E(x)_t` over a text is its pseudo-log-likelihood.
//!
//! Source: Clark et al. 2020, "Pre-Training Transformers as Energy-Based Cloze Models".

use crate::{
    input::{EncoderInput, Row},
    networks::Discriminator,
};
use std::cmp::Reverse;
use tch::{Device, Kind, Tensor, no_grad};

/// Log-probabilities of candidates by a discriminator of replaced token detection, normalized over the candidates.
///
/// `mask_rate` is the fraction of positions that were masked in training, between 0 and 1 (both excluded). If some masked
/// positions kept their token in the generator's input (`mask_share` below 1), a generator that has learned to copy these
/// replaces nothing there: `mask_rate * mask_share` is then the closer value.
///
/// # Shapes
/// - `logits`: `[.., n]`, of "replaced", each with its candidate at the position ([`candidate_logits`]);
///   `generator_log_probabilities`: `[.., n]`, over the whole vocabulary. Result: `[.., n]` double.
pub fn electra_log_probabilities(
    logits: &Tensor,
    generator_log_probabilities: &Tensor,
    mask_rate: f64,
) -> Tensor {
    electra_estimates(logits, generator_log_probabilities, mask_rate).log_softmax(-1, Kind::Double)
}

/// The logarithm of `D q / (a (1 - D) + q)`, which an optimal discriminator needs no normalization for.
fn electra_estimates(logits: &Tensor, log_q: &Tensor, mask_rate: f64) -> Tensor {
    let (logits, log_q) = (logits.to_kind(Kind::Double), log_q.to_kind(Kind::Double));
    let log_a = ((1.0 - mask_rate) / mask_rate).ln();
    let (log_real, log_replaced) = ((-&logits).log_sigmoid(), logits.log_sigmoid());
    log_real + &log_q - (log_replaced + log_a).logaddexp(&log_q)
}

/// Log-probabilities of candidates by a discriminator of Electric, normalized over the candidates.
///
/// # Shapes
/// - `energies`: `[.., n]`, the logits, each with its candidate at the position ([`candidate_logits`]). Result: `[.., n]`
///   double.
pub fn electric_log_probabilities(energies: &Tensor) -> Tensor {
    (-energies).log_softmax(-1, Kind::Double)
}

/// The logits of candidates at one position of a text, in forward passes of `batch_size` rows that differ in that position
/// alone. `on_done` is called after each pass with the number of candidates done.
///
/// # Shapes
/// - `ids`: `[s]`, with `[CLS]` and `[SEP]`; `candidates`: `[n]`. Result: `[n]` float on the CPU.
///
/// # Panics
/// If `position` is not below `s`.
pub fn candidate_logits(
    discriminator: &Discriminator,
    ids: &[u32],
    position: usize,
    candidates: &[u32],
    batch_size: usize,
    on_done: &mut dyn FnMut(u64),
) -> Tensor {
    let mut logits = Vec::with_capacity(candidates.len());
    for part in candidates.chunks(batch_size.max(1)) {
        let texts: Vec<Vec<u32>> = part
            .iter()
            .map(|&candidate| {
                let mut text = ids.to_vec();
                text[position] = candidate;
                text
            })
            .collect();
        // All rows have the same length: there is no padding.
        let logits_bs = forward(discriminator, texts.iter().map(Vec::as_slice), 0);
        logits.extend(logits_bs.iter().map(|row| row[position]));
        on_done(logits.len() as u64);
    }
    Tensor::from_slice(&logits)
}

/// The pseudo-log-likelihood of each text by a discriminator of Electric: the sum of `-E(x)_t` over all tokens but the
/// first and the last, which are `[CLS]` and `[SEP]`. One forward pass a text: texts of similar length share batches of
/// `batch_size`, padded with `pad`.
pub fn pseudo_log_likelihoods(
    discriminator: &Discriminator,
    texts: &[impl AsRef<[u32]>],
    pad: u32,
    batch_size: usize,
) -> Vec<f64> {
    let length = |text: usize| texts[text].as_ref().len();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&text| Reverse(length(text)));
    let mut sums = vec![0.0; texts.len()];
    for part in order.chunks(batch_size.max(1)) {
        let energies = forward(discriminator, part.iter().map(|&text| texts[text].as_ref()), pad);
        for (&text, energies) in part.iter().zip(energies) {
            let own = energies[..length(text).saturating_sub(1)].iter().skip(1);
            // Not a negation: the sum of no tokens is 0, not -0.
            sums[text] = 0.0 - own.map(|&energy| f64::from(energy)).sum::<f64>();
        }
    }
    sums
}

/// The logits `[b, s]` of texts, row by row.
fn forward<'a>(
    discriminator: &Discriminator,
    texts: impl Iterator<Item = &'a [u32]>,
    pad: u32,
) -> Vec<Vec<f32>> {
    let rows: Vec<Row<'_>> = texts.map(|ids| Row { ids, segment_b_start: ids.len() }).collect();
    no_grad(|| {
        let device = discriminator.encoder().embeddings().token_table().device();
        let input = EncoderInput::from_rows(&rows, pad, device);
        let logits_bs = discriminator.forward_t(&input, false).to_device(Device::Cpu);
        Vec::try_from(logits_bs.to_kind(Kind::Float)).expect("the logits are [b, s]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By counting all cases of (original, masked, sample), which uses no formula of this file.
    #[test]
    fn an_optimal_discriminator_needs_no_normalization() {
        let p = [0.5, 0.3, 0.15, 0.05, 0.0];
        let q = [0.1, 0.2, 0.3, 0.15, 0.25];
        for mask_rate in [0.15, 0.5, 0.9] {
            let (mut real, mut replaced) = ([0.0; 5], [0.0; 5]);
            for original in 0..5 {
                real[original] += (1.0 - mask_rate) * p[original];
                for sample in 0..5 {
                    let shown = if sample == original { &mut real } else { &mut replaced };
                    shown[sample] += mask_rate * p[original] * q[sample];
                }
            }
            // The last token never occurs: its logit is infinite, so it has a large one.
            let logit = |x: usize| if p[x] == 0.0 { 800.0 } else { f64::ln(replaced[x] / real[x]) };
            let logits = Tensor::from_slice(&[0, 1, 2, 3, 4].map(logit));
            let found = electra_estimates(&logits, &Tensor::from_slice(&q).log(), mask_rate).exp();
            for (x, expected) in p.into_iter().enumerate() {
                let found = found.double_value(&[x as i64]);
                assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
            }
        }
    }
}
