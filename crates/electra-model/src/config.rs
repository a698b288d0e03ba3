//! What a pair of ELECTRA networks is made of: plain structs, no hidden defaults.

use crate::{Compute, Error, Kernels, Precision, Result};
use serde::{Deserialize, Serialize};

/// Generator and discriminator together: the `[model]` section of a pre-training config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectraConfig {
    /// Entries of the vocabulary.
    pub vocab_size: i64,
    /// Width `e` of the embeddings; projected to the hidden size where they differ.
    pub embedding_size: i64,
    /// Longest sequence, in tokens.
    pub max_positions: i64,
    /// Segment (token type) ids.
    pub segments: i64,
    /// Dropout on embeddings and sub-layer outputs, a probability.
    pub dropout: f64,
    /// Dropout on attention probabilities.
    pub attention_dropout: f64,
    /// Added to the variance in every LayerNorm.
    pub layer_norm_eps: f64,
    /// The network that says which tokens were replaced; what is fine-tuned.
    pub discriminator: Tower,
    /// The small masked language model that makes the replacements.
    pub generator: Tower,
    /// How weights start.
    pub initializer: Initializer,
    /// How tokens are embedded.
    pub embeddings: EmbeddingsKind,
    /// What the two networks' embeddings have in common.
    pub sharing: SharingKind,
    /// How information moves between positions.
    pub attention: AttentionKind,
    /// What happens at each position.
    pub feed_forward: FeedForwardKind,
    /// The form in which the shipped layers compute.
    pub kernels: Kernels,
    /// What the factors of products are rounded to.
    pub precision: Precision,
    /// What blocks keep for the backward pass; runs from before there was a choice kept everything.
    #[serde(default)]
    pub activations: Activations,
}

/// What a transformer block keeps for its backward pass. Values, draws of dropout and gradients are the same; where
/// seams hold other parts, as long as they draw from libtorch's generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activations {
    /// What its layers need.
    #[default]
    Keep,
    /// Its input, from which the backward pass computes the rest again: a third more work, a fraction of the memory
    /// ([`crate::memory`]).
    Recompute,
}

/// Sizes of one transformer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tower {
    /// Transformer blocks.
    pub layers: i64,
    /// Width `h`.
    pub hidden: i64,
    /// Attention heads; `hidden` is divided among them.
    pub heads: i64,
    /// Width of the feed-forward layer.
    pub intermediate: i64,
}

/// How weights start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initializer {
    /// The scheme.
    pub kind: InitializerKind,
    /// Standard deviation of the normal draws, before truncation.
    pub std: f64,
    /// How the position table starts.
    pub positions: PositionsInit,
    /// How the generator's output bias starts.
    pub output_bias: OutputBiasInit,
}

/// The schemes of the reference and of Hugging Face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InitializerKind {
    /// Normal truncated at 2 standard deviations; Glorot-uniform for the embedding projection, the
    /// discriminator's last layer and task heads.
    Reference,
    /// Untruncated normal everywhere, a zero row 0, which is that of `[PAD]` in Hugging Face's ELECTRA. Where `[PAD]`
    /// has another id, that row is the one of another token.
    HuggingFace,
}

/// How the position table starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PositionsInit {
    /// Like every other table.
    Random,
    /// Sinusoids (Vaswani et al. 2017, section 3.5) scaled to the initializer's deviation; trained on.
    Sinusoidal,
}

/// How the generator's output bias starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OutputBiasInit {
    /// Zero, as the reference.
    Zero,
    /// Log of the corpus' (add-one) token frequencies.
    Unigram,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant {}),* }
    )*};
}
kinds! {
    /// Shipped embeddings.
    EmbeddingsKind {
        /// Word + position + segment, LayerNorm, dropout.
        Token
    }
    /// Shipped sharing policies.
    SharingKind {
        /// One embedding block, LayerNorm included, used by both networks (the reference).
        Tied,
        /// Each network its own block.
        Untied
    }
    /// Shipped self-attentions.
    AttentionKind {
        /// Scaled dot products and a softmax.
        Softmax
    }
    /// Shipped feed-forward layers.
    FeedForwardKind {
        /// Two dense layers around an exact gelu.
        GeluMlp
    }
}

/// One network with its embeddings: what a part is built from and a `config.json` describes.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Entries of the vocabulary.
    pub vocab_size: i64,
    /// Width `e` of the embeddings.
    pub embedding_size: i64,
    /// Longest sequence, in tokens.
    pub max_positions: i64,
    /// Segment ids.
    pub segments: i64,
    /// Dropout on embeddings and sub-layer outputs.
    pub dropout: f64,
    /// Dropout on attention probabilities.
    pub attention_dropout: f64,
    /// Added to the variance in every LayerNorm.
    pub layer_norm_eps: f64,
    /// Transformer blocks.
    pub layers: i64,
    /// Width `h`.
    pub hidden: i64,
    /// Attention heads.
    pub heads: i64,
    /// Width of the feed-forward layer.
    pub intermediate: i64,
    /// How weights start.
    pub initializer: Initializer,
    /// The form in which the shipped layers compute.
    pub kernels: Kernels,
    /// What the factors of products are rounded to.
    pub precision: Precision,
    /// What blocks keep for the backward pass.
    pub activations: Activations,
}

