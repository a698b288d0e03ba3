//! The layers of heads that pool the input.

use crate::{
    config::{HeadConfig, HeadKind, Pooling},
    head::{HeadInput, HeadSite},
};
use electra_model::{
    PaddingMask,
    init::{self, Dense},
};
use tch::{Kind, Tensor, nn, nn::Module};

/// One dense layer over the pooled hidden states, or the two of Hugging Face's heads.
///
/// Source: reference `finetune/classification/classification_tasks.py`; transformers' `ElectraClassificationHead`.
/// Departures: optional mean pooling.
#[derive(Debug)]
pub struct SequenceLayers {
    hidden: Option<nn::Linear>,
    output: nn::Linear,
    config: HeadConfig,
}

impl SequenceLayers {
    /// Layers with `outputs` logits. Variables `weight` and `bias`; those of Hugging Face's heads are
    /// `{dense,out_proj}.{weight,bias}`.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &HeadSite<'_>, outputs: usize) -> electra_model::Result<Self> {
        let HeadSite { path, encoder, config } = *site;
        let (h, outputs) = (encoder.hidden, outputs as i64);
        let dense = |path: &nn::Path<'_>, outputs, kind| {
            init::dense(path, h, outputs, kind, &encoder.initializer)
        };
        let (hidden, output) = match config.kind {
            HeadKind::Reference => (None, dense(path, outputs, Dense::Glorot)?),
            HeadKind::Hf => {
                let hidden = dense(&(path / "dense"), h, Dense::Normal)?;
                (Some(hidden), dense(&(path / "out_proj"), outputs, Dense::Normal)?)
            }
        };
        Ok(Self { hidden, output, config: config.clone() })
    }

    /// Logits `[b, c]`.
    pub fn logits(&self, x: &HeadInput<'_>) -> Tensor {
        let HeadInput { hidden_bsh, batch, train } = *x;
        let pooled_bh = self.config.pooling.pool(hidden_bsh, batch.encoder.mask());
        let mut x_bh = pooled_bh.dropout(self.config.dropout, train);
        if let Some(hidden) = &self.hidden {
            x_bh = hidden.forward(&x_bh).gelu("none").dropout(self.config.dropout, train);
        }
        self.output.forward(&x_bh)
    }
}

impl Pooling {
    /// The hidden states of each sequence as one vector.
    ///
    /// # Shapes
    /// - `hidden_bsh`: `[b, s, h]`; `mask`: of the same `[b, s]`. Result: `[b, h]`.
    pub fn pool(self, hidden_bsh: &Tensor, mask: &PaddingMask) -> Tensor {
        match self {
            Self::First => hidden_bsh.select(1, 0),
            Self::Mean => {
                let keep_bs1 = mask.keep_bs().unsqueeze(-1);
                let sum_bh = (hidden_bsh * &keep_bs1).sum_dim_intlist(1, false, Kind::Float);
                sum_bh / keep_bs1.sum_dim_intlist(1, false, Kind::Float)
            }
        }
    }
}

/// The rows of a `[b, c]` float tensor.
pub fn rows(tensor_bc: &Tensor) -> Vec<Vec<f32>> {
    let flat = tensor_bc.to_device(tch::Device::Cpu).contiguous().flatten(0, -1);
    let mut values = vec![0.0f32; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    let width = tensor_bc.size()[1].max(1) as usize;
    values.chunks(width).map(<[f32]>::to_vec).collect()
}
