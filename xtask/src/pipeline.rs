//! Pipelines: steps with outputs, each skipped when its stamp says that it is done.

use crate::{setup, sh};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};
use walkdir::WalkDir;

/// The binary that does the work.
pub(crate) const ELECTRA: &str = "target/release/electra";

/// Inputs below this many bytes are known by their contents, larger ones by size and time.
const READ_WHOLE: u64 = 8 << 20;

/// Options of `cargo xtask pretrain-*`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file or folder: .txt or .jsonl, each also .gz .xz .zst, or .parquet.
    #[arg(long, value_parser = sh::place)]
    corpus: PathBuf,
    /// A vocab.txt or tokenizer.json; one of 30,522 tokens is learned from the corpus by default.
    #[arg(long, value_parser = sh::place)]
    vocab: Option<PathBuf>,
    /// Where everything is written.
    #[arg(long, value_parser = sh::place)]
    out: Option<PathBuf>,
    /// How the corpus is read: options that `electra vocab train` and `electra shards build` share, after `--`.
    #[arg(last = true, value_name = "CORPUS OPTIONS")]
    reading: Vec<String>,
    /// Override one key of the config; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the steps and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// One command of a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What it is, in a word; also its stamp's name.
    pub(crate) name: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// Files that it reads, besides what earlier steps made; a change runs it again.
    pub(crate) inputs: Vec<PathBuf>,
    /// What it makes, and what is removed when it has to run again.
    pub(crate) output: PathBuf,
}

impl Step {
    /// The step, however many seeds it has: more of them are added to what is there.
    fn without_seeds(&self) -> Self {
        let mut command = self.command.clone();
        if let Some(place) = command.iter().position(|word| word == "--seeds") {
            command.drain(place..(place + 2).min(command.len()));
        }
        Self { command, ..self.clone() }
    }
}

/// Runs the paper's recipe from text to exported networks.
pub(crate) fn pretrain(args: &Args, size: &str, length: u32) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/pretrain-{size}")));
    let steps = recipe(args, size, length, &out);
    if args.dry_run {
        for step in &steps {
            sh::say(&format!("+ {}", sh::shown(&step.command)));
        }
        return Ok(());
    }
    fs::metadata(&args.corpus).with_context(|| format!("--corpus {}", args.corpus.display()))?;
    build(&args.corpus)?;
    run(&steps, &out.join("stamps"))?;
    sh::say(&format!(
        "\nrun: {0}/run\nexported: {0}/discriminator, {0}/generator\nnext: {ELECTRA} finetune --help",
        out.display()
    ));
    Ok(())
}

fn recipe(args: &Args, size: &str, length: u32, out: &Path) -> Vec<Step> {
    let text = |path: &Path| path.display().to_string();
    let (corpus, config) = (text(&args.corpus), format!("configs/pretrain-{size}.toml"));
    let (shards, run) = (out.join("shards"), out.join("run"));
    let mut steps = Vec::new();
    let vocab = args.vocab.clone().unwrap_or_else(|| {
        let vocab = out.join("vocab.txt");
        let mut command = sh::words([
            ELECTRA,
            "vocab",
            "train",
            "--corpus",
            &corpus,
            "--size",
            "30522",
            "--out",
            &text(&vocab),
        ]);
        command.extend(args.reading.clone());
        steps.push(Step {
            name: "vocabulary".to_owned(),
            command,
            inputs: vec![args.corpus.clone()],
            output: vocab.clone(),
        });
        vocab
    });
    let mut command = sh::words([
        ELECTRA,
        "shards",
        "build",
        "--corpus",
        &corpus,
        "--vocab",
        &text(&vocab),
        "--seq-len",
        &length.to_string(),
        "--out",
        &text(&shards),
    ]);
    command.extend(args.reading.clone());
    steps.push(Step {
        name: "shards".to_owned(),
        command,
        inputs: vec![args.corpus.clone(), vocab],
        output: shards.clone(),
    });
    let mut command = sh::words([
        ELECTRA,
        "pretrain",
        &config,
        "--set",
        &format!("data.shards={}", text(&shards)),
    ]);
    for assignment in &args.overrides {
        command.extend(sh::words(["--set", assignment]));
    }
    command.extend(sh::words(["--out", &text(&run)]));
    steps.push(Step {
        name: "pretrain".to_owned(),
        command,
        inputs: vec![config.into()],
        output: run.clone(),
    });
    steps.extend(after_pretraining(&run, out));
    steps
}

