//! The output folder of fine-tuning: made, checked before it is gone on with, and its JSON files.

use super::{CONFIG, Finetune, Weights};
use crate::{Error, FinetuneConfig, Result, problem::Problem, report::LeftOut};
use electra_model::Parts;
use electra_train::{From, folder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const INPUTS: &str = "inputs.json";

/// What must be the same when a run is gone on with: `inputs.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inputs<P> {
    task: P,
    model: PathBuf,
    weights: Weights,
    parts: Vec<String>,
}

impl<P: Problem> Finetune<'_, P> {
    /// Makes the output folder, or checks that it is this run's.
    pub(super) fn begin(&self, parts: &Parts) -> Result<()> {
        let inputs = Inputs {
            task: self.task.clone(),
            model: self.model.clone(),
            weights: self.weights,
            parts: parts.names(),
        };
        let (inputs_path, config_path) = (self.out.join(INPUTS), self.out.join(CONFIG));
        match self.from {
            From::Scratch(existing) => folder::whole(&self.out, existing, INPUTS, |dir| {
                folder::write_file(&dir.join(CONFIG), &self.config.to_toml())?;
                write_json(&dir.join(INPUTS), &inputs)
            }),
            From::Checkpoint => {
                let known: Option<Inputs<P>> = read_json(&inputs_path)?;
                let known = known.ok_or_else(|| {
                    Error::file(
                        &inputs_path,
                        "not there: this is no folder of fine-tuning to go on with",
                    )
                })?;
                let config: FinetuneConfig = electra_train::config::read_toml(&config_path, &[])?;
                for (name, same) in [
                    ("the task", known.task == inputs.task),
                    ("the model", known.model == inputs.model),
                    ("the choice of weights", known.weights == inputs.weights),
                    ("the model's parts", known.parts == inputs.parts),
                    ("the config", config == *self.config),
                ] {
                    if !same {
                        let message =
                            format!("was begun with another value of {name}: name another folder");
                        return Err(Error::file(&self.out, message));
                    }
                }
                self.no_other_seeds()
            }
        }
    }

    /// Says how many examples are left out, and writes which: `left-out.txt`.
    pub(super) fn list_left_out(&self, left_out: &[LeftOut]) -> Result<()> {
        if left_out.is_empty() {
            return Ok(());
        }
        let path = self.out.join("left-out.txt");
        for LeftOut { file, count, .. } in left_out {
            tracing::warn!("{count} of {} are left out: {}", file.display(), path.display());
        }
        let lines = left_out.iter().flat_map(|of| &of.named).map(|line| format!("{line}\n"));
        Ok(folder::write_file(&path, &lines.collect::<String>())?)
    }

    /// `model/` is the best of all seeds in the folder, so none of them may be left out.
    fn no_other_seeds(&self) -> Result<()> {
        for entry in fs::read_dir(&self.out).map_err(Error::io(&self.out))? {
            let path = entry.map_err(Error::io(&self.out))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let seed = name.strip_prefix("seed-").and_then(|seed| seed.parse::<u64>().ok());
            if let Some(seed) = seed.filter(|seed| !self.seeds.contains(seed)) {
                let message =
                    format!("seed {seed} is not among the seeds asked for: {:?}", self.seeds);
                return Err(Error::file(&path, message));
            }
        }
        Ok(())
    }
}

/// A JSON file, or `None` if there is none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io(path))?,
    };
    serde_json::from_str(&text).map(Some).map_err(|e| Error::file(path, e))
}

/// Writes a JSON file through a temporary one, so that no reader sees half of it.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_string_pretty(value).expect("plain values serialise");
    Ok(folder::write_file(path, &(json + "\n"))?)
}
