//! Training objectives: losses and metrics of a batch.
//!
//! The training loop only uses the trait and does not depend on ELECTRA; replaced token detection, masked language
//! modeling and fine-tuning tasks are objectives. A built-in objective is one file here, and one variant and one arm below.

mod adversarial;
mod all_tokens_mlm;
mod bert;
mod corruption;
mod custom;
mod discrimination;
mod electric;
mod generate;
mod generators;
mod inputs;
mod joint_pass;
mod masked_prediction;
mod reference;
mod replace_mlm;
mod replaced_token;
mod sampling;
mod seam;
mod settings;
mod spans;
mod token_prediction;
mod two_stage;
mod two_tower;

pub use adversarial::{Adversarial, AdversarialConfig, policy_losses};
pub use all_tokens_mlm::{AllTokensMlm, AllTokensMlmConfig};
pub use bert::{Bert, BertConfig};
pub use custom::CustomObjective;
pub use discrimination::LossPositions;
pub use electric::{Electric, ElectricConfig};
pub use generators::GeneratorKind;
pub use inputs::masked_input;
pub(crate) use reference::{FrozenGenerator, detect};
pub use replace_mlm::{ReplaceMlm, ReplaceMlmConfig};
pub use replaced_token::{ReplacedToken, ReplacedTokenConfig};
pub use sampling::sample;
pub use seam::{
    Batch, LossCounts, Objective, ObjectiveSite, Pass, Phase, Stage, TrainedNetwork,
    evaluation_pass,
};
pub use settings::ObjectiveSettings;
#[cfg(test)]
pub(crate) use spans::mark_backward;
pub use token_prediction::TokenPrediction;
pub use two_stage::{DiscriminatorStart, TwoStage, TwoStageConfig};

use crate::{
    config::MaskingConfig,
    error::{Error, Result},
};
use electra_data::MaskedBatch;
use electra_files::Settings;
use electra_model::ElectraConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};
use toml::{Table, Value};

/// The `[objective]` section.
// The implementations of serde's traits below add custom objectives to those that are derived here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectiveConfig {
    /// ELECTRA's replaced token detection.
    ReplacedToken(ReplacedTokenConfig),
    /// Masked language modeling with one network.
    Bert(BertConfig),
    /// Masked language modeling on the generator's samples.
    ReplaceMlm(ReplaceMlmConfig),
    /// The same over all tokens, with a copy mechanism.
    AllTokensMlm(AllTokensMlmConfig),
    /// Replaced token detection with a generator that is trained to fool the discriminator.
    Adversarial(AdversarialConfig),
    /// An energy-based cloze model, by noise-contrastive estimation.
    Electric(ElectricConfig),
    /// First the generator, then the discriminator.
    TwoStage(TwoStageConfig),
    /// An objective of [`Objectives`].
    #[serde(skip)]
    Custom(CustomObjective),
}

impl ObjectiveConfig {
    /// The values of `kind` of the variants above: those that serde expects.
    fn built_in() -> &'static [String] {
        static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
            let unknown = Table::from_iter([("kind".to_owned(), Value::from("?"))]);
            let error =
                ObjectiveConfig::deserialize(unknown).expect_err("no variant has this name");
            error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
        });
        &NAMES
    }

    fn settings(&self) -> &dyn ObjectiveSettings {
        match self {
            Self::ReplacedToken(settings) => settings,
            Self::Bert(settings) => settings,
            Self::ReplaceMlm(settings) => settings,
            Self::AllTokensMlm(settings) => settings,
            Self::Adversarial(settings) => settings,
            Self::Electric(settings) => settings,
            Self::TwoStage(settings) => settings,
            Self::Custom(settings) => settings,
        }
    }
}

impl ObjectiveSettings for ObjectiveConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        self.settings().validate(model)?;
        self.masking().validate()
    }

    fn warnings(&self, model: &ElectraConfig) -> Vec<String> {
        self.settings().warnings(model)
    }

    fn masking(&self) -> &MaskingConfig {
        self.settings().masking()
    }

    fn trained_share(&self) -> f64 {
        self.settings().trained_share()
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        self.settings().build(site)
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        self.settings().card()
    }
}

