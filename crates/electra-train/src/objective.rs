//! Objectives: what is trained on a batch, and what is measured of it.
//!
//! The training loop knows the trait and nothing of ELECTRA; replaced token detection, the paper's ablations and
//! fine-tuning tasks are objectives. One that ships is one file here, and one arm in `config/objective.rs`.

mod bert;
mod cloze;
mod inputs;
mod replaced_token;
mod sampling;
mod seam;
mod settings;
mod shown;
mod spans;

pub use bert::{Bert, BertConfig};
pub use replaced_token::{ReplacedToken, ReplacedTokenConfig};
pub use sampling::sample;
pub use seam::{
    Batch, Normaliser, Objective, ObjectiveSite, Pass, Phase, Stage, TrainedNetwork, measured,
};
pub use settings::ObjectiveSettings;
pub use shown::Shown;
#[cfg(test)]
pub(crate) use spans::backward_of;
