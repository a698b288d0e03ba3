//! The tensors of a masked batch, on the networks' device.

use electra_data::MaskedBatch;
use electra_model::{Compute, EncoderInput, Kernels, PaddingMask};
use electra_torch::upload;
use tch::{Device, Kind, Tensor};

/// The label of a filler prediction, which `cross_entropy_loss` ignores.
const IGNORE: i64 = -100;

/// How tensors are sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shapes {
    /// By the tokens and predictions in the batch: no wasted work.
    Exact,
    /// By batch size and length only, so that shapes are the same for every update and a GPU needs no synchronization for
    /// counts: fillers pad predictions to their maximum, and discriminator losses of padding have weight 0.
    Fixed,
}

impl Shapes {
    /// The shapes suited to a device.
    pub(super) fn of(compute: Compute, device: Device) -> Self {
        match (compute.kernels, device) {
            (Kernels::Fused | Kernels::Plain, Device::Cpu) => Self::Exact,
            _ => Self::Fixed,
        }
    }
}

/// The input of a masked language model on `device`: the batch with some tokens replaced by `[MASK]`.
pub fn masked_input(part: &MaskedBatch, device: Device) -> EncoderInput {
    let shape = [part.batch as i64, part.length as i64];
    let tensor = |cells: &[i64]| upload(&Tensor::from_slice(cells).view(shape), device);
    let mask = PaddingMask::from_lengths(&part.lengths(), part.length, device);
    EncoderInput::new(tensor(&part.generator_ids), tensor(&part.token_type_ids), mask)
}

/// The tensors of a batch with `p` predictions, fillers last.
pub(super) struct Inputs {
    pub(super) ids_bs: Tensor,
    /// The generator's input.
    pub(super) masked: EncoderInput,
    /// Indices into the flattened batch; for fillers `b * s`, which is out of range.
    pub(super) positions_p: Tensor,
    /// Original ids, or [`IGNORE`] for fillers.
    pub(super) labels_p: Tensor,
    pub(super) uniforms_p: Tensor,
    /// Whether each token of the flattened batch may be masked.
    maskable: Vec<bool>,
    device: Device,
}

impl Inputs {
    /// Copies all integers to `device` in one asynchronous copy.
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
        for (values, filler) in
            [(&part.masked_positions, cells as i64), (&part.masked_labels, IGNORE)]
        {
            integers.extend_from_slice(values);
            integers.extend(std::iter::repeat_n(filler, p - values.len()));
        }
        let mut uniforms = part.sampling_uniforms.clone();
        uniforms.resize(p, 0.0);

        let integers = upload(&Tensor::from_slice(&integers), device);
        let (cells, p) = (cells as i64, p as i64);
        let grid = |i: i64| integers.narrow(0, i * cells, cells).view([b, s]);
        let list = |i: i64| integers.narrow(0, 3 * cells + i * p, p);
        let mask = PaddingMask::from_lengths(&part.lengths(), part.length, device);
        Self {
            ids_bs: grid(0),
            masked: EncoderInput::new(grid(1), grid(2), mask),
            positions_p: list(0),
            labels_p: list(1),
            uniforms_p: upload(&Tensor::from_slice(&uniforms), device),
            maskable: part.special_tokens_mask.iter().map(|special| !special).collect(),
            device,
        }
    }

    /// Indices of the tokens that may be masked, in the flattened batch, `[m]` int64.
    pub(super) fn maskable_m(&self) -> Tensor {
        let indices = (0i64..).zip(&self.maskable).filter(|(_, maskable)| **maskable);
        let indices: Vec<i64> = indices.map(|(index, _)| index).collect();
        upload(&Tensor::from_slice(&indices), self.device)
    }

    /// The positions that the generator predicts; for fillers the last position of the batch.
    pub(super) fn predicted_p(&self) -> Tensor {
        self.positions_p.clamp_max(self.ids_bs.numel() as i64 - 1)
    }

    /// The batch's own replacements, which are used instead of samples; `None` if it has none.
    pub(super) fn given_samples_p(&self, part: &MaskedBatch) -> Option<Tensor> {
        if part.sampled_ids.is_empty() {
            return None;
        }
        let mut ids = part.sampled_ids.clone();
        ids.resize(self.positions_p.numel(), 0);
        Some(upload(&Tensor::from_slice(&ids), self.device))
    }

    /// `[b, s]` float: 1 at the masked positions.
    pub(super) fn chosen_bs(&self) -> Tensor {
        let zeros_bs = self.ids_bs.zeros_like();
        let ones_p = self.positions_p.ones_like();
        self.scatter(&zeros_bs, &ones_p).to_kind(Kind::Float)
    }

    /// The original ids with `sampled_p` at the masked positions, `[b, s]`.
    pub(super) fn corrupted_bs(&self, sampled_p: &Tensor) -> Tensor {
        self.scatter(&self.ids_bs, sampled_p)
    }

    /// `x_bs` with `values_p` at the masked positions.
    fn scatter(&self, x_bs: &Tensor, values_p: &Tensor) -> Tensor {
        // One extra cell receives the fillers.
        let cells = self.ids_bs.numel() as i64;
        let x = x_bs.flatten(0, 1).constant_pad_nd([0, 1]);
        x.scatter(0, &self.positions_p, values_p).narrow(0, 0, cells).view_as(x_bs)
    }
}
