//! The `task.toml` of a task of questions.

use electra_scores::{Files, Metric, squad::Version};
use serde::{Deserialize, Serialize};

/// SQuAD 1.1 and 2.0 with the names of the official files: the name of the task and its `task.toml`.
pub(crate) const NAMED: &[(&str, &str)] = &[("squad1.1", SQUAD_1), ("squad2.0", SQUAD_2)];

const SQUAD_1: &str = "\
name = \"squad1.1\"
kind = \"squad\"
version = \"1.1\"
metric = \"f1\"
[files]
train = \"train-v1.1.json\"
dev = \"dev-v1.1.json\"
";

const SQUAD_2: &str = "\
name = \"squad2.0\"
kind = \"squad\"
version = \"2.0\"
metric = \"f1\"
[files]
train = \"train-v2.0.json\"
dev = \"dev-v2.0.json\"
";

/// A task of questions whose answers are spans of a text: a `task.toml` with `kind = "squad"`.
///
/// ```
/// let task: electra_tasks::kinds::squad::SquadTask = toml::from_str(r#"
///     name = "squad1.1"
///     kind = "squad"
///     version = "1.1"
///     metric = "f1"
///     [files]
///     train = "train-v1.1.json"
///     dev = "dev-v1.1.json"
/// "#)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SquadTask {
    /// The name in reports.
    pub name: String,
    /// The kind of task.
    pub kind: SquadKind,
    /// The version, whose rules apply to training and scores.
    pub version: Version,
    /// The metric that seeds are compared by: `f1` or `exact-match`.
    pub metric: Metric,
    /// The files, in any layout that [`electra_scores::squad::read`] reads.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquadKind {
    /// Answers are spans of a text.
    Squad,
}
