//! A masked batch as tensors where the networks are.

use electra_data::MaskedBatch;
use electra_model::{Compute, EncoderInput, Kernels, PaddingMask};
use electra_torch::upload;
use tch::{Device, Tensor};

/// The label of a prediction that is only there to fill its place: it has no loss.
const NONE: i64 = -100;

/// What the sizes of tensors follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shapes {
    /// The batch: nothing is computed for nothing.
    Exact,
    /// The batch's size and length alone, so that every update of a run is the same work for a GPU, and the host needs
    /// not ask it how many there are of anything: room for as many predictions as there may be, and discriminator
    /// losses of padding, which count 0.
    Fixed,
}

impl Shapes {
    /// What suits a device.
    pub(super) fn of(compute: Compute, device: Device) -> Self {
        match (compute.kernels, device) {
            (Kernels::Fused | Kernels::Plain, Device::Cpu) => Self::Exact,
            _ => Self::Fixed,
        }
    }
}

/// The tensors of a batch; `p` predictions, those that fill a place last.
pub(super) struct Inputs {
    pub(super) ids_bs: Tensor,
    /// What the generator reads.
    pub(super) masked: EncoderInput,
    /// Indices into the flattened batch; `b * s`, behind it, where a place is filled.
    pub(super) positions_p: Tensor,
    /// Original ids, or [`NONE`].
    pub(super) labels_p: Tensor,
    pub(super) uniforms_p: Tensor,
}

impl Inputs {
    /// All integers go to `device` in one copy that nobody waits for.
    pub(super) fn new(part: &MaskedBatch, shapes: Shapes, device: Device) -> Self {
        let (b, s) = (part.batch as i64, part.length as i64);
        let cells = part.input_ids.len();
        let p = match shapes {
            Shapes::Exact => part.masked_labels.len(),
            Shapes::Fixed => part.masked_labels.len().max(part.batch * part.most_masked),
        };
        let mut integers = Vec::with_capacity(3 * cells + 2 * p);
        for cells in [&part.input_ids, &part.generator_ids, &part.token_type_ids] {
            integers.extend_from_slice(cells);
        }
        for (values, fill) in [(&part.masked_positions, cells as i64), (&part.masked_labels, NONE)]
        {
            integers.extend_from_slice(values);
            integers.extend(std::iter::repeat_n(fill, p - values.len()));
        }
        let mut uniforms = part.sampling_uniforms.clone();
        uniforms.resize(p, 0.0);

        let integers = upload(&Tensor::from_slice(&integers), device);
        let (cells, p) = (cells as i64, p as i64);
        let grid = |i: i64| integers.narrow(0, i * cells, cells).view([b, s]);
        let list = |i: i64| integers.narrow(0, 3 * cells + i * p, p);
        // Padding comes last, so the lengths say all of it.
        let rows = part.attention_mask.chunks_exact(part.length.max(1));
        let lengths: Vec<usize> = rows.map(|row| row.iter().sum::<i64>() as usize).collect();
        let mask = PaddingMask::of_lengths(&lengths, part.length, device);
        Self {
            ids_bs: grid(0),
            masked: EncoderInput::new(grid(1), grid(2), mask),
            positions_p: list(0),
            labels_p: list(1),
            uniforms_p: upload(&Tensor::from_slice(&uniforms), device),
        }
    }

    /// Where the generator predicts: where a place is filled, at the batch's last token, whoever that is.
    pub(super) fn predicted_p(&self) -> Tensor {
        self.positions_p.clamp_max(self.ids_bs.numel() as i64 - 1)
    }

    /// The original ids with `sampled_p` at their positions, `[b, s]`.
    pub(super) fn corrupted_bs(&self, sampled_p: &Tensor) -> Tensor {
        // One cell more, which takes what fills a place.
        let cells = self.ids_bs.numel() as i64;
        let ids = self.ids_bs.flatten(0, 1).constant_pad_nd([0, 1]);
        ids.scatter(0, &self.positions_p, sampled_p).narrow(0, 0, cells).view_as(&self.ids_bs)
    }
}
