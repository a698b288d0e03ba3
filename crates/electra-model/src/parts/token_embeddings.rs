//! Word + segment + position embeddings.

use crate::{
    config::{EncoderConfig, InitializerKind, Kernels, PositionsInit, Precision},
    cost::{Amount, Cost, FLOAT, operand_bytes},
    error::Result,
    init::{self, LayerNorm},
    kernels::Compute,
    seam::{Embeddings, Site},
};
use tch::{Tensor, no_grad};

/// Word + segment + position, LayerNorm, dropout.
///
/// Source: reference `model/modeling.py`, `embedding_lookup` and `embedding_postprocessor`.
/// Departures: none.
#[derive(Debug)]
pub struct TokenEmbeddings {
    words: Tensor,
    positions: Tensor,
    segments: Tensor,
    norm: LayerNorm,
    dropout: f64,
    compute: Compute,
}

impl TokenEmbeddings {
    /// Variables `{word,position,token_type}_embeddings` and `LayerNorm` under the site's path.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &Site<'_>) -> Result<Self> {
        let c = site.config;
        let e = c.embedding_size;
        let table = |name: &str, rows: i64| {
            init::normal(&(site.path / name), "weight", &[rows, e], &c.initializer)
        };
        let words = table("word_embeddings", c.vocab_size)?;
        let mut positions = table("position_embeddings", c.max_positions)?;
        let segments = table("token_type_embeddings", c.segments)?;
        no_grad(|| {
            if c.initializer.kind == InitializerKind::HuggingFace {
                // `[PAD]` has id 0 in Hugging Face's ELECTRA and in the vocabularies made here. The config does not have
                // the id. The row is trained like any other.
                let _ = words.narrow(0, 0, 1).zero_();
            }
            if c.initializer.positions == PositionsInit::Sinusoidal {
                positions.copy_(&init::sinusoids(c.max_positions, e, c.initializer.std));
            }
        });
        let norm = LayerNorm::new(&(site.path / "LayerNorm"), e, c.layer_norm_eps)?;
        Ok(Self { words, positions, segments, norm, dropout: c.dropout, compute: Compute::of(c) })
    }

    /// Embeddings that share the same variables, for another network.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self {
            words: self.words.shallow_clone(),
            positions: self.positions.shallow_clone(),
            segments: self.segments.shallow_clone(),
            norm: self.norm.shallow_clone(),
            dropout: self.dropout,
            compute: self.compute,
        }
    }
}

impl Embeddings for TokenEmbeddings {
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor {
        let s = ids_bs.size()[1];
        let words_bse = Tensor::embedding(&self.words, ids_bs, -1, false, false);
        let segments_bse = Tensor::embedding(&self.segments, segments_bs, -1, false, false);
        let sum_bse = words_bse + segments_bse + self.positions.narrow(0, 0, s);
        self.compute.dropout(&self.norm.forward(&sum_bse), self.dropout, train)
    }

    fn token_table(&self) -> Tensor {
        self.words.shallow_clone()
    }

    fn named_tensors(&self) -> Vec<(String, Tensor)> {
        let named = |name: &str, t: &Tensor| (name.to_owned(), t.shallow_clone());
        vec![
            named("word_embeddings.weight", &self.words),
            named("position_embeddings.weight", &self.positions),
            named("token_type_embeddings.weight", &self.segments),
            named("LayerNorm.weight", &self.norm.weight),
            named("LayerNorm.bias", &self.norm.bias),
        ]
    }

    /// The reference counts embeddings as dense one-hot products, and 5 for LayerNorm and 4 for dropout per element.
    fn cost(c: &EncoderConfig) -> Cost {
        let (e, h, v) = (c.embedding_size as f64, c.hidden as f64, c.vocab_size as f64);
        let projected = c.embedding_size != c.hidden;
        let mask = if c.kernels == Kernels::Plain && c.dropout > 0.0 { FLOAT * e } else { 0.0 };
        let input = if projected { operand_bytes(c) * e } else { 0.0 };
        let copies = match (c.precision, projected) {
            (Precision::Bf16, true) => FLOAT / 2.0 * e * h,
            _ => 0.0,
        };
        Cost {
            reference: Amount {
                token: 2.0 * e * v
                    + 2.0 * e * 2.0
                    + 2.0 * e
                    + 5.0 * e
                    + 4.0 * e
                    + if projected { 2.0 * h * e + h } else { 0.0 },
                pair: 2.0 * e,
            },
            products: Amount::token(if projected { 2.0 * e * h } else { 0.0 }),
            saved: Amount::token(FLOAT * e + 8.0 + mask + input),
            copies,
            working: Amount::default(),
        }
    }
}
