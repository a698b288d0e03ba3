//! `electra report`: a page of one or several runs, at any time.

use super::run_folders::{RunFolders, is_run, is_seed, no_run, seeds};
use crate::{Extensions, console};
use anyhow::{Context, ensure};
use clap::Parser;
use electra_files::{write_file, write_file_with};
use electra_train::{
    RunConfig,
    report::{RunLog, compare, write_csv},
    run_dir::RunDir,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Write a page with the curves, metrics and config of runs.
///
/// The runs may be in training: they are only read. For one run of `electra pretrain`, the page is that of its report.html
/// as of now. For several runs, it has their curves on common axes, the keys of the configs that differ, and the latest
/// metrics. Beside the page, a file with the ending .csv has all rows of metrics: run, kind, step, metric, value.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra report runs/small
  electra report runs/small runs/base --out compared.html
  electra report runs/tuned/cola")]
pub(crate) struct Args {
    /// Runs of `electra pretrain` or seeds of `electra finetune`; any other folder selects all runs in it.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page. An existing file is replaced.
    #[arg(long, value_name = "FILE", default_value = "electra-report.html")]
    out: PathBuf,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let table = self.out.with_extension("csv");
        ensure!(
            table != self.out,
            "--out {}: must not end in .csv, which is the ending of the table beside the page",
            self.out.display()
        );
        let mut paths = Vec::new();
        for path in &self.runs {
            paths.extend(runs_of(path)?);
        }
        let open = |path: &PathBuf| RunDir::open(path).map(|run| (path.display().to_string(), run));
        let runs = paths.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let logs: Vec<RunLog> =
            runs.iter().map(|(name, run)| RunLog::read(name, run)).collect::<Result<_, _>>()?;
        let page = match &runs[..] {
            [(_, run)] if !is_seed(run.path()) => {
                let config = RunConfig::read(&run.config(), &[])?;
                extensions.recipe(config).report(run)?
            }
            _ => compare(&logs),
        };
        write_file(&self.out, page)?;
        write_file_with(&table, |file| -> anyhow::Result<()> {
            write_csv(&logs, file).with_context(|| table.display().to_string())
        })?;
        console::print(format_args!("wrote {} and {}", self.out.display(), table.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The runs that a path stands for.
fn runs_of(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if is_run(path) {
        return Ok(vec![path.to_owned()]);
    }
    let found = RunFolders::find(path)?;
    let mut runs = found.pretraining;
    for folder in found.finetuning {
        runs.extend(seeds(&folder)?.into_iter().map(|(_, run)| run));
    }
    for folder in found.unreadable {
        tracing::warn!("{}: {}", folder.name, folder.reason);
    }
    ensure!(!runs.is_empty(), no_run(path));
    Ok(runs)
}