/// Evaluation and both exports of a run.
pub(crate) fn after_pretraining(run: &Path, out: &Path) -> Vec<Step> {
    let text = |path: &Path| path.display().to_string();
    let figures = out.join("evaluate.json");
    let evaluate = Step {
        name: "evaluate".to_owned(),
        command: sh::words([ELECTRA, "evaluate", &text(run), "--output", &text(&figures)]),
        inputs: vec![],
        output: figures,
    };
    let exports = ["discriminator", "generator"].map(|part| {
        let folder = out.join(part);
        let command = sh::words([
            ELECTRA,
            "export",
            &text(run),
            "--format",
            "hf",
            "--part",
            part,
            "--out",
            &text(&folder),
        ]);
        Step { name: part.to_owned(), command, inputs: vec![], output: folder }
    });
    std::iter::once(evaluate).chain(exports).collect()
}

/// Set-up and the release build; the reader of Parquet is built where `corpus` holds such a file.
pub(crate) fn build(corpus: &Path) -> Result<()> {
    setup::run(&setup::Args::default())?;
    // The folder of ELECTRA, whatever the environment names.
    let target = ["--target-dir", "target"];
    let mut command = sh::words(["cargo", "build", "--release", "--package", "electra-cli"]);
    command.extend(sh::words(target));
    let mut files = WalkDir::new(corpus).into_iter().flatten();
    if files.any(|entry| entry.path().extension().is_some_and(|ending| ending == "parquet")) {
        command.extend(sh::words(["--features", "parquet"]));
    }
    sh::run(&command).map(drop)
}

/// Runs the steps that are not done; a step whose command or inputs changed, and all after it, run again.
pub(crate) fn run(steps: &[Step], stamps: &Path) -> Result<Vec<(String, Duration)>> {
    fs::create_dir_all(stamps).with_context(|| stamps.display().to_string())?;
    let mut times = Vec::new();
    let mut chain = String::new();
    for (place, step) in steps.iter().enumerate() {
        let before = std::mem::take(&mut chain);
        chain = fingerprint(step, &before)?;
        let stamp = stamps.join(&step.name);
        let done = fs::read_to_string(&stamp).unwrap_or_default();
        let (old, seconds) = done.split_once(' ').unwrap_or_default();
        if old == chain && step.output.exists() {
            sh::say(&format!("done before: {}", step.name));
            times.push((
                step.name.clone(),
                Duration::from_secs_f64(seconds.trim().parse().unwrap_or(0.0)),
            ));
            continue;
        }
        // Before anything is made anew: what a later run stands on is not replaced under it. What was taken away is made
        // again, the same.
        if old != chain
            && let Some(run) = steps[place + 1..].iter().find(|later| is_run(later))
        {
            bail!(
                "{} or what it reads has changed, and {} holds a run that was made of the old: give another --out, or move that run away",
                step.name,
                run.output.display()
            );
        }
        let begun = stamps.join(format!("{}.begun", step.name));
        let mark = fingerprint(&step.without_seeds(), &before)?;
        let same = fs::read_to_string(&begun).is_ok_and(|text| text == mark);
        let command = resumed(step, same)?;
        fs::write(&begun, &mark).with_context(|| begun.display().to_string())?;
        let start = Instant::now();
        sh::run(&command)?;
        let took = start.elapsed();
        fs::write(&stamp, format!("{chain} {}", took.as_secs_f64()))
            .with_context(|| stamp.display().to_string())?;
        times.push((step.name.clone(), took));
    }
    Ok(times)
}

/// Whether the step is pre-training and has left checkpoints.
fn is_run(step: &Step) -> bool {
    step.name == "pretrain"
        && fs::read_dir(step.output.join("checkpoints")).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("step-"))
        })
}