impl ElectraConfig {
    /// ELECTRA-Small: Table 6 of the paper, generator 1/4.
    pub fn small(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 128, Tower::new(12, 256, 4), Tower::new(12, 64, 1))
    }

    /// ELECTRA-Small++ as released: the generator is as large as the discriminator.
    pub fn small_plus_plus(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 128, Tower::new(12, 256, 4), Tower::new(12, 256, 4))
    }

    /// ELECTRA-Base: Table 6, generator 1/3.
    pub fn base(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 768, Tower::new(12, 768, 12), Tower::new(12, 256, 4))
    }

    /// ELECTRA-Large: Table 6, generator 1/4.
    pub fn large(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 1024, Tower::new(24, 1024, 16), Tower::new(24, 256, 4))
    }

    fn paper(vocab_size: i64, embedding_size: i64, discriminator: Tower, generator: Tower) -> Self {
        Self {
            vocab_size,
            embedding_size,
            max_positions: 512,
            segments: 2,
            dropout: 0.1,
            attention_dropout: 0.1,
            layer_norm_eps: 1e-12,
            discriminator,
            generator,
            initializer: Initializer::reference(),
            embeddings: EmbeddingsKind::Token {},
            sharing: SharingKind::Tied {},
            attention: AttentionKind::Softmax {},
            feed_forward: FeedForwardKind::GeluMlp {},
            kernels: Kernels::Fused,
            precision: Precision::F32,
            activations: Activations::Keep,
        }
    }

    /// The discriminator as one network.
    pub fn discriminator(&self) -> EncoderConfig {
        self.encoder(&self.discriminator)
    }

    /// The generator as one network; its embeddings are as wide as the discriminator's.
    pub fn generator(&self) -> EncoderConfig {
        self.encoder(&self.generator)
    }

    fn encoder(&self, tower: &Tower) -> EncoderConfig {
        EncoderConfig {
            vocab_size: self.vocab_size,
            embedding_size: self.embedding_size,
            max_positions: self.max_positions,
            segments: self.segments,
            dropout: self.dropout,
            attention_dropout: self.attention_dropout,
            layer_norm_eps: self.layer_norm_eps,
            layers: tower.layers,
            hidden: tower.hidden,
            heads: tower.heads,
            intermediate: tower.intermediate,
            initializer: self.initializer.clone(),
            kernels: self.kernels,
            precision: self.precision,
            activations: self.activations,
        }
    }

    /// Checks that a model can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key that cannot be.
    pub fn validate(&self) -> Result<()> {
        self.discriminator().validate("discriminator.")?;
        self.generator().validate("generator.")
    }
}

impl Tower {
    /// `layers` blocks of width `hidden`, with the usual feed-forward width of 4 x hidden.
    pub fn new(layers: i64, hidden: i64, heads: i64) -> Self {
        Self { layers, hidden, heads, intermediate: 4 * hidden }
    }
}

impl Initializer {
    /// The reference's: truncated normal of deviation 0.02, zero output bias.
    pub fn reference() -> Self {
        Self {
            kind: InitializerKind::Reference,
            std: 0.02,
            positions: PositionsInit::Random,
            output_bias: OutputBiasInit::Zero,
        }
    }
}

impl EncoderConfig {
    /// How the shipped layers compute.
    pub fn compute(&self) -> Compute {
        Compute { kernels: self.kernels, precision: self.precision }
    }

    /// Size `d` of one attention head.
    pub fn head_size(&self) -> i64 {
        self.hidden / self.heads
    }

    /// Checks that an encoder can be built; `tower` is put before the keys of the tower's sizes.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key that cannot be.
    pub fn validate(&self, tower: &str) -> Result<()> {
        let own = |key: &str| format!("{tower}{key}");
        for (key, value) in [
            ("vocab_size".to_owned(), self.vocab_size),
            ("embedding_size".to_owned(), self.embedding_size),
            ("max_positions".to_owned(), self.max_positions),
            ("segments".to_owned(), self.segments),
            (own("layers"), self.layers),
            (own("hidden"), self.hidden),
            (own("heads"), self.heads),
            (own("intermediate"), self.intermediate),
        ] {
            check(value > 0, &key, value, "must be at least 1")?;
        }
        check(
            self.hidden % self.heads == 0,
            &own("hidden"),
            self.hidden,
            format!("must be divisible by {tower}heads = {}", self.heads),
        )?;
        for (key, p) in [("dropout", self.dropout), ("attention_dropout", self.attention_dropout)] {
            check(
                (0.0..1.0).contains(&p),
                key,
                p,
                "must be a probability from 0 up to, not including, 1",
            )?;
        }
        check(self.layer_norm_eps > 0.0, "layer_norm_eps", self.layer_norm_eps, "must be above 0")?;
        let std = self.initializer.std;
        check(std > 0.0 && std.is_finite(), "initializer.std", std, "must be above 0 and finite")
    }
}

fn check(ok: bool, key: &str, value: impl ToString, expected: impl ToString) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::Config {
        key: key.to_owned(),
        value: value.to_string(),
        expected: expected.to_string(),
    })
}
