//! The config of one network: sizes, parts, kernels and initialization.

use super::part_name::PartName;
use crate::error::{Error, Result};
use electra_files::Settings;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Which activations a transformer block saves for its backward pass. Outputs, dropout masks and gradients are the same
/// either way; with custom parts, provided that they draw random numbers from libtorch's generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activations {
    /// All that its layers need.
    #[default]
    Keep,
    /// Its input only (activation checkpointing): the backward pass recomputes the rest. A third more work, a fraction
    /// of the memory ([`crate::memory`]).
    Recompute,
}

/// The implementation of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kernels {
    /// Fused kernels where available: on a CPU those of `electra-torch`, on a GPU [`Self::Gpu`].
    Fused,
    /// The implementation for GPUs, on any device: libtorch's scaled dot-product attention, and activations between
    /// matrix products in the precision of the products. LayerNorm statistics, softmaxes and losses are float32.
    Gpu,
    /// A chain of libtorch functions, without fused kernels.
    Plain,
}

/// The precision of the operands of matrix products: in dense layers, and in fused attention and output layers.
/// Weights, moments, accumulators, losses and the residual stream are float32; on a GPU the residual stream is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Precision {
    /// float32: no rounding.
    F32,
    /// bfloat16, for CPUs and GPUs with fast bfloat16 products.
    Bf16,
}

impl Precision {
    /// The name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// The value of a number in a config that is read from the training data: `vocab_size = "shards"`.
pub const OF_SHARDS: &str = "shards";

/// Sizes of one transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSizes {
    /// Transformer blocks.
    pub layers: i64,
    /// Width `h`.
    pub hidden: i64,
    /// Attention heads; `hidden` is divided among them.
    pub heads: i64,
    /// Width of the feed-forward layer.
    pub intermediate: i64,
}

/// How weights are initialized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initializer {
    /// The scheme.
    pub kind: InitializerKind,
    /// Standard deviation of the normal distribution, before truncation.
    pub std: f64,
    /// How the position embeddings are initialized.
    pub positions: PositionsInit,
    /// How the generator's output bias is initialized.
    pub output_bias: OutputBiasInit,
}

/// The initialization schemes of the reference and of Hugging Face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InitializerKind {
    /// Normal truncated at 2 standard deviations; Glorot uniform for the embedding projection, the
    /// discriminator's last layer and task heads.
    Reference,
    /// Untruncated normal everywhere, except a zero word embedding for token id 0, which is `[PAD]` in Hugging Face's
    /// ELECTRA. In a vocabulary where `[PAD]` has another id, the zero row belongs to another token.
    HuggingFace,
}

/// How the position embeddings are initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PositionsInit {
    /// Like the other embeddings.
    Random,
    /// Sinusoids (Vaswani et al. 2017, section 3.5) scaled to the initializer's standard deviation; trained like the rest.
    Sinusoidal,
}

/// How the generator's output bias is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OutputBiasInit {
    /// Zero, as in the reference.
    Zero,
    /// Log of the add-one smoothed token frequencies of the corpus.
    Unigram,
}

/// The config of one network, embeddings included: parts are built from it, and `config.json` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Rows of the embedding table, at least the number of tokens.
    pub vocab_size: i64,
    /// The number of tokens, if the table has more rows: the rest is padding, which masked language models do not predict.
    /// Not in config files: training takes it from the shards.
    pub tokens: Option<i64>,
    /// Width `e` of the embeddings.
    pub embedding_size: i64,
    /// Maximum sequence length, in tokens.
    pub max_positions: i64,
    /// Number of segment ids.
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
    /// The embeddings.
    pub embeddings: PartName,
    /// The position tables that all layers share.
    pub positions: PartName,
    /// The block: how a layer composes attention, feed-forward layer, residual connections and LayerNorm.
    pub block: PartName,
    /// The self-attention.
    pub attention: PartName,
    /// The feed-forward layer.
    pub feed_forward: PartName,
    /// The settings of custom parts, by the name of the part: the sections `[model.custom.NAME]`.
    pub custom: BTreeMap<String, Settings>,
    /// How weights are initialized.
    pub initializer: Initializer,
    /// The implementation of the built-in layers.
    pub kernels: Kernels,
    /// The precision of matrix products.
    pub precision: Precision,
    /// Which activations blocks save for the backward pass.
    pub activations: Activations,
}

impl EncoderSizes {
    /// `layers` blocks of width `hidden`, with the usual feed-forward width of 4 x hidden.
    pub fn new(layers: i64, hidden: i64, heads: i64) -> Self {
        Self { layers, hidden, heads, intermediate: 4 * hidden }
    }
}

impl Initializer {
    /// As in the reference: truncated normal with standard deviation 0.02, zero output bias.
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
    /// The vocabulary size of a config with `vocab_size = "shards"`, until it is replaced by that of the training data.
    pub const VOCAB_SIZE_OF_SHARDS: i64 = -1;

