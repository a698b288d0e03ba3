//! The discriminator and generator of a pre-training config.

use super::{
    encoder::{EncoderConfig, EncoderSizes, check},
    part_name::PartName,
    section::Section,
};
use crate::error::{Error, Result};
use electra_files::nearest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A discriminator and its generator: the `[model]` section of a pre-training config.
///
/// Each network has a full config, so that it can be built, exported and loaded alone. The file writes shared keys once
/// (`section.rs`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Section", into = "Section")]
pub struct ElectraConfig {
    /// The network that detects replaced tokens; it is kept and fine-tuned.
    pub discriminator: EncoderConfig,
    /// The small masked language model that samples the replacements; `None` for objectives that train one network.
    pub generator: Option<EncoderConfig>,
    /// How the two networks share their embeddings.
    pub sharing: PartName,
}

impl ElectraConfig {
    /// ELECTRA-Small: Table 6 of the paper, generator 1/4.
    pub fn small(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 128, EncoderSizes::new(12, 256, 4), EncoderSizes::new(12, 64, 1))
    }

    /// ELECTRA-Small++ as released: the generator is as large as the discriminator.
    pub fn small_plus_plus(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 128, EncoderSizes::new(12, 256, 4), EncoderSizes::new(12, 256, 4))
    }

    /// ELECTRA-Base: Table 6, generator 1/3.
    pub fn base(vocab_size: i64) -> Self {
        Self::paper(vocab_size, 768, EncoderSizes::new(12, 768, 12), EncoderSizes::new(12, 256, 4))
    }

    /// ELECTRA-Large: Table 6, generator 1/4.
    pub fn large(vocab_size: i64) -> Self {
        Self::paper(
            vocab_size,
            1024,
            EncoderSizes::new(24, 1024, 16),
            EncoderSizes::new(24, 256, 4),
        )
    }

    fn paper(
        vocab_size: i64,
        embedding_size: i64,
        discriminator: EncoderSizes,
        generator: EncoderSizes,
    ) -> Self {
        let network = |sizes| EncoderConfig::electra(vocab_size, embedding_size, sizes);
        Self {
            discriminator: network(discriminator),
            generator: Some(network(generator)),
            sharing: PartName::new("tied"),
        }
    }

    /// The generator, for objectives that require one.
    ///
    /// # Errors
    /// [`Error::Config`] if the config has no generator.
    pub fn generator(&self) -> Result<&EncoderConfig> {
        self.generator.as_ref().ok_or_else(|| Error::Config {
            key: "generator".to_owned(),
            value: "(missing)".to_owned(),
            expected: "the objective trains a generator: add a [model.generator] section"
                .to_owned(),
        })
    }

    /// The discriminator, then the generator if there is one.
    pub fn networks(&self) -> impl Iterator<Item = &EncoderConfig> {
        std::iter::once(&self.discriminator).chain(&self.generator)
    }

    /// The same, for changing a setting in both networks.
    pub fn networks_mut(&mut self) -> impl Iterator<Item = &mut EncoderConfig> {
        std::iter::once(&mut self.discriminator).chain(&mut self.generator)
    }

    /// `seam=part` for every seam, as recorded in manifests and checkpoints; `generator.seam=part` where the generator's
    /// part differs from the discriminator's.
    pub fn part_names(&self) -> Vec<String> {
        let mut names = self.discriminator.part_names();
        names.push(self.discriminator.described("sharing", self.sharing.name()));
        let generator = self.generator.iter().flat_map(EncoderConfig::part_names);
        let others = generator.filter(|name| !names.contains(name));
        let others: Vec<String> = others.map(|name| format!("generator.{name}")).collect();
        names.extend(others);
        names
    }

    /// Checks that every section `[model.custom.NAME]` has the name of a part that a network uses, or of the sharing.
    pub(crate) fn check_custom(&self) -> Result<()> {
        let seams = self.networks().flat_map(EncoderConfig::seams).map(|(_, part)| part);
        let used: BTreeSet<&str> = seams.chain([self.sharing.name()]).collect();
        for (name, settings) in &self.discriminator.custom {
            let unused = || {
                let near = nearest(name, used.iter().copied());
                format!("must have the name of a part of the networks{near}")
            };
            let key = format!("custom.{name}");
            check(used.contains(name.as_str()), &key, settings, unused())?;
        }
        Ok(())
    }

    /// Checks that a model can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first invalid key.
    pub fn validate(&self) -> Result<()> {
        self.discriminator.validate("discriminator.")?;
        let Some(generator) = &self.generator else { return Ok(()) };
        generator.validate("generator.")?;
        // Settings that the file writes once must be equal in both networks.
        let written = Self::try_from(Section::from(self.clone()));
        let key = "generator";
        let expected = "only sizes and parts may differ from the discriminator";
        check(written.as_ref() == Ok(self), key, format!("{generator:?}"), expected)
    }
}

/// Whether two lists of `seam=part` name the same parts. Lists of version 0.1 omit the seams added since, whose default is
/// ELECTRA's part; its fine-tuning also recorded the sharing.
pub fn same_parts(a: &[String], b: &[String]) -> bool {
    let defaults = ["block=post-norm", "positions=absolute", "sharing=tied"];
    let without_defaults = |parts: &[String]| -> BTreeSet<String> {
        parts.iter().filter(|part| !defaults.contains(&part.as_str())).cloned().collect()
    };
    without_defaults(a) == without_defaults(b)
}

impl TryFrom<Section> for ElectraConfig {
    type Error = String;

    fn try_from(section: Section) -> std::result::Result<Self, String> {
        let (discriminator, generator) = section.networks()?;
        Ok(Self { discriminator, generator, sharing: section.sharing })
    }
}

impl From<ElectraConfig> for Section {
    fn from(config: ElectraConfig) -> Self {
        Self::new(config.discriminator, config.generator.as_ref(), config.sharing)
    }
}
