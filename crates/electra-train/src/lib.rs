//! Training ELECTRA: objectives, optimizer, schedule, training loop, checkpoints, run folders.
//!
//! Start with [`trainer`], the training loop, which does not depend on ELECTRA. [`Recipe`] builds a run from a config;
//! [`objective::ReplacedToken`] is the paper's objective.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod card;
pub mod config;
mod costs;
mod error;
pub mod evaluation;
pub mod export;
pub mod extend;
pub mod from_text;
pub mod gpu_check;
pub mod gradients;
mod held_out;
pub mod host;
pub mod hparams;
pub mod html;
pub mod init;
mod losses;
pub mod memory;
pub mod metrics;
pub mod objective;
pub mod optim;
pub mod presets;
mod probe;
pub mod profile;
mod random;
pub mod recipe;
pub mod report;
pub mod run_dir;
mod run_report;
pub mod schedule;
pub mod session;
pub mod state;
pub mod summary;
pub mod tensorboard;
pub mod trainer;
mod vocabulary;
mod word_order;
mod world;

/// The version of tch whose tensors are in this crate's functions: 0.24, for libtorch 2.11.
pub use tch;

pub use config::RunConfig;
pub use electra_files::Existing;
pub use error::{Error, Result};
pub use losses::Fetch;
pub use presets::Preset;
pub use profile::Profile;
pub use random::{INITIAL_WEIGHTS, mix};
pub use recipe::{BuiltObjective, Recipe, Start, StartFrom};
pub use session::{Plan, Session};
pub use summary::RunSummary;
pub use trainer::{Event, Outcome, Trainer, evaluate};
pub use world::{SingleProcess, World};
