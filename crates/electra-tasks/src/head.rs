//! The layers of a kind of task on the encoder.

use crate::{batch::BatchTensors, config::HeadConfig};
use electra_model::EncoderConfig;
use electra_train::metrics::Observations;
use std::fmt::Debug;
use tch::{Tensor, nn};

/// Where a head is built.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HeadSite<'a> {
    /// The path of its variables.
    pub path: &'a nn::Path<'a>,
    /// The sizes of the encoder.
    pub encoder: &'a EncoderConfig,
    /// The `[head]` section of the config.
    pub config: &'a HeadConfig,
}

impl<'a> HeadSite<'a> {
    /// A head with variables under `path`.
    pub fn new(path: &'a nn::Path<'a>, encoder: &'a EncoderConfig, config: &'a HeadConfig) -> Self {
        Self { path, encoder, config }
    }
}

/// The layers of a kind of task: losses while training, outputs afterwards.
pub trait HeadNet: Debug + Send + 'static {
    /// The label of a group of training inputs.
    type Label;
    /// What is predicted for one input.
    type Output;

    /// The losses of groups of training inputs with these labels; the rows of `x` are their inputs in order.
    fn losses(&self, x: &HeadInput<'_>, labels: &[&Self::Label]) -> RowLosses;

    /// Adds the head's own metrics to those of a pass, from [`RowLosses::outputs`]; the loss is already among them.
    fn observe(&self, _labels: &[&Self::Label], _outputs: &[Tensor], _seen: &mut Observations) {}

    /// The output for each row.
    fn predict(&self, x: &HeadInput<'_>) -> Vec<Self::Output>;
}

/// A batch as the encoder leaves it.
#[derive(Clone, Copy, Debug)]
pub struct HeadInput<'a> {
    /// Hidden states `[b, s, h]`, arbitrary values at padding.
    pub hidden_bsh: &'a Tensor,
    /// The `b` rows.
    pub batch: &'a BatchTensors,
    /// Whether dropout is applied.
    pub train: bool,
}

/// The losses of a batch, a loss for each label, with the tensors that metrics are computed from.
#[derive(Debug)]
pub struct RowLosses {
    /// `[b]` float, where `b` is the number of labels.
    pub losses_b: Tensor,
    /// Whatever [`HeadNet::observe`] needs.
    pub outputs: Vec<Tensor>,
}
