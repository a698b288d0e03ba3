//! Softmax attention with dropout: scores of one head at a time, in the cache, never in memory as a whole.

use super::pieces::{for_pieces, rows_of};
use crate::{
    autograd::{attach, records},
    dropout::Dropout,
    gemm::{Factors, Matrix, gemm},
    half::{Elements, SharedElements, dense, empty_like},
    parallel::Shared,
    simd::{exp, kernel, largest, sum},
};
use std::sync::Arc;
use tch::{Kind, Tensor};

/// Queries whose scores are computed together: with 512 keys they are 256 KB, a quarter of a usual L2 cache.
const BLOCK: usize = 128;

/// Which rows of a batch are a sequence: positions see those of their own sequence alone. Rows of none (padding)
/// are skipped, and come out as zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    rows: usize,
    /// First row and length of each.
    spans: Vec<(usize, usize)>,
    /// Scores of one head before each sequence: where its dropout begins.
    scores: Vec<usize>,
}

impl Sequences {
    /// Sequences of `lengths`, the i-th from row `i * stride` on, as in a padded batch of that length.
    ///
    /// # Panics
    /// If a sequence is longer than `stride`.
    pub fn padded(lengths: &[usize], stride: usize) -> Self {
        assert!(lengths.iter().all(|&length| length <= stride), "a sequence fits into its rows");
        Self::new(
            lengths.iter().enumerate().map(|(i, &n)| (i * stride, n)).collect(),
            lengths.len() * stride,
        )
    }

