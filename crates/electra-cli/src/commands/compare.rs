//! `electra compare`: two sets of weights, name by name.

use crate::console;
use clap::Parser;
use electra_model::compare::{self, Verdict};
use std::{path::PathBuf, process::ExitCode};

/// Compare two checkpoints, model folders or files of weights: names, shapes, kinds, largest differences.
///
/// Exit code 0 if all is the same bit for bit, or every difference is at most --tolerance; 1 otherwise. Names are those
/// of the files.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  electra compare runs/a/checkpoints/step-0001000 runs/b/checkpoints/step-0001000"
)]
pub(crate) struct Args {
    /// A .safetensors or .bin file, an index of shards, a TensorFlow checkpoint, or a folder with one of them.
    first: PathBuf,
    /// Another.
    second: PathBuf,
    /// Largest absolute difference that counts as equal; without it zeros of either sign differ as well.
    #[arg(long)]
    tolerance: Option<f64>,
    /// Names that are equal as well.
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (first, second) = (compare::read(&self.first)?, compare::read(&self.second)?);
        let comparison = compare::compare(&first, &second);
        let mut unequal = 0;
        for row in &comparison.rows {
            let (equal, text) = match &row.verdict {
                Verdict::Same => (true, "the same".to_owned()),
                Verdict::Differs { largest, relative } => (
                    self.tolerance.is_some_and(|tolerance| *largest <= tolerance),
                    format!(
                        "differs by {largest:.3e} at most ({relative:.3e} of the largest value)"
                    ),
                ),
                Verdict::ShapeOrKind(a, b) => {
                    (false, format!("{a} in the first, {b} in the second"))
                }
                Verdict::OnlyFirst(form) => (false, format!("only in the first: {form}")),
                Verdict::OnlySecond(form) => (false, format!("only in the second: {form}")),
            };
            unequal += usize::from(!equal);
            if self.all || row.verdict != Verdict::Same {
                console::print(format_args!("{}  {text}", row.name))?;
            }
        }
        let names = comparison.rows.len();
        let largest = comparison.largest().map_or("-".to_owned(), |x| format!("{x:.3e}"));
        console::print(format_args!(
            "{names} names, {unequal} unequal, largest difference {largest}"
        ))?;
        Ok(if unequal == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
