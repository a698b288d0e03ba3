//! Encoding and truncation of texts, padded tensors, the batches of an epoch.

use crate::{
    error::{Error, Result},
    order::Order,
};
use electra_model::{EncoderInput, PaddingMask, Row};
use electra_tokenize::Tokenizer;
use electra_torch::upload;
use electra_train::{
    objective::{Batch, LossCounts},
    trainer::Source,
};
use std::{ops::Range, sync::Arc, time::Duration};
use tch::{Device, Tensor};

/// The token ids of one input, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
    pub ids: Vec<u32>,
    /// The start of segment 1 (`b [SEP]`); the number of tokens if there is no second text.
    pub segment_b_start: usize,
}

impl Input {
    /// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, cut to `max_length` tokens.
    ///
    /// A pair is truncated at the end of its longer text (of the second if both are equally long).
    ///
    /// # Errors
    /// If the tokenizer fails on a text.
    ///
    /// Source: reference `finetune/classification/classification_tasks.py`, `_truncate_seq_pair`.
    pub fn encode(
        tokenizer: &dyn Tokenizer,
        text_a: &str,
        text_b: Option<&str>,
        max_length: usize,
    ) -> Result<Self> {
        Ok(Self::encode_measured(tokenizer, text_a, text_b, max_length)?.0)
    }

    /// [`Input::encode`], and the number of tokens that the input would have without truncation.
    pub(crate) fn encode_measured(
        tokenizer: &dyn Tokenizer,
        text_a: &str,
        text_b: Option<&str>,
        max_length: usize,
    ) -> Result<(Self, usize)> {
        let special = tokenizer.vocab().special();
        let (cls, sep) = (special.cls, special.sep);
        let mut ids = vec![cls];
        tokenizer.encode_into(text_a, &mut ids)?;
        let Some(text_b) = text_b else {
            let length = ids.len() + 1;
            ids.truncate(max_length - 1);
            ids.push(sep);
            ids.shrink_to_fit();
            return Ok((Self { segment_b_start: ids.len(), ids }, length));
        };
        let b = tokenizer.encode(text_b)?;
        let length = ids.len() + b.len() + 2;
        let (kept_a, kept_b) = truncated(ids.len() - 1, b.len(), max_length - 3);
        ids.truncate(1 + kept_a);
        ids.push(sep);
        let segment_b_start = ids.len();
        ids.extend_from_slice(&b[..kept_b]);
        ids.push(sep);
        // All inputs of a data set stay in memory, and truncated texts were longer.
        ids.shrink_to_fit();
        Ok((Self { ids, segment_b_start }, length))
    }
}

/// Lengths of a pair after tokens are removed one by one from the longer text until both fit in `room`.
fn truncated(a: usize, b: usize, room: usize) -> (usize, usize) {
    if a + b <= room {
        return (a, b);
    }
    // If both are truncated, they end up equally long, or `a` one longer.
    let b_kept = b.min((room / 2).max(room.saturating_sub(a)));
    (room - b_kept, b_kept)
}

/// The tensors of inputs, padded to the longest.
#[derive(Debug)]
pub struct BatchTensors {
    /// The encoder's input, `[b, s]`.
    pub encoder: EncoderInput,
    /// The segments of each row.
    pub rows: Vec<RowShape>,
}

/// The segments of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// The number of tokens; padding comes after them.
    pub length: usize,
    /// The start of segment 1; `length` if there is no second text.
    pub segment_b_start: usize,
}

impl BatchTensors {
    /// The tensors of at least one input, padded with `pad`.
    pub fn new(inputs: &[&Input], pad: u32, device: Device) -> Self {
        let rows: Vec<Row<'_>> = inputs
            .iter()
            .map(|input| Row { ids: &input.ids, segment_b_start: input.segment_b_start })
            .collect();
        let shapes = inputs.iter().map(|input| RowShape {
            length: input.ids.len(),
            segment_b_start: input.segment_b_start,
        });
        Self { encoder: EncoderInput::from_rows(&rows, pad, device), rows: shapes.collect() }
    }

    /// The rows with these numbers.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let numbers: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows: Vec<RowShape> = rows.iter().map(|&row| self.rows[row]).collect();
        let (ids_bs, segments_bs) = (self.encoder.ids_bs(), self.encoder.segments_bs());
        let device = ids_bs.device();
        let numbers_r = upload(&Tensor::from_slice(&numbers), device);
        let of = |tensor: &Tensor| tensor.index_select(0, &numbers_r);
        let lengths: Vec<usize> = rows.iter().map(|row| row.length).collect();
        let mask = PaddingMask::from_lengths(&lengths, ids_bs.size()[1] as usize, device);
        Self { encoder: EncoderInput::new(of(ids_bs), of(segments_bs), mask), rows }
    }
}

/// The training inputs, in groups of one or several. Order, batches and labels are those of groups, so the inputs of a
/// group are always in the same forward pass: a loss can compare them.
///
/// Clones share the inputs.
#[derive(Clone, Debug)]
pub struct InputGroups {
    inputs: Arc<[Input]>,
    /// The end of each group among the inputs.
    ends: Arc<[usize]>,
}

impl InputGroups {
    /// Groups of these sizes, in the order of the inputs; the sizes must add up to their number.
    pub fn new(inputs: Arc<[Input]>, sizes: impl IntoIterator<Item = usize>) -> Self {
        let mut end = 0;
        let end = |size| {
            end += size;
            end
        };
        let ends: Arc<[usize]> = sizes.into_iter().map(end).collect();
        debug_assert_eq!(ends.last().copied().unwrap_or(0), inputs.len(), "the sizes of groups");
        Self { inputs, ends }
    }