impl<'de> Deserialize<'de> for ObjectiveConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn of<E: de::Error>(error: toml::de::Error) -> E {
            E::custom(error.message())
        }
        let mut table = Table::deserialize(deserializer)?;
        match table.get("kind") {
            Some(Value::String(kind)) if !Self::built_in().contains(kind) => {
                let kind = kind.clone();
                table.remove("kind");
                let masking = table.remove("masking");
                let masking = masking.ok_or_else(|| de::Error::missing_field("masking"))?;
                let masking = MaskingConfig::deserialize(masking).map_err(of)?;
                Ok(Self::Custom(CustomObjective { kind, masking, settings: Settings::new(table) }))
            }
            _ => Self::deserialize(table).map_err(of),
        }
    }
}

impl Serialize for ObjectiveConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Custom(CustomObjective { kind, masking, settings }) = self else {
            return Self::serialize(self, serializer);
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", kind)?;
        for (key, value) in settings.table() {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("masking", masking)?;
        map.end()
    }
}

type PretrainingObjective = dyn Objective<Batch = MaskedBatch>;

type Build = dyn Fn(&ObjectiveSite<'_>) -> Result<Box<PretrainingObjective>> + Send + Sync;

/// The objectives that a config can name: the built-in ones and custom ones.
///
/// ```no_run
/// # use electra_train::{Recipe, RunConfig, Start, objective::{Bert, BertConfig, ObjectiveSite, Objectives}};
/// # fn build(site: &ObjectiveSite<'_>) -> electra_train::Result<Bert> { unimplemented!() }
/// let objectives = Objectives::shipped().with("mask-only", build);
/// // mine.toml has [objective] kind = "mask-only".
/// let config = RunConfig::read("mine.toml".as_ref(), &[])?;
/// Recipe::from_config(config).with_objectives(objectives).pretrain(&Start::new("runs/mine"))?;
/// # Ok::<(), electra_train::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Objectives(Vec<(String, Arc<Build>)>);

impl Objectives {
    /// The built-in objectives.
    pub fn shipped() -> Self {
        Self::default()
    }

    /// Adds an objective, which a config selects with `kind = "NAME"`; one of the same name is replaced. The other keys of
    /// the section `[objective]` are its settings ([`ObjectiveSite::settings`]), except for `masking`.
    ///
    /// # Panics
    /// If a built-in objective has the name.
    #[must_use]
    pub fn with<O: Objective<Batch = MaskedBatch> + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&ObjectiveSite<'_>) -> Result<O> + Send + Sync + 'static,
    ) -> Self {
        let is_built_in = ObjectiveConfig::built_in().iter().any(|own| own == name);
        assert!(!is_built_in, "{name:?} is a built-in objective: use another name");
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), Arc::new(move |site| Ok(Box::new(build(site)?)))));
        self
    }

    /// Checks that the objective of a config is available.
    ///
    /// # Errors
    /// [`Error::Value`] naming the kind, and the most similar one or all that are known.
    pub fn check(&self, config: &ObjectiveConfig) -> Result<()> {
        match config {
            ObjectiveConfig::Custom(custom) => self.get(custom).map(drop),
            _ => Ok(()),
        }
    }

    /// Builds the objective of a config with its networks.
    ///
    /// # Errors
    /// As [`Self::check`]; if the config is invalid, a part cannot be built, or a custom objective calls itself otherwise.
    pub fn build(
        &self,
        config: &ObjectiveConfig,
        site: &ObjectiveSite<'_>,
    ) -> Result<Box<PretrainingObjective>> {
        match config {
            ObjectiveConfig::Custom(custom) => {
                let built = self.get(custom)?(&site.with_settings(&custom.settings))?;
                match built.name() {
                    name if name == custom.kind => Ok(built),
                    name => {
                        let expected = format!("must be its Objective::name, which is {name:?}");
                        Err(Error::value("objective.kind", &custom.kind, expected))
                    }
                }
            }
            built_in => built_in.build(site),
        }
    }

    /// All names, the built-in ones first.
    fn names(&self) -> impl Iterator<Item = &str> {
        let built_in = ObjectiveConfig::built_in().iter();
        built_in.chain(self.0.iter().map(|(name, _)| name)).map(String::as_str)
    }

    fn get(&self, custom: &CustomObjective) -> Result<&Build> {
        let found = self.0.iter().find(|(name, _)| *name == custom.kind);
        let (_, build) = found.ok_or_else(|| custom.unknown(self.names()))?;
        Ok(&**build)
    }
}

impl fmt::Debug for Objectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_kinds_are_those_of_the_variants() {
        let kinds = [
            "replaced-token",
            "bert",
            "replace-mlm",
            "all-tokens-mlm",
            "adversarial",
            "electric",
            "two-stage",
        ];
        assert_eq!(ObjectiveConfig::built_in(), kinds);
    }
}
