//! The layout of the `[model]` section: shared keys are written once, sizes for each network.

use super::{
    encoder::{Activations, EncoderConfig, Initializer, Kernels, Precision},
    part_name::PartName,
};
use serde::{Deserialize, Serialize};

/// The `[model]` section; [`EncoderConfig`] documents its keys.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    vocab_size: i64,
    embedding_size: i64,
    max_positions: i64,
    segments: i64,
    dropout: f64,
    attention_dropout: f64,
    layer_norm_eps: f64,
    pub(super) discriminator: Network,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) generator: Option<Network>,
    initializer: Initializer,
    embeddings: PartName,
    pub(super) sharing: PartName,
    // The keys with a default are missing in files of version 0.1.
    #[serde(default = "absolute")]
    positions: PartName,
    #[serde(default = "post_norm")]
    block: PartName,
    attention: PartName,
    feed_forward: PartName,
    kernels: Kernels,
    precision: Precision,
    #[serde(default)]
    activations: Activations,
}

/// The sizes of one network, and the parts that differ from the section's.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    layers: i64,
    hidden: i64,
    heads: i64,
    intermediate: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positions: Option<PartName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block: Option<PartName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention: Option<PartName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    feed_forward: Option<PartName>,
}

fn absolute() -> PartName {
    PartName::new("absolute")
}

fn post_norm() -> PartName {
    PartName::new("post-norm")
}

impl Section {
    pub(super) fn encoder(&self, network: &Network) -> EncoderConfig {
        EncoderConfig {
            vocab_size: self.vocab_size,
            embedding_size: self.embedding_size,
            max_positions: self.max_positions,
            segments: self.segments,
            dropout: self.dropout,
            attention_dropout: self.attention_dropout,
            layer_norm_eps: self.layer_norm_eps,
            layers: network.layers,
            hidden: network.hidden,
            heads: network.heads,
            intermediate: network.intermediate,
            embeddings: self.embeddings.clone(),
            positions: network.positions.as_ref().unwrap_or(&self.positions).clone(),
            block: network.block.as_ref().unwrap_or(&self.block).clone(),
            attention: network.attention.as_ref().unwrap_or(&self.attention).clone(),
            feed_forward: network.feed_forward.as_ref().unwrap_or(&self.feed_forward).clone(),
            initializer: self.initializer.clone(),
            kernels: self.kernels,
            precision: self.precision,
            activations: self.activations,
        }
    }

    /// The section for a discriminator `common` and a generator that may differ in the fields of [`Network`].
    pub(super) fn new(
        common: EncoderConfig,
        generator: Option<&EncoderConfig>,
        sharing: PartName,
    ) -> Self {
        let network = |own: &EncoderConfig| {
            /// `own`, if it differs from the section's.
            fn override_of<T: PartialEq + Clone>(own: &T, common: &T) -> Option<T> {
                (own != common).then(|| own.clone())
            }
            Network {
                layers: own.layers,
                hidden: own.hidden,
                heads: own.heads,
                intermediate: own.intermediate,
                positions: override_of(&own.positions, &common.positions),
                block: override_of(&own.block, &common.block),
                attention: override_of(&own.attention, &common.attention),
                feed_forward: override_of(&own.feed_forward, &common.feed_forward),
            }
        };
        Self {
            discriminator: network(&common),
            generator: generator.map(network),
            vocab_size: common.vocab_size,
            embedding_size: common.embedding_size,
            max_positions: common.max_positions,
            segments: common.segments,
            dropout: common.dropout,
            attention_dropout: common.attention_dropout,
            layer_norm_eps: common.layer_norm_eps,
            initializer: common.initializer,
            embeddings: common.embeddings,
            sharing,
            positions: common.positions,
            block: common.block,
            attention: common.attention,
            feed_forward: common.feed_forward,
            kernels: common.kernels,
            precision: common.precision,
            activations: common.activations,
        }
    }
}
