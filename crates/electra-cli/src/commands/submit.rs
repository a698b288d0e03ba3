//! `electra submit`: predicts GLUE's test files for the leaderboard.

use super::Overwrite;
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::bail;
use clap::Parser;
use electra_scores::glue::{
    self,
    submission::{ARCHIVE, Origin, runs},
};
use electra_tasks::submit::{Archive, Missing, RowCounts, Submit};
use std::{path::PathBuf, process::ExitCode};

/// Predict GLUE's test files for the leaderboard.
///
/// Writes the eleven files of a submission with the predictions of fine-tuned models.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra submit --glue runs/glue --data GLUE --out submission --zip
  electra submit --run rte=runs/rte-2 --run mnli=runs/mnli --data GLUE --missing majority --out submission --zip")]
pub(crate) struct Args {
    /// Folder of the runs of `electra finetune`, each in a folder named after its task (`cola`, `CoLA`).
    #[arg(long)]
    glue: Option<PathBuf>,
    /// A run, used instead of the one in --glue; repeatable.
    #[arg(long = "run", value_name = "TASK=DIR")]
    runs: Vec<String>,
    /// The folder with GLUE's official folders.
    #[arg(long)]
    data: PathBuf,
    /// Output folder.
    #[arg(long)]
    out: PathBuf,
    /// Also write submission.zip, and check it.
    #[arg(long)]
    zip: bool,
    /// What to do if a run or a test file is missing.
    #[arg(long, value_enum, default_value_t = Missing::Refuse)]
    missing: Missing,
    /// Which numbers of rows to accept in test files.
    #[arg(long, value_enum, default_value_t = RowCounts::Official)]
    rows: RowCounts,
    /// Device: "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let mut runs = self.glue.as_deref().map(runs).transpose()?.unwrap_or_default();
        for run in &self.runs {
            let Some((task, dir)) = run.split_once('=') else {
                bail!("--run {run}: expected TASK=DIR, as in --run cola=runs/cola");
            };
            runs.insert(glue::find(task)?.name, dir.into());
        }
        let submit = Submit {
            data: self.data,
            runs,
            out: self.out,
            existing: self.overwrite.existing(),
            missing: self.missing,
            rows: self.rows,
            archive: if self.zip { Archive::Zip } else { Archive::Omit },
            device: self.device,
            kinds: extensions.kinds.clone(),
            parts: extensions.parts.clone(),
        };
        let mut progress = Progress::new("rows", 0);
        let mut current = String::new();
        let written = submit.run(&mut |table, rows| {
            if table != current {
                current = table.to_owned();
                progress.line(table);
            }
            progress.set(rows, 0);
        })?;
        drop(progress);
        for table in &written {
            let origin = match &table.origin {
                Origin::Model(dir) => dir.display().to_string(),
                Origin::Constant(answer) => format!("always {answer}"),
            };
            console::print(format_args!("{:<11}{:>8} rows  {origin}", table.file, table.rows))?;
        }
        let out = match submit.archive {
            Archive::Zip => submit.out.join(ARCHIVE),
            Archive::Omit => submit.out,
        };
        console::print(format_args!("written and checked: {}", out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
