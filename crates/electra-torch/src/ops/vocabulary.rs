//! The output layer over the vocabulary with its softmax, loss, sampling and gradient, computed block by block: the
//! matrix of logits, the largest tensor of a pre-training step, is never materialized.

use super::pieces::{for_pieces, pieces, rows_of};
use crate::{
    autograd::{attach, requires_grad},
    floats::{contiguous, empty, floats, floats_mut},
    gemm::{Factors, Matrix, gemm},
    parallel::Shared,
    simd::{exp, kernel, max_of, sum},
};
use tch::{Kind, Tensor};

/// Tokens per block: the logits of a few hundred positions fit in a core's cache.
const BLOCK: usize = 256;

/// The result of [`predict_tokens`].
#[derive(Debug)]
pub struct Prediction {
    /// Sum of the losses, differentiable with respect to the features, the table and the bias.
    pub loss: Tensor,
    /// `-log softmax(logits)[label]` of each position, `[p]`, detached.
    pub losses_p: Tensor,
    /// A token sampled from the softmax of each position, `[p]` int64.
    pub sampled_p: Tensor,
    /// The most probable token of each position, `[p]` int64.
    pub best_p: Tensor,
}

/// Statistics of one row of logits over one block.
#[derive(Clone, Copy, Default)]
struct BlockStats {
    max: f32,
    best: usize,
    /// Sum of `exp(logit - max)`.
    sum: f32,
}

/// The inputs of the layer, saved for the backward pass.
struct Saved {
    x_pe: Tensor,
    table_ve: Tensor,
    bias_v: Tensor,
    labels: Vec<usize>,
    factors: Factors,
}

/// The same as slices, which can be shared between threads.
struct Layer<'a> {
    x: &'a [f32],
    table: &'a [f32],
    bias: &'a [f32],
    labels: &'a [usize],
    factors: Factors,
    p: usize,
    e: usize,
    v: usize,
}

impl Saved {
    fn layer(&self) -> Layer<'_> {
        let (p, e) = rows_of(&self.x_pe);
        let (x, table, bias) = (floats(&self.x_pe), floats(&self.table_ve), floats(&self.bias_v));
        let (labels, factors) = (&self.labels[..], self.factors);
        Layer { x, table, bias, labels, factors, p, e, v: bias.len() }
    }
}

/// Cross-entropy of `softmax(x table^T + bias)` with `labels_p`, and tokens sampled from it by inverting the cumulative
/// distribution at `uniforms_p`.
///
/// # Shapes
/// - `x_pe`: `[p, e]`, `table_ve`: `[v, e]`, `bias_v`: `[v]`, floats. If `x_pe` is bfloat16, the table and the gradients
///   of the logits are rounded to it before they are multiplied. `labels_p`: `[p]` int64 below `v`; `uniforms_p`: `[p]`
///   in [0, 1).
///
/// # Panics
/// On mismatched shapes and labels outside the vocabulary.
///
/// Source: the loss of Devlin et al. 2019 and the sampling of Clark et al. 2020, section 3. The backward pass recomputes
/// logits from their log-sum-exp.
pub fn predict_tokens(
    x_pe: &Tensor,
    table_ve: &Tensor,
    bias_v: &Tensor,
    labels_p: &Tensor,
    uniforms_p: &Tensor,
) -> Prediction {
    let (p, e) = rows_of(x_pe);
    let v = bias_v.numel();
    assert_eq!(table_ve.size(), [v as i64, e as i64], "the table must have a row for each token");
    let labels: Vec<i64> = Vec::try_from(labels_p).expect("labels must be integers");
    let uniforms: Vec<f32> = Vec::try_from(uniforms_p).expect("uniforms must be floats");
    assert!(
        labels.len() == p && uniforms.len() == p,
        "each position needs a label and a uniform number"
    );
    let labels: Vec<usize> = labels
        .into_iter()
        .map(|label| {
            usize::try_from(label).ok().filter(|&l| l < v).expect("labels must be below v")
        })
        .collect();
    let inputs = [x_pe, table_ve, bias_v];
    let factors = match x_pe.kind() {
        Kind::BFloat16 => Factors::Half,
        _ => Factors::Float,
    };
    let [x_pe, table_ve, bias_v] = inputs.map(|x| contiguous(&x.to_kind(Kind::Float)));
    let saved = Saved { x_pe, table_ve, bias_v, labels, factors };
    let layer = saved.layer();

    let (parts, at_labels) = layer.sums();
    let rows = layer.combine(&parts);
    let losses: Vec<f32> = rows.iter().zip(&at_labels).map(|(row, at)| row.log - at).collect();
    let sampled = layer.sample(&parts, &rows, &uniforms);
    let best: Vec<i64> = rows.iter().map(|row| row.best as i64).collect();
    // f64, as it is a sum over hundreds of positions.
    let total: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
    let loss = Tensor::from(total as f32);
    if requires_grad(&inputs) {
        let logs: Vec<f32> = rows.iter().map(|row| row.log).collect();
        attach(&loss, &inputs, move |dloss| {
            saved.layer().gradients(&logs, dloss.double_value(&[]) as f32).map(Some).into()
        });
    }
    Prediction {
        loss,
        losses_p: Tensor::from_slice(&losses),
        sampled_p: Tensor::from_slice(&sampled),
        best_p: Tensor::from_slice(&best),
    }
}

