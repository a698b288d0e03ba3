//! Checkpoints: the complete state of a run, written atomically.

use crate::{Error, Result};
use electra_files::{Existing, Kind, folder, if_there, read_json, sha256, write_json};
use electra_model::{
    same_parts,
    tensors::{self, Named},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use tch::Tensor;

const FORMAT: u32 = 1;
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const CHECKPOINTS: &str = "checkpoints";

/// The state other than tensors: `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of the checkpoint format.
    pub format: u32,
    /// Updates done.
    pub step: u64,
    /// Examples consumed: the sampler's position.
    pub examples: u64,
    /// The run's seed; with step and examples it determines all random choices.
    pub seed: u64,
    /// The objective's name.
    pub objective: String,
    /// `seam=part` for every seam.
    pub parts: Vec<String>,
    /// SHA-256 of each tensor file.
    pub checksums: BTreeMap<String, String>,
}

impl State {
    /// State after `step` updates; checksums are filled in by [`save`].
    pub fn new(step: u64, examples: u64, seed: u64, objective: &str, parts: Vec<String>) -> Self {
        let objective = objective.to_owned();
        Self { format: FORMAT, step, examples, seed, objective, parts, checksums: BTreeMap::new() }
    }

    /// Checks that the weights of the file `weights` are of this objective and these parts.
    ///
    /// # Errors
    /// With both, if one differs.
    pub fn check(&self, weights: &Path, objective: &str, parts: &[String]) -> Result<()> {
        if same_parts(&self.parts, parts) && self.objective == objective {
            return Ok(());
        }
        let message = format!(
            "the checkpoint has objective {} and parts [{}], but this run has {objective} and [{}]",
            self.objective,
            self.parts.join(", "),
            parts.join(", ")
        );
        Err(Error::checkpoint(weights, message))
    }
}

/// The state of the checkpoint that a file of weights is in; `None` if it is in no checkpoint.
///
/// # Errors
/// If `state.json` cannot be read.
pub fn of_weights(weights: &Path) -> Result<Option<State>> {
    Ok(if_there(read_json(&weights.with_file_name(STATE)))?)
}

/// A checkpoint with verified checksums.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder.
    pub path: PathBuf,
    /// Its `state.json`.
    pub state: State,
}

/// A checkpoint folder, which may be replaced even if it is damaged: a run resumed from an older checkpoint writes it again.
struct CheckpointFolder;

impl Kind for CheckpointFolder {
    fn differs(&self, _folder: &Path) -> Option<String> {
        None
    }
}

/// Writes `checkpoints/step-NNNNNNN` atomically.
///
/// # Errors
/// Naming the file; an incomplete checkpoint is removed if possible and never read.
pub fn save(
    checkpoints: &Path,
    mut state: State,
    model: &[(String, Tensor)],
    optimizer: &Named,
) -> Result<PathBuf> {
    let path = checkpoints.join(format!("step-{:07}", state.step));
    folder::whole(&path, Existing::Replace, CheckpointFolder, |new| -> Result<()> {
        for (file, tensors) in [(MODEL, model), (OPTIMIZER, optimizer.as_slice())] {
            let file_path = new.join(file);
            tensors::write(&file_path, tensors)?;
            state.checksums.insert(file.to_owned(), sha256(&file_path)?);
        }
        Ok(write_json(&new.join(STATE), &state)?)
    })?;
    Ok(path)
}

/// Removes all but the newest `keep_last` checkpoints up to `newest`, the one just written; 0 keeps all. Later ones are
/// kept: they are damaged ones that were skipped when resuming.
///
/// # Errors
/// Naming the folder.
pub fn prune(checkpoints: &Path, newest: &Path, keep_last: usize) -> Result<()> {
    let mut all = list(checkpoints)?;
    all.retain(|(_, path)| path.as_path() <= newest);
    if keep_last > 0 && all.len() > keep_last {
        for (_, old) in &all[..all.len() - keep_last] {
            fs::remove_dir_all(old).map_err(Error::io(old))?;
        }
    }
    Ok(())
}

/// Opens the newest intact checkpoint of a run; skips damaged ones with a warning.
///
/// # Errors
/// [`Error::NoCheckpoint`] with the reason for each that was rejected. Other errors (no permission, a failing disk) end the
/// search, so that an intact checkpoint is not overwritten after resuming from an older one.
pub fn newest(run: &Path) -> Result<Checkpoint> {
    let checkpoints = run.join(CHECKPOINTS);
    let mut rejected = Vec::new();
    let mut all = list(&checkpoints)?;
    while let Some((_, path)) = all.pop() {
        match open(&path) {
            Ok(checkpoint) => return Ok(checkpoint),
            // The process that trains the run has removed it after writing a newer one.
            Err(_) if !path.exists() => all = list(&checkpoints)?,
            Err(Error::Files(error @ electra_files::Error::Io { .. })) if !error.is_not_found() => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!("skipping a damaged checkpoint: {error}");
                rejected.push(error.to_string());
            }
        }
    }
    Err(Error::NoCheckpoint { run: run.to_owned(), rejected })
}

/// The number of updates that a run has done up to its newest checkpoint; 0 without one. Reads only the names of the
/// checkpoint folders: a checkpoint that is damaged counts, since its updates were done.
///
/// # Errors
/// Naming the folder that cannot be read.
pub fn steps_done(run: &Path) -> Result<u64> {
    let steps = list(&run.join(CHECKPOINTS))?;
    Ok(steps.last().map_or(0, |(step, _)| *step))
}

/// Opens one checkpoint and verifies its checksums.
///
/// # Errors
/// [`Error::Checkpoint`] naming the damaged file.
pub fn open(path: &Path) -> Result<Checkpoint> {
    let state_path = path.join(STATE);
    let state: State = read_json(&state_path)?;
    if state.format != FORMAT {
        let message = format!("format {} is not supported, only {FORMAT}", state.format);
        return Err(Error::checkpoint(&state_path, message));
    }
    for file in [MODEL, OPTIMIZER] {
        let file_path = path.join(file);
        let found = sha256(&file_path)?;
        if state.checksums.get(file) != Some(&found) {
            return Err(Error::checkpoint(
                &file_path,
                "the file is damaged: its checksum differs from state.json",
            ));
        }
    }
    Ok(Checkpoint { path: path.to_owned(), state })
}

impl Checkpoint {
    /// Copies the weights into a model's variables, strictly.
    ///
    /// # Errors
    /// If the objective or the parts differ, or listing every difference of the tensors.
    pub fn load_model(
        &self,
        objective: &str,
        parts: &[String],
        model: &[(String, Tensor)],
    ) -> Result<()> {
        let path = self.path.join(MODEL);
        self.state.check(&path, objective, parts)?;
        Ok(tensors::load(&path, &tensors::read(&path)?, model, |_| false, |_| false)?)
    }

    /// Copies the moments into the optimizer's state, strictly.
    ///
    /// # Errors
    /// Listing every difference.
    pub fn load_optimizer(&self, optimizer: &Named) -> Result<()> {
        let path = self.path.join(OPTIMIZER);
        Ok(tensors::load(&path, &tensors::read(&path)?, optimizer, |_| false, |_| false)?)
    }
}

/// Checkpoint folders with their steps, oldest first.
fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(checkpoints) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io(checkpoints))?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(checkpoints))?.path();
        let step =
            path.file_name().and_then(|n| n.to_str()?.strip_prefix("step-")?.parse::<u64>().ok());
        steps.extend(step.map(|step| (step, path)));
    }
    steps.sort();
    Ok(steps)
}
