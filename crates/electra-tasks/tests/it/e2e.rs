//! The whole pipeline on a tiny scale: text, vocabulary, shards, 20 steps, export, fine-tuning, prediction.

use crate::{described, device_name, foreign, root, says, texts, train_device};
use electra_data::{BuildConfig, Corpus, CorpusConfig, build_shards};
use electra_model::hf::{self, Architecture, Labels, Pretrained};
use electra_scores::{Metric, Scores, SentenceTask, squad::Version, table::Format};
use electra_tasks::{
    Answer, Completion, Finetune, FinetuneConfig, Kinds, Predictor, Report, Request, Weights,
    answer::RequestForm,
    model,
    predictor::{Probabilities, StreamInput, StreamOptions},
};
use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};
use electra_train::{
    Existing, Recipe, RunConfig, Start, StartFrom,
    export::{ExportPart, export},
};
use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicBool},
};

/// The random generator of libtorch is global: tests that train run one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// The model that every test fine-tunes, trained once.
static MODEL: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();

/// Waits until no other test trains.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder with an exported tiny discriminator in `model` and a task in `task`.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let turn = turn();
        let fixture = Self { dir: tempfile::tempdir().unwrap(), _turn: turn };
        for (name, bytes) in MODEL.get_or_init(|| fixture.pretrain()) {
            fixture.write(&format!("model/{name}"), bytes);
        }
        fixture.task();
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// The files of a discriminator after 20 steps on colors and animals.
    fn pretrain(&self) -> Vec<(String, Vec<u8>)> {
        let text =
            (0..40).map(|i| format!("{}.", phrase(i, i % 2))).collect::<Vec<_>>().join("\n\n");
        self.write("corpus.txt", &text);
        let tokenizer = TokenizerConfig::default();
        let vocab =
            train_vocab([Ok::<_, Infallible>(&text)], &tokenizer, &TrainConfig::new(80)).unwrap();
        let size = vocab.len();
        let corpus = Corpus::open(&self.path("corpus.txt"), CorpusConfig::default()).unwrap();
        let build = BuildConfig { held_out: 0.1, ..BuildConfig::new(self.path("shards"), 16) };
        build_shards(&corpus, &WordPiece::new(vocab, tokenizer).unwrap(), &build, &mut |_| {})
            .unwrap();
        let overrides = [
            format!("data.shards=\"{}\"", self.path("shards").display()),
            format!("model.vocab_size={size}"),
            "train.steps=20".to_owned(),
            train_device().to_owned(),
            "model.discriminator.hidden=32".to_owned(),
            "model.generator.hidden=32".to_owned(),
        ];
        let config =
            RunConfig::read(&root().join("configs/pretrain-tiny.toml"), &overrides).unwrap();
        Recipe::from_config(config).pretrain(&Start::new(self.path("run"))).unwrap();
        let out = self.path("exported-first");
        export(&self.path("run"), ExportPart::Discriminator, &out, Existing::Refuse).unwrap();
        let files = fs::read_dir(out).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        });
        files.collect()
    }

    /// Classification of phrases: colors or animals.
    fn task(&self) {
        let rows = |from: usize, n: usize| {
            let row = |i: usize| format!("{}\t{}\n", phrase(i, i % 2), ["color", "animal"][i % 2]);
            "text\tlabel\n".to_owned() + &(from..from + n).map(row).collect::<String>()
        };
        self.write("task/train.tsv", rows(0, 64));
        self.write("task/dev.tsv", rows(64, 30));
        self.write("task/test.tsv", rows(94, 30));
        self.write("task/task.toml", TASK);
    }

    pub(crate) fn read_task(&self) -> SentenceTask {
        described(&self.path("task"))
    }

    pub(crate) fn finetune<'a>(
        &self,
        task: &'a SentenceTask,
        config: &'a FinetuneConfig,
        out: &str,
    ) -> Finetune<'a> {
        Finetune::new(task, self.path("task"), self.path("model"), config, self.path(out))
    }
}

pub(crate) const TASK: &str = r#"
name = "kinds"
kind = "classification"
text_a = "text"
label = "label"
metric = "accuracy"
[files]
train = "train.tsv"
dev = "dev.tsv"
test = "test.tsv"
"#;

