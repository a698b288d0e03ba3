//! The data of a scale: vocabulary, shards, and the folder of the tasks.

use crate::{
    files,
    pipeline::{self, Step},
    sh,
};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that names the corpus of the shards.
const CORPUS: &str = "corpus.txt";

/// The file that names the folders of the last call.
const FOLDERS: &str = "folders.json";

/// The folders of the data. Later calls use those of earlier ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Folders {
    pub(super) shards: Option<PathBuf>,
    pub(super) glue: Option<PathBuf>,
}

impl Folders {
    /// These folders, or else those of the last call, which are in `home`.
    pub(super) fn or_last(self, home: &Path) -> Result<Self> {
        let path = home.join(FOLDERS);
        if !path.exists() {
            return Ok(self);
        }
        let last: Self = serde_json::from_value(files::json(&path)?)?;
        Ok(Self { shards: self.shards.or(last.shards), glue: self.glue.or(last.glue) })
    }

    pub(super) fn write(&self, home: &Path) -> Result<()> {
        files::write(home.join(FOLDERS), &serde_json::to_string_pretty(self)?)
    }
}

/// The corpus of a scale, and the sizes to build from it.
#[derive(Debug)]
pub(super) struct Data<'a> {
    pub(super) electra: &'a str,
    /// The folder for vocabulary and shards.
    pub(super) folder: PathBuf,
    pub(super) vocabulary: u64,
    pub(super) length: u64,
}

impl Data<'_> {
    /// The folder of the shards.
    pub(super) fn shards(&self) -> PathBuf {
        self.folder.join("shards")
    }

    /// The commands that build the shards.
    pub(super) fn steps(&self, corpus: &Path) -> Vec<Step> {
        let text = |path: &Path| path.display().to_string();
        let (vocab, shards) = (self.folder.join("vocab.txt"), self.shards());
        let command = |command: &str, action: &str, options: &[&str]| {
            let corpus = text(corpus);
            let mut words = sh::words([self.electra, command, action, "--corpus", &corpus]);
            words.extend(options.iter().map(|&word| word.to_owned()));
            words
        };
        let (size, length) = (self.vocabulary.to_string(), self.length.to_string());
        let (vocab_path, shards_path) = (text(&vocab), text(&shards));
        let train = command("vocab", "train", &["--size", &size, "--out", &vocab_path]);
        let build = ["--vocab", &vocab_path, "--seq-len", &length, "--out", &shards_path];
        let build = command("shards", "build", &build);
        let inputs = vec![corpus.to_owned()];
        vec![
            Step {
                name: "vocabulary".to_owned(),
                command: train,
                inputs: inputs.clone(),
                output: vocab.clone(),
            },
            Step {
                name: "shards".to_owned(),
                command: build,
                inputs: [inputs, vec![vocab]].concat(),
                output: shards,
            },
        ]
    }

    /// Builds the shards from `corpus`, if they do not exist yet.
    ///
    /// # Errors
    /// If there are shards of another corpus.
    pub(super) fn build(&self, corpus: &Path) -> Result<()> {
        let (of, name) = (self.folder.join(CORPUS), corpus.display().to_string());
        if self.shards().join("index.json").exists() {
            let built = files::read(&of)?;
            if built != name {
                let folder = self.folder.display();
                bail!("{folder} was built from {built}, not from {name}: use another --out");
            }
            return Ok(());
        }
        if !corpus.exists() {
            bail!("--corpus {name}: there is no such file or folder");
        }
        files::make_folder(&self.folder)?;
        files::write(of, &name)?;
        pipeline::run(&self.steps(corpus), &self.folder.join("stamps")).map(drop)
    }
}
