//! The commands of guides 1 to 7, as they are printed there, with smaller sizes.

use crate::root;
use assert_cmd::cargo::cargo_bin;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Sizes of networks in place of ELECTRA-Small's. A TensorFlow checkpoint has one head per 64 units.
const SMALLER: &str = "--set train.steps=2 --set train.batch_size=2 --set model.vocab_size=shards --set data.sequence_length=shards --set model.embedding_size=8 \
    --set model.discriminator.layers=1 --set model.discriminator.hidden=64 --set model.discriminator.heads=1 \
    --set model.discriminator.intermediate=16 --set model.generator.layers=1 --set model.generator.hidden=64 \
    --set model.generator.heads=1 --set model.generator.intermediate=16";

/// What a command gets to be fast: the options of the first matching beginning.
const OPTIONS: [(&str, &str); 3] = [
    ("electra train ", "--size tiny --set train.steps=2 --set train.batch_size=2"),
    ("electra pretrain configs/", SMALLER),
    ("electra finetune --task rte ", "--set train.max_length=16"),
];

/// The marker of a block that is not run; it is in the line after the block.
const NOT_RUN: &str = "(Not run by the tests";

/// A block of a guide.
struct Block {
    /// Path and line, for messages.
    place: String,
    /// What follows the three backticks.
    language: String,
    text: String,
    /// Whether the guide says that the tests do not run it.
    is_run: bool,
}

fn blocks(guide: &Path) -> Vec<Block> {
    let text = fs::read_to_string(guide).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let fences: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].starts_with("```")).collect();
    let block = |fences: &[usize]| {
        let [start, end] = [fences[0], fences[1]];
        let after = lines[end + 1..].iter().find(|line| !line.is_empty());
        Block {
            place: format!("{}:{}", guide.file_name().unwrap().display(), start + 1),
            language: lines[start][3..].to_owned(),
            text: lines[start + 1..end].join("\n"),
            is_run: !after.is_some_and(|line| line.starts_with(NOT_RUN)),
        }
    };
    fences.chunks(2).map(block).collect()
}

fn guides() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs/guide")).unwrap();
    let numbered = |path: &PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with(|c: char| c.is_ascii_digit())
    };
    let mut guides: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(numbered).collect();
    guides.sort();
    guides
}

