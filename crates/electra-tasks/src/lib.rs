//! Fine-tuning ELECTRA on tasks, and predicting with the result.
//!
//! - [`Task`]: a user's own sentence or sentence-pair task, described in `task.toml`;
//! - [`glue`]: GLUE's tasks, as such descriptions; [`glue::winograd`]: WNLI by a discriminator's word on candidates;
//! - [`Finetune`]: trains it over several seeds with the one training loop, layer-wise rates, honest
//!   baselines beside the score, and keeps the best seed's model;
//! - [`preset`]: the paper's and the released code's values; [`Grid`]: every combination of some values;
//! - [`Predictor`]: that model, in five lines; [`predict()`] for files of any size;
//! - [`scores`]: accuracy, F1, Matthews, Pearson, Spearman, mean squared error; GLUE, SQuAD and tags officially scored;
//! - [`multi_label`]: sets of labels, and [`MultiLabelPredictor`];
//! - [`squad`]: questions answered by spans of a text, and [`SquadPredictor`];
//! - [`tagging`]: entities, chunks and parts of speech from CoNLL files, and [`TaggingPredictor`];
//! - [`AnyTask`]: a task of whatever kind its file names;
//! - [`MultiTask`]: several of them on one encoder;
//! - [`Problem`]: the seam where kinds of tasks go (data, head, answers, scores), with [`heads::Head`].

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod adopt;
pub mod any;
pub mod baseline;
pub mod batch;
mod card;
pub mod config;
pub mod details;
mod encoded;
mod error;
pub mod finetune;
pub mod glue;
pub mod heads;
mod json;
pub mod model;
pub mod multi;
pub mod multi_label;
pub mod objective;
pub mod predict;
pub mod preset;
pub mod problem;
pub mod report;
mod rows;
mod scored;
pub mod scores;
pub mod sentence;
pub mod squad;
pub mod table;
pub mod tagging;
pub mod task;
mod text;

pub use any::AnyTask;
pub use config::FinetuneConfig;
pub use error::{Error, Result};
pub use finetune::{Completion, Event, Finetune, Weights, grid::Grid};
pub use multi::MultiTask;
pub use multi_label::{MultiLabelPredictor, MultiLabelTask};
pub use predict::{Predictor, predict};
pub use preset::Preset;
pub use problem::Problem;
pub use report::Report;
pub use scored::Scored;
pub use squad::{SquadPredictor, SquadTask};
pub use tagging::{TaggingPredictor, TaggingTask};
pub use task::{Answers, Dataset, Example, Target, Task};

/// Threads of a service share what predicts.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Predictor>();
    shared::<MultiLabelPredictor>();
    shared::<SquadPredictor>();
    shared::<TaggingPredictor>();
};
