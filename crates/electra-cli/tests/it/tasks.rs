//! Kinds of tasks from files to answers, each with a tiny model: questions, tags, several tasks at once.

use crate::{electra, errors::fails, output, root};
use serde_json::{Value, json};
use std::{fs, path::Path};

const WORDS: [&str; 15] = [
    "red", "green", "blue", "black", "fox", "bird", "bear", "fish", "what", "runs", "is", "the",
    "a", ".", "?",
];

const FEW: &str = "--model {}/model --weights random --set train.epochs=2 --set train.batch_size=4 \
                   --set train.max_length=16";

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

/// A file of questions about which animal is red; `starts` are the `answer_start` of the answers.
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
    // The answer to t5 is not at its `answer_start`.
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
    fails(
        dir,
        "predict --model {}/tuned --input - --output {}/q.json",
        1,
        &["--input -", "use --input FILE.json"],
    );
    let line = "predict --model {}/tuned --input {}/squad/dev.json --output";
    fails(dir, &format!("{line} -"), 1, &["--output -", "use --output FILE.json"]);
    let window = format!("{line} {{}}/q.json --window 2 --format json");
    fails(dir, &window, 1, &["remove --format, --window"]);
    for model in ["tuned", "tuned/model"] {
        let words = ["is a fine-tuned model", "electra predict --model", "electra score"];
        fails(dir, &format!("evaluate {{}}/{model}"), 1, &words);
    }
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

/// Legal data that was probably not meant gets a warning with numbers; one seed has no mean.
#[test]
fn labels_and_texts_are_judged_at_the_start() {
    let folder = with_model();
    let dir = folder.path();
    write_kinds(dir);
    let rows = read(dir, "kinds/train.tsv") + "the red runs . the red runs . the red\tcolor \n";
    write(dir, "kinds/train.tsv", &rows);
    let line = format!(
        "finetune --task {{}}/kinds {FEW} --config configs/finetune-tiny.toml --set head.pooling=first \
         --set train.max_length=8 --set task.class_weights=balanced --out {{}}/tuned"
    );
    let done = electra(dir, &line).success();
    let stderr = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    for part in [
        "the labels \"color\" (8 times, first in line 2) and \"color \" (1 times, first in line 18) differ only in white space",
        "17 examples; \"animal\" 8 (weight 0.708), \"color\" 8 (weight 0.708), \"color \" 1 (weight 5.667)",
        "labels with a single training example (1): \"color \"",
        "1 of 17 texts (5.9 %) are truncated to 8 tokens; the longest has 12",
        "dev.tsv: the texts of all 6 examples are also in the training set",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
    assert!(!stderr.contains("attention heads"), "{stderr}");
    let table = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(table.contains("seed 7") && !table.contains("mean") && !table.contains("deviation"));

    // Prediction counts too; the delimiter and the format of the output are those that are given.
    write(dir, "new.CSV", "text;x\n\"the red ; fox\";1\nthe red runs . the red runs . a fox;2\n");
    let predict = "predict --model {}/tuned --input {}/new.CSV --output {}/p.JSON";
    fails(dir, predict, 1, &["new.CSV:1", "';'", "--delimiter"]);
    let done = electra(dir, &format!("{predict} --delimiter ;")).success();
    let stderr = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("1 of 2 texts (50.0 %) are truncated to 8 tokens"), "{stderr}");
    let answers = json_of(dir, "p.JSON");
    assert_eq!((answers[0]["index"].as_u64(), answers[1]["index"].as_u64()), (Some(0), Some(1)));
    let other = "--set head.pooling=first --set task.label=nothing --out {}/other";
    let line =
        format!("finetune --task {{}}/kinds {FEW} --config configs/finetune-tiny.toml {other}");
    fails(dir, &line, 1, &["train.tsv:1", "\"nothing\"", "label"]);
    write(dir, "kinds/train.tsv", rows + "the fox\t\n");
    let line = line.replace("--set task.label=nothing", "");
    fails(dir, &line, 1, &["train.tsv:19", "is empty", "--set task.no_label="]);
    let line = format!("{line} --set task.no_label=");
    let stderr = electra(dir, &line).success().get_output().stderr.clone();
    assert!(String::from_utf8(stderr).unwrap().contains("1 rows have no gold label"));
}

/// The model has 16 positions, the preset 128.
#[test]
fn a_preset_is_lowered_to_the_positions_of_the_model() {
    let folder = with_model();
    let dir = folder.path();
    write_kinds(dir);
    let line = "finetune --task {}/kinds --model {}/model --weights random --out {}/tuned";
    let stderr = electra(dir, line).success().get_output().stderr.clone();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("train.max_length = 16 instead of 128"), "{stderr}");
    fails(
        dir,
        &format!("{line} --overwrite --set train.max_length=17"),
        1,
        &["train.max_length = 17"],
    );
}

/// Folders that transformers wrote: taggers and models of questions predict as soon as they are imported.
#[test]
fn imported_taggers_and_question_models_predict() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let vocab: Vec<String> = special.into_iter().chain((5..20).map(|i| format!("w{i}"))).collect();
    write(dir, "vocab.txt", vocab.join("\n"));
    let fixtures = root().join("tests/fixtures/foreign");
    let import = |name: &str, more: &str| {
        let from = fixtures.join(name).display().to_string();
        output(
            dir,
            &format!("import --from hf {from} --vocab {{}}/vocab.txt --out {{}}/{name} {more}"),
        )
    };
    assert!(import("tokens", "").contains("predict with"));
    write(dir, "in.conll", "# id 1\nw12\n\nw5\nw6\n");
    let tagged = output(dir, "predict --model {}/tokens --input {}/in.conll --output -");
    assert!(tagged.starts_with("# id 1\nw12 B-Y\n\nw5 "), "{tagged}");
    // The reference of its tags scores it, and its encoder is fine-tuned further.
    write(dir, "tagged.conll", &tagged);
    output(dir, "score tagging --gold {}/tagged.conll --pred {}/tagged.conll");
    write(dir, "tags/task.toml", TAGS.replace("scheme = 'bio'\n", ""));
    write(dir, "tags/train.conll", "w5 B-X\nw6 I-X\n\nw7 O\n");
    write(dir, "tags/dev.conll", "w5 B-X\nw6 I-X\n");
    output(dir, "finetune --task {}/tags --model {}/tokens --out {}/tuned");

    let rows = [("1", "w5"), ("2", "w6")].map(|(id, question)| {
        json!({"id": id, "context": "w7 w8 w9", "question": question, "answers": {"text": [], "answer_start": []}})
    });
    write(dir, "in.jsonl", format!("{}\n{}\n", rows[0], rows[1]));
    import("question", "");
    output(dir, "predict --model {}/question --input {}/in.jsonl --output {}/answers.json");
    let answers = json_of(dir, "answers.json");
    assert!(["1", "2"].iter().all(|id| "w7 w8 w9".contains(answers[id].as_str().unwrap())));
    let threshold =
        "predict --model {}/question --input {}/in.jsonl --output {}/none.json --threshold=-1e9";
    fails(dir, threshold, 1, &["version 1.1"]);
    import("question", "--squad-version 2.0 --overwrite");
    output(dir, threshold);
    assert_eq!(json_of(dir, "none.json"), json!({"1": "", "2": ""}));
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
    let stderr = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("kinds/task.toml: [config] is ignored"), "{stderr}");
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
