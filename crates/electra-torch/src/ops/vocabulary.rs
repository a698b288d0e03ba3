//! The output layer over a vocabulary with its softmax, loss, sampling and gradient, block by block: the matrix of
//! logits, the largest of a pre-training step, never stands in memory.

use super::pieces::{for_pieces, pieces, rows_of};
use crate::{
    autograd::{attach, records},
    floats::{contiguous, empty, floats, floats_mut},
    gemm::{Factors, Matrix, gemm},
    parallel::Shared,
    simd::{exp, kernel, largest, sum},
};
use tch::{Kind, Tensor};

/// Tokens of a block: the logits of some hundred positions over it fit a core's cache.
const BLOCK: usize = 256;

/// What comes of an output layer; positions are rows.
#[derive(Debug)]
pub struct Prediction {
    /// Sum of the losses; its gradient goes to the features, the table and the bias.
    pub loss: Tensor,
    /// `-log softmax(logits)[label]` of each position, `[p]`, without a gradient.
    pub losses_p: Tensor,
    /// A token drawn from each softmax, `[p]` int64.
    pub sampled_p: Tensor,
    /// The likeliest token, `[p]` int64.
    pub best_p: Tensor,
}

/// What the rows of logits over one block come to.
#[derive(Clone, Copy, Default)]
struct Part {
    most: f32,
    best: usize,
    /// Of `exp(logit - most)`.
    sum: f32,
}

/// What the layer is computed from, kept for the backward pass.
struct Saved {
    x_pe: Tensor,
    table_ve: Tensor,
    bias_v: Tensor,
    labels: Vec<usize>,
    factors: Factors,
}

/// The same as slices, which threads can share.
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

/// `softmax(x table^T + bias)`: the loss against `labels_p`, and tokens drawn by inverting the cumulative
/// distribution at `uniforms_p`.
///
/// # Shapes
/// - `x_pe`: `[p, e]`, `table_ve`: `[v, e]`, `bias_v`: `[v]`, floats; where `x_pe` is bfloat16, the table is rounded
///   to it, and so are the gradients of the logits where they are multiplied; `labels_p`: `[p]` int64 below `v`;
///   `uniforms_p`: `[p]` in [0, 1).
///
/// # Panics
/// On shapes that do not fit and labels outside the vocabulary.
///
/// Source: the loss of Devlin et al. 2019 and the sampling of Clark et al. 2020, section 3. Logits are computed again
/// in the backward pass, from their logarithmic sums.
pub fn predict_tokens(
    x_pe: &Tensor,
    table_ve: &Tensor,
    bias_v: &Tensor,
    labels_p: &Tensor,
    uniforms_p: &Tensor,
) -> Prediction {
    let (p, e) = rows_of(x_pe);
    let v = bias_v.numel();
    assert_eq!(table_ve.size(), [v as i64, e as i64], "a row of the table for each token");
    let labels: Vec<i64> = Vec::try_from(labels_p).expect("labels are integers");
    let uniforms: Vec<f32> = Vec::try_from(uniforms_p).expect("uniforms are floats");
    assert!(labels.len() == p && uniforms.len() == p, "a label and a number for each position");
    let labels: Vec<usize> = labels
        .into_iter()
        .map(|label| usize::try_from(label).ok().filter(|&l| l < v).expect("a label is a token"))
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
    // In 64 bits: a sum over hundreds of positions.
    let total: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
    let loss = Tensor::from(total as f32);
    if records(&inputs) {
        let logs: Vec<f32> = rows.iter().map(|row| row.log).collect();
        attach(&loss, &inputs, move |slope| {
            saved.layer().gradients(&logs, slope.double_value(&[]) as f32).map(Some).into()
        });
    }
    Prediction {
        loss,
        losses_p: Tensor::from_slice(&losses),
        sampled_p: Tensor::from_slice(&sampled),
        best_p: Tensor::from_slice(&best),
    }
}

/// A row of logits as a whole.
struct Row {
    most: f32,
    best: usize,
    /// Logarithm of the sum of exponentials.
    log: f32,
}

