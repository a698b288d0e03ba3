//! Pipelines: steps with outputs. A step is skipped if its stamp shows that it is up to date.

use crate::{setup, sh};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};
use walkdir::WalkDir;

/// The `electra` binary.
pub(crate) const ELECTRA: &str = "target/release/electra";

/// Inputs smaller than this many bytes are compared by content, larger ones by size and modification time.
const READ_WHOLE: u64 = 8 << 20;

/// Options of `cargo xtask pretrain-*`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Corpus file or folder: .txt or .jsonl, optionally with .gz, .xz or .zst, or .parquet.
    #[arg(long, value_parser = sh::path_arg)]
    corpus: PathBuf,
    /// A vocab.txt or tokenizer.json. Default: train a vocabulary of 30,522 tokens on the corpus.
    #[arg(long, value_parser = sh::path_arg)]
    vocab: Option<PathBuf>,
    /// Output folder.
    #[arg(long, value_parser = sh::path_arg)]
    out: Option<PathBuf>,
    /// More options of `electra train`, after `--`: how to read the corpus, --hours.
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
    /// Override a config key; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Check the paths and settings, and print what training takes here, without writing anything.
    #[arg(long)]
    dry_run: bool,
}

/// One command of a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The name of the step and of its stamp.
    pub(crate) name: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// Input files, other than outputs of earlier steps. If they change, the step runs again.
    pub(crate) inputs: Vec<PathBuf>,
    /// The output file or folder.
    pub(crate) output: PathBuf,
}

impl Step {
    /// The step without `--seeds`: if only the number of seeds changes, the step resumes and adds seeds.
    fn without_seeds(&self) -> Self {
        let mut command = self.command.clone();
        if let Some(option) = command.iter().position(|word| word == "--seeds") {
            command.drain(option..(option + 2).min(command.len()));
        }
        Self { command, ..self.clone() }
    }
}

/// Runs `electra train` with the paper's recipe, from text to exported models.
pub(crate) fn pretrain(args: &Args, size: &str) -> Result<()> {
    fs::metadata(&args.corpus).with_context(|| format!("--corpus {}", args.corpus.display()))?;
    build(&args.corpus)?;
    sh::run(&train_command(args, size)).map(drop)
}

fn train_command(args: &Args, size: &str) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/pretrain-{size}")));
    let corpus = text(&args.corpus);
    let mut command = sh::words([ELECTRA, "train", "--corpus", &corpus, "--size", size]);
    command.extend(sh::words(["--out", &text(&out)]));
    if let Some(vocab) = &args.vocab {
        command.extend(sh::words(["--vocab", &text(vocab)]));
    }
    for assignment in &args.overrides {
        command.extend(sh::words(["--set", assignment]));
    }
    if args.dry_run {
        command.extend(sh::words(["--dry-run"]));
    }
    command.extend(args.options.clone());
    command
}

