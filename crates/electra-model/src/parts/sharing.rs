//! Sharing of embeddings between generator and discriminator.

use crate::{
    error::Result,
    seam::{BuildEmbeddings, EmbeddingPair, Embeddings, ShareEmbeddings, Site},
    shared::Shared,
};
use tch::Tensor;

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
