//! Kinds of tasks from files to answers, each with a tiny model: questions, tags, several tasks at once.

use crate::{electra, errors::fails, output, root};
use serde_json::{Value, json};
use std::{fs, path::Path};

const WORDS: [&str; 15] = [
    "red", "green", "blue", "black", "fox", "bird", "bear", "fish", "what", "runs", "is", "the",
    "a", ".", "?",
];

const FEW: &str = "--model {}/model --weights random --set train.epochs=2 --set train.batch_size=4 \
                   --set train.max_length=16 --set train.device=cpu";

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

fn json_of(dir: &Path, name: &str) -> Value {
    serde_json::from_str(&read(dir, name)).unwrap()
}

/// A folder with `model`: the sizes of a tiny ELECTRA of 20 tokens, and its vocabulary.
fn with_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = fs::read(root().join("tests/fixtures/foreign/question/config.json")).unwrap();
    write(folder.path(), "model/config.json", config);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let vocab: Vec<&str> = special.into_iter().chain(WORDS).collect();
    write(folder.path(), "model/vocab.txt", vocab.join("\n"));
    folder
}

/// A file of questions about which animal is red; `starts` are where the answers are said to begin.
fn questions(prefix: &str, starts: &[usize]) -> String {
    let paragraph = |(i, &start): (usize, &usize)| {
        let animal = WORDS[4 + i % 4];
        let answers = json!([{ "text": animal, "answer_start": start }]);
        let question = json!({ "id": format!("{prefix}{i}"), "question": "what is red ?", "answers": answers });
        json!({ "context": format!("the {animal} is red . the sky is blue ."), "qas": [question] })
    };
    let paragraphs: Vec<Value> = starts.iter().enumerate().map(paragraph).collect();
    json!({ "version": "1.1", "data": [{ "title": "t", "paragraphs": paragraphs }] }).to_string()
}

#[test]
fn questions_are_learned_scored_and_predicted() {
    let folder = with_model();
    let dir = folder.path();
    write(
        dir,
        "squad/task.toml",
        "name = 'animals'\nkind = 'squad'\nversion = '1.1'\nmetric = 'f1'\n[files]\ntrain = 'train.json'\ndev = 'dev.json'\n",
    );
    // The answer to t5 does not stand where it is said to.
    write(dir, "squad/train.json", questions("t", &[4, 4, 4, 4, 4, 5]));
    write(dir, "squad/dev.json", questions("d", &[4, 4, 4]));
    let line = format!(
        "finetune --task {{}}/squad {FEW} --config configs/finetune-squad-small.toml \
         --set squad.max_query_length=3 --set squad.stride=4 --out {{}}/tuned"
    );
    assert!(output(dir, &line).contains("animals"));
    let left_out = &json_of(dir, "tuned/results.json")["left_out"];
    assert_eq!((left_out.as_array().map(Vec::len), &left_out[0]["count"]), (Some(1), &json!(1)));
    let named = left_out[0]["named"][0].as_str().unwrap();
    assert!(named.contains("\"t5\"") && named.contains("answer_start 5"), "{named}");

    let (preds, odds) = ("tuned/seed-1/dev/preds.json", "tuned/seed-1/dev/null_odds.json");
    for id in ["d0", "d1", "d2"] {
        assert!(json_of(dir, preds)[id].is_string() && json_of(dir, odds)[id].is_f64(), "{id}");
    }
    // The official figures are those that the run wrote and reports.
    let gold = "score squad --version 1.1 --gold {}/squad/dev.json";
    let printed: Value =
        serde_json::from_str(&output(dir, &format!("{gold} --pred {{}}/{preds}"))).unwrap();
    assert_eq!(printed, json_of(dir, "tuned/seed-1/dev/eval.json"));
    let dev = &json_of(dir, "tuned/results.json")["seeds"][0]["dev"];
    let f1 = printed["f1"].as_f64().unwrap() / 100.0;
    assert!((f1 - dev["f1"].as_f64().unwrap()).abs() < 1e-12, "{printed} {dev}");

    let line = "predict --model {}/tuned --input {}/squad/dev.json --output {}/p.json --null-odds {}/o.json";
    output(dir, line);
    assert_eq!(json_of(dir, "p.json"), json_of(dir, preds));
    assert_eq!(json_of(dir, "o.json").as_object().map(|odds| odds.len()), Some(3));
    fails(dir, &line.replace(".json --output", ".json --format jsonl --output"), 1, &["exists"]);
    fails(dir, "predict --model {}/tuned --input - --output {}/q.json", 1, &["remove --format"]);
}

const TAGS: &str = "name = 'things'\nkind = 'tagging'\nscheme = 'bio'\nmetric = 'f1'\n[files]\ntrain = 'train.conll'\ndev = 'dev.conll'\n";

/// Sentences of a color, an animal and a full stop.
fn tags(count: usize) -> String {
    let sentence = |i: usize| {
        let (color, animal) = (WORDS[i % 4], WORDS[4 + i * 3 % 4]);
        format!("{color} B-COLOR\n{animal} B-ANIMAL\n. O\n\n")
    };
    (0..count).map(sentence).collect()
}

fn write_tags(dir: &Path) {
    write(dir, "tags/task.toml", TAGS);
    write(dir, "tags/train.conll", tags(12));
    write(dir, "tags/dev.conll", tags(4));
}

