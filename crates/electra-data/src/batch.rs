//! Masked batches of plain row-major integers.

use crate::{
    Example, Masking, Result, ShardSet,
    masking::is_special,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::SpecialTokens;

/// A padded batch of examples with masked positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MaskedBatch {
    /// Batch size `b`.
    pub batch: usize,
    /// Sequence length `s`.
    pub length: usize,
    /// `[b, s]`: the original ids.
    pub input_ids: Vec<i64>,
    /// `[b, s]`: the ids after masking.
    pub generator_ids: Vec<i64>,
    /// `[b, s]`: 0 for the first segment and padding, 1 for the second.
    pub token_type_ids: Vec<i64>,
    /// `[b, s]`: 1 for tokens, 0 for padding.
    pub attention_mask: Vec<i64>,
    /// `[b, s]`: whether the token is never masked: `[CLS]`, `[SEP]`, `[MASK]` and padding.
    pub special_tokens_mask: Vec<bool>,
    /// `[p]`: chosen positions, `row * s + column`, ascending.
    pub masked_positions: Vec<i64>,
    /// `[p]`: the original ids at these positions.
    pub masked_labels: Vec<i64>,
    /// `[p]`: whether the position was replaced by `[MASK]`; otherwise it keeps its token.
    pub masked_is_mask: Vec<bool>,
    /// `[p]`: uniform numbers in [0, 1), for sampling replacements.
    pub sampling_uniforms: Vec<f32>,
    /// `[p]`: replacements that are used instead of sampling; empty to sample.
    pub sampled_ids: Vec<i64>,
    /// Number of tokens, excluding padding.
    pub tokens: usize,
    /// Maximum number of masked positions per row ([`Masking::most`]), for batches of fixed shapes.
    pub most_masked: usize,
}

impl MaskedBatch {
    /// A batch of examples that are not in shards. The numbers of the examples in the batch key the random choices.
    pub fn of(
        examples: &[Example],
        length: usize,
        special: &SpecialTokens,
        masking: &dyn Masking,
        seed: u64,
    ) -> Self {
        let mut batch = Self::empty(length);
        for (index, example) in examples.iter().enumerate() {
            batch.add(example, special, masking, [seed, 0, index as u64]);
        }
        batch
    }

    /// The number of tokens of each sequence; padding is on the right.
    pub fn lengths(&self) -> Vec<usize> {
        let rows = self.attention_mask.chunks_exact(self.length.max(1));
        rows.map(|row| row.iter().sum::<i64>() as usize).collect()
    }

    /// Appends an example of `shards`, masked with random numbers keyed by (seed, epoch, index).
    pub(crate) fn push(
        &mut self,
        shards: &ShardSet,
        masking: &dyn Masking,
        seed: u64,
        epoch: u64,
        index: u64,
    ) -> Result<()> {
        self.add(&shards.example(index)?, shards.special(), masking, [seed, epoch, index]);
        Ok(())
    }

    /// Appends an example, masked with random numbers keyed by (seed, epoch, index).
    fn add(
        &mut self,
        example: &Example,
        special: &SpecialTokens,
        masking: &dyn Masking,
        [seed, epoch, index]: [u64; 3],
    ) {
        let start = self.input_ids.len();
        let pad = i64::from(special.pad);
        let padding = self.length - example.ids.len();
        self.input_ids.extend(example.ids.iter().map(|&id| i64::from(id)));
        self.input_ids.extend(std::iter::repeat_n(pad, padding));
        self.generator_ids.extend_from_slice(&self.input_ids[start..]);
        self.special_tokens_mask.extend(example.ids.iter().map(|id| is_special(*id, special)));
        self.special_tokens_mask.extend(std::iter::repeat_n(true, padding));
        let segment = |column| i64::from(column >= example.second && column < example.ids.len());
        self.token_type_ids.extend((0..self.length).map(segment));
        self.attention_mask
            .extend((0..self.length).map(|column| i64::from(column < example.ids.len())));

        let mut rng = CounterRng::new(seed, Purpose::Masking, epoch, index);
        let chosen = masking.choose(&example.ids, self.length, special, &mut rng);
        let mut uniforms = CounterRng::new(seed, Purpose::Sampling, epoch, index);
        for (&position, &as_mask) in chosen.positions.iter().zip(&chosen.as_mask) {
            let flat = start + position as usize;
            self.masked_positions.push(flat as i64);
            self.masked_labels.push(self.input_ids[flat]);
            self.masked_is_mask.push(as_mask);
            // 24 bits: the precision of an f32 below 1.
            self.sampling_uniforms.push((uniforms.next_u64() >> 40) as f32 / (1u32 << 24) as f32);
            if as_mask {
                self.generator_ids[flat] = i64::from(special.mask);
            }
        }
        self.batch += 1;
        self.most_masked = masking.most(self.length);
        self.tokens += example.ids.len();
    }

    /// An empty batch of sequence length `length`.
    pub(crate) fn empty(length: usize) -> Self {
        Self { length, ..Self::default() }
    }

    /// Splits the rows into at most `parts` batches of nearly equal size, in order.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let parts = parts.clamp(1, self.batch.max(1));
        let bounds = (0..parts).map(|i| (i * self.batch / parts, (i + 1) * self.batch / parts));
        bounds.map(|(from, to)| self.rows(from, to)).collect()
    }

    fn rows(&self, from: usize, to: usize) -> Self {
        let cells = from * self.length..to * self.length;
        let (low, high) = (cells.start as i64, cells.end as i64);
        let first = self.masked_positions.partition_point(|&position| position < low);
        let last = self.masked_positions.partition_point(|&position| position < high);
        Self {
            batch: to - from,
            length: self.length,
            input_ids: self.input_ids[cells.clone()].to_vec(),
            generator_ids: self.generator_ids[cells.clone()].to_vec(),
            token_type_ids: self.token_type_ids[cells.clone()].to_vec(),
            attention_mask: self.attention_mask[cells.clone()].to_vec(),
            special_tokens_mask: self.special_tokens_mask[cells.clone()].to_vec(),
            masked_positions: self.masked_positions[first..last].iter().map(|p| p - low).collect(),
            masked_labels: self.masked_labels[first..last].to_vec(),
            masked_is_mask: self.masked_is_mask[first..last].to_vec(),
            sampling_uniforms: self.sampling_uniforms[first..last].to_vec(),
            sampled_ids: self.sampled_ids.get(first..last).map(<[i64]>::to_vec).unwrap_or_default(),
            tokens: self.attention_mask[cells].iter().sum::<i64>() as usize,
            most_masked: self.most_masked,
        }
    }
}

/// Iterates over all examples once, in order, with the masks of epoch 0. The last batch may be smaller.
pub fn evaluation_batches<'a>(
    shards: &'a ShardSet,
    masking: &'a dyn Masking,
    seed: u64,
    batch_size: usize,
) -> impl Iterator<Item = Result<MaskedBatch>> + 'a {
    let (all, size) = (shards.len(), batch_size.max(1) as u64);
    (0..all.div_ceil(size)).map(move |n| {
        let mut batch = MaskedBatch::empty(shards.sequence_length());
        for index in n * size..all.min((n + 1) * size) {
            batch.push(shards, masking, seed, 0, index)?;
        }
        Ok(batch)
    })
}
