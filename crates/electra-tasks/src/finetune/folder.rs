//! The output folder of fine-tuning: created, or checked before it is resumed.

use super::settings::{CONFIG, Finetune, Prepared};
use crate::{
    config::FinetuneConfig,
    error::{Error, Result},
    model::Source,
    report::{Examples, Weights},
    task::LoadedTask,
};
use electra_files::{PathKind, folder, if_there, read_json, read_toml, write_file, write_json};
use electra_model::same_parts;
use electra_scores::LeftOut;
use electra_train::StartFrom;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::PathBuf,
};
use xxhash_rust::xxh3::Xxh3Default;

const INPUTS: &str = "inputs.json";

/// The inputs of a run, which must be the same when it is resumed: `inputs.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inputs {
    /// The task's description.
    task: Value,
    model: PathBuf,
    weights: Weights,
    parts: Vec<String>,
    /// Folders of version 0.1 may have none.
    #[serde(default)]
    data: Option<DataMark>,
}

/// A fingerprint of the data, independent of the paths of its files.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct DataMark {
    examples: Examples,
    /// XXH3, in hexadecimal, of the training inputs in order: for each its length, its ids and the start of segment 1,
    /// all as little-endian u64. Folders of version 0.1 have none.
    #[serde(default)]
    inputs: Option<String>,
    /// XXH3 of the labels of the training inputs in order, each as JSON on a line.
    #[serde(default)]
    labels: Option<String>,
}

impl DataMark {
    fn of(loaded: &LoadedTask) -> Self {
        let (mut inputs, mut labels) = (Xxh3Default::new(), Xxh3Default::new());
        for (example, group) in loaded.inputs.iter().enumerate() {
            let mut number = |number: u64| inputs.update(&number.to_le_bytes());
            for input in group {
                number(input.ids.len() as u64);
                input.ids.iter().for_each(|&id| number(id.into()));
                number(input.segment_b_start as u64);
            }
            labels.update(format!("{}\n", loaded.data.label(example)).as_bytes());
        }
        let hex = |hash: Xxh3Default| Some(format!("{:016x}", hash.digest()));
        Self { examples: loaded.examples, inputs: hex(inputs), labels: hex(labels) }
    }

    /// Whether the data may be the same: checksums that an older folder lacks are not compared.
    fn fits(&self, known: &Self) -> bool {
        let same = |own: &Option<String>, known: &Option<String>| known.is_none() || own == known;
        self.examples == known.examples
            && same(&self.inputs, &known.inputs)
            && same(&self.labels, &known.labels)
    }
}

impl Finetune<'_> {
    /// Creates the output folder, or checks that it has this run; returns its lock.
    pub(super) fn begin(&self, prepared: &Prepared) -> Result<Option<File>> {
        let data = Some(DataMark::of(&prepared.loaded));
        let lock = folder::lock(&self.out, INPUTS)?;
        match self.from {
            StartFrom::Scratch(existing) => {
                folder::whole(&self.out, existing, INPUTS, |dir| {
                    write_file(&dir.join(CONFIG), self.config.to_toml())?;
                    write_json(&dir.join(INPUTS), &self.inputs(&prepared.source, data))
                })?;
                // The new folder needs a lock of its own.
                Ok(folder::lock(&self.out, INPUTS)?)
            }
            StartFrom::Checkpoint => self.same(&prepared.source, data).map(|()| lock),
        }
    }

    fn inputs(&self, source: &Source, data: Option<DataMark>) -> Inputs {
        Inputs {
            task: self.task.description(),
            model: self.model.clone(),
            weights: self.weights,
            parts: source.config.part_names(),
            data,
        }
    }

    /// Checks that a finished cell has the same settings, and the same data if that was read.
    pub(super) fn check_done(&self, prepared: Option<&Prepared>) -> Result<()> {
        match prepared {
            Some(prepared) => self.begin(prepared).map(drop),
            None => self.same(&self.source()?, None),
        }
    }

    /// Checks that the output folder has these inputs and this config.
    fn same(&self, source: &Source, data: Option<DataMark>) -> Result<()> {
        let (inputs_path, config_path) = (self.out.join(INPUTS), self.out.join(CONFIG));
        let known: Option<Inputs> = if_there(read_json(&inputs_path))?;
        let Some(known) = known else {
            PathKind::FineTuning.require(&self.out)?;
            return Err(Error::file(&inputs_path, "is missing, so this run cannot be resumed"));
        };
        let inputs = self.inputs(source, data);
        let config: FinetuneConfig = read_toml(&config_path, &[])?;
        let same_data = |known: &DataMark| inputs.data.as_ref().is_none_or(|data| data.fits(known));
        for (name, same) in [
            ("the task", known.task == inputs.task),
            ("the model", known.model == inputs.model),
            ("the initial weights", known.weights == inputs.weights),
            ("the parts of the model", same_parts(&known.parts, &inputs.parts)),
            ("the config", config == *self.config),
            ("the data", known.data.as_ref().is_none_or(same_data)),
        ] {
            if !same {
                let message = format!(
                    "{name} changed since the run was started: use the same, or another output folder"
                );
                return Err(Error::file(&self.out, message));
            }
        }
        if known.data.as_ref().is_some_and(|known| known.inputs.is_none()) {
            let path = inputs_path.display();
            tracing::warn!(
                "{path} is of version 0.1, which recorded no checksums of the texts: only the numbers of examples are compared"
            );
        }
        self.no_other_seeds()
    }

    /// Logs how many examples are left out, and lists them in `left-out.txt`.
    pub(super) fn list_left_out(&self, left_out: &[LeftOut]) -> Result<()> {
        if left_out.is_empty() {
            return Ok(());
        }
        let path = self.out.join("left-out.txt");
        for LeftOut { file, count, .. } in left_out {
            tracing::warn!("{count} of {} are left out: see {}", file.display(), path.display());
        }
        let lines = left_out.iter().flat_map(|file| &file.named).map(|line| format!("{line}\n"));
        Ok(write_file(&path, lines.collect::<String>())?)
    }

    /// Checks that all seeds in the folder were requested: `model/` is the best of them all.
    fn no_other_seeds(&self) -> Result<()> {
        for entry in fs::read_dir(&self.out).map_err(Error::io(&self.out))? {
            let path = entry.map_err(Error::io(&self.out))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let seed = name.strip_prefix("seed-").and_then(|seed| seed.parse::<u64>().ok());
            if let Some(seed) = seed.filter(|seed| !self.seeds.contains(seed)) {
                let message =
                    format!("seed {seed} is not one of the requested seeds {:?}", self.seeds);
                return Err(Error::file(&path, message));
            }
        }
        Ok(())
    }
}
