//! The `[evaluate]` section.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The `[evaluate]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Updates between evaluations on the held-out split; 0 disables evaluation.
    pub every: u64,
    /// A generator that is not trained, whose replacements the discriminator is also evaluated on.
    #[serde(default)]
    pub reference: ReferenceGenerator,
    /// A linear probe on the hidden states of the network to fine-tune.
    #[serde(default)]
    pub probe: Probe,
}

/// The frozen generator of `evaluate.reference`: `""` for none, `"unigram"`, or a model folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ReferenceGenerator {
    /// None.
    #[default]
    None,
    /// Each token is as likely as in the training split.
    Unigram,
    /// A masked language model with the vocabulary of the shards.
    Folder(PathBuf),
}

impl From<String> for ReferenceGenerator {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" => Self::None,
            "unigram" => Self::Unigram,
            _ => Self::Folder(text.into()),
        }
    }
}

impl From<ReferenceGenerator> for String {
    fn from(reference: ReferenceGenerator) -> Self {
        match reference {
            ReferenceGenerator::None => Self::new(),
            ReferenceGenerator::Unigram => "unigram".to_owned(),
            ReferenceGenerator::Folder(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// The task of `evaluate.probe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Probe {
    /// None.
    #[default]
    None,
    /// Tell held-out texts from the same texts with shuffled words.
    WordOrder,
}
