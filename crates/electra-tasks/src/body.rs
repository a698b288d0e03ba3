//! The encoder under a head.

use crate::{
    batch::{BatchTensors, Input, chunks},
    head::{HeadInput, HeadNet},
};
use electra_model::{Encoder, EncoderConfig, Parts};
use std::borrow::Borrow;
use tch::{Device, Tensor, nn, no_grad};

/// The prefix of an encoder's variables, as in Hugging Face's folders.
pub(crate) const ENCODER: &str = "electra";
/// The prefix of a head's variables.
pub const HEAD: &str = "task_head";

/// An encoder, without its head.
#[derive(Debug)]
pub struct Body {
    encoder: Encoder,
    pad: u32,
    device: Device,
}

impl Body {
    /// An encoder with fresh weights; `pad` is the vocabulary's `[PAD]`.
    ///
    /// # Errors
    /// If a part cannot be built.
    pub fn new(
        root: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        pad: u32,
    ) -> electra_model::Result<Self> {
        let path = root / ENCODER;
        let encoder = Encoder::from_config(&path, config, parts)?;
        Ok(Self { encoder, pad, device: root.device() })
    }

    /// The tensors of inputs.
    pub fn tensors(&self, inputs: &[&Input]) -> BatchTensors {
        BatchTensors::new(inputs, self.pad, self.device)
    }

    /// # Shapes
    /// - Result: hidden states `[b, s, h]`.
    pub fn forward_t(&self, batch: &BatchTensors, train: bool) -> Tensor {
        self.encoder.forward_t(&batch.encoder, train)
    }

    /// The outputs of `net` for inputs, in order. Batches are made of inputs of similar length.
    pub fn predict<N: HeadNet>(
        &self,
        inputs: &[impl Borrow<Input>],
        batch_size: usize,
        net: &N,
    ) -> Vec<N::Output> {
        self.map(inputs, batch_size, |batch| net.predict(batch))
    }

    /// The results of `each` for the rows of each batch, in the order of the inputs.
    pub(crate) fn map<T>(
        &self,
        inputs: &[impl Borrow<Input>],
        batch_size: usize,
        each: impl Fn(&HeadInput<'_>) -> Vec<T>,
    ) -> Vec<T> {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&i| inputs[i].borrow().ids.len());
        let mut outputs: Vec<Option<T>> = inputs.iter().map(|_| None).collect();
        for range in chunks(order.len(), batch_size.max(1)) {
            let numbers = &order[range];
            let rows: Vec<&Input> = numbers.iter().map(|&i| inputs[i].borrow()).collect();
            let batch = self.tensors(&rows);
            let of_rows = no_grad(|| {
                let hidden_bsh = &self.forward_t(&batch, false);
                each(&HeadInput { hidden_bsh, batch: &batch, train: false })
            });
            for (&number, output) in numbers.iter().zip(of_rows) {
                outputs[number] = Some(output);
            }
        }
        outputs.into_iter().flatten().collect()
    }
}
