//! The encoder: embeddings, projection and a stack of blocks.

use crate::{
    config::{Activations, EncoderConfig},
    error::Result,
    init::{self, Dense, LayerNorm},
    input::EncoderInput,
    kernels::{Compute, to_float},
    mask::PaddingMask,
    parts::{Parts, SharedEmbeddings},
    seam::{Block, Embeddings, LayerContext, Positions, Site},
    shared::Shared,
};
use electra_torch::recompute;
use tch::{Tensor, nn};

/// Embeddings and transformer, which fine-tuning loads: `ElectraModel` in `transformers`.
///
/// Source: Clark et al. 2020, section 3; reference `model/modeling.py`, `BertModel`.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    variables: String,
    embeddings: SharedEmbeddings,
    project: Option<nn::Linear>,
    positions: Shared<Box<dyn Positions>>,
    blocks: Vec<Shared<Box<dyn Block>>>,
    final_norm: Option<LayerNorm>,
}

impl Encoder {
    /// An encoder over `embeddings`, with a projection if `e != h`.
    ///
    /// # Errors
    /// If a part is unknown or cannot be built.
    pub fn new(
        path: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        embeddings: Box<dyn Embeddings>,
    ) -> Result<Self> {
        let (e, h) = (config.embedding_size, config.hidden);
        let project = (e != h)
            .then(|| {
                let path = path / "embeddings_project";
                init::dense(&path, e, h, Dense::Glorot, &config.initializer)
            })
            .transpose()?;
        let own = path / "encoder";
        let positions = Shared::new(parts.positions(&Site::new(&own, config))?);
        let layers = &own / "layer";
        let blocks = (0..config.layers)
            .map(|layer| {
                let path = &layers / layer;
                Ok(Shared::new(parts.block(&Site::in_layer(&path, config, layer))?))
            })
            .collect::<Result<Vec<_>>>()?;
        let final_norm = blocks
            .last()
            .filter(|block| block.get().needs_final_norm())
            .map(|_| LayerNorm::new(&(&own / "final_LayerNorm"), h, config.layer_norm_eps))
            .transpose()?;
        Ok(Self {
            config: config.clone(),
            variables: path.components().collect::<Vec<_>>().join("."),
            embeddings: SharedEmbeddings::new(embeddings),
            project,
            positions,
            blocks,
            final_norm,
        })
    }

    /// The same encoder, with the same variables, for another network.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let project = self.project.as_ref().map(|project| nn::Linear {
            ws: project.ws.shallow_clone(),
            bs: project.bs.as_ref().map(Tensor::shallow_clone),
        });
        Self {
            config: self.config.clone(),
            variables: self.variables.clone(),
            embeddings: self.embeddings.clone(),
            project,
            positions: self.positions.clone(),
            blocks: self.blocks.clone(),
            final_norm: self.final_norm.as_ref().map(LayerNorm::shallow_clone),
        }
    }

    /// The path of its variables, such as `discriminator.electra`.
    pub fn variables(&self) -> &str {
        &self.variables
    }

    /// An encoder with its own embeddings, under `path`.
    ///
    /// # Errors
    /// As [`Self::new`], and if `config` does not use a custom part.
    pub fn from_config(path: &nn::Path<'_>, config: &EncoderConfig, parts: &Parts) -> Result<Self> {
        parts.check(&[config])?;
        let embeddings = parts.embeddings(&Site::new(&(path / "embeddings"), config))?;
        Self::new(path, config, parts, embeddings)
    }

    /// The config that it was built from.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// # Shapes
    /// - `input`: `[b, s]`. Result: the last hidden states, `[b, s, h]` float.
    pub fn forward_t(&self, input: &EncoderInput, train: bool) -> Tensor {
        let x_bsh = self.embed(input, train);
        let tables = self.positions.get().tables(x_bsh.size()[1], train);
        let apply_blocks = |x: Tensor, mask: &PaddingMask| {
            let context = LayerContext::new(mask).with_tables(&tables);
            self.blocks.iter().fold(x, |x, block| self.block(block, &x, &context, train))
        };
        // Skip padding if all blocks support packed batches.
        let compute = Compute::of(&self.config);
        let mask = input.mask();
        let last_bsh = match self
            .supports_packed(&x_bsh)
            .then(|| mask.packed(compute.row_count()))
            .flatten()
        {
            Some(packed) => packed.unpack(&apply_blocks(packed.pack(&x_bsh), &packed.mask)),
            None => apply_blocks(x_bsh, mask),
        };
        self.finish(&last_bsh)
    }

    fn supports_packed(&self, x_bsh: &Tensor) -> bool {
        Compute::of(&self.config).fuses(x_bsh)
            && self.blocks.iter().all(|block| block.get().supports_packed())
    }

    /// Applies a block to `[b, s, h]`.
    fn block(
        &self,
        block: &Shared<Box<dyn Block>>,
        x_bsh: &Tensor,
        context: &LayerContext<'_>,
        train: bool,
    ) -> Tensor {
        match self.config.activations {
            Activations::Keep => block.get().forward_t(x_bsh, context, train),
            Activations::Recompute => {
                let (block, mask) = (block.clone(), context.mask.shallow_clone());
                let inputs: Vec<&Tensor> =
                    std::iter::once(x_bsh).chain(context.tables.iter()).collect();
                recompute(&inputs, move |inputs| {
                    let context = LayerContext::new(&mask).with_tables(&inputs[1..]);
                    block.get().forward_t(&inputs[0], &context, train)
                })
            }
        }
    }

    /// All hidden states, starting with the (projected) embeddings: `layers + 1` tensors `[b, s, h]`.
    pub fn hidden_states(&self, input: &EncoderInput, train: bool) -> Vec<Tensor> {
        let mut x_bsh = self.embed(input, train);
        let tables = self.positions.get().tables(x_bsh.size()[1], train);
        let context = LayerContext::new(input.mask()).with_tables(&tables);
        let mut states = vec![to_float(&x_bsh)];
        for block in &self.blocks {
            x_bsh = self.block(block, &x_bsh, &context, train);
            states.push(to_float(&x_bsh));
        }
        if let Some(last) = states.last_mut() {
            *last = self.finish(&x_bsh);
        }
        states
    }

    /// The embeddings, for a tied output layer and for export.
    pub fn embeddings(&self) -> &dyn Embeddings {
        &self.embeddings
    }

    fn embed(&self, input: &EncoderInput, train: bool) -> Tensor {
        let x_bse = self.embeddings.forward_t(input.ids_bs(), input.segments_bs(), train);
        match &self.project {
            Some(project) => Compute::of(&self.config).dense(project, &x_bse),
            None => x_bse,
        }
    }

    /// Converts the last hidden states to float32 and applies the final LayerNorm, if there is one.
    fn finish(&self, x_bsh: &Tensor) -> Tensor {
        let x_bsh = to_float(x_bsh);
        match &self.final_norm {
            Some(norm) => norm.forward(&x_bsh),
            None => x_bsh,
        }
    }
}