/// The commands of a block, with lines that end in a backslash joined, without comments.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let command = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    joined.lines().map(command).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Runs a command in a shell.
fn run(dir: &Path, command: &str, place: &str) {
    let electra = cargo_bin("electra");
    let path =
        format!("{}:{}", electra.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let output = shell.args(["-ec", command]).current_dir(dir).env("PATH", path).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: {command}\n{stderr}");
}

/// Runs a command of a guide with smaller sizes.
fn follow(dir: &Path, command: &str, place: &str) {
    let options = OPTIONS.iter().find(|(beginning, _)| command.starts_with(beginning));
    let options = options.map_or("", |(_, options)| options);
    run(dir, &format!("{command} {options}"), place);
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A table with a header and one row for each of `numbers`.
fn table(header: &str, numbers: std::ops::Range<usize>, row: impl Fn(usize) -> String) -> String {
    let mut text = format!("{header}\n");
    numbers.for_each(|number| writeln!(text, "{}", row(number)).unwrap());
    text
}

/// Writes what the guides assume: texts, tasks, models of their sizes.
fn prepare(dir: &Path) {
    for folder in ["configs", "configs/ablations"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, dir.join(folder).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let texts = fs::read_to_string(root().join("data/sample/pretrain/addresses.jsonl")).unwrap();
    write(dir, "my-text/part.jsonl", &texts.lines().take(12).collect::<Vec<_>>().join("\n"));
    write(dir, "words.txt", "zeppelinfahrt\nbioinformatics\n");
    write(dir, "hypotheses.txt", "The chef ate the meal.\nThe chef ate the moon.\n");

    let sentence = |i: usize| format!("the people of state {i}\t{}", ["no", "yes"][i % 2]);
    for (file, rows) in [("train", 0..12), ("dev", 12..18), ("test", 18..24)] {
        write(dir, &format!("my-task/{file}.tsv"), &table("sentence\tlabel", rows, sentence));
    }
    write(dir, "new.txt", "One line.\nAnother one.\n");
    write(dir, "new.tsv", &table("sentence", 0..3, |i| format!("the house of {i}")));
    let topics = |i: usize| format!("the war of {i}\t{}", ["economy", "economy, sport"][i % 2]);
    let ending = |i: usize| format!("the man,sat {i},ran,led,came,{}", i % 4);
    let endings = "startphrase,ending0,ending1,ending2,ending3,label";
    for (topics_file, endings_file, rows) in
        [("topics/train.tsv", "swag/train.csv", 0..8), ("topics/dev.tsv", "swag/val.csv", 8..12)]
    {
        write(dir, topics_file, &table("text\ttopics", rows.clone(), topics));
        write(dir, endings_file, &table(endings, rows, ending));
    }
    let entailment = |i: usize| {
        format!("{i}\tthe law of {i}\ta law\t{}", ["entailment", "not_entailment"][i % 2])
    };
    for (file, rows) in [("train", 0..8), ("dev", 8..12), ("test", 12..14)] {
        let rows = table("index\tsentence1\tsentence2\tlabel", rows, entailment);
        write(dir, &format!("GLUE/RTE/{file}.tsv"), &rows);
    }
    let cola = |i: usize| format!("x\t{}\t\tthe senate of {i}", i % 2);
    for (file, rows) in [("train", 1..8), ("dev", 9..12)] {
        // CoLA's files have no header.
        write(dir, &format!("GLUE/CoLA/{file}.tsv"), &table(&cola(0), rows, cola));
    }
    let test = table("index\tsentence", 0..2, |i| format!("{i}\tthe senate of {i}"));
    write(dir, "GLUE/CoLA/test.tsv", &test);

    write(dir, "GLUE/MNLI/dev_matched.tsv", "sentence1\tsentence2\tgold_label\na\tb\tneutral\n");
    write(dir, "mnli.tsv", "index\tprediction\n0\tneutral\n");
    write(dir, "topics.tsv", &table("index\tprediction", 0..4, |i| format!("{i}\teconomy")));
    let question = r#"{"id": "a", "question": "Who?", "answers": [], "is_impossible": true}"#;
    let paragraph = format!(r#"{{"context": "One.", "qas": [{question}]}}"#);
    let gold = format!(r#"{{"version": "v2.0", "data": [{{"paragraphs": [{paragraph}]}}]}}"#);
    write(dir, "dev-v2.0.json", &gold);
    write(dir, "preds.json", r#"{"a": ""}"#);
    write(dir, "null_odds.json", r#"{"a": 2.5}"#);
    write(dir, "test.txt", "Ann B-PER\nran O\n");
    write(dir, "tagged.conll", "Ann B-PER\nran O\n");

    let shards = "electra vocab train --corpus my-text/ --size 30522 --out small/vocab.txt
        electra shards build --corpus my-text/ --vocab small/vocab.txt --seq-len 128 --out small/shards";
    let pretrain = |config: &str, run: &str| {
        format!(
            "electra pretrain configs/{config} {SMALLER} --set data.shards=small/shards --out {run}"
        )
    };
    fs::create_dir(dir.join("small")).unwrap();
    for command in shards.lines().map(str::to_owned).chain([
        pretrain("pretrain-small.toml", "small/run"),
        "electra export small/run --part discriminator --out exported/small".to_owned(),
        "electra export small/run --part generator --out exported/small/generator".to_owned(),
        "electra export small/run --format tf --out electra_small".to_owned(),
        "cp -r exported/small google-electra-small".to_owned(),
        pretrain("ablations/electric.toml", "small/electric"),
        "electra export small/electric --part discriminator --out exported/electric".to_owned(),
    ]) {
        run(dir, command.trim(), "the folders of the guides");
    }
}

#[test]
fn every_command_of_the_guides_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    prepare(dir);
    let blocks: Vec<Block> = guides().iter().flat_map(|guide| blocks(guide)).collect();
    for block in blocks.iter().filter(|block| block.language == "toml") {
        let parsed: Result<toml::Table, _> = toml::from_str(&block.text);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", block.place));
        // The tasks of guide 3.
        if let Some(name) = parsed.get("name").and_then(|name| name.as_str()) {
            let folder = if name == "sentiment" { "my-task" } else { name };
            write(dir, &format!("{folder}/task.toml"), &block.text);
        }
    }
    choices(dir);
    let mut count = 0;
    for block in blocks.iter().filter(|block| block.language.is_empty() && block.is_run) {
        for command in commands(&block.text) {
            follow(dir, &command, &block.place);
            count += 1;
        }
    }
    assert!(count >= 25, "{count} commands");
}

/// A model of `transformers` for multiple choice: `MODEL` of guide 3.
fn choices(dir: &Path) {
    let options = "--set train.epochs=1 --set train.max_length=16 --seeds 1 --out small/swag";
    run(dir, &format!("electra finetune --task swag/ --model exported/small {options}"), "swag");
    run(dir, "cp -r small/swag/model MODEL && rm MODEL/task.json", "swag");
}
