//! Reading and scoring labeled text, without libtorch.
//!
//! - [`table`]: TSV, CSV and JSON, row by row; [`Form`]: the columns and rows that a task reads;
//! - [`SentenceTask`], [`multi_label::MultiLabelTask`]: text tasks as a `task.toml` describes them;
//! - [`metrics`]: accuracy, F1, Matthews, Pearson, Spearman, mean squared error, and their [`metrics::Summary`];
//! - [`squad`]: files of SQuAD and MRQA, and scores equal to those of the official scripts in every digit;
//! - [`tagging`]: CoNLL files, tagging schemes, scores of entities as in seqeval and conlleval;
//! - [`multi_label`]: sets of labels, scored as in scikit-learn;
//! - [`window`]: streams in constant memory;
//! - [`glue`]: GLUE's tasks, official scores, and the files of a submission.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

mod class_weights;
mod counts;
mod error;
pub mod figure;
mod files;
mod form;
pub mod glue;
mod json;
mod labels;
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
pub mod window;

pub use class_weights::ClassWeights;
pub use counts::MatchCounts;
pub use error::{Error, Result};
pub use files::{Files, Pairs};
pub use form::{Form, LabelColumns, Read};
pub use labels::{check_label, warn_joined, warn_look_alikes};
pub use left_out::LeftOut;
pub use lines::{LONGEST_LINE, Lines};
pub use metrics::{Metric, Scores};
pub use sentence::{Label, LabelSpace, SentenceTask};
pub use task_file::TaskFile;
