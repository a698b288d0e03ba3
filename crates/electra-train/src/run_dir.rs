//! The run folder: config, manifest, metrics, checkpoints, tokenizer.

use crate::{Error, Result};
use electra_data::ShardIndex;
use electra_files::{Existing, PathKind, folder, read_json, write_file, write_json};
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

/// The provenance of a run: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this project.
    pub version: String,
    /// Git commit of the working directory at the start, with `-dirty` if it had changes; empty outside git.
    pub git: String,
    /// The objective's name.
    pub objective: String,
    /// `seam=part` for every seam.
    pub parts: Vec<String>,
    /// The device.
    pub device: String,
    /// The run's seed.
    pub seed: u64,
    /// Number of trainable parameters.
    pub parameters: i64,
    /// Number of libtorch threads, on which bit-exact results depend.
    pub threads: i32,
    /// The CPU model; empty if unknown, and in runs of version 0.1.0.
    #[serde(default)]
    pub processor: String,
    /// Number of CPU cores available to the process; 0 if unknown.
    #[serde(default)]
    pub cores: usize,
}

impl Manifest {
    /// The manifest of a new run on this machine.
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
            device: electra_torch::device_name(device),
            seed,
            parameters,
            threads: tch::get_num_threads(),
            processor: processor(&cpuinfo),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
        }
    }

    /// A description of device, CPU model, cores and libtorch threads.
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

/// The first `model name` in the contents of Linux's `/proc/cpuinfo`; empty if there is none.
pub fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_default()
}

impl RunDir {
    /// Creates a run folder with the manifest and the files that `fill` writes, atomically: on failure an existing run is
    /// kept.
    ///
    /// # Errors
    /// [`electra_files::Error::NotEmpty`] if the folder is not empty and `existing` does not allow replacing it,
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

    /// Opens an existing run folder.
    ///
    /// # Errors
    /// If it is not a run folder: [`electra_files::Error::WrongPath`].
    pub fn open(path: &Path) -> Result<Self> {
        folder::recover(path, MANIFEST)?;
        PathKind::Run.require(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Locks an existing run: see [`folder::lock`].
    ///
    /// # Errors
    /// [`electra_files::Error::InUse`] if another process holds the lock.
    pub fn lock(path: &Path) -> Result<Option<File>> {
        Ok(folder::lock(path, MANIFEST)?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`, with all overrides applied.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The folder of TensorBoard event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The tokenizer folder: vocabulary and settings.
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer")
    }

    /// Writes a file of the folder atomically.
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

    /// Checks that shards have the run's vocabulary, as evaluation requires.
    ///
    /// # Errors
    /// [`Error::OtherShards`] naming both hashes.
    pub fn check_vocabulary(&self, shards: &Path, index: &ShardIndex) -> Result<()> {
        let vocabulary = |index: &ShardIndex| format!("vocabulary {}", index.vocab_hash);
        self.check_equal(shards, vocabulary(&self.shards()?), vocabulary(index))
    }

    /// Checks that shards are the ones that the run was started with; their path may differ.
    ///
    /// # Errors
    /// [`Error::OtherShards`] with the difference.
    pub fn check_shards(&self, shards: &Path, index: &ShardIndex) -> Result<()> {
        self.check_vocabulary(shards, index)?;
        let size = |index: &ShardIndex| {
            format!("{} examples with {} tokens", index.train.examples, index.train.tokens)
        };
        self.check_equal(shards, size(&self.shards()?), size(index))
    }

    fn check_equal(&self, shards: &Path, expected: String, found: String) -> Result<()> {
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

/// The git commit of the current directory, with `-dirty` if tracked files have changes; empty outside git.
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
