//! Commands that are given a path of another kind than they need: the message says what it is, and what to do.

use crate::{electra, errors::fails, output};
use std::{fs, path::Path};

/// Runs commands on two letters: shards, a run of one update, and its exported networks.
pub(crate) fn letters(dir: &Path) {
    let documents: Vec<String> = (0..40).map(|i| format!("a b a {}", ["a", "b"][i % 2])).collect();
    fs::write(dir.join("text.txt"), documents.join("\n\n")).unwrap();
    fs::write(dir.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n").unwrap();
    let build =
        "shards build --corpus {}/text.txt --vocab {}/vocab.txt --seq-len 16 --held-out 0.2";
    output(dir, &format!("{build} --out {{}}/shards"));
    output(dir, &format!("{PRETRAIN} --out {{}}/run"));
    output(dir, "export {}/run --part discriminator --out {}/model");
    output(dir, "export {}/run --part generator --out {}/generator");
}

pub(crate) const PRETRAIN: &str = "pretrain configs/pretrain-tiny.toml --set data.shards={}/shards \
    --set model.vocab_size=7 --set evaluate.every=0 --set train.batch_size=4 --set train.steps=1";

const FINETUNE: &str =
    "finetune --task data/sample/word-order --config configs/finetune-tiny.toml --out {}/never";

#[test]
fn every_command_says_what_a_path_has_instead() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    letters(dir);
    let inside = |name: &str| dir.join(name).display().to_string();
    let export = format!(
        "{} is a run folder, not a model folder; export it first: electra export {0} --out",
        inside("run")
    );
    let hub = "google/electra-small-discriminator is not a folder, and nothing is downloaded";

    // Commands that need a model folder.
    for line in [
        "predict --model MODEL --input {}/text.txt --output {}/never.tsv",
        "fill-mask --model MODEL a[MASK]",
        "fill-mask --model {}/generator --discriminator MODEL a[MASK]",
        "rescore --model MODEL --input {}/text.txt --output {}/never.tsv",
        "forward --model MODEL --text a",
        "vocab encode --model MODEL --input {}/text.txt --output {}/never.jsonl",
        "vocab extend --model MODEL --words {}/text.txt --out {}/never",
        "import --from hf MODEL --out {}/never",
        &format!("{FINETUNE} --model MODEL"),
        &format!(
            "{PRETRAIN} --out {{}}/never --set init.generator=MODEL --set init.from={{}}/model"
        ),
    ] {
        fails(dir, &line.replace("MODEL", "{}/run"), 1, &[&export]);
        fails(dir, &line.replace("MODEL", "google/electra-small-discriminator"), 1, &[hub]);
        fails(
            dir,
            &line.replace("MODEL", "{}/shards"),
            1,
            &["is a folder of shards, not a model folder"],
        );
        let file = "config.json is a file, not a model folder; use its folder";
        fails(dir, &line.replace("MODEL", "{}/model/config.json"), 1, &[file]);
        fails(
            dir,
            &line.replace("MODEL", "{}/modle"),
            1,
            &["modle does not exist; did you mean", "/model?"],
        );
    }
    fails(
        dir,
        &format!("{PRETRAIN} --out {{}}/never --set init.from={{}}/shards"),
        1,
        &["is a folder of shards"],
    );

    // Commands that need a run.
    for line in [
        "evaluate RUN",
        "export RUN --out {}/never",
        "export RUN --format tf --out {}/never",
        "pretrain --resume RUN",
    ] {
        let init = format!(
            "is a model folder, not a run folder; to train it further, start a run with init.from = \"{}\"",
            inside("model")
        );
        fails(dir, &line.replace("RUN", "{}/model"), 1, &[&init]);
        fails(
            dir,
            &line.replace("RUN", "{}/shards"),
            1,
            &["is a folder of shards", "electra pretrain CONFIG --set data.shards="],
        );
        fails(
            dir,
            &line.replace("RUN", "{}/runn"),
            1,
            &["runn does not exist; did you mean", "/run?"],
        );
    }
    for line in ["runs {}/runn", "report {}/runn --out {}/never"] {
        fails(dir, line, 1, &["runn: no such file or folder; did you mean", "/run?"]);
    }
    let checkpoint = "pretrain --resume {}/run/checkpoints/step-0000001";
    fails(dir, checkpoint, 1, &["is a checkpoint, not a run folder; use its run folder,"]);

    // Commands that need shards.
    for line in [
        "shards inspect SHARDS",
        "shards verify SHARDS",
        "evaluate {}/run --shards SHARDS",
        &PRETRAIN.replace("{}/shards", "SHARDS").replace("pretrain ", "pretrain --out {}/never "),
    ] {
        fails(
            dir,
            &line.replace("SHARDS", "{}/model"),
            1,
            &["is a model folder, not a folder of shards", "--vocab"],
        );
        fails(
            dir,
            &line.replace("SHARDS", "{}/run"),
            1,
            &["is a run folder, not a folder of shards", "data.shards"],
        );
    }

    // Commands that need a file, or weights.
    fails(
        dir,
        "pretrain {}/run --out {}/never",
        1,
        &["is a run folder, not a file; its config is", "run/config.toml"],
    );
    fails(dir, "flops {}/model", 1, &["is a model folder, not a file"]);
    fails(
        dir,
        "compare {}/run {}/model",
        1,
        &["not a checkpoint; use one of its checkpoints, such as", "step-0000001"],
    );
    fails(
        dir,
        "compare {}/model google/electra-small",
        1,
        &["google/electra-small is not a folder"],
    );
    assert!(!dir.join("never").exists());
}

