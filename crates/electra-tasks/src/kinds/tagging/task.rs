//! The `task.toml` of a tagging task.

use electra_scores::{
    Files, Metric,
    tagging::{Columns, Comments, Scheme},
};
use serde::{Deserialize, Serialize};

/// A task of tags for words: a `task.toml` with `kind = "tagging"`.
///
/// ```
/// let task: electra_tasks::kinds::tagging::TaggingTask = toml::from_str(r#"
///     name = "entities"
///     kind = "tagging"
///     scheme = "bio"
///     metric = "f1"
///     [files]
///     train = "train.txt"
///     dev = "dev.txt"
/// "#)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggingTask {
    /// The name in reports.
    pub name: String,
    /// The kind of task.
    pub kind: TaggingKind,
    /// The scheme of the files' tags; by default detected from those of the training file ([`Scheme::detect`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The column of the word: 1, the default, is the first, and -1 the last.
    #[serde(default = "first")]
    pub word_column: i64,
    /// The column of the tag; by default -1, the last.
    #[serde(default = "last")]
    pub tag_column: i64,
    /// Which lines before the first word of a sentence are comments.
    #[serde(default, skip_serializing_if = "Comments::is_default")]
    pub comments: Comments,
    /// What happens if a file that is scored has a tag (a type of entity) that the training file lacks.
    #[serde(default, skip_serializing_if = "Unseen::is_refused")]
    pub unseen: Unseen,
    /// The metric that seeds are compared by: `f1` or `accuracy`.
    pub metric: Metric,
    /// The data files: CoNLL columns, relative to the data folder.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaggingKind {
    /// A tag for every word.
    Tagging,
}

/// What happens if a file that is scored has a tag that the training file lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// An error names the file and the line.
    #[default]
    Refuse,
    /// A warning counts these words; they can only be missed.
    Wrong,
}

impl TaggingTask {
    /// The columns of labeled files.
    pub(super) fn columns(&self) -> Columns {
        Columns { word: self.word_column, tag: Some(self.tag_column), comments: self.comments }
    }
}

impl Unseen {
    fn is_refused(&self) -> bool {
        *self == Self::Refuse
    }
}

fn first() -> i64 {
    1
}

fn last() -> i64 {
    -1
}
