//! The padding mask, in the form that layers use.

use electra_torch::{ops::Sequences, upload};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Which positions of a batch are tokens (kept) and which are padding.
///
/// Built once per batch. Layers use [`Self::bias_b11s`], which is finite so that a row that is all padding gives finite
/// outputs, or [`Self::sequences`], which exclude padding.
#[derive(Debug)]
pub struct PaddingMask {
    keep_bs: Tensor,
    bias_b11s: Option<Tensor>,
    sequences: Option<Arc<Sequences>>,
    lengths: Vec<usize>,
}

/// Packs a batch: removes the padding, and restores it.
#[derive(Debug)]
pub struct Packed {
    /// The mask of the packed batch `[1, r]`: each token attends within its own sequence.
    pub mask: PaddingMask,
    /// Indices of the tokens in the flattened batch, `[r]` int64; filler rows after the last token have index 0.
    indices_r: Tensor,
    tokens: i64,
    batch: i64,
    length: i64,
}

/// How many rows a packed batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCount {
    /// One for each token.
    Exact,
    /// Rounded up to one of 16 values between powers of two, so that few different shapes occur.
    Rounded,
}

impl RowCount {
    fn of(self, tokens: usize) -> usize {
        match self {
            Self::Exact => tokens,
            Self::Rounded => {
                let doubling = tokens.max(1).ilog2();
                tokens.next_multiple_of(1 << doubling.saturating_sub(4))
            }
        }
    }
}

impl PaddingMask {
    /// A mask from `attention_mask` `[b, s]`: 1 for tokens, 0 for padding, any kind.
    pub fn new(attention_mask_bs: &Tensor) -> Self {
        let keep_bs = attention_mask_bs.ne(0).to_kind(Kind::Float);
        let lengths = lengths(&keep_bs);
        Self::of_keep(keep_bs, lengths)
    }

    fn of_keep(keep_bs: Tensor, lengths: Option<Vec<usize>>) -> Self {
        // Additive mask as in the reference: 0 for tokens, -10000 for padding.
        let bias_b11s = ((&keep_bs - 1.0) * 10_000.0).unsqueeze(1).unsqueeze(1);
        let lengths = lengths.unwrap_or_default();
        let s = keep_bs.size()[1] as usize;
        let sequences = (!lengths.is_empty()).then(|| Arc::new(Sequences::padded(&lengths, s)));
        Self { keep_bs, bias_b11s: Some(bias_b11s), sequences, lengths }
    }

    /// A mask of right-padded rows with these numbers of tokens, at length `s`.
    pub fn from_lengths(lengths: &[usize], s: usize, device: Device) -> Self {
        let (b, length) = (lengths.len() as i64, s as i64);
        if lengths.iter().all(|&length| length == s) {
            return Self::without_padding(b, length, device);
        }
        let keep: Vec<f32> =
            lengths.iter().flat_map(|&n| (0..s).map(move |at| f32::from(at < n))).collect();
        let keep_bs = upload(&Tensor::from_slice(&keep).view([b, length]), device);
        // Packed attention requires at least one token in each sequence.
        match lengths.contains(&0) {
            true => Self::of_keep(keep_bs, None),
            false => Self::of_keep(keep_bs, Some(lengths.to_vec())),
        }
    }

    /// The mask of a batch without padding; layers do no masking.
    pub fn without_padding(batch: i64, length: i64, device: Device) -> Self {
        let lengths = vec![length as usize; batch as usize];
        Self {
            keep_bs: Tensor::ones([batch, length], (Kind::Float, device)),
            bias_b11s: None,
            sequences: Some(Arc::new(Sequences::padded(&lengths, length as usize))),
            lengths,
        }
    }

