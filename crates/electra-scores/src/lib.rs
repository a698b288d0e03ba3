//! Reading and scoring labelled text, without libtorch.
//!
//! - [`table`]: TSV, CSV and JSON lines, row by row; [`Form`]: which columns and rows of them a task reads;
//! - [`SentenceTask`], [`multi_label::MultiLabelTask`]: tasks of texts as a `task.toml` describes them;
//! - [`metrics`]: accuracy, F1, Matthews, Pearson, Spearman, mean squared error, and their [`metrics::Summary`];
//! - [`squad`]: files of SQuAD and MRQA, and the official scripts' figures in every digit;
//! - [`tagging`]: CoNLL files, schemes of tags, entities as seqeval and conlleval count them;
//! - [`multi_label`]: sets of labels, scored as scikit-learn does;
//! - [`glue`]: GLUE's tasks and official scores, and the files that the leaderboard takes.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

mod counts;
mod error;
pub mod figure;
mod files;
mod form;
pub mod glue;
mod json;
mod left_out;
mod lines;
pub mod metrics;
pub mod multi_label;
mod predictions;
pub mod sentence;
pub mod squad;
pub mod table;
pub mod tagging;
mod task_file;
mod utf8;

pub use counts::MatchCounts;
pub use error::{Error, Result};
pub use files::{Files, Pairs};
pub use form::{Form, Read, check_label};
pub use left_out::LeftOut;
pub use lines::{LONGEST_LINE, Lines};
pub use metrics::{Metric, Scores};
pub use sentence::{Label, LabelSpace, SentenceTask};
pub use task_file::TaskFile;