    /// The groups of all parts, in order.
    pub fn concat(parts: &[Self]) -> Self {
        let inputs = parts.iter().flat_map(|part| part.inputs.iter().cloned()).collect();
        Self::new(inputs, parts.iter().flat_map(Self::iter).map(<[Input]>::len))
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The inputs of a group.
    pub fn group(&self, number: usize) -> &[Input] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.inputs[start..self.ends[number]]
    }

    /// The inputs of each group, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[Input]> {
        (0..self.len()).map(|number| self.group(number))
    }

    /// The number of tokens of the longest input of each group.
    pub fn lengths(&self) -> Vec<usize> {
        let longest = |group: &[Input]| group.iter().map(|input| input.ids.len()).max();
        self.iter().map(|group| longest(group).unwrap_or(0)).collect()
    }
}

/// Every input is a group of its own.
impl From<Arc<[Input]>> for InputGroups {
    fn from(inputs: Arc<[Input]>) -> Self {
        let sizes = vec![1; inputs.len()];
        Self::new(inputs, sizes)
    }
}

/// Every input is a group of its own.
impl From<Vec<Input>> for InputGroups {
    fn from(inputs: Vec<Input>) -> Self {
        Arc::<[Input]>::from(inputs).into()
    }
}

/// Every input is a group of its own.
impl FromIterator<Input> for InputGroups {
    fn from_iter<I: IntoIterator<Item = Input>>(inputs: I) -> Self {
        inputs.into_iter().collect::<Arc<[Input]>>().into()
    }
}

/// The numbers of the training inputs of one forward pass; their tensors are made when it runs.
#[derive(Clone, Debug)]
pub struct TaskBatch {
    inputs: InputGroups,
    examples: Vec<usize>,
}

impl TaskBatch {
    /// The groups of inputs with these numbers, at least one.
    pub fn new(inputs: InputGroups, examples: Vec<usize>) -> Self {
        Self { inputs, examples }
    }

    /// The numbers of the groups.
    pub fn examples(&self) -> &[usize] {
        &self.examples
    }

    /// The inputs of all groups, in order.
    pub fn inputs(&self) -> Vec<&Input> {
        self.examples.iter().flat_map(|&example| self.inputs.group(example)).collect()
    }
}

impl Batch for TaskBatch {
    fn sequences(&self) -> usize {
        self.examples.len()
    }

    fn tokens(&self) -> usize {
        self.inputs().iter().map(|input| input.ids.len()).sum()
    }

    fn loss_counts(&self) -> LossCounts {
        let (predictions, tokens) = (self.sequences(), self.tokens());
        LossCounts { predictions, tokens, ..LossCounts::default() }
    }

    /// The last batch of an epoch may have fewer groups than `parts`: it is then split into single groups.
    fn split(self, parts: usize) -> Vec<Self> {
        let (groups, parts) = (self.examples.len(), parts.clamp(1, self.examples.len().max(1)));
        let cut = |i: usize| groups * i / parts;
        let part = |i: usize| {
            let examples = self.examples[cut(i)..cut(i + 1)].to_vec();
            Self { inputs: self.inputs.clone(), examples }
        };
        (0..parts).map(part).collect()
    }
}

/// Ranges of at most `size` that cover `0..n` in order.
pub fn chunks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..(start + size).min(n))
}

/// The batches of a training set in memory, in a new order each epoch.
///
/// A batch is a function of the seed and the position, so a run needs no other state to resume. The last batch of an
/// epoch may be smaller; no batch spans two epochs.
///
/// Departure from the reference, which shuffles once on disk and then in a buffer of 100.
#[derive(Debug)]
pub struct EpochSource {
    inputs: InputGroups,
    order: Order,
    seed: u64,
    batch_size: usize,
    position: u64,
    /// The order of one epoch, with its number.
    epoch: Option<(u64, Vec<usize>)>,
}

impl EpochSource {
    /// Starts after `position` examples.
    ///
    /// # Errors
    /// If there are no inputs, or the batch size is 0.
    pub fn new(
        inputs: InputGroups,
        order: Order,
        seed: u64,
        batch_size: usize,
        position: u64,
    ) -> Result<Self> {
        if inputs.is_empty() {
            return Err(Error::value("training set", "empty", "must have at least one input"));
        }
        if batch_size == 0 {
            return Err(Error::value("batch size", 0, "must be at least 1"));
        }
        Ok(Self { inputs, order, seed, batch_size, position, epoch: None })
    }
}

impl Source for EpochSource {
    type Batch = TaskBatch;

    fn next_batch(&mut self) -> electra_train::Result<TaskBatch> {
        let examples = self.inputs.len();
        let epoch = self.position / examples as u64;
        let start = (self.position % examples as u64) as usize;
        let end = (start + self.batch_size).min(examples);
        let order = match &mut self.epoch {
            Some((known, order)) if *known == epoch => order,
            other => &mut other.insert((epoch, self.order.of(self.seed, epoch))).1,
        };
        let examples = order[start..end].to_vec();
        self.position += (end - start) as u64;
        Ok(TaskBatch::new(self.inputs.clone(), examples))
    }

    fn position(&self) -> u64 {
        self.position
    }

    /// The inputs are in memory: there is no wait.
    fn take_wait(&mut self) -> Duration {
        Duration::ZERO
    }
}