    /// A mask that shares the same tensors.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self {
            keep_bs: self.keep_bs.shallow_clone(),
            bias_b11s: self.bias_b11s.as_ref().map(Tensor::shallow_clone),
            sequences: self.sequences.clone(),
            lengths: self.lengths.clone(),
        }
    }

    /// `[b, s]` float: 1 for tokens, 0 for padding.
    pub fn keep_bs(&self) -> &Tensor {
        &self.keep_bs
    }

    /// `[b, 1, 1, s]` float, added to attention scores `[b, n, s, s]`; `None` without padding.
    pub fn bias_b11s(&self) -> Option<&Tensor> {
        self.bias_b11s.as_ref()
    }

    /// Which rows of the flattened batch form a sequence; `None` if this is unknown (a mask made from a tensor on a GPU),
    /// if a row is empty, or if padding is not on the right.
    pub fn sequences(&self) -> Option<&Arc<Sequences>> {
        self.sequences.as_ref()
    }

    /// How to pack the batch; `None` without padding, or where [`Self::sequences`] is `None`.
    pub fn packed(&self, rows: RowCount) -> Option<Packed> {
        self.sequences.as_ref()?;
        let tokens: usize = self.lengths.iter().sum();
        let (batch, length) = self.keep_bs.size2().ok()?;
        let rows = rows.of(tokens);
        if rows as i64 >= batch * length {
            return None;
        }
        let device = self.keep_bs.device();
        let ones = Tensor::ones([tokens as i64], (Kind::Float, device));
        let rest = (rows - tokens) as i64;
        let mask = Self {
            keep_bs: ones.constant_pad_nd([0, rest]).unsqueeze(0),
            bias_b11s: None,
            sequences: Some(Arc::new(Sequences::packed(&self.lengths, rows))),
            lengths: self.lengths.clone(),
        };
        let indices_t = self.keep_bs.flatten(0, 1).nonzero().squeeze_dim(-1);
        let indices_r = indices_t.constant_pad_nd([0, rest]);
        Some(Packed { mask, indices_r, tokens: tokens as i64, batch, length })
    }
}

impl Packed {
    /// Removes padding: `[b, s, h]` to `[1, r, h]`.
    pub fn pack(&self, x_bsh: &Tensor) -> Tensor {
        x_bsh.flatten(0, 1).index_select(0, &self.indices_r).unsqueeze(0)
    }

    /// Restores `[b, s, h]`, with zeros at padding.
    pub fn unpack(&self, x_1rh: &Tensor) -> Tensor {
        let (h, options) = (x_1rh.size()[2], (x_1rh.kind(), x_1rh.device()));
        let zeros = Tensor::zeros([self.batch * self.length, h], options);
        let x_th = x_1rh.squeeze_dim(0).narrow(0, 0, self.tokens);
        let indices_t = self.indices_r.narrow(0, 0, self.tokens);
        zeros.index_copy(0, &indices_t, &x_th).view([self.batch, self.length, h])
    }
}

/// Tokens of each row; `None` if the mask is not on the CPU, a row is empty, or padding is not on the right.
fn lengths(keep_bs: &Tensor) -> Option<Vec<usize>> {
    if keep_bs.device() != Device::Cpu || keep_bs.dim() != 2 {
        return None;
    }
    let s = keep_bs.size()[1] as usize;
    let keep = Vec::<f32>::try_from(keep_bs.flatten(0, 1)).ok()?;
    keep.chunks_exact(s.max(1))
        .map(|row| {
            let length = row.iter().take_while(|&&keep| keep != 0.0).count();
            let rest = row[length..].iter().all(|&keep| keep == 0.0);
            (rest && length > 0).then_some(length)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_counts_are_rounded_to_few_values() {
        let rounded = |tokens| RowCount::Rounded.of(tokens);
        // There are 16 steps of 64 from 1,024 to 2,048.
        assert_eq!(rounded(1030), 1088);
        assert_eq!(rounded(2048), 2048);
        assert_eq!((rounded(0), rounded(1), rounded(17)), (0, 1, 17));
        assert_eq!(RowCount::Exact.of(1030), 1030);
        let counts: std::collections::BTreeSet<_> = (1024..2048).map(rounded).collect();
        assert_eq!(counts.len(), 17);
    }

    #[test]
    fn unpacking_restores_the_batch() {
        let cpu = (Kind::Int64, Device::Cpu);
        // 35 tokens are packed into 36 rows.
        let keep_bs =
            Tensor::arange(30, cpu).unsqueeze(0).lt_tensor(&Tensor::from_slice2(&[[5i64], [30]]));
        let mask = PaddingMask::new(&keep_bs);
        let x_bsh = Tensor::randn([2, 30, 3], (Kind::Float, Device::Cpu));
        for (rows, count) in [(RowCount::Exact, 35), (RowCount::Rounded, 36)] {
            let packed = mask.packed(rows).expect("a row has padding");
            let packed_1rh = packed.pack(&x_bsh);
            assert_eq!(packed_1rh.size(), [1, count, 3]);
            let back = packed.unpack(&packed_1rh);
            assert_eq!(back, &x_bsh * keep_bs.unsqueeze(-1).to_kind(Kind::Float));
        }
    }
}
