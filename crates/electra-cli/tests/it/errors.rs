//! User errors: one clear message, the right exit code, no data lost.

use crate::{electra, root};
use std::{fs, path::Path};

/// Checks that a command fails with `code`, without a panic, and prints each of `words`.
#[track_caller]
pub(crate) fn fails(dir: &Path, line: &str, code: i32, words: &[&str]) {
    let assert = electra(dir, line).failure().code(code);
    let output = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for word in words {
        assert!(output.contains(word), "{word:?} is not in {output:?}");
    }
    assert!(!output.contains("panicked") && !output.contains("internal error"), "{output}");
}

/// Finds all commands from the lists in `--help`.
#[test]
fn the_help_of_every_command_has_an_example() {
    let mut found = Vec::new();
    walk("", &mut found);
    for command in ["vocab encode", "import", "compare", "fill-mask", "shards build", "pretrain"] {
        assert!(found.iter().any(|known| known == command), "{command} is not in {found:?}");
    }
}

fn walk(command: &str, found: &mut Vec<String>) {
    let help = crate::output(Path::new("."), &format!("{command} --help"));
    // A line of a list of commands: two spaces, a name, at least two spaces, what it does.
    let name = |line: &str| {
        let (name, about) = line.strip_prefix("  ")?.split_once("  ")?;
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain);
        (is_name && !about.trim().is_empty() && name != "help").then(|| name.to_owned())
    };
    let below: Vec<String> = match help.contains("<COMMAND>") {
        true => help.lines().filter_map(name).collect(),
        false => Vec::new(),
    };
    if below.is_empty() || command.is_empty() {
        assert!(help.contains("Example"), "{command}: {help}");
    }
    if below.is_empty() {
        found.push(command.to_owned());
    }
    for name in below {
        walk(format!("{command} {name}").trim(), found);
    }
}

/// The commands that most people need come first.
#[test]
fn the_help_begins_with_the_most_common_commands() {
    let help = crate::output(Path::new("."), "--help");
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} is not in {help}"));
    assert!(at("\n  train ") < at("\n  pretrain ") && at("\n  predict ") < at("\n  flops "));
    assert!(at("Examples:\n  electra train --corpus") > at("\n  gradients "));
    // The help of a command has the details of its arguments.
    let compare = crate::output(Path::new("."), "compare --help");
    assert!(compare.contains("Exits with code 0"), "{compare}");
}

#[test]
fn usage_errors_have_exit_code_2() {
    let dir = Path::new(".");
    fails(dir, "pretrian", 2, &["pretrian", "pretrain"]);
    fails(dir, "vocab train --size 100", 2, &["--corpus"]);
    fails(dir, "pretrain configs/pretrain-tiny.toml", 2, &["--out"]);
    fails(dir, "export run --part both --out x", 2, &["both", "discriminator", "generator"]);
    let predict = "predict --model m --input i --output o --threshold nan";
    fails(dir, predict, 2, &["--threshold", "must be a number"]);
    for seeds in ["0", "1000000000000"] {
        let line = format!("finetune --task x --model x --out x --seeds {seeds}");
        fails(dir, &line, 2, &["--seeds", seeds, "1..=10000"]);
    }
}

