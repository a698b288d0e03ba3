//! Embedding sharing between generator and discriminator.

use super::token_embeddings::TokenEmbeddings;
use crate::{
    config::{ElectraConfig, EncoderConfig},
    error::{Error, Result},
    seam::{BuildEmbeddings, EmbeddingPair, Embeddings, Offset, ShareEmbeddings, Site},
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
        let shared = SharedEmbeddings::new(build(discriminator)?);
        Ok(EmbeddingPair { generator: Box::new(shared.clone()), discriminator: Box::new(shared) })
    }
}

/// Embeddings of several encoders.
#[derive(Clone, Debug)]
pub struct SharedEmbeddings(Shared<Box<dyn Embeddings>>);

impl SharedEmbeddings {
    /// Clones of the result share the embeddings.
    pub fn new(embeddings: Box<dyn Embeddings>) -> Self {
        Self(Shared::new(embeddings))
    }
}

impl Embeddings for SharedEmbeddings {
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor {
        self.0.get().forward_t(ids_bs, segments_bs, train)
    }

    fn token_table(&self) -> Tensor {
        self.0.get().token_table()
    }

    fn named_tensors(&self) -> Vec<(String, Tensor)> {
        self.0.get().named_tensors()
    }

    fn offsets(&self) -> Vec<Offset> {
        self.0.get().offsets()
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

/// Both networks use the same word embeddings, under the discriminator's path; the rest of the embeddings is separate.
///
/// Source: Clark et al. 2020, section 3.2, "only token embeddings".
#[derive(Clone, Copy, Debug)]
pub struct TiedTokens;

impl ShareEmbeddings for TiedTokens {
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair> {
        let discriminator = build(discriminator)?;
        let words_ve = discriminator.token_table();
        let generator = Box::new(TokenEmbeddings::with_words(generator, words_ve)?);
        Ok(EmbeddingPair { generator, discriminator })
    }

    fn check(&self, config: &ElectraConfig) -> Result<()> {
        requires_token_embeddings("tied-tokens", config)
    }
}

/// Both networks use the same encoder, under the discriminator's path; only their heads differ.
///
/// Source: Clark et al. 2020, section 3.2, "all weights"; reference `untied_generator = false`.
#[derive(Clone, Copy, Debug)]
pub struct TiedAll;

impl ShareEmbeddings for TiedAll {
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair> {
        Tied.pair(generator, discriminator, build)
    }

    fn shares_encoder(&self) -> bool {
        true
    }

    fn check(&self, config: &ElectraConfig) -> Result<()> {
        let sizes = |c: &EncoderConfig| [c.layers, c.hidden, c.heads, c.intermediate];
        let (generator, discriminator) = (config.generator()?, &config.discriminator);
        if generator == discriminator {
            return Ok(());
        }
        Err(Error::Config {
            key: "sharing.kind".to_owned(),
            value: "tied-all".to_owned(),
            expected: format!(
                "requires a generator with the sizes and parts of the discriminator: [model.generator] has layers, hidden, \
                 heads, intermediate = {:?}, [model.discriminator] has {:?}; for a smaller generator use \"tied\", which \
                 shares the embeddings",
                sizes(generator),
                sizes(discriminator)
            ),
        })
    }
}

/// Gradient-disentangled sharing (GDES): the discriminator's word and position tables are the generator's plus a variable
/// that starts at 0, and the discriminator's loss does not reach the generator's tables. Segment embeddings and LayerNorm
/// are separate.
///
/// Source: He et al. 2021 (DeBERTaV3), section 3.3; `E_D = sg(E_G) + E_delta`.
#[derive(Clone, Copy, Debug)]
pub struct GradientDisentangled;

impl ShareEmbeddings for GradientDisentangled {
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        _: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair> {
        let generator = TokenEmbeddings::new(generator)?;
        let discriminator = Box::new(TokenEmbeddings::with_offsets(discriminator, &generator)?);
        Ok(EmbeddingPair { generator: Box::new(generator), discriminator })
    }

    fn check(&self, config: &ElectraConfig) -> Result<()> {
        requires_token_embeddings("gdes", config)
    }
}

/// Checks that the embeddings are the built-in ones, whose tables the policy `kind` shares one by one.
fn requires_token_embeddings(kind: &str, config: &ElectraConfig) -> Result<()> {
    match config.discriminator.embeddings.name() {
        "token" => Ok(()),
        other => Err(Error::Config {
            key: "sharing.kind".to_owned(),
            value: kind.to_owned(),
            expected: format!(
                "requires embeddings.kind = \"token\", not {other:?}; \"tied\" and \"untied\" work with any embeddings"
            ),
        }),
    }
}
