//! Softmax attention with dropout. Scores are computed for one head and a block of queries at a time, so that they stay
//! in the cache.

use super::pieces::{for_pieces, rows_of};
use crate::{
    autograd::{attach, requires_grad},
    dropout::Dropout,
    gemm::{Factors, Matrix, gemm},
    half::{Elements, SharedElements, dense, empty_like},
    parallel::Shared,
    simd::{exp, kernel, max_of, sum},
};
use std::sync::Arc;
use tch::{Kind, Tensor};

/// Queries per block: with 512 keys the scores take 256 KB, a quarter of a typical L2 cache.
const BLOCK: usize = 128;

/// The rows of a batch that form each sequence. Positions attend only to their own sequence. Rows outside any sequence
/// (padding) are skipped; their outputs are zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    rows: usize,
    /// First row and length of each sequence.
    spans: Vec<(usize, usize)>,
    /// Number of scores of one head before each sequence: the offset of its dropout.
    scores: Vec<usize>,
}

impl Sequences {
    /// A padded batch: sequence `i` starts at row `i * stride`.
    ///
    /// # Panics
    /// If a sequence is longer than `stride`.
    pub fn padded(lengths: &[usize], stride: usize) -> Self {
        assert!(
            lengths.iter().all(|&length| length <= stride),
            "a sequence is longer than the stride"
        );
        Self::new(
            lengths.iter().enumerate().map(|(i, &n)| (i * stride, n)).collect(),
            lengths.len() * stride,
        )
    }

    /// A packed batch of `rows`: the sequences follow one another without padding.
    ///
    /// # Panics
    /// If the total length exceeds `rows`.
    pub fn packed(lengths: &[usize], rows: usize) -> Self {
        let mut taken = 0;
        let spans = lengths
            .iter()
            .map(|&length| {
                taken += length;
                (taken - length, length)
            })
            .collect();
        assert!(taken <= rows, "the sequences are longer than the batch");
        Self::new(spans, rows)
    }

    fn new(mut spans: Vec<(usize, usize)>, rows: usize) -> Self {
        // An empty sequence attends to nothing.
        spans.retain(|&(_, length)| length > 0);
        let mut before = 0;
        let scores = spans
            .iter()
            .map(|(_, length)| {
                before += length * length;
                before - length * length
            })
            .collect();
        Self { rows, spans, scores }
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn longest(&self) -> usize {
        self.spans.iter().map(|span| span.1).max().unwrap_or(0)
    }
}

/// The arguments that forward and backward inverse.
#[derive(Clone)]
struct Arguments {
    sequences: Arc<Sequences>,
    heads: usize,
    /// Size of a head.
    d: usize,
    drop: Dropout,
    factors: Factors,
}

/// One head of one sequence.
struct HeadTask {
    head: usize,
    start: usize,
    length: usize,
    /// Index of its first score, for dropout.
    first_score: usize,
}

impl Arguments {
    fn tasks(&self) -> usize {
        self.sequences.spans.len() * self.heads
    }

    fn task(&self, index: usize) -> HeadTask {
        let (sequence, head) = (index / self.heads, index % self.heads);
        let (start, length) = self.sequences.spans[sequence];
        let first_score = self.sequences.scores[sequence] * self.heads + head * length * length;
        HeadTask { head, start, length, first_score }
    }

    fn width(&self) -> usize {
        self.heads * self.d
    }

    /// A result tensor of the kind of `like`, `width` wide. Rows outside the sequences are zeros, the rest uninitialized.
    fn output(&self, like: &Tensor, width: usize) -> Tensor {
        let rows = self.sequences.rows;
        let y = empty_like(like, &[rows as i64, width as i64]);
        let mut end = 0;
        // The rows before each sequence, and those after the last one.
        for &(start, length) in self.sequences.spans.iter().chain(&[(rows, 0)]) {
            if start > end {
                let _ = y.narrow(0, end as i64, (start - end) as i64).zero_();
            }
            end = start + length;
        }
        y
    }

