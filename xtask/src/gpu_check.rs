//! `cargo xtask gpu-check`: runs `electra gpu-check`, or bundles it for a GPU machine without Rust.

use crate::{
    pipeline::{self, ELECTRA, Step},
    sh,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

const HOME: &str = "target/gpu-check";
const BUNDLE: &str = "electra-gpu-check";
const GOLDEN: &str = "tests/fixtures/networks-projected.safetensors";
/// Vocabulary size of the presets.
const VOCABULARY: usize = 30_522;
const LENGTHS: [&str; 2] = ["128", "512"];

/// Options of `cargo xtask gpu-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run on this machine, or create a bundle for another.
    #[arg(long, value_enum, default_value = "bundle")]
    kind: Kind,
    /// Text to train on.
    #[arg(long, default_value = "data/sample/pretrain", value_parser = sh::path_arg)]
    corpus: PathBuf,
    /// Options of `electra gpu-check`, with `--kind run`.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// Write target/gpu-check/electra-gpu-check.tar.gz and the folder it contains.
    Bundle,
    /// Build and run.
    Run,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    pipeline::build(&args.corpus)?;
    let folder = Path::new(HOME).join(BUNDLE);
    let shards = folder.join("shards");
    fs::create_dir_all(&shards).with_context(|| shards.display().to_string())?;
    let vocab = vocabulary(&args.corpus)?;
    for length in LENGTHS {
        let out = shards.join(length);
        let (corpus, vocab) = (args.corpus.display().to_string(), vocab.display().to_string());
        let out = out.display().to_string();
        let names = ["--corpus", &corpus, "--vocab", &vocab, "--out", &out];
        let build = sh::words([ELECTRA, "shards", "build", "--overwrite", "--seq-len", length]);
        sh::run(&[build, sh::words(names)].concat())?;
    }
    match args.kind {
        Kind::Run => {
            let shards = shards.display().to_string();
            let command =
                sh::words([ELECTRA, "gpu-check", "--golden", GOLDEN, "--shards", &shards]);
            sh::run(&[command, args.rest.clone()].concat()).map(drop)
        }
        Kind::Bundle => bundle(&folder),
    }
}

/// Trains a vocabulary on the corpus, and pads it to the presets' size with unused tokens, because the cost of a step
/// depends on the vocabulary size.
fn vocabulary(corpus: &Path) -> Result<PathBuf> {
    let (trained, path) = (Path::new(HOME).join("learned.txt"), Path::new(HOME).join("vocab.txt"));
    let (text, out) = (corpus.display().to_string(), trained.display().to_string());
    let words = ["--size", "4096", "--corpus", &text, "--out", &out];
    let step = Step {
        name: "vocabulary".to_owned(),
        command: [sh::words([ELECTRA, "vocab", "train"]), sh::words(words)].concat(),
        inputs: vec![corpus.to_owned()],
        output: trained,
    };
    pipeline::run(&[step], &Path::new(HOME).join("stamps"))?;
    let trained = fs::read_to_string(&out).with_context(|| out.clone())?;
    fs::write(&path, padded(&trained, VOCABULARY)).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn padded(vocab: &str, size: usize) -> String {
    let mut tokens: Vec<String> = vocab.lines().map(str::to_owned).collect();
    tokens.extend((tokens.len()..size).map(|id| format!("[unused{id}]")));
    tokens.join("\n") + "\n"
}

fn bundle(folder: &Path) -> Result<()> {
    let configs = folder.join("configs");
    fs::create_dir_all(&configs).with_context(|| configs.display().to_string())?;
    for size in ["tiny", "small", "base"] {
        let name = format!("pretrain-{size}.toml");
        copy(&Path::new("configs").join(&name), &configs.join(&name))?;
    }
    copy(Path::new(ELECTRA), &folder.join("electra"))?;
    copy(Path::new(GOLDEN), &folder.join("golden.safetensors"))?;
    let readme = folder.join("README.md");
    fs::write(&readme, README).with_context(|| readme.display().to_string())?;
    let archive = format!("{HOME}/{BUNDLE}.tar.gz");
    sh::run(&sh::words(["tar", "-C", HOME, "-czf", &archive, BUNDLE]))?;
    sh::say(&format!("created {archive}; its README.md explains how to run it"));
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display())).map(drop)
}

const README: &str = "\
# electra gpu-check

Requires an NVIDIA GPU, its driver, and PyTorch 2.11.0 for CUDA 13 (`pip install torch==2.11.0`), but no Rust. In this
folder, run:

    LD_LIBRARY_PATH=\"$(python3 -c 'import torch, os; print(os.path.join(torch.__path__[0], \"lib\"))')\" \\
        ./electra gpu-check --shards shards --golden golden.safetensors --json gpu.json

If the loader does not find a `libgomp` (`ldd ./electra` names it), the wheel has it under another name: create a symbolic
link with the missing name in a folder and add the folder to LD_LIBRARY_PATH, so that only one OpenMP is loaded. Without a
GPU the command prints an error and exits with code 1.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vocabularies_are_padded_to_the_size() {
        let text = padded("[PAD]\nthe\n", 4);
        assert_eq!(text, "[PAD]\nthe\n[unused2]\n[unused3]\n");
        assert_eq!(padded(&text, 4), text);
    }
}