/// The steps after pre-training: evaluation and both exports.
pub(crate) fn after_pretraining(run: &Path, out: &Path) -> Vec<Step> {
    let text = |path: &Path| path.display().to_string();
    let metrics = out.join("evaluate.json");
    let evaluate = Step {
        name: "evaluate".to_owned(),
        command: sh::words([ELECTRA, "evaluate", &text(run), "--output", &text(&metrics)]),
        inputs: vec![],
        output: metrics,
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

/// Runs setup and the release build, with Parquet support if `corpus` has such a file.
pub(crate) fn build(corpus: &Path) -> Result<()> {
    setup::run(&setup::Args::default())?;
    // Where `ELECTRA` is, whatever CARGO_TARGET_DIR says.
    let target = ["--target-dir", "target"];
    let mut command = sh::words(["cargo", "build", "--release", "--package", "electra-cli"]);
    command.extend(sh::words(target));
    let mut files = WalkDir::new(corpus).into_iter().flatten();
    if files.any(|entry| entry.path().extension().is_some_and(|ending| ending == "parquet")) {
        command.extend(sh::words(["--features", "parquet"]));
    }
    sh::run(&command).map(drop)
}

/// Runs the steps that are not up to date. If the command or inputs of a step changed, it and all later steps run again.
pub(crate) fn run(steps: &[Step], stamps: &Path) -> Result<Vec<(String, Duration)>> {
    fs::create_dir_all(stamps).with_context(|| stamps.display().to_string())?;
    let mut times = Vec::new();
    let mut chain = String::new();
    for (index, step) in steps.iter().enumerate() {
        let before = std::mem::take(&mut chain);
        chain = fingerprint(step, &before)?;
        let stamp = stamps.join(&step.name);
        let done = fs::read_to_string(&stamp).unwrap_or_default();
        let (old, seconds) = done.split_once(' ').unwrap_or_default();
        if old == chain && step.output.exists() {
            sh::say(&format!("up to date: {}", step.name));
            times.push((
                step.name.clone(),
                Duration::from_secs_f64(seconds.trim().parse().unwrap_or(0.0)),
            ));
            continue;
        }
        // Never replace the data of an existing run. Deleted outputs of an unchanged step are rebuilt.
        if old != chain
            && let Some(run) = steps[index + 1..].iter().find(|later| is_run(later))
        {
            bail!(
                "step {} or its inputs have changed, but {} has a run that used the old output: use another --out, or move that run away",
                step.name,
                run.output.display()
            );
        }
        let begun = stamps.join(format!("{}.begun", step.name));
        let mark = fingerprint(&step.without_seeds(), &before)?;
        let same = fs::read_to_string(&begun).is_ok_and(|text| text == mark);
        let command = command_for(step, same)?;
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

/// Whether the step is pre-training and has checkpoints.
fn is_run(step: &Step) -> bool {
    step.name == "pretrain"
        && fs::read_dir(step.output.join("checkpoints")).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("step-"))
        })
}

/// The step's command, changed to resume or overwrite existing output. `same` says that it was started with the same
/// command and inputs.
fn command_for(step: &Step, same: bool) -> Result<Vec<String>> {
    if !step.output.exists() {
        return Ok(step.command.clone());
    }
    if is_run(step) {
        if same {
            let run = step.output.display().to_string();
            return Ok(sh::words([ELECTRA, "pretrain", "--resume", &run]));
        }
        bail!(
            "{} has a run with different settings: use another --out, or move that run away",
            step.output.display()
        );
    }
    let mut command = step.command.clone();
    if same && command.get(1).is_some_and(|word| word == "finetune") {
        // Skips the seeds that are complete.
        command.push("--resume".to_owned());
    } else if step.output.is_dir() {
        command.push("--overwrite".to_owned());
    }
    Ok(command)
}

/// A hash of everything that determines a step's result: its command, its inputs, and the steps before it.
fn fingerprint(step: &Step, before: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(sh::shown(&step.command));
    for input in &step.inputs {
        hasher.update(input.display().to_string());
        // Data may be behind symbolic links.
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
    fn the_data_of_a_run_is_not_replaced() {
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
        assert!(error.starts_with("step step or its inputs have changed"), "{error}");
        assert_eq!(fs::read_to_string(path.join("log")).unwrap().lines().count(), 1);
    }

    #[test]
    fn changes_behind_links_and_missing_data_are_detected() {
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

    /// Steps are deterministic, so a deleted output can be rebuilt from unchanged inputs below an existing run.
    #[test]
    fn deleted_outputs_are_rebuilt_below_a_run_if_inputs_are_unchanged() {
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
        assert!(error.contains("have changed") && error.contains("run"), "{error}");
    }

    #[test]
    fn seeds_are_added_to_completed_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stamps) = (dir.path(), dir.path().join("stamps"));
        let output = path.join("out");
        // A fake `electra` that logs its arguments.
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
    fn a_failed_step_is_reported_and_gets_no_stamp() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("input"), "1").unwrap();
        let steps = [step(dir.path(), "exit 3")];
        let error = run(&steps, &dir.path().join("stamps")).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("failed"), "{error}");
        assert!(!dir.path().join("stamps/step").exists());
    }

    #[test]
    fn pre_training_is_one_command_with_all_options() {
        let args = Args {
            corpus: "books".into(),
            vocab: Some("v.txt".into()),
            out: None,
            options: sh::words(["--lossy"]),
            overrides: sh::words(["train.seed=2"]),
            dry_run: true,
        };
        assert_eq!(
            sh::shown(&train_command(&args, "base")),
            "target/release/electra train --corpus books --size base --out runs/pretrain-base --vocab v.txt --set train.seed=2 --dry-run --lossy"
        );
    }
}
