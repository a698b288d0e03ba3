//! The input of an encoder: token ids, segment ids and the padding mask.

use crate::mask::PaddingMask;
use electra_torch::upload;
use tch::{Device, Tensor};

/// One row of a batch: a sequence without its padding.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Index of the first token of segment 1; the row's length if there is no segment 1.
    pub segment_b_start: usize,
}

/// A batch for an encoder.
#[derive(Debug)]
pub struct EncoderInput {
    ids_bs: Tensor,
    segments_bs: Tensor,
    mask: PaddingMask,
}

impl EncoderInput {
    /// A batch of rows on `device`, padded with `pad` to the longest. The mask keeps the lengths, so that packing needs no
    /// copy back from a GPU.
    pub fn from_rows(rows: &[Row<'_>], pad: u32, device: Device) -> Self {
        let s = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * s);
        let mut segments = Vec::with_capacity(rows.len() * s);
        for row in rows {
            let length = row.ids.len();
            ids.extend(row.ids.iter().map(|&id| i64::from(id)));
            ids.extend(std::iter::repeat_n(i64::from(pad), s - length));
            segments
                .extend((0..s).map(|at| i64::from((row.segment_b_start..length).contains(&at))));
        }
        let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let size = [rows.len() as i64, s as i64];
        let tensor = |values: &[i64]| upload(&Tensor::from_slice(values).view(size), device);
        let mask = PaddingMask::from_lengths(&lengths, s, device);
        Self::new(tensor(&ids), tensor(&segments), mask)
    }

    /// A batch of tensors.
    ///
    /// # Shapes
    /// - `ids_bs`, `segments_bs`: `[b, s]` int64; `mask`: the padding mask of the same batch.
    pub fn new(ids_bs: Tensor, segments_bs: Tensor, mask: PaddingMask) -> Self {
        Self { ids_bs, segments_bs, mask }
    }

    /// The same batch with other ids, `[b, s]` int64.
    #[must_use]
    pub fn with_ids(&self, ids_bs: Tensor) -> Self {
        Self {
            ids_bs,
            segments_bs: self.segments_bs.shallow_clone(),
            mask: self.mask.shallow_clone(),
        }
    }

    /// Token ids, `[b, s]` int64.
    pub fn ids_bs(&self) -> &Tensor {
        &self.ids_bs
    }

    /// Segment ids, `[b, s]` int64.
    pub fn segments_bs(&self) -> &Tensor {
        &self.segments_bs
    }

    /// Which positions are tokens.
    pub fn mask(&self) -> &PaddingMask {
        &self.mask
    }
}