    /// Sequences of `lengths`, one after the other, in a batch of `rows`.
    ///
    /// # Panics
    /// If they are longer than `rows` together.
    pub fn packed(lengths: &[usize], rows: usize) -> Self {
        let mut taken = 0;
        let spans = lengths
            .iter()
            .map(|&length| {
                taken += length;
                (taken - length, length)
            })
            .collect();
        assert!(taken <= rows, "the sequences fit into the rows");
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

/// Sizes, and the rest that forward and backward share.
#[derive(Clone)]
struct Job {
    sequences: Arc<Sequences>,
    heads: usize,
    /// Of a head.
    d: usize,
    drop: Dropout,
    factors: Factors,
}

/// One head of one sequence.
struct Task {
    head: usize,
    start: usize,
    length: usize,
    /// Of its first score, for dropout.
    place: usize,
}

impl Job {
    fn tasks(&self) -> usize {
        self.sequences.spans.len() * self.heads
    }

    fn task(&self, index: usize) -> Task {
        let (sequence, head) = (index / self.heads, index % self.heads);
        let (start, length) = self.sequences.spans[sequence];
        let place = self.sequences.scores[sequence] * self.heads + head * length * length;
        Task { head, start, length, place }
    }

    fn width(&self) -> usize {
        self.heads * self.d
    }

    /// A tensor of the kind of `like` for results, `width` wide: zeros where rows are of no sequence.
    fn written(&self, like: &Tensor, width: usize) -> Tensor {
        let rows = self.sequences.rows;
        let y = empty_like(like, &[rows as i64, width as i64]);
        let mut end = 0;
        // The rows before each sequence, and those behind the last one.
        for &(start, length) in self.sequences.spans.iter().chain(&[(rows, 0)]) {
            if start > end {
                let _ = y.narrow(0, end as i64, (start - end) as i64).zero_();
            }
            end = start + length;
        }
        y
    }

    /// A task's rows of columns from `column` on of `rows`, which are `width` wide, as floats: where they stand, or
    /// in `buffer`.
    fn head<'b>(
        &self,
        rows: Elements<'b>,
        width: usize,
        column: usize,
        task: &Task,
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

    /// Queries, keys and values of a task.
    fn load<'b>(
        &self,
        qkv: Elements<'b>,
        task: &Task,
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

/// `dropout(softmax(Q K^T / sqrt(d))) V` for each head, the heads side by side.
///
/// # Shapes
/// - `qkv_t3h`: `[t, 3 h]`, 32-bit floats or bfloat16: queries, keys and values of each row, each the heads side by
///   side. Result: `[t, h]` of the same kind. Of bfloat16 the weights of the softmax and the gradients of its scores are
///   rounded too, where they are multiplied; scores and sums are 32-bit floats.
///
/// Source: Vaswani et al. 2017, section 3.2. The backward pass computes scores again, from their logarithmic sums,
/// as Dao et al. 2022, section 3.1.
pub fn attention(
    qkv_t3h: &Tensor,
    sequences: &Arc<Sequences>,
    heads: usize,
    p: f64,
    train: bool,
) -> Tensor {
    let (rows, width) = rows_of(qkv_t3h);
    assert_eq!(rows, sequences.rows, "a row for each position");
    assert!(width.is_multiple_of(3 * heads), "queries, keys and values are divided among heads");
    let d = width / 3 / heads;
    let factors = match qkv_t3h.kind() {
        Kind::BFloat16 => Factors::Half,
        _ => Factors::Float,
    };
    let drop = Dropout::draw(p, train);
    let job = Job { sequences: Arc::clone(sequences), heads, d, drop, factors };
    let qkv = dense(qkv_t3h);
    let mut y = job.written(&qkv, heads * d);
    let mut logs = vec![0.0; rows * heads];
    forward(&job, Elements::of(&qkv), SharedElements::of(&mut y), &mut logs);
    if records(&[qkv_t3h]) {
        attach(&y, &[qkv_t3h], move |dy| {
            let mut dqkv = job.written(&qkv, width);
            let dy = dense(dy);
            let (qkv, dy) = (Elements::of(&qkv), Elements::of(&dy));
            backward(&job, qkv, dy, &logs, SharedElements::of(&mut dqkv));
            vec![Some(dqkv)]
        });
    }
    y
}

fn forward(job: &Job, qkv: Elements<'_>, y: SharedElements<'_>, logs: &mut [f32]) {
    let (d, width, factors) = (job.d, job.width(), job.factors);
    let scale = 1.0 / (d as f32).sqrt();
    let logs = Shared::new(logs);
    for_pieces(job.tasks(), |_, part| {
        let longest = job.sequences.longest();
        let (mut scores, mut mixed) = (vec![0.0; BLOCK * longest], vec![0.0; BLOCK * d]);
        let (mut buffers, mut buffer) = ([const { Vec::new() }; 3], Vec::new());
        for task in part.map(|index| job.task(index)) {
            let n = task.length;
            let [q, k, v] = job.load(qkv, &task, &mut buffers);
            for from in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - from);
                let scores = &mut scores[..m * n];
                gemm(factors, [m, d, n], scale, q.rows_from(from), k.turned(), 0.0, scores, n);
                for (i, row) in scores.chunks_exact_mut(n).enumerate() {
                    let at = (task.start + from + i) * job.heads + task.head;
                    // SAFETY: a row of a head is one thread's.
                    #[allow(unsafe_code)]
                    let log = unsafe { logs.part(at..at + 1) };
                    let place = (task.place + (from + i) * n) as u32;
                    log[0] = softmax(row, &job.drop, place);
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
    job: &Job,
    qkv: Elements<'_>,
    dy: Elements<'_>,
    logs: &[f32],
    dqkv: SharedElements<'_>,
) {
    let (d, width, factors) = (job.d, job.width(), job.factors);
    let scale = 1.0 / (d as f32).sqrt();
    for_pieces(job.tasks(), |_, part| {
        let longest = job.sequences.longest();
        let mut weights = vec![0.0; BLOCK * longest];
        let mut slopes = vec![0.0; BLOCK * longest];
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; longest * d]);
        let (mut buffers, mut dy_buffer) = ([const { Vec::new() }; 3], Vec::new());
        let mut buffer = Vec::new();
        for task in part.map(|index| job.task(index)) {
            let n = task.length;
            let [q, k, v] = job.load(qkv, &task, &mut buffers);
            let dy = job.head(dy, width, 0, &task, &mut dy_buffer);
            for from in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - from);
                let (weights, slopes) = (&mut weights[..m * n], &mut slopes[..m * n]);
                let (q, dy) = (q.rows_from(from), dy.rows_from(from));
                gemm(factors, [m, d, n], scale, q, k.turned(), 0.0, weights, n);
                gemm(factors, [m, d, n], 1.0, dy, v.turned(), 0.0, slopes, n);
                let rows = weights.chunks_exact_mut(n).zip(slopes.chunks_exact_mut(n));
                for (i, (weights, slopes)) in rows.enumerate() {
                    let log = logs[(task.start + from + i) * job.heads + task.head];
                    let place = (task.place + (from + i) * n) as u32;
                    softmax_backward(weights, slopes, log, &job.drop, place);
                }
                let beta = if from == 0 { 0.0 } else { 1.0 };
                let (weights, slopes) = (Matrix::new(weights, n), Matrix::new(slopes, n));
                gemm(factors, [n, m, d], 1.0, weights.turned(), dy, beta, &mut dv, d);
                gemm(factors, [m, n, d], scale, slopes, k, 0.0, &mut dq[from * d..], d);
                gemm(factors, [n, m, d], scale, slopes.turned(), q, beta, &mut dk, d);
            }
            for (which, gradient) in [&dq, &dk, &dv].into_iter().enumerate() {
                for (i, row) in gradient.chunks_exact(d).take(n).enumerate() {
                    let at = (task.start + i) * 3 * width + which * width + task.head * d;
                    // SAFETY: a row of a head is one thread's.
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
    /// A row of scores to weights, dropped out; the result is the logarithm of its sum.
    fn softmax(scores: &mut [f32], drop: &Dropout, place: u32) -> f32 {
        let n = scores.len();
        let most = largest(scores);
        for score in scores.iter_mut() {
            *score = exp(*score - most);
        }
        let total = sum(n, |i| scores[i]);
        let share = 1.0 / total;
        if drop.is_identity() {
            for score in scores.iter_mut() {
                *score *= share;
            }
        } else {
            for i in 0..n {
                scores[i] *= share * drop.factor(place.wrapping_add(i as u32));
            }
        }
        most + total.ln()
    }
}

kernel! {
    /// A row: scores become weights, dropped out; gradients of those become gradients of the scores.
    fn softmax_backward(scores: &mut [f32], slopes: &mut [f32], log: f32, drop: &Dropout, place: u32) {
        let n = scores.len();
        let slopes = &mut slopes[..n];
        for score in scores.iter_mut() {
            *score = exp(*score - log);
        }
        if drop.is_identity() {
            let mean = sum(n, |i| scores[i] * slopes[i]);
            for i in 0..n {
                slopes[i] = scores[i] * (slopes[i] - mean);
            }
        } else {
            for i in 0..n {
                slopes[i] *= drop.factor(place.wrapping_add(i as u32));
            }
            let mean = sum(n, |i| scores[i] * slopes[i]);
            for i in 0..n {
                slopes[i] = scores[i] * (slopes[i] - mean);
                scores[i] *= drop.factor(place.wrapping_add(i as u32));
            }
        }
    }
}