    /// The columns of a task's head, from `column` on, in `rows` of width `width`. `f32` is used in start; bfloat16 is
    /// converted into `buffer`.
    fn head<'b>(
        &self,
        rows: Elements<'b>,
        width: usize,
        column: usize,
        task: &HeadTask,
        buffer: &'b mut Vec<f32>,
    ) -> Matrix<'b> {
        let at = |row: usize| (task.start + row) * width + column + task.head * self.d;
        if let Elements::Float(all) = rows {
            return Matrix::new(&all[at(0)..], width);
        }
        buffer.resize(task.length * self.d, 0.0);
        let mut row = Vec::new();
        for (i, out) in buffer.chunks_exact_mut(self.d).enumerate() {
            out.copy_from_slice(rows.read(at(i)..at(i) + self.d, &mut row));
        }
        Matrix::new(buffer, self.d)
    }

    /// The queries, keys and values of a task.
    fn load<'b>(
        &self,
        qkv: Elements<'b>,
        task: &HeadTask,
        buffers: &'b mut [Vec<f32>; 3],
    ) -> [Matrix<'b>; 3] {
        let mut column = 0;
        buffers.each_mut().map(|buffer| {
            let part = self.head(qkv, 3 * self.width(), column, task, buffer);
            column += self.width();
            part
        })
    }
}

/// Multi-head attention: `dropout(softmax(Q K^T / sqrt(d))) V` for each head.
///
/// # Shapes
/// - `qkv_t3h`: `[t, 3 h]`, `f32` or bfloat16: the concatenated queries, keys and values of each row, each with its
///   heads concatenated. Result: `[t, h]` of the same kind. With bfloat16, attention weights and the gradients of scores
///   are also rounded before they are multiplied; scores and sums are `f32`.
///
/// Source: Vaswani et al. 2017, section 3.2. The backward pass recomputes scores from their log-sum-exp, as in Dao et
/// al. 2022, section 3.1.
pub fn attention(
    qkv_t3h: &Tensor,
    sequences: &Arc<Sequences>,
    heads: usize,
    p: f64,
    train: bool,
) -> Tensor {
    let (rows, width) = rows_of(qkv_t3h);
    assert_eq!(rows, sequences.rows, "the sequences must describe the rows of the batch");
    assert!(width.is_multiple_of(3 * heads), "the width must be a multiple of 3 heads");
    let d = width / 3 / heads;
    let factors = match qkv_t3h.kind() {
        Kind::BFloat16 => Factors::Half,
        _ => Factors::Float,
    };
    let drop = Dropout::draw(p, train);
    let args = Arguments { sequences: Arc::clone(sequences), heads, d, drop, factors };
    let qkv = dense(qkv_t3h);
    let mut y = args.output(&qkv, heads * d);
    let mut logs = vec![0.0; rows * heads];
    forward(&args, Elements::of(&qkv), SharedElements::of(&mut y), &mut logs);
    if requires_grad(&[qkv_t3h]) {
        attach(&y, &[qkv_t3h], move |dy| {
            let mut dqkv = args.output(&qkv, width);
            let dy = dense(dy);
            let (qkv, dy) = (Elements::of(&qkv), Elements::of(&dy));
            backward(&args, qkv, dy, &logs, SharedElements::of(&mut dqkv));
            vec![Some(dqkv)]
        });
    }
    y
}

fn forward(args: &Arguments, qkv: Elements<'_>, y: SharedElements<'_>, logs: &mut [f32]) {
    let (d, width, factors) = (args.d, args.width(), args.factors);
    let scale = 1.0 / (d as f32).sqrt();
    let logs = Shared::new(logs);
    for_pieces(args.tasks(), |_, part| {
        let longest = args.sequences.longest();
        let (mut scores, mut mixed) = (vec![0.0; BLOCK * longest], vec![0.0; BLOCK * d]);
        let (mut buffers, mut buffer) = ([const { Vec::new() }; 3], Vec::new());
        for task in part.map(|index| args.task(index)) {
            let n = task.length;
            let [q, k, v] = args.load(qkv, &task, &mut buffers);
            for from in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - from);
                let scores = &mut scores[..m * n];
                gemm(factors, [m, d, n], scale, q.rows_from(from), k.transposed(), 0.0, scores, n);
                for (i, row) in scores.chunks_exact_mut(n).enumerate() {
                    let at = (task.start + from + i) * args.heads + task.head;
                    // SAFETY: each row of a head belongs to one thread.
                    #[allow(unsafe_code)]
                    let log = unsafe { logs.part(at..at + 1) };
                    let index = (task.first_score + (from + i) * n) as u32;
                    log[0] = softmax(row, &args.drop, index);
                }
                gemm(factors, [m, n, d], 1.0, Matrix::new(scores, n), v, 0.0, &mut mixed, d);
                for (i, row) in mixed.chunks_exact(d).take(m).enumerate() {
                    let at = (task.start + from + i) * width + task.head * d;
                    // SAFETY: as above.
                    #[allow(unsafe_code)]
                    unsafe {
                        y.write(at..at + d, &mut buffer, |y| y.copy_from_slice(row));
                    }
                }
            }
        }
    });
}

