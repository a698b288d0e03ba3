//! Fine-tuning of a task over several seeds and over the cells of a grid: `electra finetune`.

mod chosen;
mod folder;
pub mod grid;
mod grid_report;
mod page;
mod run;
mod seed;
mod settings;
mod summary;

pub use grid_report::{CellReport, GridReport};
pub use settings::{Completion, Event, Finetune};
pub use summary::FinetuneSummary;
