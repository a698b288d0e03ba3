//! `task.toml`: its changes to the fine-tuning config, and data files with other extensions.

use crate::{e2e::TASK, says};
use electra_scores::SentenceTask;
use electra_tasks::{
    FinetuneConfig, Kinds, Preset,
    config::HeadKind,
    kinds::DescribedTask,
    preset::{Group, Size},
    texts::data,
};
use std::fs;

const TAGS: &str = "name = 'tags'\nkind = 'tagging'\nscheme = 'bio'\nmetric = 'f1'\n[files]\ntrain = 'a'\ndev = 'b'\n";
const SETS: &str = "name = 'sets'\nkind = 'multi-label'\ntext_a = 'a'\nlabel = 'b'\nmetric = 'micro-f1'\n[files]\ntrain = 'a.tsv'\ndev = 'b.tsv'\n";
const QUESTIONS: &str = "name = 'q'\nkind = 'squad'\nversion = '1.1'\nmetric = 'f1'\n[files]\ntrain = 'a.json'\ndev = 'b.json'\n";

fn read(text: &str) -> electra_tasks::Result<DescribedTask> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("task.toml"), text).unwrap();
    Kinds::default().task(dir.path(), None, &[])
}

/// The paper's config with the changes of the file and of `--set`.
fn resolved(text: &str, sets: &[&str]) -> electra_tasks::Result<FinetuneConfig> {
    let file = read(text)?;
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let paper = Preset::Paper.config(Size::Small, file.task.group());
    paper.for_task("--preset paper", &file.config, &sets)
}

#[test]
fn a_task_of_any_kind_changes_keys_of_the_config() {
    let changes =
        "[config.train]\nepochs = 10\nbatches = 'by-length'\n[config.head]\nkind = 'hf'\n";
    for task in [TASK, SETS, TAGS, QUESTIONS] {
        let plain = read(task).unwrap();
        assert!(plain.config.is_empty());
        let text = format!("{task}{changes}");
        assert_eq!(read(&text).unwrap().task.description(), plain.task.description());
        let config = resolved(&text, &["train.batch_size=8"]).unwrap();
        let mut expected = resolved(task, &["train.batches=by-length"]).unwrap();
        (expected.train.epochs, expected.train.batch_size) = (10.0, 8);
        expected.head.kind = HeadKind::Hf;
        assert_eq!(config, expected);
        // `--set` overrides the file.
        let set = resolved(&text, &["train.epochs=2"]).unwrap();
        assert_eq!((set.train.epochs, set.head.kind), (2.0, HeadKind::Hf));
    }
    // A dotted key at the top, and a section that the preset does not have.
    let first = format!("config.train.epochs = 0.5\n{TASK}");
    assert_eq!(resolved(&first, &[]).unwrap().train.epochs, 0.5);
    let questions = Preset::Paper.config(Size::Small, Group::Questions).squad.unwrap();
    let section = toml::to_string(&questions).unwrap();
    let whole = resolved(&format!("{TASK}[config.squad]\n{section}"), &[]).unwrap();
    assert_eq!(whole.squad, Some(questions));
    // Changes that are invalid alone may be valid with `--set`.
    let best = format!("{TASK}[config.evaluate]\nchoose = 'best'\n");
    assert_eq!(resolved(&best, &["evaluate.every=5"]).unwrap().evaluate.every, 5);
}

#[test]
fn changes_that_cannot_be_made_name_the_file_and_the_key() {
    let fails = |changes: &str, words: &[&str]| {
        let found = resolved(&format!("{TASK}{changes}"), &[]);
        says(found, &[&["task.toml"][..], words].concat());
    };
    fails("[config.train]\nepoch = 3\n", &["config.train.epoch", "did you mean \"epochs\""]);
    fails("[config.optimiser]\nbeta1 = 0.8\n", &["config", "optimiser", "\"optimizer\""]);
    fails("[config.squad]\nstride = 8\n", &["config", "missing field", "max_query_length"]);
    fails("[config.train]\nepochs = 'ten'\n", &["config.train.epochs", "\"ten\"", "float"]);
    fails("[config.head]\nkind = 'hff'\n", &["config", "hff", "did you mean \"hf\""]);
    fails("[config.train]\nepochs = 0\n", &["[config]", "train.epochs = 0", "above 0"]);
    fails("[config.optimizer]\nbeta1 = 2.0\n", &["[config]", "optimizer.beta1"]);
    says(resolved(&format!("config = 3\n{TASK}"), &[]), &["task.toml", "config = 3", "section"]);
    // For an invalid value of `--set` the file is not named.
    let zero = resolved(&format!("{TASK}[config.train]\nepochs = 3\n"), &["train.epochs=0"]);
    let message = zero.unwrap_err().to_string();
    assert!(!message.contains("task.toml") && message.contains("train.epochs = 0"), "{message}");
    // Errors in keys of the task have their lines.
    let wrong = format!("config.train.epochs = 3\n{}", TASK.replace("metric", "metrik"));
    says(read(&wrong), &["task.toml", "line 7", "metrik", "did you mean \"metric\""]);
}

