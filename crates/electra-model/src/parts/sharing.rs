//! Embedding sharing between generator and discriminator.

use crate::{
    error::Result,
    seam::{BuildEmbeddings, EmbeddingPair, Embeddings, ShareEmbeddings, Site},
    shared::Shared,
};
use tch::Tensor;

/// Both networks use the same embeddings, LayerNorm included; the variables are under the discriminator's path.
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
        let shared = Shared::new(build(discriminator)?);
        Ok(EmbeddingPair { generator: Box::new(shared.clone()), discriminator: Box::new(shared) })
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

/// Each network has its own embeddings, both of the same width.
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
