//! Embedding sharing: a policy that builds both networks' embeddings.

use crate::{Embeddings, Parts, Result, Site, shared::Shared};
use std::fmt::Debug;
use tch::Tensor;

/// The embeddings of both networks.
#[derive(Debug)]
pub struct EmbeddingPair {
    /// The generator's; its word table is also the output layer's matrix.
    pub generator: Box<dyn Embeddings>,
    /// The discriminator's.
    pub discriminator: Box<dyn Embeddings>,
}

/// Builds both networks' embeddings, and so decides what they have in common.
pub trait ShareEmbeddings: Debug + Send + Sync {
    /// Embeddings with variables under `generator.path` and `discriminator.path`, which end in
    /// `embeddings`.
    ///
    /// # Errors
    /// If the embeddings cannot be built.
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        parts: &Parts,
    ) -> Result<EmbeddingPair>;
}

/// One block for both, its LayerNorm included; the variables are the discriminator's. The block is whatever part the
/// embeddings are.
///
/// Source: Clark et al. 2020, section 3.2 "weight sharing"; reference scope `electra/embeddings`.
#[derive(Clone, Copy, Debug)]
pub struct Tied;

impl ShareEmbeddings for Tied {
    fn pair(&self, _: &Site<'_>, discriminator: &Site<'_>, parts: &Parts) -> Result<EmbeddingPair> {
        let block = Shared::new(parts.embeddings.build(discriminator)?);
        Ok(EmbeddingPair { generator: Box::new(block.clone()), discriminator: Box::new(block) })
    }
}

impl Embeddings for Shared<Box<dyn Embeddings>> {
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor {
        self.get().forward_t(ids_bs, segments_bs, train)
    }

    fn token_table(&self) -> Tensor {
        self.get().token_table()
    }

    fn named_tensors(&self) -> Vec<(String, Tensor)> {
        self.get().named_tensors()
    }
}

/// A block each, both as wide as the discriminator's.
#[derive(Clone, Copy, Debug)]
pub struct Untied;

impl ShareEmbeddings for Untied {
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        parts: &Parts,
    ) -> Result<EmbeddingPair> {
        Ok(EmbeddingPair {
            generator: parts.embeddings.build(generator)?,
            discriminator: parts.embeddings.build(discriminator)?,
        })
    }
}