    /// ELECTRA's encoder in the given sizes, with the paper's other values (Table 6): dropout 0.1, 512 positions, two
    /// segments.
    pub fn electra(vocab_size: i64, embedding_size: i64, sizes: EncoderSizes) -> Self {
        Self {
            vocab_size,
            tokens: None,
            embedding_size,
            max_positions: 512,
            segments: 2,
            dropout: 0.1,
            attention_dropout: 0.1,
            layer_norm_eps: 1e-12,
            layers: sizes.layers,
            hidden: sizes.hidden,
            heads: sizes.heads,
            intermediate: sizes.intermediate,
            embeddings: PartName::new("token"),
            positions: PartName::new("absolute"),
            block: PartName::new("post-norm"),
            attention: PartName::new("softmax"),
            feed_forward: PartName::new("gelu-mlp"),
            custom: BTreeMap::new(),
            initializer: Initializer::reference(),
            kernels: Kernels::Fused,
            precision: Precision::F32,
            activations: Activations::Keep,
        }
    }

    /// Whether all parts are ELECTRA's, so that other programs can load the network. Sizes do not matter.
    pub fn is_electra(&self) -> bool {
        let sizes = EncoderSizes { layers: 1, hidden: 1, heads: 1, intermediate: 1 };
        self.seams() == Self::electra(1, 1, sizes).seams()
    }

    /// The same config with other sizes.
    #[must_use]
    pub fn resized(&self, sizes: EncoderSizes) -> Self {
        let EncoderSizes { layers, hidden, heads, intermediate } = sizes;
        Self { layers, hidden, heads, intermediate, ..self.clone() }
    }

    /// The number of tokens that a masked language model predicts: the vocabulary, without padding of the table.
    pub fn token_count(&self) -> i64 {
        self.tokens.unwrap_or(self.vocab_size)
    }

    /// Size `d` of one attention head.
    pub fn head_size(&self) -> i64 {
        self.hidden / self.heads
    }

    /// `seam=part` for every seam, with the settings of the part if it has any: `seam=part { key = 1 }`.
    pub fn part_names(&self) -> Vec<String> {
        self.seams().map(|(seam, part)| self.described(seam, part)).to_vec()
    }

    /// A part with its settings.
    pub(super) fn described(&self, seam: &str, part: &str) -> String {
        match self.custom.get(part) {
            Some(settings) if !settings.is_empty() => format!("{seam}={part} {settings}"),
            _ => format!("{seam}={part}"),
        }
    }

    /// The settings of the part called `name`, as a value of `T`; without a section, read from no keys.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key that is missing, unknown or of the wrong type.
    pub fn settings<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let none = Settings::default();
        let settings = self.custom.get(name).unwrap_or(&none);
        settings.read().map_err(|expected| Error::Config {
            key: format!("custom.{name}"),
            value: settings.to_string(),
            expected,
        })
    }

    /// Each seam and the name of its part.
    pub fn seams(&self) -> [(&'static str, &str); 5] {
        [
            ("attention", self.attention.name()),
            ("feed_forward", self.feed_forward.name()),
            ("embeddings", self.embeddings.name()),
            ("block", self.block.name()),
            ("positions", self.positions.name()),
        ]
    }

    /// Whether a seam has the part called `name`.
    pub(crate) fn has_part(&self, name: &str) -> bool {
        self.seams().iter().any(|(_, part)| *part == name)
    }

    /// Checks that an encoder can be built. Error messages put `prefix` before the keys of [`EncoderSizes`].
    ///
    /// # Errors
    /// [`Error::Config`] naming the first invalid key.
    pub fn validate(&self, prefix: &str) -> Result<()> {
        let own = |key: &str| format!("{prefix}{key}");
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
        let (rows, tokens) = (self.vocab_size, self.token_count());
        check(
            (1..=rows).contains(&tokens),
            "vocab_size",
            rows,
            format!("must be at least {tokens}, the number of tokens"),
        )?;
        check(
            self.hidden % self.heads == 0,
            &own("hidden"),
            self.hidden,
            format!("must be divisible by {prefix}heads = {}", self.heads),
        )?;
        for (key, p) in [("dropout", self.dropout), ("attention_dropout", self.attention_dropout)] {
            check((0.0..1.0).contains(&p), key, p, "must be at least 0 and less than 1")?;
        }
        let eps = self.layer_norm_eps;
        check(eps > 0.0, "layer_norm_eps", eps, "must be greater than 0")?;
        let std = self.initializer.std;
        check(
            std > 0.0 && std.is_finite(),
            "initializer.std",
            std,
            "must be greater than 0 and finite",
        )
    }
}

pub(super) fn check(
    ok: bool,
    key: &str,
    value: impl ToString,
    expected: impl ToString,
) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::Config {
        key: key.to_owned(),
        value: value.to_string(),
        expected: expected.to_string(),
    })
}
