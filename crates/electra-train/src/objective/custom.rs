//! Objectives of other crates, which a config names.

use super::{
    BUILT_IN, ObjectiveConfig,
    seam::{Objective, ObjectiveSite},
    settings::ObjectiveSettings,
};
use crate::{
    config::MaskingConfig,
    error::{Error, Result},
};
use electra_data::MaskedBatch;
use electra_files::{Settings, nearest};
use electra_model::ElectraConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use std::{fmt, sync::Arc};
use toml::{Table, Value};

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
        assert!(!BUILT_IN.contains(&name), "{name:?} is a built-in objective: use another name");
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

    fn get(&self, custom: &CustomObjective) -> Result<&Build> {
        let found = self.0.iter().find(|(name, _)| *name == custom.kind);
        let (_, build) = found.ok_or_else(|| custom.unknown(self))?;
        Ok(&**build)
    }
}

impl fmt::Debug for Objectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        f.debug_list().entries(BUILT_IN.into_iter().chain(names)).finish()
    }
}

/// The section `[objective]` of a custom objective. [`Objectives`] has its constructor.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomObjective {
    /// Its name.
    pub kind: String,
    /// How positions are masked.
    pub masking: MaskingConfig,
    /// All other keys.
    pub settings: Settings,
}

impl CustomObjective {
    fn unknown(&self, known: &Objectives) -> Error {
        let names = known.0.iter().map(|(name, _)| name.as_str());
        let near = nearest(&self.kind, BUILT_IN.into_iter().chain(names));
        let expected = format!(
            "this program has no such objective{near}; a custom one needs the program that has it, or Objectives::with({:?}, \
             ..) in your own (docs/guide/04-swap-a-part.md)",
            self.kind
        );
        Error::value("objective.kind", &self.kind, expected)
    }
}

impl ObjectiveSettings for CustomObjective {
    fn validate(&self, _model: &ElectraConfig) -> Result<()> {
        Ok(())
    }

    fn warnings(&self, _model: &ElectraConfig) -> Vec<String> {
        Vec::new()
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, _site: &ObjectiveSite<'_>) -> Result<Box<PretrainingObjective>> {
        Err(self.unknown(&Objectives::shipped()))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("masking", format!("{:?}", self.masking))];
        if !self.settings.is_empty() {
            rows.push(("objective settings", self.settings.to_string()));
        }
        rows
    }
}

impl<'de> Deserialize<'de> for ObjectiveConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn of<E: de::Error>(error: toml::de::Error) -> E {
            E::custom(error.message())
        }
        let mut table = Table::deserialize(deserializer)?;
        match table.get("kind") {
            Some(Value::String(kind)) if !BUILT_IN.contains(&kind.as_str()) => {
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
