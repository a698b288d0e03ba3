//! `electra compare`: compares two sets of weights.

use crate::console;
use clap::Parser;
use electra_model::compare::{self, Verdict};
use std::{path::PathBuf, process::ExitCode};

/// Compare two checkpoints, model folders or weight files.
///
/// Compares names, shapes, kinds and values. Exits with code 0 if everything is bitwise equal, or all differences are at most --tolerance, and with 1 otherwise.
/// Names are those in the files. Networks with different parts, such as another attention, are not equal.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  electra compare runs/a/checkpoints/step-0001000 runs/b/checkpoints/step-0001000"
)]
pub(crate) struct Args {
    /// A .safetensors or .bin file, an index of sharded weights, a TensorFlow checkpoint, or a folder with one of these.
    first: PathBuf,
    /// The same, to compare with.
    second: PathBuf,
    /// Largest absolute difference that counts as equal. By default weights must be bitwise equal, including signed zeros.
    #[arg(long)]
    tolerance: Option<f64>,
    /// Also list equal tensors.
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (first, second) = (compare::read(&self.first)?, compare::read(&self.second)?);
        let comparison = compare::compare(&first, &second);
        let parts = compare::parts(&self.first).zip(compare::parts(&self.second));
        let parts = parts.map(|(first, second)| compare::different_parts(&first, &second));
        let parts = parts.unwrap_or_default();
        for (seam, first, second) in &parts {
            console::print(format_args!(
                "{seam} is {first:?} in the first, {second:?} in the second: with equal weights they compute different results"
            ))?;
        }
        let mut unequal = 0;
        for row in &comparison.rows {
            let (equal, text) = match &row.verdict {
                Verdict::Same => (true, "equal".to_owned()),
                Verdict::Differs { largest, relative } => (
                    self.tolerance.is_some_and(|tolerance| *largest <= tolerance),
                    format!("differs by up to {largest:.3e} ({relative:.3e} of the largest value)"),
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
            "{names} tensors, {unequal} unequal, largest difference {largest}"
        ))?;
        Ok(match unequal == 0 && parts.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}