#[test]
fn words_are_tagged_in_a_file_whose_lines_stay_as_they_are() {
    let folder = with_model();
    let dir = folder.path();
    write_tags(dir);
    let tune = "--config configs/finetune-tiny.toml --set head.pooling=first --out {}/tuned";
    output(dir, &format!("finetune --task {{}}/tags {FEW} {tune}"));
    let kept = read(dir, "tuned/seed-1/dev/predictions.conll");

    // The words of the dev file with another column in the place of the tags.
    let words = read(dir, "tags/dev.conll");
    let words: String =
        words.replace(" B-COLOR", "\t1").replace(" B-ANIMAL", "\t2").replace(" O", "\t3");
    write(dir, "words.conll", &words);
    let printed =
        output(dir, "predict --model {}/tuned --input {}/words.conll --output {}/tagged.conll");
    assert!(printed.starts_with("12 words"), "{printed}");
    let tagged = read(dir, "tagged.conll");
    assert_eq!(tagged.lines().count(), 16);
    for ((line, word), kept) in tagged.lines().zip(words.lines()).zip(kept.lines()) {
        let tag = kept.rsplit(' ').next().unwrap();
        let expected = if word.is_empty() { String::new() } else { format!("{word}\t{tag}") };
        assert_eq!(line, expected);
    }
    let streamed = "predict --model {}/tuned --input {}/words.conll --output - --window 1";
    assert_eq!(output(dir, streamed), tagged);
    fails(dir, &format!("{streamed} --format tsv"), 1, &["in columns", "remove --format"]);
}

/// Colors and animals in `kinds`, to be learned by a config of their own.
fn write_kinds(dir: &Path) {
    let task = "name = 'kinds'\nkind = 'classification'\ntext_a = 'text'\nlabel = 'label'\nmetric = 'accuracy'\n\
                [files]\ntrain = 'train.tsv'\ndev = 'dev.tsv'\n\
                [config.train]\nepochs = 3\nseed = 7\n[config.optimizer]\nlearning_rate = 2e-3\n";
    write(dir, "kinds/task.toml", task);
    let rows = |count: usize| {
        let row = |i: usize| match i % 2 {
            0 => format!("the {}\tcolor\n", WORDS[i % 4]),
            _ => format!("the {}\tanimal\n", WORDS[4 + i % 4]),
        };
        "text\tlabel\n".to_owned() + &(0..count).map(row).collect::<String>()
    };
    write(dir, "kinds/train.tsv", rows(16));
    write(dir, "kinds/dev.tsv", rows(6));
}

/// Between `--config` and `--set` or `--grid` is what the task says.
#[test]
fn a_task_says_how_it_is_learned() {
    let folder = with_model();
    let dir = folder.path();
    write_kinds(dir);
    let few = FEW.replace("--set train.epochs=2", "");
    let line = format!(
        "finetune --task {{}}/kinds {few} --config configs/finetune-tiny.toml \
         --set head.pooling=first --out {{}}"
    );
    let has = |file: &str, keys: &[&str]| {
        let config = read(dir, file);
        for key in keys {
            assert!(config.lines().any(|line| line == *key), "{key} is not in {file}: {config}");
        }
    };
    let own = ["learning_rate = 0.002", "seed = 7", "batch_size = 4"];
    output(dir, &format!("{line}/own"));
    for file in ["own/config.toml", "own/seed-7/config.toml"] {
        has(file, &[&own[..], &["epochs = 3.0"]].concat());
    }
    output(dir, &format!("{line}/grid --grid train.epochs=1,2"));
    for epochs in [1, 2] {
        let key = format!("epochs = {epochs}.0");
        has(
            &format!("grid/train.epochs={epochs}/config.toml"),
            &[&own[..], &[key.as_str()]].concat(),
        );
    }
    output(dir, &format!("{line}/set --set train.epochs=1 --set train.seed=2"));
    has("set/seed-2/config.toml", &["epochs = 1.0", "seed = 2", "learning_rate = 0.002"]);
    let wrong = read(dir, "kinds/task.toml").replace("epochs", "epoch");
    write(dir, "kinds/task.toml", wrong);
    let words = ["kinds/task.toml", "config.train.epoch", "did you mean \"epochs\""];
    fails(dir, &format!("{line}/wrong"), 1, &words);
    assert!(!dir.join("wrong").exists());
}

#[test]
fn a_task_given_twice_is_two_tasks_on_one_encoder() {
    let folder = with_model();
    let dir = folder.path();
    write_tags(dir);
    write_kinds(dir);
    let line = format!(
        "finetune --task {{}}/tags --task {{}}/kinds --temperature 2 {FEW} \
         --config configs/finetune-tiny.toml --set head.pooling=first --out {{}}/both"
    );
    let done = electra(dir, &line).success();
    let table = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    for row in ["things+kinds", "best on dev, things", "best on dev, kinds"] {
        assert!(table.contains(row), "{row} in {table}");
    }
    let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(said.contains("kinds/task.toml: [config] is ignored"), "{said}");
    let html = read(dir, "both/report.html");
    assert!(html.contains("<h2>things</h2>") && html.contains("<h2>kinds</h2>"), "{html}");

    output(
        dir,
        "predict --model {}/both/model/kinds --input {}/kinds/dev.tsv --output {}/kinds.tsv",
    );
    assert_eq!(read(dir, "kinds.tsv"), read(dir, "both/seed-1/dev/kinds/predictions.tsv"));
    output(
        dir,
        "predict --model {}/both/model/things --input {}/tags/dev.conll --output {}/t.conll",
    );
    assert_eq!(read(dir, "t.conll"), read(dir, "both/seed-1/dev/things/predictions.conll"));
    let whole = "predict --model {}/both --input {}/kinds/dev.tsv --output {}/never.tsv";
    fails(dir, whole, 1, &["several tasks", "open the folder of one of them"]);
    // Two of the same name are one too many.
    electra(dir, &line.replace("{}/kinds ", "{}/tags ").replace("both", "same")).failure().code(1);
}
