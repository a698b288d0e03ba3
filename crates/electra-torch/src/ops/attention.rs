//! Softmax attention with dropout: scores of one head at a time, in the cache, never in memory as a whole.

use super::for_pieces;
use crate::{
    autograd::{attach, records},
    dropout::Dropout,
    floats::{contiguous, empty, floats, floats_mut},
    gemm::{Matrix, gemm},
    parallel::Shared,
    simd::{exp, kernel, largest, sum},
};
use std::sync::Arc;
use tch::Tensor;

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

    /// Sequences of `lengths`, one after the other.
    pub fn packed(lengths: &[usize]) -> Self {
        let mut rows = 0;
        let spans = lengths
            .iter()
            .map(|&length| {
                rows += length;
                (rows - length, length)
            })
            .collect();
        Self::new(spans, rows)
    }

    fn new(spans: Vec<(usize, usize)>, rows: usize) -> Self {
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

    /// A task's rows of queries (0), keys (1) or values (2), from its row `from` on.
    fn part<'a>(&self, qkv: &'a [f32], which: usize, task: &Task, from: usize) -> Matrix<'a> {
        let stride = 3 * self.width();
        let at = (task.start + from) * stride + which * self.width() + task.head * self.d;
        Matrix::new(&qkv[at..], stride)
    }
}

/// `dropout(softmax(Q K^T / sqrt(d))) V` for each head, the heads side by side.
///
/// # Shapes
/// - `qkv_t3h`: `[t, 3 h]`: queries, keys and values of each row, each the heads side by side. Result: `[t, h]`.
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
    let (rows, width) = super::rows_of(qkv_t3h);
    assert_eq!(rows, sequences.rows, "a row for each position");
    assert!(width.is_multiple_of(3 * heads), "queries, keys and values are divided among heads");
    let d = width / 3 / heads;
    let job = Job { sequences: Arc::clone(sequences), heads, d, drop: Dropout::draw(p, train) };
    let qkv = contiguous(qkv_t3h);
    let mut y =
        Tensor::zeros([rows as i64, (heads * d) as i64], (tch::Kind::Float, tch::Device::Cpu));
    let mut logs = vec![0.0; rows * heads];
    forward(&job, floats(&qkv), floats_mut(&mut y), &mut logs);
    if records(&[qkv_t3h]) {
        attach(&y, &[qkv_t3h], move |dy| {
            let mut dqkv =
                match job.sequences.spans.iter().map(|span| span.1).sum::<usize>() == rows {
                    true => empty(&[rows as i64, width as i64]),
                    false => qkv.zeros_like(),
                };
            backward(&job, floats(&qkv), floats(&contiguous(dy)), &logs, floats_mut(&mut dqkv));
            vec![Some(dqkv)]
        });
    }
    y
}

fn forward(job: &Job, qkv: &[f32], y: &mut [f32], logs: &mut [f32]) {
    let (d, width) = (job.d, job.width());
    let scale = 1.0 / (d as f32).sqrt();
    let (y, logs) = (Shared::new(y), Shared::new(logs));
    for_pieces(job.tasks(), |_, part| {
        let longest = job.sequences.longest();
        let (mut scores, mut mixed) = (vec![0.0; BLOCK * longest], vec![0.0; BLOCK * d]);
        for task in part.map(|index| job.task(index)) {
            let n = task.length;
            for from in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - from);
                let scores = &mut scores[..m * n];
                let (q, k, v) = (
                    job.part(qkv, 0, &task, from),
                    job.part(qkv, 1, &task, 0),
                    job.part(qkv, 2, &task, 0),
                );
                gemm([m, d, n], scale, q, k.turned(), 0.0, scores, n);
                for (i, row) in scores.chunks_exact_mut(n).enumerate() {
                    let at = (task.start + from + i) * job.heads + task.head;
                    // SAFETY: a row of a head is one thread's.
                    #[allow(unsafe_code)]
                    let log = unsafe { logs.part(at..at + 1) };
                    let place = (task.place + (from + i) * n) as u32;
                    log[0] = softmax(row, &job.drop, place);
                }
                gemm([m, n, d], 1.0, Matrix::new(scores, n), v, 0.0, &mut mixed, d);
                for (i, row) in mixed.chunks_exact(d).take(m).enumerate() {
                    let at = (task.start + from + i) * width + task.head * d;
                    // SAFETY: as above.
                    #[allow(unsafe_code)]
                    unsafe { y.part(at..at + d) }.copy_from_slice(row);
                }
            }
        }
    });
}

fn backward(job: &Job, qkv: &[f32], dy: &[f32], logs: &[f32], dqkv: &mut [f32]) {
    let (d, width) = (job.d, job.width());
    let scale = 1.0 / (d as f32).sqrt();
    let dqkv = Shared::new(dqkv);
    for_pieces(job.tasks(), |_, part| {
        let longest = job.sequences.longest();
        let mut weights = vec![0.0; BLOCK * longest];
        let mut slopes = vec![0.0; BLOCK * longest];
        let mut dq = vec![0.0; longest * d];
        let mut dk = vec![0.0; longest * d];
        let mut dv = vec![0.0; longest * d];
        for task in part.map(|index| job.task(index)) {
            let n = task.length;
            for from in (0..n).step_by(BLOCK) {
                let m = BLOCK.min(n - from);
                let (weights, slopes) = (&mut weights[..m * n], &mut slopes[..m * n]);
                let (q, k, v) = (
                    job.part(qkv, 0, &task, from),
                    job.part(qkv, 1, &task, 0),
                    job.part(qkv, 2, &task, 0),
                );
                let dy = Matrix::new(&dy[(task.start + from) * width + task.head * d..], width);
                gemm([m, d, n], scale, q, k.turned(), 0.0, weights, n);
                gemm([m, d, n], 1.0, dy, v.turned(), 0.0, slopes, n);
                let rows = weights.chunks_exact_mut(n).zip(slopes.chunks_exact_mut(n));
                for (i, (weights, slopes)) in rows.enumerate() {
                    let log = logs[(task.start + from + i) * job.heads + task.head];
                    let place = (task.place + (from + i) * n) as u32;
                    softmax_backward(weights, slopes, log, &job.drop, place);
                }
                let beta = if from == 0 { 0.0 } else { 1.0 };
                let (weights, slopes) = (Matrix::new(weights, n), Matrix::new(slopes, n));
                gemm([n, m, d], 1.0, weights.turned(), dy, beta, &mut dv, d);
                gemm([m, n, d], scale, slopes, k, 0.0, &mut dq[from * d..], d);
                gemm([n, m, d], scale, slopes.turned(), q, beta, &mut dk, d);
            }
            for (which, gradient) in [&dq, &dk, &dv].into_iter().enumerate() {
                for (i, row) in gradient.chunks_exact(d).take(n).enumerate() {
                    let at = (task.start + i) * 3 * width + which * width + task.head * d;
                    // SAFETY: a row of a head is one thread's.
                    #[allow(unsafe_code)]
                    unsafe { dqkv.part(at..at + d) }.copy_from_slice(row);
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
