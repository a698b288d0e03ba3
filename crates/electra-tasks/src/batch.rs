//! From texts to padded batches: encoding, truncation, the order of an epoch.

use crate::{Error, Result, problem::Order, task::Example};
use electra_data::rng::{CounterRng, Purpose};
use electra_model::{EncoderInput, PaddingMask, Row};
use electra_tokenize::Tokenizer;
use electra_torch::upload;
use electra_train::{objective::Batch, trainer::Source};
use std::{ops::Range, sync::Arc, time::Duration};
use tch::{Device, Tensor};

/// Token ids of one input, special tokens included, with its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature<T> {
    /// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
    pub ids: Vec<u32>,
    /// Where segment 1 (`b [SEP]`) begins; the length where there is no second text.
    pub segment_b_start: usize,
    /// What the head learns from.
    pub target: T,
}

/// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, cut to `max_length` tokens.
///
/// A pair loses tokens from the end of its longer text (of the second where they are equally long).
///
/// # Errors
/// If the tokenizer cannot read a text.
///
/// Source: reference `finetune/classification/classification_tasks.py`, `_truncate_seq_pair`.
pub fn encode<T>(
    tokenizer: &dyn Tokenizer,
    text_a: &str,
    text_b: Option<&str>,
    max_length: usize,
    target: T,
) -> Result<Feature<T>> {
    let special = tokenizer.vocab().special();
    let (cls, sep) = (special.cls, special.sep);
    let mut ids = vec![cls];
    tokenizer.encode_into(text_a, &mut ids)?;
    let Some(text_b) = text_b else {
        ids.truncate(max_length - 1);
        ids.push(sep);
        ids.shrink_to_fit();
        let segment_b_start = ids.len();
        return Ok(Feature { ids, segment_b_start, target });
    };
    let b = tokenizer.encode(text_b)?;
    let (kept_a, kept_b) = truncated(ids.len() - 1, b.len(), max_length - 3);
    ids.truncate(1 + kept_a);
    ids.push(sep);
    let segment_b_start = ids.len();
    ids.extend_from_slice(&b[..kept_b]);
    ids.push(sep);
    // All of a data set's inputs are held, and cut texts were longer.
    ids.shrink_to_fit();
    Ok(Feature { ids, segment_b_start, target })
}

/// Lengths of a pair after taking tokens one by one from the longer text until both fit in `room`.
fn truncated(a: usize, b: usize, room: usize) -> (usize, usize) {
    if a + b <= room {
        return (a, b);
    }
    // Where both are cut they end equally long, or `a` one longer.
    let b_kept = b.min((room / 2).max(room.saturating_sub(a)));
    (room - b_kept, b_kept)
}

/// [`encode`] of a task's examples, on all of rayon's threads.
///
/// # Errors
/// If the tokenizer cannot read a text.
pub fn encode_examples<T: Clone + Send + Sync>(
    tokenizer: &dyn Tokenizer,
    examples: &[Example<T>],
    max_length: usize,
) -> Result<Vec<Arc<Feature<T>>>> {
    use rayon::prelude::*;
    let encode = |example: &Example<T>| {
        let (a, b) = (example.text_a.as_str(), example.text_b.as_deref());
        encode(tokenizer, a, b, max_length, example.target.clone()).map(Arc::new)
    };
    examples.par_iter().map(encode).collect()
}

/// Inputs of one forward pass; laid out as tensors, padded to the longest, when it is run.
#[derive(Clone, Debug)]
pub struct TaskBatch<T> {
    rows: Vec<Arc<Feature<T>>>,
}

/// The tensors of a [`TaskBatch`].
#[derive(Debug)]
pub struct Inputs {
    /// What the encoder reads, `[b, s]`.
    pub encoder: EncoderInput,
    /// Where each row's segments end.
    pub rows: Vec<RowShape>,
}

/// Where the segments of a row end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Tokens; padding is behind them.
    pub length: usize,
    /// Where segment 1 begins; `length` where there is no second text.
    pub segment_b_start: usize,
}

impl Inputs {
    /// Some of the rows, by their numbers.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let numbers: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows: Vec<RowShape> = rows.iter().map(|&row| self.rows[row]).collect();
        let (ids_bs, segments_bs) = (self.encoder.ids_bs(), self.encoder.segments_bs());
        let device = ids_bs.device();
        let numbers_r = upload(&Tensor::from_slice(&numbers), device);
        let of = |tensor: &Tensor| tensor.index_select(0, &numbers_r);
        let lengths: Vec<usize> = rows.iter().map(|row| row.length).collect();
        let mask = PaddingMask::of_lengths(&lengths, ids_bs.size()[1] as usize, device);
        Self { encoder: EncoderInput::new(of(ids_bs), of(segments_bs), mask), rows }
    }
}

impl<T> TaskBatch<T> {
    /// A batch of at least one row.
    pub fn new(rows: Vec<Arc<Feature<T>>>) -> Self {
        Self { rows }
    }

    /// The rows.
    pub fn rows(&self) -> &[Arc<Feature<T>>] {
        &self.rows
    }

