//! One network: its sizes, its parts, how it computes and how its weights start.

use super::part_name::PartName;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

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

/// The form of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kernels {
    /// One pass a layer where there are such kernels: on a CPU those of `electra-torch`, on a GPU [`Self::Gpu`].
    Fused,
    /// What [`Self::Fused`] is on a GPU, on any device: libtorch's attention in one pass, and everything between two
    /// products in the precision of the products. Statistics of LayerNorm, softmaxes and losses are in 32 bits.
    Gpu,
    /// libtorch's functions, one after the other.
    Plain,
}

/// What the factors of matrix products are rounded to: those of dense layers, and of fused attention and output layers.
/// Weights, moments, sums, losses and what residual connections carry are 32-bit floats; the last is rounded on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats: nothing is rounded.
    F32,
    /// bfloat16, where the processor or the GPU multiplies them fast.
    Bf16,
}

/// Sizes of one transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// How tokens are embedded.
    pub embeddings: PartName,
    /// What all layers share about positions.
    pub positions: PartName,
    /// How a layer composes attention, feed-forward layer, residual connections and LayerNorm.
    pub block: PartName,
    /// How information moves between positions.
    pub attention: PartName,
    /// What happens at each position.
    pub feed_forward: PartName,
    /// How weights start.
    pub initializer: Initializer,
    /// The form in which the shipped layers compute.
    pub kernels: Kernels,
    /// What the factors of products are rounded to.
    pub precision: Precision,
    /// What blocks keep for the backward pass.
    pub activations: Activations,
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
    /// ELECTRA's encoder with the paper's values (Table 6) in the given sizes: dropout 0.1, 512 positions, two
    /// segments.
    pub fn electra(vocab_size: i64, embedding_size: i64, sizes: Tower) -> Self {
        Self {
            vocab_size,
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
            initializer: Initializer::reference(),
            kernels: Kernels::Fused,
            precision: Precision::F32,
            activations: Activations::Keep,
        }
    }

    /// Whether it is made of ELECTRA's own parts, whatever its sizes: what other programs take it for.
    pub fn is_electra(&self) -> bool {
        let sizes = Tower { layers: 1, hidden: 1, heads: 1, intermediate: 1 };
        self.seams() == Self::electra(1, 1, sizes).seams()
    }

    /// The same network in other sizes.
    #[must_use]
    pub fn resized(&self, sizes: Tower) -> Self {
        let Tower { layers, hidden, heads, intermediate } = sizes;
        Self { layers, hidden, heads, intermediate, ..self.clone() }
    }

    /// Size `d` of one attention head.
    pub fn head_size(&self) -> i64 {
        self.hidden / self.heads
    }

    /// `seam=part` for every seam.
    pub fn part_names(&self) -> Vec<String> {
        self.seams().map(|(seam, part)| format!("{seam}={part}")).to_vec()
    }

    /// Each seam with the name of the part in it.
    pub fn seams(&self) -> [(&'static str, &str); 5] {
        [
            ("attention", self.attention.name()),
            ("feed_forward", self.feed_forward.name()),
            ("embeddings", self.embeddings.name()),
            ("block", self.block.name()),
            ("positions", self.positions.name()),
        ]
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
