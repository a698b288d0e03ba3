//! The layout of the `[model]` section: shared keys are written once, sizes for each network.

use super::{
    encoder::{
        Activations, EncoderConfig, EncoderSizes, Initializer, Kernels, OF_SHARDS, Precision,
    },
    part_name::PartName,
};
use electra_files::{Settings, number_or_word};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The `[model]` section; [`EncoderConfig`] documents its keys.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    #[serde(deserialize_with = "vocab_size")]
    vocab_size: i64,
    #[serde(skip)]
    tokens: Option<i64>,
    embedding_size: i64,
    max_positions: i64,
    segments: i64,
    dropout: f64,
    attention_dropout: f64,
    layer_norm_eps: f64,
    discriminator: Network,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<Network>,
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    custom: BTreeMap<String, Settings>,
    kernels: Kernels,
    precision: Precision,
    #[serde(default)]
    activations: Activations,
}

/// The sizes of one network, and the parts that differ from the section's.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    /// The number of layers as a fraction of the discriminator's, instead of `layers`; for the generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    depth: Option<f64>,
    /// The width as a fraction of the discriminator's, instead of `hidden`, `heads` and `intermediate`; for the generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layers: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heads: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intermediate: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positions: Option<PartName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block: Option<PartName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention: Option<PartName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    feed_forward: Option<PartName>,
}

/// A number, or `"shards"`.
fn vocab_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = number_or_word(deserializer, OF_SHARDS)?;
    Ok(number.map_or(EncoderConfig::VOCAB_SIZE_OF_SHARDS, |size| size as i64))
}

fn absolute() -> PartName {
    PartName::new("absolute")
}

fn post_norm() -> PartName {
    PartName::new("post-norm")
}

impl Network {
    /// The sizes; `name` is the section's, and `whole` the discriminator's sizes, which fractions are of.
    fn sizes(
        &self,
        name: &str,
        whole: Option<EncoderSizes>,
    ) -> std::result::Result<EncoderSizes, String> {
        let given = |key: &str, size: Option<i64>| {
            size.ok_or_else(|| match whole {
                None => format!("missing field `{key}` in [model.{name}]"),
                Some(_) => format!(
                    "missing field `{key}` in [model.{name}], or `depth` and `width` as fractions"
                ),
            })
        };
        let fraction = |key: &str, fraction: f64, keys: &[(&str, Option<i64>)]| {
            let Some(whole) = whole else {
                return Err(format!(
                    "[model.{name}] has {key}: only the generator's sizes can be fractions"
                ));
            };
            if let Some((other, _)) = keys.iter().find(|(_, size)| size.is_some()) {
                return Err(format!("[model.{name}] has both {key} and {other}: keep one of them"));
            }
            match fraction > 0.0 && fraction.is_finite() {
                true => {
                    Ok((whole, move |size: i64| (size as f64 * fraction).round_ties_even() as i64))
                }
                false => Err(format!("model.{name}.{key} = {fraction}: must be greater than 0")),
            }
        };
        let layers = match self.depth {
            None => given("layers", self.layers)?,
            Some(depth) => {
                let (whole, scaled) = fraction("depth", depth, &[("layers", self.layers)])?;
                scaled(whole.layers)
            }
        };
        let Some(width) = self.width else {
            return Ok(EncoderSizes {
                layers,
                hidden: given("hidden", self.hidden)?,
                heads: given("heads", self.heads)?,
                intermediate: given("intermediate", self.intermediate)?,
            });
        };
        let others =
            [("hidden", self.hidden), ("heads", self.heads), ("intermediate", self.intermediate)];
        let (whole, scaled) = fraction("width", width, &others)?;
        // Heads of the discriminator's size.
        let hidden = scaled(whole.hidden);
        let heads = (hidden * whole.heads / whole.hidden.max(1)).max(1);
        Ok(EncoderSizes { layers, hidden, heads, intermediate: scaled(whole.intermediate) })
    }
}

impl Section {
    pub(super) fn networks(
        &self,
    ) -> std::result::Result<(EncoderConfig, Option<EncoderConfig>), String> {
        let sizes = self.discriminator.sizes("discriminator", None)?;
        let discriminator = self.encoder(&self.discriminator, sizes);
        let generator = self.generator.as_ref().map(|network| {
            Ok::<_, String>(self.encoder(network, network.sizes("generator", Some(sizes))?))
        });
        Ok((discriminator, generator.transpose()?))
    }

    fn encoder(&self, network: &Network, sizes: EncoderSizes) -> EncoderConfig {
        let EncoderSizes { layers, hidden, heads, intermediate } = sizes;
        EncoderConfig {
            vocab_size: self.vocab_size,
            tokens: self.tokens,
            embedding_size: self.embedding_size,
            max_positions: self.max_positions,
            segments: self.segments,
            dropout: self.dropout,
            attention_dropout: self.attention_dropout,
            layer_norm_eps: self.layer_norm_eps,
            layers,
            hidden,
            heads,
            intermediate,
            embeddings: self.embeddings.clone(),
            positions: network.positions.as_ref().unwrap_or(&self.positions).clone(),
            block: network.block.as_ref().unwrap_or(&self.block).clone(),
            attention: network.attention.as_ref().unwrap_or(&self.attention).clone(),
            feed_forward: network.feed_forward.as_ref().unwrap_or(&self.feed_forward).clone(),
            custom: self.custom.clone(),
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
                depth: None,
                width: None,
                layers: Some(own.layers),
                hidden: Some(own.hidden),
                heads: Some(own.heads),
                intermediate: Some(own.intermediate),
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
            tokens: common.tokens,
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
            custom: common.custom,
            kernels: common.kernels,
            precision: common.precision,
            activations: common.activations,
        }
    }
}