    /// What the head learns from, row by row.
    pub fn targets(&self) -> Vec<&T> {
        self.rows.iter().map(|row| &row.target).collect()
    }

    /// The rows as tensors, padded with `pad` to the longest.
    pub fn inputs(&self, pad: u32, device: Device) -> Inputs {
        let row = |row: &'_ Arc<Feature<T>>| RowShape {
            length: row.ids.len(),
            segment_b_start: row.segment_b_start,
        };
        let rows = self.rows.iter().map(row).collect();
        let encoder_rows: Vec<Row<'_>> = self
            .rows
            .iter()
            .map(|row| Row { ids: &row.ids, segment_b_start: row.segment_b_start })
            .collect();
        Inputs { encoder: EncoderInput::from_rows(&encoder_rows, pad, device), rows }
    }
}

impl<T> Batch for TaskBatch<T> {
    fn sequences(&self) -> usize {
        self.rows.len()
    }

    fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.ids.len()).sum()
    }

    /// The last batch of an epoch may have fewer rows than `parts`: it is then divided into its rows.
    fn split(self, parts: usize) -> Vec<Self> {
        let (rows, parts) = (self.rows.len(), parts.clamp(1, self.rows.len().max(1)));
        let cut = |i: usize| rows * i / parts;
        (0..parts).map(|i| Self { rows: self.rows[cut(i)..cut(i + 1)].to_vec() }).collect()
    }
}

/// Ranges of at most `size` that cover `0..n` in order.
pub fn chunks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..(start + size).min(n))
}

/// Batches that are sorted by length together: the more, the less padding and the less random.
const GROUPED_BATCHES: usize = 64;

/// Batches of a training set in memory, in an order of its own each epoch.
///
/// A batch is a function of the seed and the position: no other state is needed to resume. The last
/// batch of an epoch may be smaller; no batch has examples of two epochs.
///
/// Departure from the reference, which shuffles once on disk and then in a buffer of 100.
#[derive(Debug)]
pub struct EpochSource<T> {
    features: Arc<[Arc<Feature<T>>]>,
    order: Order,
    seed: u64,
    batch_size: usize,
    position: u64,
    /// The order of one epoch, with its number.
    places: Option<(u64, Vec<usize>)>,
}

impl<T> EpochSource<T> {
    /// From `position` examples on.
    ///
    /// # Errors
    /// If there are no features.
    pub fn new(
        features: Arc<[Arc<Feature<T>>]>,
        order: Order,
        seed: u64,
        batch_size: usize,
        position: u64,
    ) -> Result<Self> {
        if features.is_empty() || batch_size == 0 {
            let given = format!("{} examples, batch size {batch_size}", features.len());
            return Err(Error::value("training set", given, "must have examples, and batches too"));
        }
        Ok(Self { features, order, seed, batch_size, position, places: None })
    }
}

/// The order of an epoch in batches of much the same length: of [`epoch_order`], each run of 64 batches is sorted by
/// length, cut into batches, and all batches are shuffled. The last batch, which may be smaller, stays the last.
///
/// Departs from the reference, which pads every input to the longest that there may be.
pub fn grouped_order(lengths: &[usize], batch_size: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = epoch_order(lengths.len(), seed, epoch);
    for pool in order.chunks_mut(GROUPED_BATCHES * batch_size) {
        pool.sort_by_key(|&place| lengths[place]);
    }
    let whole = lengths.len() / batch_size;
    // A stream of its own: epochs are counted from the other end.
    let batches = epoch_order(whole, seed, u64::MAX - epoch);
    let (full, rest) = order.split_at(whole * batch_size);
    let cut = |&batch: &usize| &full[batch * batch_size..][..batch_size];
    batches.iter().flat_map(cut).chain(rest).copied().collect()
}

/// The order of `examples` in an epoch: a uniform permutation (Fisher-Yates).
pub fn epoch_order(examples: usize, seed: u64, epoch: u64) -> Vec<usize> {
    permutation(examples, CounterRng::new(seed, Purpose::Order, epoch, 0))
}

/// The numbers below `n` in the random order that a stream gives.
pub(crate) fn permutation(n: usize, mut rng: CounterRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    order
}

impl<T> Source for EpochSource<T> {
    type Batch = TaskBatch<T>;

    fn next_batch(&mut self) -> electra_train::Result<TaskBatch<T>> {
        let examples = self.features.len();
        let epoch = self.position / examples as u64;
        let start = (self.position % examples as u64) as usize;
        let end = (start + self.batch_size).min(examples);
        let order = match &mut self.places {
            Some((known, places)) if *known == epoch => places,
            places => &mut places.insert((epoch, self.order.places(self.seed, epoch))).1,
        };
        let rows = order[start..end].iter().map(|&i| Arc::clone(&self.features[i])).collect();
        self.position += (end - start) as u64;
        Ok(TaskBatch::new(rows))
    }

    fn position(&self) -> u64 {
        self.position
    }

    /// Batches are cut from memory: there is no wait to speak of.
    fn take_wait(&mut self) -> Duration {
        Duration::ZERO
    }
}