impl Layer<'_> {
    fn blocks(&self) -> usize {
        self.v.div_ceil(BLOCK)
    }

    fn tokens(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(self.v)
    }

    /// Logits of the rows from `x` on over a block, without the bias.
    fn logits(&self, x: &[f32], rows: usize, block: usize, logits: &mut [f32]) {
        let (tokens, e) = (self.tokens(block), self.e);
        let table = Matrix::new(&self.table[tokens.start * e..tokens.end * e], e);
        gemm(
            self.factors,
            [rows, e, tokens.len()],
            1.0,
            Matrix::new(x, e),
            table.turned(),
            0.0,
            logits,
            tokens.len(),
        );
    }

    /// What each row comes to over each block (`parts[block * p + row]`), and the logits of the labels.
    fn sums(&self) -> (Vec<Part>, Vec<f32>) {
        let mut parts = vec![Part::default(); self.blocks() * self.p];
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
                        let (most, best, sum) = summary(row, &bias[tokens.clone()]);
                        let place = block * self.p + i;
                        // SAFETY: a block's parts are one thread's.
                        #[allow(unsafe_code)]
                        let part = unsafe { parts.part(place..place + 1) };
                        part[0] = Part { most, best: tokens.start + best, sum };
                        if tokens.contains(&self.labels[i]) {
                            // SAFETY: a label is in one block.
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

    fn combine(&self, parts: &[Part]) -> Vec<Row> {
        (0..self.p)
            .map(|i| {
                let own = || parts[i..].iter().step_by(self.p);
                let first = own().fold(parts[i], |a, &b| if b.most > a.most { b } else { a });
                let total: f64 = own().map(|part| weight(part, first.most)).sum();
                Row { most: first.most, best: first.best, log: first.most + total.ln() as f32 }
            })
            .collect()
    }

    /// The first token of each row whose cumulative probability exceeds its number, so that a token of probability 0
    /// is never drawn.
    fn sample(&self, parts: &[Part], rows: &[Row], uniforms: &[f32]) -> Vec<i64> {
        let mut sampled = vec![0i64; self.p];
        {
            let sampled = Shared::new(&mut sampled);
            let (x, bias) = (self.x, self.bias);
            for_pieces(self.p, |_, range| {
                let mut logits = vec![0.0; BLOCK];
                for i in range {
                    let own =
                        || parts[i..].iter().step_by(self.p).map(|part| weight(part, rows[i].most));
                    let mut rest = f64::from(uniforms[i]) * own().sum::<f64>();
                    let mut block = 0;
                    for (place, weight) in own().enumerate() {
                        if weight > 0.0 {
                            block = place;
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
                    for (place, (logit, bias)) in row.iter().zip(&bias[tokens.clone()]).enumerate()
                    {
                        let weight = f64::from(logit + bias - rows[i].most).exp();
                        if weight > 0.0 {
                            token = tokens.start + place;
                            if rest < weight {
                                break;
                            }
                        }
                        rest -= weight;
                    }
                    // SAFETY: a row is one thread's.
                    #[allow(unsafe_code)]
                    let place = unsafe { sampled.part(i..i + 1) };
                    place[0] = token as i64;
                }
            });
        }
        sampled
    }

    /// Of features, table and bias, for a loss whose own gradient is `slope`.
    fn gradients(&self, logs: &[f32], slope: f32) -> [Tensor; 3] {
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
                // SAFETY: a piece's sum is one thread's.
                #[allow(unsafe_code)]
                let dx = unsafe { dx.part(piece * p * e..(piece + 1) * p * e) };
                let mut logits = vec![0.0; p * BLOCK];
                for block in range {
                    let tokens = self.tokens(block);
                    let n = tokens.len();
                    // SAFETY: a block's rows are one thread's.
                    #[allow(unsafe_code)]
                    let (dtable, dbias) = unsafe {
                        (dtable.part(tokens.start * e..tokens.end * e), dbias.part(tokens.clone()))
                    };
                    self.logits(x, p, block, &mut logits);
                    dbias.fill(0.0);
                    for (i, row) in logits.chunks_exact_mut(n).take(p).enumerate() {
                        let label = self.labels[i];
                        slopes(row, &bias[tokens.clone()], logs[i], slope);
                        if tokens.contains(&label) {
                            row[label - tokens.start] -= slope;
                        }
                        for (total, own) in dbias.iter_mut().zip(row.iter()) {
                            *total += own;
                        }
                    }
                    let logits = Matrix::new(&logits[..p * n], n);
                    let rows = Matrix::new(&table[tokens.start * e..tokens.end * e], e);
                    let factors = self.factors;
                    let x = Matrix::new(x, e);
                    gemm(factors, [n, p, e], 1.0, logits.turned(), x, 0.0, dtable, e);
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

/// A part's share of its row's sum, relative to the row's largest logit.
fn weight(part: &Part, most: f32) -> f64 {
    f64::from(part.sum) * f64::from(part.most - most).exp()
}

kernel! {
    /// Adds the bias to a row of logits; their largest, its place, and the sum of exponentials relative to it.
    fn summary(row: &mut [f32], bias: &[f32]) -> (f32, usize, f32) {
        let n = row.len();
        let bias = &bias[..n];
        for i in 0..n {
            row[i] += bias[i];
        }
        let most = largest(row);
        let best = row.iter().position(|&logit| logit == most).unwrap_or(0);
        (most, best, sum(n, |i| exp(row[i] - most)))
    }
}

kernel! {
    /// A row of logits becomes the softmax times `slope`.
    fn slopes(row: &mut [f32], bias: &[f32], log: f32, slope: f32) {
        let n = row.len();
        let bias = &bias[..n];
        for i in 0..n {
            row[i] = exp(row[i] + bias[i] - log) * slope;
        }
    }
}
