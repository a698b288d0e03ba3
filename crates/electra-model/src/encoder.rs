//! The encoder: embeddings, projection and a stack of post-norm blocks.

use crate::{
    Activations, Compute, Embeddings, EncoderConfig, FeedForward, PaddingMask, Parts, Result,
    SelfAttention, Site,
    init::{self, Dense, LayerNorm},
    kernels::widened,
    shared::Shared,
};
use electra_torch::recompute;
use tch::{Tensor, nn};

/// Embeddings and transformer: what fine-tuning loads, `ElectraModel` in Hugging Face's terms.
///
/// Source: Clark et al. 2020, section 3; reference `model/modeling.py`, `BertModel`.
#[derive(Debug)]
pub struct Encoder {
    embeddings: Box<dyn Embeddings>,
    project: Option<nn::Linear>,
    compute: Compute,
    activations: Activations,
    blocks: Vec<Shared<Block>>,
}

impl Encoder {
    /// An encoder over `embeddings`, with its own projection where `e != h`.
    ///
    /// # Errors
    /// If a part cannot be built.
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
        let layers = path / "encoder" / "layer";
        let blocks = (0..config.layers)
            .map(|layer| {
                let site = Site { path: &(&layers / layer), config, layer };
                Ok(Shared::new(Block::new(&site, parts)?))
            })
            .collect::<Result<_>>()?;
        let (compute, activations) = (config.compute(), config.activations);
        Ok(Self { embeddings, project, compute, activations, blocks })
    }

    /// # Shapes
    /// - `ids_bs`, `segments_bs`: `[b, s]` int64. Result: the last hidden states, `[b, s, h]` float.
    pub fn forward_t(
        &self,
        ids_bs: &Tensor,
        segments_bs: &Tensor,
        mask: &PaddingMask,
        train: bool,
    ) -> Tensor {
        let x_bsh = self.embed(ids_bs, segments_bs, train);
        let through = |x: Tensor, mask: &PaddingMask| {
            self.blocks.iter().fold(x, |x, block| self.block(block, &x, mask, train))
        };
        // No work on padding, where no layer asks for it.
        let last_bsh =
            match self.takes_packed(&x_bsh).then(|| mask.packed(self.compute.rows())).flatten() {
                Some(packed) => packed.unpack(&through(packed.pack(&x_bsh), &packed.mask)),
                None => through(x_bsh, mask),
            };
        widened(&last_bsh)
    }

    fn takes_packed(&self, x_bsh: &Tensor) -> bool {
        self.compute.fuses(x_bsh)
            && self.blocks.iter().all(|block| block.get().attention.takes_packed())
    }

    /// `[b, s, h]` through one of the blocks.
    fn block(
        &self,
        block: &Shared<Block>,
        x_bsh: &Tensor,
        mask: &PaddingMask,
        train: bool,
    ) -> Tensor {
        match self.activations {
            Activations::Keep => block.get().forward_t(x_bsh, mask, train),
            Activations::Recompute => {
                let (block, mask) = (block.clone(), mask.share());
                recompute(x_bsh, move |x_bsh| block.get().forward_t(x_bsh, &mask, train))
            }
        }
    }

    /// Every hidden state, the (projected) embeddings first: `layers + 1` tensors `[b, s, h]`.
    pub fn hidden_states(
        &self,
        ids_bs: &Tensor,
        segments_bs: &Tensor,
        mask: &PaddingMask,
        train: bool,
    ) -> Vec<Tensor> {
        let mut x_bsh = self.embed(ids_bs, segments_bs, train);
        let mut states = vec![widened(&x_bsh)];
        for block in &self.blocks {
            x_bsh = self.block(block, &x_bsh, mask, train);
            states.push(widened(&x_bsh));
        }
        states
    }

    /// The embeddings, for a tied output layer and for export.
    pub fn embeddings(&self) -> &dyn Embeddings {
        self.embeddings.as_ref()
    }

    fn embed(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor {
        let x_bse = self.embeddings.forward_t(ids_bs, segments_bs, train);
        match &self.project {
            Some(project) => self.compute.dense(project, &x_bse),
            None => x_bse,
        }
    }
}

/// One transformer block: each sub-layer is followed by dropout, residual and LayerNorm.
#[derive(Debug)]
struct Block {
    attention: Box<dyn SelfAttention>,
    attention_norm: LayerNorm,
    feed_forward: Box<dyn FeedForward>,
    feed_forward_norm: LayerNorm,
    dropout: f64,
    compute: Compute,
}

impl Block {
    fn new(site: &Site<'_>, parts: &Parts) -> Result<Self> {
        let (h, eps) = (site.config.hidden, site.config.layer_norm_eps);
        let attention = site.path / "attention";
        Ok(Self {
            attention: parts.attention.build(&Site { path: &attention, ..*site })?,
            attention_norm: LayerNorm::new(&(attention / "output" / "LayerNorm"), h, eps)?,
            feed_forward: parts.feed_forward.build(site)?,
            feed_forward_norm: LayerNorm::new(&(site.path / "output" / "LayerNorm"), h, eps)?,
            dropout: site.config.dropout,
            compute: site.config.compute(),
        })
    }

    fn forward_t(&self, x_bsh: &Tensor, mask: &PaddingMask, train: bool) -> Tensor {
        let (compute, p) = (self.compute, self.dropout);
        // Parts from elsewhere are given what they are promised: 32 bits.
        let given = |x: &Tensor, bf16| if bf16 { x.shallow_clone() } else { widened(x) };
        let own_bsh = given(x_bsh, self.attention.takes_bf16());
        let mixed_bsh = self.attention.forward_t(&own_bsh, mask, train);
        let x_bsh = compute.add_norm(&mixed_bsh, x_bsh, &self.attention_norm, p, train);
        let own_bsh = given(&x_bsh, self.feed_forward.takes_bf16());
        let fed_bsh = self.feed_forward.forward_t(&own_bsh, train);
        compute.add_norm(&fed_bsh, &x_bsh, &self.feed_forward_norm, p, train)
    }
}