/// Statistics of a row of logits over the whole vocabulary.
struct RowStats {
    max: f32,
    best: usize,
    /// Log-sum-exp of the logits.
    log: f32,
}

impl Layer<'_> {
    fn blocks(&self) -> usize {
        self.v.div_ceil(BLOCK)
    }

    fn tokens(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(self.v)
    }

    /// Logits of the first `rows` rows of `x` over a block, without the bias.
    fn logits(&self, x: &[f32], rows: usize, block: usize, logits: &mut [f32]) {
        let (tokens, e) = (self.tokens(block), self.e);
        let table = Matrix::new(&self.table[tokens.start * e..tokens.end * e], e);
        gemm(
            self.factors,
            [rows, e, tokens.len()],
            1.0,
            Matrix::new(x, e),
            table.transposed(),
            0.0,
            logits,
            tokens.len(),
        );
    }

    /// Statistics of each row over each block (`parts[block * p + row]`), and the logits of the labels.
    fn sums(&self) -> (Vec<BlockStats>, Vec<f32>) {
        let mut parts = vec![BlockStats::default(); self.blocks() * self.p];
        let mut at_labels = vec![0.0; self.p];
        {
            let (parts, at_labels) = (Shared::new(&mut parts), Shared::new(&mut at_labels));
            let (x, bias) = (self.x, self.bias);
            for_pieces(self.blocks(), |_, range| {
                let mut logits = vec![0.0; self.p * BLOCK];
                for block in range {
                    let tokens = self.tokens(block);
                    let n = tokens.len();
                    self.logits(x, self.p, block, &mut logits);
                    for (i, row) in logits.chunks_exact_mut(n).take(self.p).enumerate() {
                        let (max, best, sum) = row_stats(row, &bias[tokens.clone()]);
                        let index = block * self.p + i;
                        // SAFETY: the statistics of a block belong to one thread.
                        #[allow(unsafe_code)]
                        let part = unsafe { parts.part(index..index + 1) };
                        part[0] = BlockStats { max, best: tokens.start + best, sum };
                        if tokens.contains(&self.labels[i]) {
                            // SAFETY: each label is in one block.
                            #[allow(unsafe_code)]
                            let at = unsafe { at_labels.part(i..i + 1) };
                            at[0] = row[self.labels[i] - tokens.start];
                        }
                    }
                }
            });
        }
        (parts, at_labels)
    }

    fn combine(&self, parts: &[BlockStats]) -> Vec<RowStats> {
        (0..self.p)
            .map(|i| {
                let own = || parts[i..].iter().step_by(self.p);
                let first = own().fold(parts[i], |a, &b| if b.max > a.max { b } else { a });
                let total: f64 = own().map(|part| weight(part, first.max)).sum();
                RowStats { max: first.max, best: first.best, log: first.max + total.ln() as f32 }
            })
            .collect()
    }

    /// Samples the first token of each row whose cumulative probability exceeds the uniform number. Tokens of
    /// probability 0 are never sampled.
    fn sample(&self, parts: &[BlockStats], rows: &[RowStats], uniforms: &[f32]) -> Vec<i64> {
        let mut sampled = vec![0i64; self.p];
        {
            let sampled = Shared::new(&mut sampled);
            let (x, bias) = (self.x, self.bias);
            for_pieces(self.p, |_, range| {
                let mut logits = vec![0.0; BLOCK];
                for i in range {
                    let max = rows[i].max;
                    let own = || parts[i..].iter().step_by(self.p).map(|part| weight(part, max));
                    let mut rest = f64::from(uniforms[i]) * own().sum::<f64>();
                    let mut block = 0;
                    for (candidate, weight) in own().enumerate() {
                        if weight > 0.0 {
                            block = candidate;
                            if rest < weight {
                                break;
                            }
                        }
                        rest -= weight;
                    }
                    let tokens = self.tokens(block);
                    self.logits(&x[i * self.e..(i + 1) * self.e], 1, block, &mut logits);
                    let row = &mut logits[..tokens.len()];
                    let mut token = tokens.start;
                    for (i, (logit, bias)) in row.iter().zip(&bias[tokens.clone()]).enumerate() {
                        let weight = f64::from(logit + bias - max).exp();
                        if weight > 0.0 {
                            token = tokens.start + i;
                            if rest < weight {
                                break;
                            }
                        }
                        rest -= weight;
                    }
                    // SAFETY: each row belongs to one thread.
                    #[allow(unsafe_code)]
                    let sampled = unsafe { sampled.part(i..i + 1) };
                    sampled[0] = token as i64;
                }
            });
        }
        sampled
    }

    /// The gradients of features, table and bias, given the gradient of the loss.
    fn gradients(&self, logs: &[f32], dloss: f32) -> [Tensor; 3] {
        let (p, e, v) = (self.p, self.e, self.v);
        let (x, bias, table) = (self.x, self.bias, self.table);
        let mut dx = vec![0.0; pieces(self.blocks()) * p * e];
        let (mut dtable, mut dbias) = (empty(&[v as i64, e as i64]), empty(&[v as i64]));
        {
            let (dx, dtable, dbias) = (
                Shared::new(&mut dx),
                Shared::new(floats_mut(&mut dtable)),
                Shared::new(floats_mut(&mut dbias)),
            );
            for_pieces(self.blocks(), |piece, range| {
                // SAFETY: the sum of a piece belongs to one thread.
                #[allow(unsafe_code)]
                let dx = unsafe { dx.part(piece * p * e..(piece + 1) * p * e) };
                let mut logits = vec![0.0; p * BLOCK];
                for block in range {
                    let tokens = self.tokens(block);
                    let n = tokens.len();
                    // SAFETY: the rows of a block belong to one thread.
                    #[allow(unsafe_code)]
                    let (dtable, dbias) = unsafe {
                        (dtable.part(tokens.start * e..tokens.end * e), dbias.part(tokens.clone()))
                    };
                    self.logits(x, p, block, &mut logits);
                    dbias.fill(0.0);
                    for (i, row) in logits.chunks_exact_mut(n).take(p).enumerate() {
                        let label = self.labels[i];
                        scaled_softmax(row, &bias[tokens.clone()], logs[i], dloss);
                        if tokens.contains(&label) {
                            row[label - tokens.start] -= dloss;
                        }
                        for (total, own) in dbias.iter_mut().zip(row.iter()) {
                            *total += own;
                        }
                    }
                    let logits = Matrix::new(&logits[..p * n], n);
                    let rows = Matrix::new(&table[tokens.start * e..tokens.end * e], e);
                    let factors = self.factors;
                    let x = Matrix::new(x, e);
                    gemm(factors, [n, p, e], 1.0, logits.transposed(), x, 0.0, dtable, e);
                    gemm(factors, [p, n, e], 1.0, logits, rows, 1.0, dx, e);
                }
            });
        }
        let mut total = empty(&[p as i64, e as i64]);
        let sums = floats_mut(&mut total);
        sums.copy_from_slice(&dx[..p * e]);
        for piece in dx[p * e..].chunks_exact((p * e).max(1)) {
            for (sum, part) in sums.iter_mut().zip(piece) {
                *sum += part;
            }
        }
        [total, dtable, dbias]
    }
}

/// The sum of exponentials of a block, relative to the largest logit of the row.
fn weight(part: &BlockStats, max: f32) -> f64 {
    f64::from(part.sum) * f64::from(part.max - max).exp()
}

kernel! {
    /// Adds the bias to a row of logits. Returns the maximum, its index, and the sum of exponentials relative to it.
    fn row_stats(row: &mut [f32], bias: &[f32]) -> (f32, usize, f32) {
        let n = row.len();
        let bias = &bias[..n];
        for i in 0..n {
            row[i] += bias[i];
        }
        let max = max_of(row);
        let best = row.iter().position(|&logit| logit == max).unwrap_or(0);
        (max, best, sum(n, |i| exp(row[i] - max)))
    }
}

kernel! {
    /// A row of logits becomes its softmax times `factor`.
    fn scaled_softmax(row: &mut [f32], bias: &[f32], log: f32, factor: f32) {
        let n = row.len();
        let bias = &bias[..n];
        for i in 0..n {
            row[i] = exp(row[i] + bias[i] - log) * factor;
        }
    }
}
