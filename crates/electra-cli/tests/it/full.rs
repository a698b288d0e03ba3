//! Full disks, too little memory, and signals: messages name the file, existing files are kept, and exit codes stop a
//! pipeline.
#![cfg(target_os = "linux")]

use crate::{electra, output, root};
use assert_cmd::{Command, assert::Assert, cargo::cargo_bin};
use std::{fs, path::Path, process::Stdio, time::Duration};

/// Runs `electra` in a shell with `limits`. Writing beyond `ulimit -f` (in blocks of 512 bytes) fails, as on a full disk.
fn limited(dir: &Path, limits: &str, line: &str) -> Assert {
    let words = line.split_whitespace().map(|word| word.replace("{}", &dir.display().to_string()));
    let script = format!("trap '' XFSZ; {limits}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.current_dir(root()).arg("-c").arg(script).arg(cargo_bin("electra")).args(words);
    command.assert()
}

#[track_caller]
fn says(assert: Assert, words: &[&str]) {
    let assert = assert.failure().code(1);
    let message = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked") && !message.contains("internal error"), "{message}");
}

const TINY: &str = "pretrain configs/pretrain-tiny.toml --set data.shards={}/shards --set model.vocab_size=7 \
                    --set evaluate.every=0 --set train.batch_size=4 --set train.log_every=1";

/// Builds `shards` from a text of two letters.
fn shards(dir: &Path) {
    let documents: Vec<String> = (0..40).map(|i| format!("a b a {}", ["a", "b"][i % 2])).collect();
    fs::write(dir.join("text.txt"), documents.join("\n\n")).unwrap();
    fs::write(dir.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n").unwrap();
    let build =
        "shards build --corpus {}/text.txt --vocab {}/vocab.txt --seq-len 16 --held-out 0.2";
    output(dir, &format!("{build} --out {{}}/shards"));
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every write to /dev/full fails with "No space left on device".
#[test]
fn errors_on_a_full_disk_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    shards(dir);
    std::os::unix::fs::symlink("/dev/full", dir.join("full.txt")).unwrap();
    let line = "vocab train --corpus {}/text.txt --size 100 --out {}/full.txt";
    says(electra(dir, line), &["full.txt", "No space left"]);

    output(dir, &format!("{TINY} --set train.steps=1 --out {{}}/run"));
    says(electra(dir, "evaluate {}/run --output {}/full.txt"), &["full.txt", "No space left"]);
    fs::write(dir.join("hparams.json"), "{}").unwrap();
    let line = "import --hparams {}/hparams.json --out {}/full.txt";
    says(electra(dir, line), &["full.txt", "No space left"]);
}

#[test]
fn a_full_disk_loses_no_existing_files() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    shards(dir);
    // 5 KiB are enough for the files of the run and the metrics of some updates.
    let run = format!("{TINY} --set train.steps=40 --set checkpoint.every=100 --out {{}}/run");
    says(limited(dir, "ulimit -f 10", &run), &["run/metrics.jsonl", "File too large"]);
    // 64 KiB are enough for everything except weights: the run is kept without a checkpoint.
    let run = format!("{TINY} --set train.steps=1 --overwrite --out {{}}/run");
    says(limited(dir, "ulimit -f 128", &run), &["model.safetensors", "File too large"]);
    assert_eq!(entries(&dir.join("run/checkpoints")), Vec::<String>::new());

    output(dir, &run);
    let export = "export {}/run --out {}/model --overwrite";
    let words = ["model.safetensors", "File too large"];
    says(limited(dir, "ulimit -f 128", export), &words);
    assert_eq!(entries(dir), ["run", "shards", "text.txt", "vocab.txt"]);
    // After a failure, the earlier export is intact, and no partial files are left.
    output(dir, export);
    let weights = fs::read(dir.join("model/model.safetensors")).unwrap();
    let whole = entries(&dir.join("model"));
    for line in [export, "import --from hf {}/model --out {}/model --overwrite"] {
        says(limited(dir, "ulimit -f 128", line), &words);
        assert!(fs::read(dir.join("model/model.safetensors")).unwrap() == weights, "{line}");
        assert_eq!(entries(&dir.join("model")), whole, "{line}");
    }
    let line = "export {}/run --format tf --out {}/tf";
    says(limited(dir, "ulimit -f 128", line), &["model.ckpt-1", "File too large"]);
    assert_eq!(entries(dir), ["model", "run", "shards", "text.txt", "vocab.txt"]);
    // The tokenizer's files need more than 512 bytes: the existing run is unchanged.
    says(limited(dir, "ulimit -f 1", &run), &["/run/config.toml", "File too large"]);
    assert_eq!(entries(&dir.join("run/checkpoints")), ["step-0000001"]);
}

/// libtorch fails to allocate 8 GB in a process limited to 6.
#[test]
fn running_out_of_memory_is_not_an_internal_error() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    shards(dir);
    output(dir, &format!("{TINY} --set train.steps=1 --out {{}}/run"));
    output(dir, "export {}/run --out {}/model");
    // Hidden states of 64 x 250,000 tokens of 128 numbers each.
    let ids = tch::Tensor::zeros([250_000, 64], (tch::Kind::Int64, tch::Device::Cpu));
    let named = [("input_ids".to_owned(), ids)];
    electra_model::tensors::write(&dir.join("in.safetensors"), &named).unwrap();
    let line = "forward --model {}/model --device cpu --input {}/in.safetensors --output {}/out.safetensors";
    let words = ["out of memory", "train.batch_size", "train.accumulate"];
    says(limited(dir, "ulimit -v 6000000", line), &words);
    // Weights that are too large fail when the model is created.
    let huge =
        format!("{TINY} --set model.discriminator.intermediate=1000000000000 --out {{}}/huge");
    says(electra(dir, &huge), &words);
    assert!(!dir.join("huge").exists());
    for failed in [limited(dir, "ulimit -v 6000000", line), electra(dir, &huge)] {
        let message = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        let error = message.lines().skip_while(|line| !line.starts_with("error: "));
        assert_eq!(error.count(), 1, "{message}");
    }
}

