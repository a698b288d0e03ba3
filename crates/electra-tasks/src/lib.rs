//! Fine-tuning ELECTRA on tasks, and prediction with fine-tuned models.
//!
//! - [`Finetune`]: trains a task over several seeds, with layer-wise learning rates and baselines, and keeps the best
//!   seed's model; [`Grid`]: every combination of some hyperparameters;
//! - [`preset`]: the hyperparameters of the paper and of the released code;
//! - [`Predictor`]: a fine-tuned model of any kind, for requests in memory and files of any size;
//! - [`Embedder`]: vectors of texts;
//! - [`kinds`]: classes and numbers, sets of labels, spans of a text, tags of words; [`kinds::Kinds`] finds them by
//!   name and accepts kinds of other crates, such as `electra-winograd`;
//! - [`MultiTask`]: several tasks on one encoder;
//! - [`submit`]: predictions for GLUE's test files in the leaderboard's format;
//! - [`Task`] and [`TaskKind`]: what a new kind of task implements, and [`model_kind::ModelKind`] what its models do.
//!
//! Tables, readers, metrics and official scorers are in `electra-scores`.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod adopt;
pub mod answer;
pub mod baseline;
pub mod batch;
pub mod body;
mod by_id;
mod card;
pub mod config;
pub mod details;
pub mod embed;
mod error;
pub mod finetune;
pub mod head;
pub mod kinds;
pub mod model;
pub mod model_kind;
pub mod multi;
pub mod objective;
pub mod order;
pub mod pool;
pub mod predictor;
pub mod preset;
pub mod report;
pub mod split;
pub mod submit;
pub mod summary;
pub mod task;
pub mod task_kind;
pub mod texts;

/// The version of tch whose tensors are in this crate's functions: 0.24, for libtorch 2.11.
pub use tch;

pub use answer::{Answer, Request};
pub use config::FinetuneConfig;
pub use embed::Embedder;
pub use error::{Error, Result};
pub use finetune::{Completion, Event, Finetune, grid::Grid};
pub use head::{HeadNet, HeadSite};
pub use kinds::Kinds;
pub use multi::MultiTask;
pub use predictor::Predictor;
pub use preset::Preset;
pub use report::{Report, Weights};
pub use split::Split;
pub use task::{Answers, LoadSite, LoadedTask, Task, TaskData, TaskHead};
pub use task_kind::TaskKind;
