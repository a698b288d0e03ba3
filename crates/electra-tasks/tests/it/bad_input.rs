//! Bad input: each error has the place, the cause and the expected value, and no output is lost.

use crate::{
    device_name,
    e2e::{Fixture, TASK, config},
    root, says, with_key,
};
use electra_scores::LabelSpace;
use electra_tasks::{
    Finetune, FinetuneConfig, Kinds, Predictor, Request, Task,
    predictor::{StreamInput, StreamOptions},
    texts::data::load,
};
use electra_train::{Existing, StartFrom};
use std::{
    fs,
    sync::{Arc, atomic::AtomicBool},
};

fn run(finetune: &Finetune<'_>) -> electra_tasks::Result<electra_tasks::Completion> {
    finetune.run(&AtomicBool::new(false), &mut |_| {})
}

fn read(toml: &str) -> electra_tasks::Result<Arc<dyn Task>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("task.toml"), toml).unwrap();
    Kinds::default().read(dir.path(), &[])
}

#[test]
fn tasks_whose_keys_do_not_fit() {
    read(TASK).unwrap();
    says(
        read(&TASK.replace("metric", "metrik")),
        &["task.toml", "metrik", "did you mean \"metric\""],
    );
    says(read(&TASK.replace("\"accuracy\"", "\"pearson\"")), &["metric = pearson", "accuracy"]);
    let with = |line: &str| TASK.replace("[files]", &format!("{line}\n[files]"));
    says(read(&with("labels = [\"a\", \"a\"]")), &["labels", "duplicate label \"a\""]);
    says(read(&with("labels = [\"a\"]")), &["labels", "at least 2"]);
    says(
        read(&with("labels = [\"a\", \"b\\tc\"]")),
        &["labels", "\"b\\tc\"", "a tab or a line break"],
    );
    says(read(&with("range = [0.0, 1.0]")), &["range", "labels"]);
    says(Kinds::default().read("nowhere".as_ref(), &[]), &["nowhere"]);
}

#[test]
fn invalid_configs_name_the_key() {
    let read = |set: &str| {
        FinetuneConfig::read(&root().join("configs/finetune-small.toml"), &[set.to_owned()])
    };
    for name in ["tiny", "small", "base", "large"] {
        FinetuneConfig::read(&root().join(format!("configs/finetune-{name}.toml")), &[]).unwrap();
    }
    says(read("train.epochs=0"), &["train.epochs = 0", "above 0"]);
    says(read("optimizer.layer_decay=1.5"), &["optimizer.layer_decay = 1.5"]);
    says(read("head.dropout=1.0"), &["head.dropout = 1"]);
    says(read("train.max_length=3"), &["train.max_length = 3", "at least 4"]);
    says(read("train.epoch=3"), &["did you mean \"epochs\""]);
    for key in ["train.batch_size", "train.accumulate"] {
        says(read(&format!("{key}=0")), &[&format!("{key} = 0"), "at least 1"]);
        let huge = format!("{key}=4611686018427387904");
        says(read(&huge), &[&format!("{key} = 4611686018427387904"), "at most 1048576"]);
    }
}

#[test]
fn invalid_rows_name_file_and_line() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&[]));
    let try_with = |name: &str, text: &str, words: &[&str]| {
        let path = fixture.path("task").join(name);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, text).unwrap();
        says(run(&fixture.finetune(&task, &config, "out")), words);
        fs::write(&path, before).unwrap();
        assert!(!fixture.path("out").exists());
    };
    try_with(
        "dev.tsv",
        "text\tlabel\nred\tcolor\nrose\tplant\n",
        &["dev.tsv:3", "\"plant\"", "training file", "color"],
    );
    try_with("dev.tsv", "text\tlabel\nred\tcolr\n", &["dev.tsv:2", "did you mean \"color\""]);
    try_with("train.tsv", "text\tlabel\nred\tcolor\n", &["train.tsv", "at least 2 classes"]);
    try_with("train.tsv", "text\tlabel\n \tcolor\nx\tanimal\n", &["train.tsv:2", "empty"]);
    try_with("train.tsv", "text\tlabel\n", &["train.tsv", "the file has no rows"]);
    try_with("test.tsv", "text\tgold\nred\tcolor\n", &["test.tsv:1", "\"label\"", "gold"]);
    fs::remove_file(fixture.path("task/test.tsv")).unwrap();
    says(run(&fixture.finetune(&task, &config, "out")), &["test.tsv"]);
}

/// A class of the key `labels` without a training row: a warning, and an error if a scored row has it.
#[test]
fn labels_missing_from_the_training_set() {
    let fixture = Fixture::new();
    fixture.write(
        "task/task.toml",
        TASK.replace("[files]", "labels = [\"animal\", \"plant\", \"color\"]\n[files]"),
    );
    let task = fixture.read_task();
    let data = fixture.path("task");
    let labels = ["animal", "plant", "color"].map(str::to_owned).to_vec();
    assert_eq!(load(&task, &data).unwrap().space, LabelSpace::Classes(labels));
    for name in ["dev.tsv", "test.tsv"] {
        let path = data.join(name);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, "text\tlabel\nred\tcolor\nrose\tplant\n").unwrap();
        let place = format!("{name}:3");
        says(load(&task, &data), &[&place, "\"plant\"", "not in the training file", "key labels"]);
        fs::write(&path, "text\tlabel\nsand\tstone\n").unwrap();
        says(load(&task, &data), &[&format!("{name}:2"), "\"stone\"", "is not in the key labels"]);
        fs::write(&path, before).unwrap();
    }
    load(&task, &data).unwrap();
}