/// Before the first step, with a batch size that fits.
#[test]
fn a_step_that_needs_more_memory_than_there_is_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    shards(dir);
    let run =
        format!("{TINY} --set train.batch_size=1048576 --set train.accumulate=64 --out {{}}/run");
    let words = [
        "train.batch_size = 1048576: a step needs about ",
        "this machine has",
        "set train.batch_size = ",
    ];
    says(electra(dir, &run), &words);
    assert!(!dir.join("run").exists());
    for key in ["train.batch_size", "train.accumulate"] {
        let run = format!("{TINY} --set {key}=1000000000000000000 --out {{}}/run");
        says(electra(dir, &run), &[key, "must be at most 1048576"]);
    }
}

/// A reader that needs no more, as `head`, is no error.
#[test]
fn a_closed_standard_output_is_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let fixture = "tests/fixtures/foreign/bin";
    fs::write(dir.join("lines.txt"), "a\n".repeat(1000)).unwrap();
    for line in [
        format!("compare {fixture} {fixture} --all"),
        "presets small".to_owned(),
        "flops --published".to_owned(),
        "--help".to_owned(),
        "finetune --help".to_owned(),
    ] {
        let mut command = std::process::Command::new(cargo_bin("electra"));
        command.current_dir(root()).args(line.split_whitespace()).stderr(Stdio::piped());
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command.stdout(writer).spawn().unwrap();
        drop((reader, command));
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), message.as_str()), (Some(0), ""), "{line}");
    }
}

/// Runs a command, interrupts it once `file` is not empty, and returns its standard output. Its exit code is 128 + SIGINT, and
/// there is no error.
fn interrupted(dir: &Path, line: &str, file: &str) -> String {
    let words = line.split_whitespace().map(|word| word.replace("{}", &dir.display().to_string()));
    let mut command = std::process::Command::new(cargo_bin("electra"));
    command.current_dir(root()).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while fs::metadata(dir.join(file)).map_or(0, |found| found.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "the command ended before {file} was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = child.id().to_string();
    Command::new("sh").arg("-c").arg(format!("kill -INT {id}")).assert().success();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(!message.contains("error"), "{message}");
    String::from_utf8(output.stdout).unwrap()
}

/// 128 + SIGINT, so that a pipeline stops; the last line says where the checkpoint is and how to resume.
#[test]
fn interrupted_commands_have_exit_code_130() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    shards(dir);
    let run =
        format!("{TINY} --set train.steps=1000000 --set checkpoint.every=1000000 --out {{}}/run");
    let stderr = interrupted(dir, &run, "run/metrics.jsonl");
    let run_folder = dir.join("run").display().to_string();
    let expected = format!("resume with: electra pretrain --resume {run_folder}\n");
    let checkpoint = format!("{run_folder}/checkpoints/step-");
    assert!(stderr.contains(&checkpoint) && stderr.ends_with(&expected), "{stderr}");
    assert_eq!(entries(&dir.join("run/checkpoints")).len(), 1);
    // --stop-after is a success.
    let run = format!("{TINY} --set train.steps=9 --overwrite --out {{}}/run --stop-after 1");
    electra(dir, &run).success().code(0);

    output(dir, "export {}/run --out {}/model");
    let rows: Vec<String> =
        (0..40).map(|i| ["a a\tsame\n", "a b\tother\n"][i % 2].to_owned()).collect();
    fs::create_dir(dir.join("task")).unwrap();
    for name in ["train.tsv", "dev.tsv"] {
        fs::write(dir.join("task").join(name), "text\tlabel\n".to_owned() + &rows.concat())
            .unwrap();
    }
    fs::write(
        dir.join("task/task.toml"),
        "name = \"letters\"\nkind = \"classification\"\ntext_a = \"text\"\nlabel = \"label\"\n\
         labels = [\"same\", \"other\", \"never\"]\nmetric = \"accuracy\"\n[files]\ntrain = \"train.tsv\"\n\
         dev = \"dev.tsv\"\n",
    )
    .unwrap();
    let tune = "finetune --task {}/task --model {}/model --config configs/finetune-tiny.toml --set train.log_every=1";
    let endless = format!("{tune} --set train.epochs=1000000 --out {{}}/tuned");
    let stderr = interrupted(dir, &endless, "tuned/seed-1/metrics.jsonl");
    assert!(
        stderr.contains("tuned/seed-1/checkpoints/step-") && stderr.contains("--resume"),
        "{stderr}"
    );
    assert_eq!(entries(&dir.join("tuned/seed-1/checkpoints")).len(), 1);

    // A complete run, with a warning about the class without examples.
    let done = electra(dir, &format!("{tune} --set train.epochs=1 --overwrite --out {{}}/tuned"));
    let stderr = String::from_utf8_lossy(&done.success().get_output().stderr).into_owned();
    let warned = stderr.lines().any(|line| line.contains("WARN") && line.contains("\"never\""));
    assert!(warned, "{stderr}");
    // The disk is full when predictions are written.
    std::os::unix::fs::symlink("/dev/full", dir.join("full.tsv")).unwrap();
    let line = "predict --model {}/tuned --input {}/task/dev.tsv --output {}/full.tsv";
    says(electra(dir, line), &["full.tsv", "No space left"]);
}