fn backward(
    args: &Arguments,
    qkv: Elements<'_>,
    dy: Elements<'_>,
    logs: &[f32],
    dqkv: SharedElements<'_>,
) {
    let (d, width, factors) = (args.d, args.width(), args.factors);
    let scale = 1.0 / (d as f32).sqrt();
    for_pieces(args.tasks(), |_, part| {
        let longest = args.sequences.longest();
        let mut weights = vec![0.0; BLOCK * longest];
        let mut grads = vec![0.0; BLOCK * longest];
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; longest * d]);
        let (mut buffers, mut dy_buffer) = ([const { Vec::new() }; 3], Vec::new());
        let mut buffer = Vec::new();
        for task in part.map(|index| args.task(index)) {
            let n = task.length;
            let [q, k, v] = args.load(qkv, &task, &mut buffers);
            let dy = args.head(dy, width, 0, &task, &mut dy_buffer);
            for from in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - from);
                let (weights, grads) = (&mut weights[..m * n], &mut grads[..m * n]);
                let (q, dy) = (q.rows_from(from), dy.rows_from(from));
                gemm(factors, [m, d, n], scale, q, k.transposed(), 0.0, weights, n);
                gemm(factors, [m, d, n], 1.0, dy, v.transposed(), 0.0, grads, n);
                let rows = weights.chunks_exact_mut(n).zip(grads.chunks_exact_mut(n));
                for (i, (weights, grads)) in rows.enumerate() {
                    let log = logs[(task.start + from + i) * args.heads + task.head];
                    let index = (task.first_score + (from + i) * n) as u32;
                    softmax_backward(weights, grads, log, &args.drop, index);
                }
                let beta = if from == 0 { 0.0 } else { 1.0 };
                let (weights, grads) = (Matrix::new(weights, n), Matrix::new(grads, n));
                gemm(factors, [n, m, d], 1.0, weights.transposed(), dy, beta, &mut dv, d);
                gemm(factors, [m, n, d], scale, grads, k, 0.0, &mut dq[from * d..], d);
                gemm(factors, [n, m, d], scale, grads.transposed(), q, beta, &mut dk, d);
            }
            for (which, gradient) in [&dq, &dk, &dv].into_iter().enumerate() {
                for (i, row) in gradient.chunks_exact(d).take(n).enumerate() {
                    let at = (task.start + i) * 3 * width + which * width + task.head * d;
                    // SAFETY: each row of a head belongs to one thread.
                    #[allow(unsafe_code)]
                    unsafe {
                        dqkv.write(at..at + d, &mut buffer, |dqkv| dqkv.copy_from_slice(row));
                    }
                }
            }
        }
    });
}

kernel! {
    /// One row: scores become attention weights after dropout. Returns the log-sum-exp of the scores.
    fn softmax(scores: &mut [f32], drop: &Dropout, start: u32) -> f32 {
        let n = scores.len();
        let max = max_of(scores);
        for score in scores.iter_mut() {
            *score = exp(*score - max);
        }
        let total = sum(n, |i| scores[i]);
        let inverse = 1.0 / total;
        if drop.is_identity() {
            for score in scores.iter_mut() {
                *score *= inverse;
            }
        } else {
            for i in 0..n {
                scores[i] *= inverse * drop.factor(start.wrapping_add(i as u32));
            }
        }
        max + total.ln()
    }
}

kernel! {
    /// One row: scores become attention weights after dropout, and the gradients of the weights become those of the
    /// scores.
    fn softmax_backward(scores: &mut [f32], grads: &mut [f32], log: f32, drop: &Dropout, start: u32) {
        let n = scores.len();
        let grads = &mut grads[..n];
        for score in scores.iter_mut() {
            *score = exp(*score - log);
        }
        if drop.is_identity() {
            let mean = sum(n, |i| scores[i] * grads[i]);
            for i in 0..n {
                grads[i] = scores[i] * (grads[i] - mean);
            }
        } else {
            for i in 0..n {
                grads[i] *= drop.factor(start.wrapping_add(i as u32));
            }
            let mean = sum(n, |i| scores[i] * grads[i]);
            for i in 0..n {
                grads[i] = scores[i] * (grads[i] - mean);
                scores[i] *= drop.factor(start.wrapping_add(i as u32));
            }
        }
    }
}