/// The output of fine-tuning is accepted where its model is; elsewhere its model folder is named.
#[test]
fn the_output_of_fine_tuning_is_not_a_run_or_a_pre_trained_model() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for file in
        ["tuned/config.toml", "tuned/inputs.json", "tuned/model/config.json", "stopped/inputs.json"]
    {
        fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
        fs::write(dir.join(file), "").unwrap();
    }
    let model = dir.join("tuned/model").display().to_string();
    fails(
        dir,
        "fill-mask --model {}/tuned a[MASK]",
        1,
        &[&format!("not a model folder; use {model}")],
    );
    fails(
        dir,
        "evaluate {}/tuned",
        1,
        &["tuned is a fine-tuned model", "electra predict --model", "electra score"],
    );
    fails(
        dir,
        "predict --model {}/stopped --input x --output {}/y",
        1,
        &["stopped is the output of", "--resume"],
    );
}

#[test]
fn files_that_are_missing_or_not_downloaded_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    letters(dir);
    let weights = fs::read(dir.join("model/model.safetensors")).unwrap();
    let forward = "forward --model {}/model --text a";
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 54245363\n";
    let pull = format!(
        "is a Git LFS pointer, not the file itself: run `git lfs pull` in {}",
        dir.join("model").display()
    );
    for (contents, words) in [
        (pointer.as_bytes(), ["model.safetensors", &pull]),
        (b"<!DOCTYPE html>", ["model.safetensors", "the file is an HTML page"]),
        (b"", ["model.safetensors", "the file is empty"]),
        (&weights[..100], ["model.safetensors", "the file is truncated or damaged"]),
    ] {
        fs::write(dir.join("model/model.safetensors"), contents).unwrap();
        fails(dir, forward, 1, &words);
        fails(dir, "import --from hf {}/model --out {}/never", 1, &words);
    }
    fs::write(dir.join("model/model.safetensors"), weights).unwrap();
    fs::write(dir.join("model/config.json"), "{\"model_type\": \"deberta-v2\", \"vocab_size\": 7}")
        .unwrap();
    output(dir, "export {}/run --part discriminator --out {}/other");
    let config = fs::read_to_string(dir.join("other/config.json")).unwrap();
    let deberta = config.replace("\"model_type\": \"electra\"", "\"model_type\": \"deberta-v2\"");
    fs::write(dir.join("model/config.json"), deberta).unwrap();
    fails(
        dir,
        "import --from hf {}/model --out {}/never",
        1,
        &["model_type \"deberta-v2\" is not supported: only ELECTRA and BERT"],
    );
    fs::write(dir.join("model/config.json"), config).unwrap();

    // No vocabulary: which files are missing, once, and not the name of a temporary folder.
    for file in ["vocab.txt", "tokenizer.json", "tokenizer_config.json"] {
        fs::remove_file(dir.join("model").join(file)).unwrap();
    }
    let words = ["model: no vocabulary", "vocab.txt or tokenizer.json"];
    for line in [
        forward,
        "import --from hf {}/model --out {}/never",
        "vocab encode --model {}/model --input {}/text.txt --output {}/x",
    ] {
        fails(dir, line, 1, &words);
    }
    // The cause of an error is printed once.
    let failed = electra(dir, "flops {}/cofnig.toml").failure().code(1);
    let message = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert_eq!(message.matches("no such file or folder").count(), 1, "{message}");
    assert!(!dir.join("never").exists());
}

/// A model whose embedding table has more rows than the vocabulary, as another program padded it.
#[test]
fn a_padded_table_is_legal_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    letters(dir);
    let padded = PRETRAIN.replace("model.vocab_size=7", "model.vocab_size=20");
    let ran = electra(dir, &format!("{padded} --out {{}}/padded")).success();
    let log = String::from_utf8_lossy(&ran.get_output().stderr).into_owned();
    let note = "model.vocab_size = 20, for 7 tokens of the shards: the other 13 rows";
    assert!(log.contains(note), "{log}");
    output(dir, "export {}/padded --part discriminator --out {}/d");
    output(dir, "export {}/padded --part generator --out {}/g");
    for network in ["d", "g"] {
        output(dir, &format!("import --from hf {{}}/{network} --out {{}}/imported/{network}"));
    }
    // Only tokens are predicted.
    let filled = output(dir, "fill-mask --model {}/imported/g a[MASK] --top-k 20");
    assert_eq!(filled.lines().count(), 7, "{filled}");
    assert!(!filled.contains("no token"), "{filled}");
    output(dir, "fill-mask --model {}/imported/g --discriminator {}/imported/d a[MASK]");
    // Trained further with its own number of rows, which the error names; "shards" is the number of tokens.
    let init = "--out {}/further --set init.from={}/imported/d --set init.generator={}/imported/g";
    let shards = PRETRAIN.replace("model.vocab_size=7", "model.vocab_size=shards");
    fails(dir, &format!("{shards} {init}"), 1, &["model.vocab_size = 20   (now 7)"]);
    output(dir, &format!("{padded} {init}"));
    output(dir, "evaluate {}/further");
    output(dir, "export {}/further --format tf --out {}/tf");
    let tune = "finetune --task data/sample/word-order --config configs/finetune-tiny.toml --set train.epochs=0.1";
    output(
        dir,
        &format!("{tune} --model {{}}/imported/d --set train.max_length=16 --out {{}}/tuned"),
    );
    output(
        dir,
        "predict --model {}/tuned --input data/sample/word-order/dev.tsv --output {}/p.tsv",
    );
}
