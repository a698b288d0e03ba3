//! The networks of a pre-training config.

use super::{
    encoder::{EncoderConfig, Tower, check},
    part_name::PartName,
    section::Section,
};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A discriminator and the generator beside it: the `[model]` section of a pre-training config.
///
/// Each network is described in full, so that either can be built, exported and loaded alone. In the file the keys
/// that both have in common are written once (`section.rs`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Section", into = "Section")]
pub struct ElectraConfig {
    /// The network that is kept: it says which tokens were replaced, and is fine-tuned.
    pub discriminator: EncoderConfig,
    /// The small masked language model that makes the replacements; `None` where an objective trains one network.
    pub generator: Option<EncoderConfig>,
    /// What the two networks' embeddings have in common.
    pub sharing: PartName,
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
        let network = |sizes| EncoderConfig::electra(vocab_size, embedding_size, sizes);
        Self {
            discriminator: network(discriminator),
            generator: Some(network(generator)),
            sharing: PartName::new("tied"),
        }
    }

    /// The generator of an objective that needs one.
    ///
    /// # Errors
    /// [`Error::Config`] if the config has none.
    pub fn generator(&self) -> Result<&EncoderConfig> {
        self.generator.as_ref().ok_or_else(|| Error::Config {
            key: "generator".to_owned(),
            value: "(absent)".to_owned(),
            expected: "must be a section [model.generator]: the objective trains a generator"
                .to_owned(),
        })
    }

    /// Both networks, the discriminator first.
    pub fn networks(&self) -> impl Iterator<Item = &EncoderConfig> {
        std::iter::once(&self.discriminator).chain(&self.generator)
    }

    /// Both networks, for a setting that they have in common.
    pub fn networks_mut(&mut self) -> impl Iterator<Item = &mut EncoderConfig> {
        std::iter::once(&mut self.discriminator).chain(&mut self.generator)
    }

    /// `seam=part` for every seam, as manifests and checkpoints record it; `generator.seam=part` where the generator
    /// has another part than the discriminator.
    pub fn part_names(&self) -> Vec<String> {
        let mut names = self.discriminator.part_names();
        names.push(format!("sharing={}", self.sharing.name()));
        let generator = self.generator.iter().flat_map(EncoderConfig::part_names);
        let others = generator.filter(|name| !names.contains(name));
        let others: Vec<String> = others.map(|name| format!("generator.{name}")).collect();
        names.extend(others);
        names
    }

    /// Checks that a model can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key that cannot be.
    pub fn validate(&self) -> Result<()> {
        self.discriminator.validate("discriminator.")?;
        let Some(generator) = &self.generator else { return Ok(()) };
        generator.validate("generator.")?;
        // What is not written for each network must be the same in both.
        let written = Self::from(Section::from(self.clone()));
        let key = "generator";
        let expected = "must have the discriminator's settings but for its sizes and parts";
        check(written == *self, key, format!("{generator:?}"), expected)
    }
}

/// Whether two lists of `seam=part` name the same parts. Version 0.1 had fewer seams, and ELECTRA's parts in the others;
/// its fine-tuning named the sharing of a pair.
pub fn same_parts(a: &[String], b: &[String]) -> bool {
    let usual = ["block=post-norm", "positions=absolute", "sharing=tied"];
    let named = |parts: &[String]| -> BTreeSet<String> {
        parts.iter().filter(|part| !usual.contains(&part.as_str())).cloned().collect()
    };
    named(a) == named(b)
}

impl From<Section> for ElectraConfig {
    fn from(section: Section) -> Self {
        Self {
            discriminator: section.encoder(&section.discriminator),
            generator: section.generator.as_ref().map(|network| section.encoder(network)),
            sharing: section.sharing,
        }
    }
}

impl From<ElectraConfig> for Section {
    fn from(config: ElectraConfig) -> Self {
        Self::new(config.discriminator, config.generator.as_ref(), config.sharing)
    }
}
