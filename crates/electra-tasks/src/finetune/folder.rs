//! The output folder of fine-tuning: made, checked before it is gone on with, and its JSON files.

use super::{CONFIG, Finetune, Prepared, Weights};
use crate::{
    Error, FinetuneConfig, Result,
    model::Source,
    problem::{Loaded, Problem},
    report::{Examples, LeftOut},
};
pub(super) use electra_files::write_json;
use electra_model::same_parts;
use electra_train::{StartFrom, folder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::Xxh3Default;

const INPUTS: &str = "inputs.json";

/// What must be the same when a run is gone on with: `inputs.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inputs<P> {
    task: P,
    model: PathBuf,
    weights: Weights,
    parts: Vec<String>,
    /// Older folders have none.
    #[serde(default)]
    data: Option<DataMark>,
}

/// What tells data from other data, wherever its files are.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct DataMark {
    examples: Examples,
    /// XXH3 of the training inputs with their targets, in their order, in hexadecimal.
    train: String,
}

impl DataMark {
    fn of<P: Problem>(loaded: &Loaded<P>) -> Self {
        let mut hash = Xxh3Default::new();
        for feature in loaded.train.iter() {
            hash.update(&(feature.ids.len() as u64).to_le_bytes());
            feature.ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
            hash.update(format!("{} {:?}\n", feature.segment_b_start, feature.target).as_bytes());
        }
        Self { examples: loaded.examples, train: format!("{:016x}", hash.digest()) }
    }
}

impl<P: Problem> Finetune<'_, P> {
    /// Makes the output folder, or checks that it is this run's; its lock.
    pub(super) fn begin(&self, prepared: &Prepared<P>) -> Result<Option<File>> {
        let data = Some(DataMark::of(&prepared.loaded));
        let lock = folder::lock(&self.out, INPUTS)?;
        match self.from {
            StartFrom::Scratch(existing) => {
                folder::whole(&self.out, existing, INPUTS, |dir| {
                    folder::write_file(&dir.join(CONFIG), &self.config.to_toml())?;
                    write_json(&dir.join(INPUTS), &self.inputs(&prepared.source, data))
                })?;
                // A new folder has a lock of its own.
                Ok(folder::lock(&self.out, INPUTS)?)
            }
            StartFrom::Checkpoint => self.same(&prepared.source, data).map(|()| lock),
        }
    }

    fn inputs(&self, source: &Source, data: Option<DataMark>) -> Inputs<P> {
        Inputs {
            task: self.task.clone(),
            model: self.model.clone(),
            weights: self.weights,
            parts: source.config.part_names(),
            data,
        }
    }

    /// Checks that a cell that is done is of the same settings, and of the same data where that was read.
    pub(super) fn check_done(&self, prepared: Option<&Prepared<P>>) -> Result<()> {
        match prepared {
            Some(prepared) => self.begin(prepared).map(drop),
            None => self.same(&self.source()?, None),
        }
    }

    /// Checks that the output folder is of these inputs and of this config.
    fn same(&self, source: &Source, data: Option<DataMark>) -> Result<()> {
        let (inputs_path, config_path) = (self.out.join(INPUTS), self.out.join(CONFIG));
        let known: Option<Inputs<P>> = read_json(&inputs_path)?;
        let known = known.ok_or_else(|| {
            Error::file(&inputs_path, "not there: this is no folder of fine-tuning to go on with")
        })?;
        let inputs = self.inputs(source, data);
        let config: FinetuneConfig = electra_files::read_toml(&config_path, &[])?;
        let same_data = |known: &DataMark| inputs.data.as_ref().is_none_or(|data| data == known);
        for (name, same) in [
            ("the task", known.task == inputs.task),
            ("the model", known.model == inputs.model),
            ("the choice of weights", known.weights == inputs.weights),
            ("the model's parts", same_parts(&known.parts, &inputs.parts)),
            ("the config", config == *self.config),
            ("the data", known.data.as_ref().is_none_or(same_data)),
        ] {
            if !same {
                let message =
                    format!("was begun with another value of {name}: name another folder");
                return Err(Error::file(&self.out, message));
            }
        }
        self.no_other_seeds()
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
    Ok(electra_files::if_there(electra_files::read_json(path))?)
}
