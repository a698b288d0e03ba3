//! Finds the folders of runs below a folder.

use anyhow::anyhow;
use electra_files::{Error, PathKind};
use serde::Serialize;
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// The file that a folder of fine-tuning has from its start.
pub(crate) const INPUTS: &str = "inputs.json";
/// The file that it has when all seeds are finished.
pub(crate) const RESULTS: &str = "results.json";

/// The folders of runs in a folder and its subfolders, sorted by path.
#[derive(Debug, Default)]
pub(crate) struct RunFolders {
    /// Runs of `electra pretrain`.
    pub(crate) pretraining: Vec<PathBuf>,
    /// Folders of `electra finetune`, each with a run for each seed. The cells of a grid are such folders.
    pub(crate) finetuning: Vec<PathBuf>,
    /// Folders that could not be searched.
    pub(crate) unreadable: Vec<NotShown>,
}

/// A folder that is not in a table.
#[derive(Debug, Serialize)]
pub(crate) struct NotShown {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl RunFolders {
    /// Searches `dir`, which may be a run itself. Does not follow links, and skips hidden folders, which are incomplete ones.
    ///
    /// # Errors
    /// If `dir` cannot be read.
    pub(crate) fn find(dir: &Path) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let hidden = |entry: &DirEntry| {
            entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
        };
        let mut entries = WalkDir::new(dir).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.depth() == 0 => {
                    let cause = error.into_io_error().unwrap_or_else(|| ErrorKind::Other.into());
                    return Err(Error::io(dir)(cause).into());
                }
                Err(error) => {
                    let path = error.path().unwrap_or(dir);
                    let (name, reason) = (name(dir, path), error.to_string());
                    found.unreadable.push(NotShown { name, reason });
                    continue;
                }
            };
            if !entry.file_type().is_dir() {
                continue;
            }
            if hidden(&entry) {
                entries.skip_current_dir();
                continue;
            }
            let path = entry.path();
            if path.join(INPUTS).is_file() {
                // Its seeds are run folders too, but not of pre-training.
                entries.skip_current_dir();
                found.finetuning.push(path.to_owned());
            } else if is_run(path) {
                found.pretraining.push(path.to_owned());
            }
        }
        Ok(found)
    }
}

/// Whether a folder is a run of pre-training or of a seed of fine-tuning.
pub(crate) fn is_run(dir: &Path) -> bool {
    PathKind::of(dir) == Some(PathKind::Run)
}

/// Whether a run is a seed of fine-tuning.
pub(crate) fn is_seed(run: &Path) -> bool {
    run.parent().is_some_and(|folder| folder.join(INPUTS).is_file())
}

/// The seeds of a folder of fine-tuning that have been started, by number, with their runs.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn seeds(finetuning: &Path) -> anyhow::Result<Vec<(u64, PathBuf)>> {
    let mut seeds = Vec::new();
    let fail = || Error::io(finetuning);
    for entry in fs::read_dir(finetuning).map_err(fail())? {
        let path = entry.map_err(fail())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let seed = name.strip_prefix("seed-").and_then(|seed| seed.parse().ok());
        seeds.extend(seed.filter(|_| is_run(&path)).map(|seed| (seed, path.clone())));
    }
    seeds.sort();
    Ok(seeds)
}

/// The path below `dir`; the folder's own name for `dir` itself.
pub(crate) fn name(dir: &Path, path: &Path) -> String {
    match path.strip_prefix(dir) {
        Ok(below) if !below.as_os_str().is_empty() => below.display().to_string(),
        _ => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
    }
}

/// The error of a folder without runs.
pub(crate) fn no_run(dir: &Path) -> anyhow::Error {
    anyhow!(
        "{}: no run in this folder or its subfolders: a run folder, which `electra pretrain` writes, has manifest.json \
         and config.toml",
        dir.display()
    )
}
