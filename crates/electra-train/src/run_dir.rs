//! The run folder: config, manifest, metrics, checkpoints, tokenizer.

use crate::{Error, Result};
use electra_data::ShardIndex;
use electra_files::{Existing, folder, read_json, write_file, write_json};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};
use tch::Device;

const SHARDS: &str = "shards.json";
const MANIFEST: &str = "manifest.json";

/// A run folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// What made a run: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this project.
    pub version: String,
    /// Commit of the folder the run was started in, `-dirty` when it had changes; empty outside git.
    pub git: String,
    /// The objective's name.
    pub objective: String,
    /// `seam=part` for every seam.
    pub parts: Vec<String>,
    /// The device that was used.
    pub device: String,
    /// The run's seed.
    pub seed: u64,
    /// Trainable parameters.
    pub parameters: i64,
    /// libtorch's threads, which the bits depend on.
    pub threads: i32,
    /// The machine's processor; empty where the system does not tell, and in runs of version 0.1.0.
    #[serde(default)]
    pub processor: String,
    /// The processor's cores that the process may use; 0 where the system does not tell.
    #[serde(default)]
    pub cores: usize,
}

impl Manifest {
    /// A manifest of a run that starts on this machine.
    pub fn new(
        objective: &str,
        parts: Vec<String>,
        device: Device,
        seed: u64,
        parameters: i64,
    ) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git: git_version(),
            objective: objective.to_owned(),
            parts,
            device: format!("{device:?}"),
            seed,
            parameters,
            threads: tch::get_num_threads(),
            processor: processor(&cpuinfo),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
        }
    }

    /// The device, the processor with its cores, and libtorch's threads, for people.
    pub fn hardware(&self) -> String {
        let mut words = vec![self.device.clone()];
        if !self.processor.is_empty() {
            words.push(self.processor.clone());
        }
        if self.cores > 0 {
            words.push(format!("{} cores", self.cores));
        }
        words.push(format!("{} threads", self.threads));
        words.join(", ")
    }
}

/// The first `model name` of Linux's `/proc/cpuinfo`; empty where there is none.
pub fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_default()
}

impl RunDir {
    /// Makes a new run folder with the manifest and what `fill` writes, or nothing: a run that is to be
    /// replaced is there until then.
    ///
    /// # Errors
    /// [`electra_files::Error::NotEmpty`] if the folder is not empty and `existing` refuses it,
    /// [`electra_files::Error::NotReplaced`] if it is not a run; naming the file that cannot be written.
    pub fn create(
        path: &Path,
        existing: Existing,
        manifest: &Manifest,
        fill: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Self> {
        folder::whole(path, existing, MANIFEST, |temporary| {
            let run = Self { path: temporary.to_owned() };
            fs::create_dir(run.checkpoints()).map_err(Error::io(run.checkpoints()))?;
            write_json(&temporary.join(MANIFEST), manifest)?;
            fill(&run)
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// A run folder that is there.
    ///
    /// # Errors
    /// If it has no `config.toml`.
    pub fn open(path: &Path) -> Result<Self> {
        folder::recover(path, MANIFEST)?;
        let run = Self { path: path.to_owned() };
        fs::metadata(run.config()).map_err(Error::io(run.config()))?;
        Ok(run)
    }

    /// The lock of a run that is there: see [`folder::lock`].
    ///
    /// # Errors
    /// [`electra_files::Error::InUse`] if another process has it.
    pub fn lock(path: &Path) -> Result<Option<File>> {
        Ok(folder::lock(path, MANIFEST)?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`, resolved.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The folder of event files for TensorBoard.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The folder of the vocabulary and the tokenizer's settings.
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer")
    }

    /// Writes a file of the folder through a temporary one, so that no reader sees half of it.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write(&self, name: &str, contents: &str) -> Result<()> {
        Ok(write_file(&self.path.join(name), contents)?)
    }

    /// Writes `shards.json`: the index of the shards that the run is trained on.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write_shards(&self, index: &ShardIndex) -> Result<()> {
        Ok(write_json(&self.path.join(SHARDS), index)?)
    }

    /// Checks that shards have the run's vocabulary, as evaluation needs.
    ///
    /// # Errors
    /// [`Error::OtherShards`] naming both hashes.
    pub fn check_vocabulary(&self, shards: &Path, index: &ShardIndex) -> Result<()> {
        let known = self.shards()?;
        let vocabulary = |index: &ShardIndex| format!("vocabulary {}", index.vocab_hash);
        self.same(shards, vocabulary(&known), vocabulary(index))
    }

    /// Checks that shards are those that the run was begun with, wherever they are now.
    ///
    /// # Errors
    /// [`Error::OtherShards`] saying what differs.
    pub fn check_shards(&self, shards: &Path, index: &ShardIndex) -> Result<()> {
        self.check_vocabulary(shards, index)?;
        let size = |index: &ShardIndex| {
            format!("{} examples of {} tokens in all", index.train.examples, index.train.tokens)
        };
        self.same(shards, size(&self.shards()?), size(index))
    }

    fn same(&self, shards: &Path, expected: String, found: String) -> Result<()> {
        match expected == found {
            true => Ok(()),
            false => Err(Error::OtherShards {
                run: self.path.clone(),
                shards: shards.to_owned(),
                expected,
                found,
            }),
        }
    }

    /// `shards.json`: the index of the shards that the run is trained on.
    ///
    /// # Errors
    /// Naming the file.
    pub fn shards(&self) -> Result<ShardIndex> {
        Ok(read_json(&self.path.join(SHARDS))?)
    }

    /// `manifest.json`.
    ///
    /// # Errors
    /// Naming the file.
    pub fn manifest(&self) -> Result<Manifest> {
        Ok(read_json(&self.path.join(MANIFEST))?)
    }
}

/// The commit of the current folder, with `-dirty` when tracked files differ; empty outside git.
pub fn git_version() -> String {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=40"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => String::new(),
    }
}