/// Words of one of two kinds.
pub(crate) fn phrase(i: usize, kind: usize) -> String {
    let words = [["red", "green", "blue", "black"], ["fox", "bird", "bear", "fish"]][kind];
    (0..3 + i % 3).map(|w| words[(i / 2 * 3 + w * 7) % 4]).collect::<Vec<_>>().join(" ")
}

pub(crate) fn config(overrides: &[&str]) -> FinetuneConfig {
    let base =
        [train_device(), "optimizer.learning_rate=1e-3", "train.epochs=10", "head.dropout=0.1"];
    let all: Vec<String> = base.iter().chain(overrides).map(|&s| s.to_owned()).collect();
    FinetuneConfig::read(&root().join("configs/finetune-tiny.toml"), &all).unwrap()
}

fn config_error(overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    let read = FinetuneConfig::read(&root().join("configs/finetune-tiny.toml"), &overrides);
    read.unwrap_err().to_string()
}

pub(crate) fn finish(finetune: &Finetune<'_>) -> Report {
    match finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap() {
        Completion::Finished(report) => *report,
        Completion::Stopped => panic!("the run was not stopped"),
    }
}

fn weights(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("model/model.safetensors")).unwrap()
}

#[test]
fn fine_tuning_beats_the_majority_and_its_model_predicts() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&[]));
    let mut finetune = fixture.finetune(&task, &config, "out");
    finetune.seeds = vec![1, 2];
    let report = finish(&finetune);
    // Half of the examples have each class, and no word is in both.
    assert_eq!(report.baselines.majority.dev[&Metric::Accuracy], Some(0.5));
    assert_eq!(report.baselines.bag_of_words.as_ref().unwrap().dev[&Metric::Accuracy], Some(1.0));
    assert!(report.dev.unwrap().min > 0.9, "{report:?}");
    assert_eq!(report.seeds.len(), 2);
    assert_eq!((report.examples.train, report.examples.dev, report.examples.test), (64, 30, 30));

    let model = fixture.path("out/model");
    let predictor = Predictor::open(&model, device_name()).unwrap();
    let predictions = predictor.answer(&texts(&["red green blue", "fox bird", ""])).unwrap();
    assert_eq!([predictions[0].text(), predictions[1].text()], ["color", "animal"]);
    assert!((predictions[0].probabilities().iter().sum::<f32>() - 1.0).abs() < 1e-5);

    // The predictions for a file are those for its texts, in order, and have the score of the report.
    let options =
        StreamOptions { batch_size: 7, probabilities: Probabilities::Write, ..Default::default() };
    let output = fixture.path("predictions.tsv");
    let input = StreamInput::open(&fixture.path("task/dev.tsv")).unwrap();
    let done = predictor.stream_to_file(input, &output, &options, &mut |_| {}).unwrap();
    assert_eq!(done.done, 30);
    let text = fs::read_to_string(output).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("index\tprediction\tanimal\tcolor"));
    let gold = fs::read_to_string(fixture.path("task/dev.tsv")).unwrap();
    let gold: Vec<&str> =
        gold.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap()).collect();
    let mut right = 0;
    for (i, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[0], i.to_string());
        right += usize::from(fields[1] == gold[i]);
    }
    let best = report.seeds.iter().find(|seed| seed.seed == report.best_seed).unwrap();
    assert_eq!(best.dev[&Metric::Accuracy], Some(right as f64 / 30.0));

    // The seed's folder has the same predictions.
    let dir = fixture.path(&format!("out/seed-{}/dev", report.best_seed));
    let kept = fs::read_to_string(dir.join("predictions.tsv")).unwrap();
    let first_two = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join("\t");
    assert_eq!(kept, text.lines().map(|line| first_two(line) + "\n").collect::<String>());
    let scores: Scores =
        serde_json::from_str(&fs::read_to_string(dir.join("scores.json")).unwrap()).unwrap();
    assert_eq!(scores, best.dev);
}

