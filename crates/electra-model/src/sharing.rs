//! Embedding sharing: a policy that builds both networks' embeddings.

use crate::{embeddings::Embeddings, error::Result, shared::Shared, site::Site};
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

/// Builds the embeddings that a network's config names, under a site's path.
pub type BuildEmbeddings<'a> = dyn Fn(&Site<'_>) -> Result<Box<dyn Embeddings>> + 'a;

/// Builds both networks' embeddings, and so decides what they have in common.
pub trait ShareEmbeddings: Debug + Send + Sync {
    /// Embeddings with variables under `generator.path` and `discriminator.path`, which end in
    /// `embeddings`; `build` builds one block of them.
    ///
    /// # Errors
    /// If the embeddings cannot be built.
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair>;
}

/// One block for both, its LayerNorm included; the variables are the discriminator's. The block is whatever part the
/// embeddings are.
///
/// Source: Clark et al. 2020, section 3.2 "weight sharing"; reference scope `electra/embeddings`.
#[derive(Clone, Copy, Debug)]
pub struct Tied;

impl ShareEmbeddings for Tied {
    fn pair(
        &self,
        _: &Site<'_>,
        discriminator: &Site<'_>,
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair> {
        let block = Shared::new(build(discriminator)?);
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
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair> {
        Ok(EmbeddingPair { generator: build(generator)?, discriminator: build(discriminator)? })
    }
}