#[test]
fn models_that_cannot_be_fine_tuned() {
    let fixture = Fixture::new();
    let task = fixture.read_task();
    let long = config(&["train.max_length=65"]);
    says(run(&fixture.finetune(&task, &long, "out")), &["train.max_length = 65", "64"]);
    let short = config(&["train.epochs=0.001"]);
    says(
        run(&fixture.finetune(&task, &short, "out")),
        &["train.epochs = 0.001", "64 training inputs"],
    );

    let whole = config(&[]);
    let weights = fixture.path("model/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    says(run(&fixture.finetune(&task, &whole, "out")), &["model.safetensors"]);
    fs::remove_file(&weights).unwrap();
    says(run(&fixture.finetune(&task, &whole, "out")), &["model.safetensors"]);
    fs::write(fixture.path("model/vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n").unwrap();
    says(run(&fixture.finetune(&task, &whole, "out")), &["vocab.txt", "[MASK]"]);
    assert!(!fixture.path("out").exists());
}

#[test]
fn output_folders_that_are_not_empty_or_of_another_run() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    fixture.write("out/thesis.tex", "mine");
    says(run(&fixture.finetune(&task, &config, "out")), &["not empty", "--overwrite"]);
    let mut replacing = fixture.finetune(&task, &config, "out");
    replacing.from = StartFrom::Scratch(Existing::Replace);
    says(run(&replacing), &["not empty", "no inputs.json", "does not replace it"]);
    assert_eq!(fs::read_to_string(fixture.path("out/thesis.tex")).unwrap(), "mine");

    let mut resumed = fixture.finetune(&task, &config, "tuned");
    resumed.from = StartFrom::Checkpoint;
    says(run(&resumed), &["tuned does not exist"]);
    fixture.write("tuned/config.toml", "");
    says(run(&resumed), &["is not the output of `electra finetune`", "inputs.json"]);
    fs::remove_dir_all(fixture.path("tuned")).unwrap();
    run(&fixture.finetune(&task, &config, "tuned")).unwrap();
    // A run is replaced only after the networks of the new one could be built.
    for broken in ["train.device=cuda:63", "train.device=gpu"] {
        let broken = super::e2e::config(&[broken]);
        let mut replacing = fixture.finetune(&task, &broken, "tuned");
        replacing.from = StartFrom::Scratch(Existing::Replace);
        says(run(&replacing), &[&broken.train.device]);
        assert!(fixture.path("tuned/results.json").is_file());
    }
    let other = super::e2e::config(&["train.epochs=2"]);
    let mut resumed = fixture.finetune(&task, &other, "tuned");
    resumed.from = StartFrom::Checkpoint;
    says(run(&resumed), &["tuned", "the config"]);
    let mut resumed = fixture.finetune(&task, &config, "tuned");
    (resumed.from, resumed.seeds) = (StartFrom::Checkpoint, vec![2]);
    says(run(&resumed), &["seed 1"]);
}

#[test]
fn invalid_inputs_of_prediction() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    run(&fixture.finetune(&task, &config, "out")).unwrap();
    says(Predictor::open(&fixture.path("model"), device_name()).map(drop), &["task.json"]);
    let predictor = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    says(predictor.answer(&[Request::pair("red", "green")]), &["number 0", "single text"]);
    says(predictor.answer(&[Request::words(&["red"])]), &["number 0", "single text"]);

    // A file that was edited by hand: the model has 64 positions.
    let model = fixture.path("out/model");
    let with = with_key(&model, |model| Predictor::open(model, device_name()));
    for length in [0, 3, 65] {
        let found = format!("max_length = {length}");
        says(with("/max_length", length.into()), &["task.json", &found, "from 4 to 64"]);
    }
    with("/max_length", 4.into()).unwrap().answer(&[Request::text("red")]).unwrap();

    fixture.write("input.tsv", "sentence\nred\n");
    let (input, output) = (fixture.path("input.tsv"), fixture.path("output.tsv"));
    let predict = || {
        let options = StreamOptions::default();
        let input = StreamInput::open(&input).unwrap();
        predictor.stream_to_file(input, &output, &options, &mut |_| {})
    };
    says(predict(), &["input.tsv:1", "\"text\"", "sentence"]);
    fixture.write("input.tsv", "text\tx\nred\t1\n\nblue\t1\n");
    says(predict(), &["input.tsv:3", "empty line"]);
    assert!(!output.exists());
    assert!(!fixture.path(".output.tsv.tmp").exists());

    // An output that is not a regular file is written directly; an error has the path as given.
    #[cfg(target_os = "linux")]
    {
        fixture.write("input.tsv", "text\nred\n");
        std::os::unix::fs::symlink("/dev/full", &output).unwrap();
        says(predict(), &["output.tsv", "No space left"]);
        assert!(fs::symlink_metadata(&output).unwrap().is_symlink());
        fs::remove_file(&output).unwrap();
        std::os::unix::fs::symlink("/dev/null", &output).unwrap();
        assert_eq!(predict().unwrap().done, 1);
        assert!(fs::symlink_metadata(&output).unwrap().is_symlink());
    }
}