#[test]
fn failures_have_exit_code_1_and_name_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("empty.txt"), "").unwrap();
    fs::write(dir.join("latin1.txt"), b"caf\xe9\n").unwrap();
    fs::write(dir.join("bad-vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n").unwrap();
    fs::write(dir.join("twice.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n").unwrap();
    fs::create_dir(dir.join("full")).unwrap();
    fs::write(dir.join("full/precious.txt"), "mine").unwrap();

    fails(dir, "vocab train --corpus {}/nowhere --out {}/v.txt", 1, &["nowhere"]);
    fails(dir, "vocab train --corpus {}/empty.txt --out {}/v.txt", 1, &["no text"]);
    fails(
        dir,
        "vocab train --corpus {}/latin1.txt --out {}/v.txt",
        1,
        &["latin1.txt", "byte 3", "--lossy"],
    );
    fails(dir, "vocab check {}/bad-vocab.txt", 1, &["bad-vocab.txt", "[MASK]"]);
    let twice = electra(dir, "vocab check {}/twice.txt").success();
    let warned = String::from_utf8_lossy(&twice.get_output().stderr).into_owned();
    assert!(warned.contains("\"a\" on lines 6 and 7"), "{warned}");
    fails(dir, "vocab train --corpus {}/empty.txt --out {}/no/v.txt", 1, &["no does not exist"]);
    assert!(!dir.join("v.txt").exists());

    let good = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";
    fs::write(dir.join("vocab.txt"), good).unwrap();
    fs::write(dir.join("text.txt"), "a b a b a b a b\n\nb a b a b a\n").unwrap();
    let build = "shards build --corpus {}/text.txt --vocab {}/vocab.txt --seq-len 16";
    fails(dir, &format!("{build} --out {{}}/full"), 1, &["not empty", "--overwrite"]);
    assert_eq!(fs::read_to_string(dir.join("full/precious.txt")).unwrap(), "mine");
    electra(dir, &format!("{build} --out {{}}/shards")).success();

    let pretrain = "pretrain configs/pretrain-tiny.toml --set data.shards={}/shards";
    fails(dir, &format!("{pretrain} --out {{}}/run"), 1, &["model.vocab_size = 4000", "must be 7"]);
    fails(
        dir,
        &format!("{pretrain} --set train.stepps=1 --out {{}}/run"),
        1,
        &["did you mean \"steps\""],
    );
    fails(dir, &format!("{pretrain} --set model.vocab_size=7 --out {{}}/full"), 1, &["not empty"]);
    fails(dir, "pretrain --resume {}/full", 1, &["config.toml"]);
    fails(dir, "evaluate {}/full", 1, &["config.toml"]);
    fails(dir, "forward --model {}/full --input x --output y", 1, &["config.json"]);
    assert!(!dir.join("run").exists());
    assert_eq!(fs::read_dir(dir.join("full")).unwrap().count(), 1);
}

/// Missing data and runs, and unsupported options, are errors.
#[test]
fn glue_needs_its_data_and_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let config = "--model {} --config configs/finetune-tiny.toml --out {}/out";
    fails(dir, &format!("finetune --task cola {config}"), 1, &["--data", "\"CoLA\""]);
    fails(dir, &format!("finetune --task cola --data {{}} {config}"), 1, &["no folder \"CoLA\""]);
    fails(dir, &format!("finetune --task ax --data {{}} {config}"), 1, &["ax", "model of mnli"]);
    fails(
        dir,
        "submit --data {} --out {}/out",
        1,
        &["RTE.tsv (no run of rte)", "--missing majority"],
    );
    fails(dir, "submit --run rte --data {} --out {}/out", 1, &["--run rte", "TASK=DIR"]);
    fails(dir, "submit --run rted=x --data {} --out {}/out", 1, &["\"rte\"?"]);
    fails(
        dir,
        "submit --glue {} --data {} --out {}/out",
        1,
        &["no folder that is named after a task"],
    );
    let predict = "predict --model {} --input x.tsv --output {}/out --null-odds {}/out";
    fails(dir, predict, 1, &["out is named for two outputs"]);
    assert!(!dir.join("out").exists());
}

/// A run cannot be resumed with settings that change its results.
#[test]
fn a_resumed_run_keeps_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let words: Vec<String> = (0..40).map(|i| format!("a b a {}", ["a", "b"][i % 2])).collect();
    fs::write(dir.join("text.txt"), words.join("\n\n")).unwrap();
    fs::write(dir.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n").unwrap();
    electra(
        dir,
        "shards build --corpus {}/text.txt --vocab {}/vocab.txt --seq-len 16 --out {}/shards",
    )
    .success();
    let set = "--set data.shards={}/shards --set model.vocab_size=7 --set train.steps=4 --set evaluate.every=0";
    electra(
        dir,
        &format!("pretrain configs/pretrain-tiny.toml {set} --out {{}}/run --stop-after 2"),
    )
    .success();
    let other = "pretrain --resume {}/run --set optimizer.learning_rate=1.0";
    fails(dir, other, 1, &["optimizer.learning_rate was 0.001, now is 1.0"]);
    electra(dir, "pretrain --resume {}/run --set train.log_every=1 --set checkpoint.every=1")
        .success();

    // A flipped bit in a shard is detected before the first step.
    let shard = dir.join("shards/train-00000.shard");
    let mut bytes = fs::read(&shard).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&shard, bytes).unwrap();
    fails(dir, "shards verify {}/shards", 1, &["train-00000.shard", "checksum"]);
    fails(
        dir,
        &format!("pretrain configs/pretrain-tiny.toml {set} --out {{}}/other"),
        1,
        &["train-00000.shard"],
    );
    assert!(!dir.join("other").exists());
}

/// A file that is not a library stands for one whose own libraries are missing.
#[test]
#[cfg(target_os = "linux")]
fn a_cuda_library_that_cannot_be_loaded_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("libtorch_cuda.so"), "not a library").unwrap();
    fs::write(folder.path().join("lines.txt"), "one line\n").unwrap();
    let embed = |device: &str| {
        let line = format!(
            "embed --model tests/fixtures/written-by-0.1/discriminator --output - --device {device} --input"
        );
        let mut command = assert_cmd::Command::cargo_bin("electra").unwrap();
        command.current_dir(root()).env("LD_LIBRARY_PATH", folder.path());
        command.args(line.split_whitespace()).arg(folder.path().join("lines.txt")).assert()
    };
    let problem = "libtorch's CUDA library cannot be loaded: ";
    for (assert, words) in [
        (embed("cuda").failure(), [problem, "libtorch_cuda.so", "cargo xtask setup --cuda"]),
        (embed("auto").success(), [problem, "libtorch_cuda.so", "using the CPU"]),
    ] {
        let log = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        words.iter().for_each(|word| assert!(log.contains(word), "{word:?} is not in {log:?}"));
    }
}
