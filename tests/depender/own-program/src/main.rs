//! The `electra` command with an attention and an objective of its own, which `own.toml` names.

mod rotary;
mod smoothed_mlm;

use electra_cli::{Extensions, main_with};
use electra_model::Parts;
use electra_train::objective::Objectives;
use rotary::Rotary;
use smoothed_mlm::SmoothedMlm;
use std::process::ExitCode;

fn main() -> ExitCode {
    let parts = Parts::shipped().with_attention("rotary", Rotary::new);
    let objectives = Objectives::shipped().with("smoothed-mlm", SmoothedMlm::new);
    main_with(Extensions::default().with_parts(parts).with_objectives(objectives))
}