/// The step's command, or the one that goes on with what an interrupted one left.
fn resumed(step: &Step, same: bool) -> Result<Vec<String>> {
    if !step.output.exists() {
        return Ok(step.command.clone());
    }
    if is_run(step) {
        if same {
            let run = step.output.display().to_string();
            return Ok(sh::words([ELECTRA, "pretrain", "--resume", &run]));
        }
        bail!(
            "{} holds a run of other settings: give another --out, or move that run away",
            step.output.display()
        );
    }
    let mut command = step.command.clone();
    if same && command.get(1).is_some_and(|word| word == "finetune") {
        // Seeds that are done are not run again.
        command.push("--resume".to_owned());
    } else if step.output.is_dir() {
        command.push("--overwrite".to_owned());
    }
    Ok(command)
}

/// A hash of all that decides a step's result: its command, its inputs, and the steps before it.
fn fingerprint(step: &Step, before: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(sh::shown(&step.command));
    for input in &step.inputs {
        hasher.update(input.display().to_string());
        // Data may stand elsewhere and be linked to.
        for entry in WalkDir::new(input).follow_links(true).sort_by_file_name() {
            let entry = entry.with_context(|| format!("{}: {}", step.name, input.display()))?;
            let (path, metadata) = (entry.path(), entry.metadata()?);
            hasher.update(path.display().to_string());
            if metadata.is_file() && metadata.len() < READ_WHOLE {
                hasher.update(fs::read(path).with_context(|| path.display().to_string())?);
            } else if metadata.is_file() {
                hasher.update(metadata.len().to_le_bytes());
                let age = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                hasher.update(age.as_nanos().to_le_bytes());
            }
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(dir: &Path, script: &str) -> Step {
        let output = dir.join("out");
        let command =
            sh::words(["sh", "-c", &format!("echo x >> {}/log; {script}", dir.display())]);
        Step { name: "step".to_owned(), command, inputs: vec![dir.join("input")], output }
    }

    #[test]
    fn a_finished_step_is_skipped_until_its_input_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamps) = (dir.path(), dir.path().join("stamps"));
        let runs = || fs::read_to_string(path.join("log")).unwrap().lines().count();
        fs::write(path.join("input"), "1").unwrap();
        let steps = [step(path, &format!("touch {}/out", path.display()))];
        run(&steps, &stamps).unwrap();
        run(&steps, &stamps).unwrap();
        assert_eq!(runs(), 1);
        fs::write(path.join("input"), "2").unwrap();
        run(&steps, &stamps).unwrap();
        assert_eq!(runs(), 2);
        fs::remove_file(path.join("out")).unwrap();
        run(&steps, &stamps).unwrap();
        assert_eq!(runs(), 3);
    }

    #[test]
    fn nothing_is_made_anew_under_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamps) = (dir.path(), dir.path().join("stamps"));
        fs::write(path.join("input"), "1").unwrap();
        let mut steps = vec![step(path, &format!("touch {}/out", path.display()))];
        run(&steps, &stamps).unwrap();
        let output = path.join("run");
        fs::create_dir_all(output.join("checkpoints/step-0000001")).unwrap();
        let command = sh::words(["true"]);
        steps.push(Step { name: "pretrain".to_owned(), command, inputs: vec![], output });
        fs::write(path.join("input"), "2").unwrap();
        let error = run(&steps, &stamps).unwrap_err().to_string();
        assert!(error.starts_with("step or what it reads has changed"), "{error}");
        assert_eq!(fs::read_to_string(path.join("log")).unwrap().lines().count(), 1);
    }

    #[test]
    fn data_behind_links_and_data_that_is_gone_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamps) = (dir.path(), dir.path().join("stamps"));
        let runs = || fs::read_to_string(path.join("log")).unwrap().lines().count();
        fs::create_dir_all(path.join("data")).unwrap();
        fs::write(path.join("data/file"), "1").unwrap();
        std::os::unix::fs::symlink(path.join("data"), path.join("input")).unwrap();
        let steps = [step(path, &format!("touch {}/out", path.display()))];
        run(&steps, &stamps).unwrap();
        run(&steps, &stamps).unwrap();
        assert_eq!(runs(), 1);
        fs::write(path.join("data/file"), "2").unwrap();
        run(&steps, &stamps).unwrap();
        assert_eq!(runs(), 2);
        fs::remove_dir_all(path.join("data")).unwrap();
        let error = format!("{:#}", run(&steps, &stamps).unwrap_err());
        assert!(error.contains("step: ") && error.contains("input"), "{error}");
    }

    /// What is made of the same is the same: a run may stand on it. Of something else it may not.
    #[test]
    fn what_was_taken_away_is_made_again_under_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamps) = (dir.path(), dir.path().join("stamps"));
        fs::write(path.join("input"), "1").unwrap();
        let shards = step(path, &format!("touch {}/out", path.display()));
        let checkpoint = path.join("run/checkpoints/step-0000001");
        let command = sh::words(["mkdir", "-p", &checkpoint.display().to_string()]);
        let pretrain =
            Step { name: "pretrain".to_owned(), command, inputs: vec![], output: path.join("run") };
        let steps = [shards, pretrain];
        run(&steps, &stamps).unwrap();
        fs::remove_file(path.join("out")).unwrap();
        run(&steps, &stamps).unwrap();
        assert!(path.join("out").exists());
        fs::write(path.join("input"), "2").unwrap();
        let error = run(&steps, &stamps).unwrap_err().to_string();
        assert!(error.contains("has changed") && error.contains("run"), "{error}");
    }

    #[test]
    fn more_seeds_are_added_to_those_that_are_done() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamps) = (dir.path(), dir.path().join("stamps"));
        let output = path.join("out");
        // A program by the name of `electra`: it writes down how it was called.
        let program = path.join("electra");
        fs::write(&program, "#!/bin/sh\nmkdir -p \"$2\"\necho \"$@\" >> \"$2/log\"\n").unwrap();
        sh::run(&sh::words(["chmod", "+x", &program.display().to_string()])).unwrap();
        let finetune = |seeds: &str, rate: &str| Step {
            name: "rte".to_owned(),
            command: sh::words([
                &program.display().to_string(),
                "finetune",
                &output.display().to_string(),
                "--seeds",
                seeds,
                "--set",
                rate,
            ]),
            inputs: vec![],
            output: output.clone(),
        };
        let last = || {
            let log = fs::read_to_string(output.join("log")).unwrap();
            log.lines().last().unwrap().to_owned()
        };
        run(&[finetune("3", "a=1")], &stamps).unwrap();
        assert!(!last().contains("--resume"), "{}", last());
        run(&[finetune("5", "a=1")], &stamps).unwrap();
        assert!(last().ends_with("--seeds 5 --set a=1 --resume"), "{}", last());
        run(&[finetune("5", "a=2")], &stamps).unwrap();
        assert!(last().ends_with("--set a=2 --overwrite"), "{}", last());
    }

    #[test]
    fn a_failed_step_is_named_and_not_stamped() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("input"), "1").unwrap();
        let steps = [step(dir.path(), "exit 3")];
        let error = run(&steps, &dir.path().join("stamps")).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("failed"), "{error}");
        assert!(!dir.path().join("stamps/step").exists());
    }

    #[test]
    fn the_recipe_goes_from_text_to_both_exports() {
        let args = Args {
            corpus: "books".into(),
            vocab: None,
            out: None,
            reading: vec!["--lossy".to_owned()],
            overrides: vec!["train.seed=2".to_owned()],
            dry_run: true,
        };
        let steps = recipe(&args, "base", 512, Path::new("runs/x"));
        let lines: Vec<_> = steps.iter().map(|step| sh::shown(&step.command)).collect();
        assert_eq!(
            lines,
            [
                "target/release/electra vocab train --corpus books --size 30522 --out runs/x/vocab.txt --lossy",
                "target/release/electra shards build --corpus books --vocab runs/x/vocab.txt --seq-len 512 --out runs/x/shards --lossy",
                "target/release/electra pretrain configs/pretrain-base.toml --set data.shards=runs/x/shards --set train.seed=2 --out runs/x/run",
                "target/release/electra evaluate runs/x/run --output runs/x/evaluate.json",
                "target/release/electra export runs/x/run --format hf --part discriminator --out runs/x/discriminator",
                "target/release/electra export runs/x/run --format hf --part generator --out runs/x/generator",
            ]
        );
        let with_vocab =
            recipe(&Args { vocab: Some("v.txt".into()), ..args }, "base", 512, Path::new("x"));
        assert_eq!(with_vocab[0].name, "shards");
    }
}