#[test]
fn files_of_other_extensions_are_what_the_task_says() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("csv.txt", "text,label\n\"red, green\",color\nfox,animal\n");
    write("tsv.txt", "text\tlabel\nred, green\tcolor\nfox\tanimal\n");
    write(
        "jsonl.txt",
        "{\"text\":\"red, green\",\"label\":\"color\"}\n{\"text\":\"fox\",\"label\":\"animal\"}\n",
    );
    let described = |format: &str, file: &str| -> electra_tasks::Result<SentenceTask> {
        let files = format!("[files]\n{format}\ntrain = '{file}'\ndev = '{file}'\n");
        let (keys, _) = TASK.split_once("[files]").unwrap();
        let text = format!("{keys}{files}");
        read(&text)?;
        Ok(toml::from_str(&text).unwrap())
    };
    let load = |format: &str, file: &str| {
        let mut found = data::load(&described(format, file)?, dir.path())?;
        // They name the file.
        found.summaries.clear();
        Ok::<_, electra_tasks::Error>(found)
    };
    let expected = load("format = 'tsv'", "tsv.txt").unwrap();
    assert_eq!(expected.scored.dev[0].text_a, "red, green");
    for format in ["csv", "jsonl"] {
        let found = load(&format!("format = '{format}'"), &format!("{format}.txt")).unwrap();
        assert_eq!(found, expected);
    }
    // A spreadsheet's CSV, and a TSV with quotation marks.
    write("semicolon.CSV", "text;label\n\"red, green\";color\nfox;animal\n");
    assert_eq!(load("delimiter = ';'", "semicolon.CSV").unwrap(), expected);
    write("quoted.tsv", "text\tlabel\n\"red, green\"\t\"color\"\nfox\tanimal\n");
    assert_eq!(load("quoting = 'double-quotes'", "quoted.tsv").unwrap(), expected);
    says(
        load("delimiter = '||'", "semicolon.CSV"),
        &["task.toml", "\"||\"", "one ASCII character"],
    );
    says(load("", "semicolon.CSV"), &["semicolon.CSV:1", "';'", "delimiter"]);
    let task = described("format = 'jsonl'", "jsonl.txt").unwrap();
    assert_eq!(toml::from_str::<SentenceTask>(&toml::to_string(&task).unwrap()).unwrap(), task);
    says(load("", "csv.txt"), &["csv.txt", ".jsonl", "files.format"]);
    says(load("format = 'xml'", "csv.txt"), &["task.toml", "xml", "`tsv`, `csv`, `jsonl`"]);
    for task in [TAGS, QUESTIONS] {
        says(read(&format!("{task}format = 'csv'\n")), &["files.format = csv", "tables"]);
        says(read(&format!("{task}delimiter = ';'\n")), &["files.delimiter = \";\"", "tables"]);
    }
    // An unknown kind.
    write("task.toml", &TAGS.replace("'tagging'", "'taging'"));
    says(
        Kinds::default().read(dir.path(), &[]),
        &["task.toml", "unknown kind \"taging\"", "did you mean \"tagging\""],
    );
}

/// A key that the file does not have is added by `--set`; its value is a string if the key needs one.
#[test]
fn optional_keys_are_set_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("task.toml"), TASK).unwrap();
    let with = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Kinds::default().task(dir.path(), None, &sets).map(|task| task.task.description())
    };
    let sets = ["files.delimiter=;", "files.quoting=none", "unusable_rows=0.25", "no_label=-"];
    let found = with(&sets).unwrap();
    assert_eq!((&found["files"]["delimiter"], &found["no_label"]), (&";".into(), &"-".into()));
    assert_eq!(
        (&found["files"]["quoting"], &found["unusable_rows"]),
        (&"none".into(), &0.25.into())
    );
    assert_eq!(with(&["files.delimiter=\\t"]).unwrap()["files"]["delimiter"], "\t");
    assert_eq!(with(&["no_label=-1"]).unwrap()["no_label"], "-1");
    assert_eq!(with(&["no_label="]).unwrap()["no_label"], "");
    assert_eq!(with(&["class_weights=balanced"]).unwrap()["class_weights"], "balanced");
    let given = with(&["class_weights={animal = 2, color = 1}"]).unwrap();
    assert_eq!(given["class_weights"]["animal"], 2.0);
    assert_eq!(
        with(&["files.more_dev.other=\"o.tsv\""]).unwrap()["files"]["more_dev"]["other"],
        "o.tsv"
    );
    says(with(&["files.delimeter=;"]), &["files.delimeter=;", "did you mean \"delimiter\""]);
    says(with(&["filez.train=x"]), &["filez.train=x", "did you mean \"files\""]);
    says(with(&["name.x=y"]), &["name.x=y", "\"name\" is a key, not a section"]);
    says(with(&["unusable_rows=many"]), &["unusable_rows=many", "many"]);
}
