//! What a program of one's own adds to the commands.

use electra_model::Parts;
use electra_tasks::{Kinds, kinds::Kind};
use electra_train::{Recipe, RunConfig, objective::Objectives};
use electra_winograd::WINOGRAD;

/// The parts, objectives and kinds of tasks of the commands: the built-in ones, and those that a program adds. Configs,
/// checkpoints and model folders name the ones that are used.
#[derive(Clone, Debug)]
pub struct Extensions {
    pub(crate) parts: Parts,
    pub(crate) objectives: Objectives,
    pub(crate) kinds: Kinds,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            parts: Parts::shipped(),
            objectives: Objectives::shipped(),
            kinds: Kinds::default().with(WINOGRAD),
        }
    }
}

impl Extensions {
    /// Makes `parts` available, none of which is selected: `--set model.attention.kind=NAME`.
    #[must_use]
    pub fn with_parts(self, parts: Parts) -> Self {
        Self { parts: parts.by_name(), ..self }
    }

    /// Makes `objectives` available: `[objective] kind = "NAME"` in a config.
    #[must_use]
    pub fn with_objectives(self, objectives: Objectives) -> Self {
        Self { objectives, ..self }
    }

    /// Adds a kind of tasks: `kind = "NAME"` in a `task.toml`.
    #[must_use]
    pub fn with_kind(self, kind: Kind) -> Self {
        Self { kinds: self.kinds.with(kind), ..self }
    }

    /// The recipe of a config.
    pub(crate) fn recipe(&self, config: RunConfig) -> Recipe {
        let recipe = Recipe::from_config(config).with_parts(self.parts.clone());
        recipe.with_objectives(self.objectives.clone())
    }
}