/// The first version of `task.json` has no kind.
#[test]
fn a_model_folder_without_a_kind_is_of_a_sentence_task() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    finish(&fixture.finetune(&task, &config, "out"));
    let path = fixture.path("out/model/task.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"kind\": \"sentence\""), "{text}");
    let mut info: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    info.remove("kind");
    fs::write(&path, serde_json::to_string(&info).unwrap()).unwrap();
    Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    info.insert("kind".to_owned(), "riddle".into());
    fs::write(&path, serde_json::to_string(&info).unwrap()).unwrap();
    says(Predictor::open(&fixture.path("out/model"), device_name()), &["task.json", "riddle"]);
}

#[test]
fn a_stopped_run_resumes_bit_for_bit() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=3", "checkpoint.every=4"]));
    let mut unbroken = fixture.finetune(&task, &config, "unbroken");
    unbroken.seeds = vec![1, 2];
    finish(&unbroken);

    let mut broken = fixture.finetune(&task, &config, "broken");
    broken.seeds = vec![1, 2];
    let stop = AtomicBool::new(false);
    // In the second seed, between two checkpoints.
    let mut steps = 0;
    let completion = broken.run(&stop, &mut |event| {
        if let electra_tasks::Event::Training(electra_train::Event::Step { .. }) = event {
            steps += 1;
            stop.store(steps == 12 + 6, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert_eq!(completion.unwrap(), Completion::Stopped);
    broken.from = StartFrom::Checkpoint;
    let report = finish(&broken);
    assert_eq!(weights(&fixture.path("broken")), weights(&fixture.path("unbroken")));
    let whole: Report =
        serde_json::from_str(&fs::read_to_string(fixture.path("unbroken/results.json")).unwrap())
            .unwrap();
    assert_eq!(report.dev, whole.dev);
    // Keys that other programs read, such as `cargo xtask quickstart`.
    let text = fs::read_to_string(fixture.path("unbroken/results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in [
        "/dev/mean",
        "/dev/sd",
        "/baselines/majority/dev/accuracy",
        "/baselines/bag_of_words/dev/accuracy",
    ] {
        assert!(json.pointer(key).is_some_and(serde_json::Value::is_f64), "{key} in {text}");
    }
}

#[test]
fn random_weights_are_other_weights_and_need_only_the_config() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    finish(&fixture.finetune(&task, &config, "pretrained"));
    fs::remove_file(fixture.path("model/model.safetensors")).unwrap();
    let mut random = fixture.finetune(&task, &config, "random");
    random.weights = Weights::Random;
    finish(&random);
    assert_ne!(weights(&fixture.path("random")), weights(&fixture.path("pretrained")));
}

/// Numbers in their own units; the best constant is the mean.
#[test]
fn a_regression_on_pairs() {
    let fixture = Fixture::new();
    let rows = |from: usize| {
        let row = |i: usize| {
            let (a, b) = (phrase(i, i % 2), phrase(i + 1, (i / 2) % 2));
            format!("{}\t{a}\t{b}\n", if i % 2 == (i / 2) % 2 { 4.5 } else { 0.5 })
        };
        "score\tone\ttwo\n".to_owned() + &(from..from + 40).map(row).collect::<String>()
    };
    fixture.write("task/train.tsv", rows(0));
    fixture.write("task/dev.tsv", rows(40));
    let toml = "name='s'\nkind='regression'\ntext_a='one'\ntext_b='two'\nlabel='score'\nmetric='pearson'\n[files]\ntrain='train.tsv'\ndev='dev.tsv'\n";
    fixture.write("task/task.toml", toml);
    let (task, config) = (fixture.read_task(), config(&["train.epochs=2"]));
    let report = finish(&fixture.finetune(&task, &config, "out"));
    assert_eq!(report.baselines.bag_of_words, None);
    let error = report.baselines.majority.dev[&Metric::MeanSquaredError].unwrap();
    assert!((error - 4.0).abs() < 1e-9, "{error}");
    let predictor = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    let answer = &predictor.answer(&[Request::pair("red", "green")]).unwrap()[0];
    assert!(matches!(answer, Answer::Number(_)), "{answer:?}");
    assert!(answer.text().parse::<f64>().is_ok() && answer.probabilities().is_empty());
    let text = "one\ttwo\nred\tgreen\n".as_bytes();
    let rows = StreamInput::new(text, "rows", Format::Tsv);
    let with = StreamOptions { probabilities: Probabilities::Write, ..StreamOptions::default() };
    let result = predictor.stream(rows, Vec::new(), "out".as_ref(), &with, &mut |_| {});
    says(result, &["out", "does not predict classes", "no probabilities"]);
}

#[test]
fn a_classifier_with_hugging_faces_head_is_a_folder_that_transformers_loads() {
    let fixture = Fixture::new();
    let (task, config) =
        (fixture.read_task(), config(&["head.kind=hf", "head.pooling=first", "train.epochs=1"]));
    finish(&fixture.finetune(&task, &config, "out"));
    let described = hf::read_config(&fixture.path("out/model")).unwrap();
    assert_eq!(described.architecture, Architecture::ElectraForSequenceClassification);
    let labels = ["animal", "color"].map(str::to_owned).to_vec();
    assert_eq!(described.labels, Some(Labels::Classes(labels)));
    let names: Vec<_> = Pretrained::read(&fixture.path("out/model")).unwrap().tensors;
    for name in ["classifier.dense.weight", "classifier.out_proj.bias"] {
        assert!(names.iter().any(|(n, _)| n == name), "{name}");
    }
    let predictor = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    let answer = |predictor: &Predictor| predictor.answer(&texts(&["red green"])).unwrap();
    let before = answer(&predictor);
    model::export(&fixture.path("out"), &fixture.path("exported"), Existing::Refuse).unwrap();
    let exported = Predictor::open(&fixture.path("exported"), device_name()).unwrap();
    assert_eq!(answer(&exported), before);
    // An export replaces an earlier export.
    fixture.write("exported/generator/config.json", "{}");
    model::export(&fixture.path("out"), &fixture.path("exported"), Existing::Replace).unwrap();
    assert!(!fixture.path("exported/generator").exists());
    let refused = model::export(&fixture.path("out"), &fixture.path("task"), Existing::Replace);
    says(refused, &["task", "no config.json"]);
    let read = |name: &str| fs::read_to_string(fixture.path(name)).unwrap();
    assert_eq!(read("exported/README.md"), read("out/model/README.md"));
}

#[test]
fn the_model_card_has_task_training_and_scores() {
    let fixture = Fixture::new();
    for (kind, class) in
        [("reference", "AutoModel.from_pretrained"), ("hf", "AutoModelForSequenceClassification.")]
    {
        let (task, config) = (
            fixture.read_task(),
            config(&[&format!("head.kind={kind}"), "head.pooling=first", "train.epochs=2"]),
        );
        let mut finetune = fixture.finetune(&task, &config, kind);
        finetune.seeds = vec![3, 4];
        let report = finish(&finetune);
        let card = fs::read_to_string(fixture.path(kind).join("model/README.md")).unwrap();
        let score = |seed: usize| {
            let seed = &report.seeds[seed];
            let of = |scores: &Scores| scores[&Metric::Accuracy].unwrap();
            (seed.seed, of(&seed.dev), of(seed.test.as_ref().unwrap()))
        };
        let best = if report.best_seed == 3 { score(0) } else { score(1) };
        let lines = [
            "pipeline_tag: text-classification".to_owned(),
            "- accuracy".to_owned(),
            "      name: \"kinds\"".to_owned(),
            "    - type: accuracy".to_owned(),
            format!("      value: {:.4}", best.1),
            "# kinds".to_owned(),
            "| task | classification: animal, color |".to_owned(),
            "| examples | 64 training, 30 dev, 30 test |".to_owned(),
            format!("| base model | {} |", fixture.path("model").display()),
            format!("| seeds | 3, 4; this is the model of seed {} |", best.0),
            // 64 examples in batches of 16, twice.
            "| epochs | 2 (8 updates) |".to_owned(),
            "| batch | 16 examples |".to_owned(),
            format!("| seed 3 | {:.4} | {:.4} |", score(0).1, score(0).2),
            format!("| seed 4 | {:.4} | {:.4} |", score(1).1, score(1).2),
            format!(
                "| mean | {:.4} | {:.4} |",
                (score(0).1 + score(1).1) / 2.0,
                (score(0).2 + score(1).2) / 2.0
            ),
            // Half of the examples have each class, and no word is in both.
            "| majority | 0.5000 | 0.5000 |".to_owned(),
            "| bag of words | 1.0000 | 1.0000 |".to_owned(),
        ];
        assert!(card.starts_with("---\nlibrary_name: transformers\n"), "{card}");
        for line in lines {
            assert!(card.lines().any(|found| found == line), "{line:?} is not in {card}");
        }
        let hardware = format!("| hardware | {}, ", device_name());
        for part in ["| learning rate | peak 0.001", &hardware, class, "electra predict"] {
            assert!(card.contains(part), "{part:?} is not in {card}");
        }
    }
}

#[test]
fn the_references_head_cannot_be_exported() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    finish(&fixture.finetune(&task, &config, "out"));
    let export = model::export(&fixture.path("out"), &fixture.path("exported"), Existing::Refuse);
    let error = export.unwrap_err().to_string();
    for word in ["the reference's head", "no class for", "--set head.kind=hf"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(!fixture.path("exported").exists());
    let mean = config_error(&["head.kind=hf", "head.pooling=mean"]);
    assert!(mean.contains("head.pooling") && mean.contains("\"first\""), "{mean}");
}

/// A classifier of transformers gives the same predictions: the expected logits are those of the fixture's third row,
/// `[CLS] w12 [SEP]`, with the config of classes and of sets of labels.
#[test]
fn a_classifier_of_transformers_is_adopted() {
    let source = root().join("tests/fixtures/foreign/classifier");
    let expected = electra_model::tensors::read(&source.join("expected.safetensors")).unwrap();
    let (_, logits) = expected.iter().find(|(name, _)| name == "logits").unwrap();
    let close = |found: &[f32], expected: tch::Tensor| {
        let expected = Vec::<f32>::try_from(expected).unwrap();
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(&expected) {
            approx::assert_abs_diff_eq!(a, b, epsilon = 1e-5);
        }
    };
    let dir = foreign("classifier");
    let adopt =
        |dir: &Path| Kinds::default().adopt(dir, "replies", &["text".to_owned()], Version::V1);
    assert!(adopt(dir.path()).unwrap());
    let predictor = Predictor::open(dir.path(), device_name()).unwrap();
    let found = &predictor.answer(&texts(&["w12"])).unwrap()[0];
    close(found.probabilities(), logits.get(2).softmax(-1, tch::Kind::Float));
    assert!(["no", "maybe", "yes"].contains(&found.text().as_str()));

    let path = dir.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let sets = "\"problem_type\": \"multi_label_classification\", \"vocab_size\"";
    fs::write(&path, config.replace("\"vocab_size\"", sets)).unwrap();
    assert!(adopt(dir.path()).unwrap());
    let predictor = Predictor::open(dir.path(), device_name()).unwrap();
    let found = &predictor.answer(&texts(&["w12"])).unwrap()[0];
    close(found.probabilities(), logits.get(2).sigmoid());
    let held = ["no", "maybe", "yes"].iter().zip(found.probabilities()).filter(|(_, p)| **p >= 0.5);
    assert_eq!(found.text(), held.map(|(name, _)| *name).collect::<Vec<_>>().join(","));

    // The separator of labels in a table does not occur in a label.
    let named = |name: &str| {
        fs::write(&path, config.replace("\"vocab_size\"", sets).replace("maybe", name)).unwrap();
        adopt(dir.path())?;
        let RequestForm::Rows { separator, .. } =
            Predictor::open(dir.path(), device_name())?.form()
        else {
            panic!("it is of rows")
        };
        Ok::<_, electra_tasks::Error>(separator)
    };
    assert_eq!(named("well, no").unwrap(), ";");
    assert_eq!(named("no, no; yes").unwrap(), "|");
    says(named("a,b;c|d / e"), &["no separator is left"]);
    says(named("a\\tb"), &["\"a\\tb\"", "a tab"]);
}
