//! Every task of GLUE from its files to the leaderboard's archive, with a tiny encoder of random weights.

use crate::{device_name, e2e::turn, glue::write, root, says, train_device};
use electra_model::Parts;
use electra_model::{
    ElectraConfig, EncoderConfig,
    hf::{self, Architecture, Pretrained},
};
use electra_scores::glue::{
    self, TASKS, Training,
    submission::{ARCHIVE, Origin, Written, runs},
};
use electra_tasks::{
    Completion, Finetune, FinetuneConfig, Kinds, Predictor, Report, Request, Weights,
    submit::{Archive, Missing, RowCounts, Submit},
};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use electra_train::Existing;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{MutexGuard, atomic::AtomicBool},
};

/// Rows of each file.
const ROWS: usize = 7;

/// A folder with GLUE's files in `glue` and the sizes of an encoder in `model`.
struct Fixture {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), _turn: turn() };
        for task in &TASKS {
            write(&fixture.path("glue"), task, ROWS);
        }
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let words = special.into_iter().chain(["a", "b", "red", "green", "\"", ",", "0", "1"]);
        let vocab = Vocab::from_tokens(words.map(str::to_owned).collect()).unwrap();
        let encoder = EncoderConfig {
            embedding_size: 8,
            max_positions: 32,
            layers: 1,
            hidden: 8,
            heads: 2,
            intermediate: 16,
            ..ElectraConfig::small(vocab.len() as i64).discriminator
        };
        let model = fixture.path("model");
        fs::create_dir_all(&model).unwrap();
        let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
        tokenizer.write_pretrained(&model, 32).unwrap();
        let config = hf::Config::new(Architecture::ElectraModel, encoder, 0);
        hf::write(&model, &config, &[]).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fine-tunes `task` in `runs/TASK`.
    fn finetune(&self, task: &str, weights: Weights, model: &Path, set: &[&str]) -> Report {
        let (task, data) = glue::open(task, &self.path("glue")).unwrap();
        let set: Vec<String> =
            [train_device(), "train.epochs=1"].iter().chain(set).map(|&s| s.to_owned()).collect();
        let config =
            FinetuneConfig::read(&root().join("configs/finetune-tiny.toml"), &set).unwrap();
        let out = self.path("runs").join(&task.name);
        let mut finetune = Finetune::new(&task, data, model, &config, out);
        finetune.weights = weights;
        match finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap() {
            Completion::Finished(report) => *report,
            Completion::Stopped => panic!("the run was not stopped"),
        }
    }

    fn random(&self, task: &str) -> Report {
        self.finetune(task, Weights::Random, &self.path("model"), &[])
    }

    fn submit(&self, missing: Missing) -> Submit {
        let folder = self.path("runs");
        Submit {
            data: self.path("glue"),
            runs: if folder.is_dir() { runs(&folder).unwrap() } else { BTreeMap::new() },
            out: self.path("out"),
            existing: Existing::Refuse,
            missing,
            rows: RowCounts::AsGiven,
            archive: Archive::Omit,
            device: device_name().to_owned(),
            kinds: Kinds::default(),
            parts: Parts::shipped(),
        }
    }

    /// The predictions in the table `file` of `out`.
    fn predictions(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("out").join(file)).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("index\tprediction"), "{file}");
        let prediction = |(n, line): (usize, &str)| {
            let (index, prediction) = line.split_once('\t').unwrap();
            assert_eq!(index, n.to_string(), "{file}");
            prediction.to_owned()
        };
        lines.enumerate().map(prediction).collect()
    }
}

fn run(submit: &Submit) -> electra_tasks::Result<Vec<Written>> {
    submit.run(&mut |_, _| {})
}

#[test]
fn every_task_is_learned_and_submitted() {
    let fixture = Fixture::new();
    for task in TASKS.iter().filter(|task| matches!(task.training, Training::Files { .. })) {
        let report = fixture.random(task.name);
        let doubled = if ["mrpc", "stsb"].contains(&task.name) { 2 } else { 1 };
        assert_eq!((report.examples.train, report.examples.dev), (doubled * ROWS, ROWS));
        let more = report.best(|seed| Some(seed.more_dev.len()));
        assert_eq!(more, Some(usize::from(task.name == "mnli")), "{}", task.name);
    }
    let submit = Submit { archive: Archive::Zip, ..fixture.submit(Missing::Refuse) };
    let written = run(&submit).unwrap();
    assert_eq!(written.len(), 11);
    for table in &written {
        let model = match table.task.name {
            "ax" => fixture.path("runs/mnli/model"),
            name => fixture.path("runs").join(name).join("model"),
        };
        assert_eq!(table.origin, Origin::Model(model.clone()), "{}", table.file);
        let found = fixture.predictions(table.file);
        // The predictions for single texts.
        let predictor = Predictor::open(&model, device_name()).unwrap();
        let pairs = table.task.text_b.is_some();
        for (n, found) in found.iter().enumerate() {
            let (a, b) = (format!("\"a red green, {n}"), format!("\"b red green, {n}"));
            let request = if pairs { Request::pair(&a, &b) } else { Request::text(&a) };
            let answer = &predictor.answer(&[request]).unwrap()[0].text();
            match table.task.name {
                "stsb" => {
                    let expected = answer.parse::<f64>().unwrap().clamp(0.0, 5.0);
                    assert!((found.parse::<f64>().unwrap() - expected).abs() < 6e-4, "{found}");
                }
                _ => assert_eq!(found, answer, "{} {n}", table.file),
            }
        }
        assert_eq!(found.len(), ROWS);
    }
    // The archive has the tables' bytes.
    let file = fs::File::open(fixture.path("out").join(ARCHIVE)).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    assert_eq!(archive.len(), 11);
    for table in &written {
        let mut text = String::new();
        let mut member = archive.by_name(table.file).unwrap();
        std::io::Read::read_to_string(&mut member, &mut text).unwrap();
        assert_eq!(text, fs::read_to_string(fixture.path("out").join(table.file)).unwrap());
    }
    // Only a submission is replaced, and only with `Existing::Replace`.
    says(run(&submit), &["not empty"]);
    run(&Submit { existing: Existing::Replace, ..submit }).unwrap();

    // A model of another task, or with other labels, is an error.
    let mut other = fixture.submit(Missing::Refuse);
    other.out = fixture.path("other");
    other.runs.insert("rte", fixture.path("runs/qnli"));
    says(run(&other), &["qnli", "not of \"rte\""]);
    let path = fixture.path("runs/wnli/model/task.json");
    let info = fs::read_to_string(&path).unwrap();
    fs::write(&path, info.replace("\"0\"", "\"no\"")).unwrap();
    says(run(&fixture.submit(Missing::Refuse)), &["wnli", "\"no\"", "leaderboard takes"]);
    assert!(!fixture.path("other").exists());
}

#[test]
fn missing_tables_are_listed_or_filled() {
    let fixture = Fixture::new();
    fixture.random("rte");
    fs::remove_file(fixture.path("glue/WNLI/test.tsv")).unwrap();
    let message = run(&fixture.submit(Missing::Refuse)).unwrap_err().to_string();
    for word in [
        "all 11 tables",
        "of 10 is missing",
        "CoLA.tsv (no run of cola)",
        "AX.tsv (no run of mnli)",
    ] {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains("RTE.tsv"), "{message}");
    assert!(!fixture.path("out").exists());

    let written = run(&fixture.submit(Missing::Majority)).unwrap();
    // In 7 rows with the labels in turn, the first label is the most frequent; the numbers are 0.0, 1.1, 2.2, 3.3, 4.4,
    // 0.5, 1.6.
    for (file, answer) in [
        ("CoLA.tsv", "0"),
        ("QNLI.tsv", "entailment"),
        ("MNLI-mm.tsv", "contradiction"),
        ("AX.tsv", "contradiction"),
        ("STS-B.tsv", "1.871"),
    ] {
        assert_eq!(fixture.predictions(file), vec![answer; ROWS], "{file}");
    }
    // For a missing test file the official number of rows is used.
    assert_eq!(fixture.predictions("WNLI.tsv"), vec!["0"; 146]);
    let model = Origin::Model(fixture.path("runs/rte/model"));
    let models: Vec<&str> =
        written.iter().filter(|table| table.origin == model).map(|table| table.file).collect();
    assert_eq!(models, ["RTE.tsv"]);
    fs::remove_file(fixture.path("glue/SST-2/train.tsv")).unwrap();
    let again = Submit { out: fixture.path("again"), ..fixture.submit(Missing::Majority) };
    says(run(&again), &["SST-2/train.tsv"]);
    assert!(!fixture.path("again").exists());
}

#[test]
fn test_files_that_the_leaderboard_would_not_match() {
    let fixture = Fixture::new();
    let submit = fixture.submit(Missing::Majority);
    says(
        run(&Submit { rows: RowCounts::Official, ..submit.clone() }),
        &["CoLA/test.tsv", "has 7 rows", "1063"],
    );
    let path = fixture.path("glue/RTE/test.tsv");
    let whole = fs::read_to_string(&path).unwrap();
    let fails = |text: String, words: &[&str]| {
        fs::write(&path, text).unwrap();
        says(run(&submit), words);
    };
    // A duplicate index, a missing index, a malformed row.
    fails(whole.replace("\n4\t", "\n3\t"), &["RTE/test.tsv:6", "\"3\"", "is not 4", "duplicates"]);
    fails(whole.replace("\n4\t", "\n5\t"), &["RTE/test.tsv:6", "\"5\"", "without gaps"]);
    fails(whole.replace("green, 2\t", "green,\n2\t"), &["RTE/test.tsv:4", "2 columns"]);
    assert!(!fixture.path("out").exists());

    says(runs(&fixture.path("nowhere")), &["nowhere"]);
    fs::create_dir_all(fixture.path("some/notes")).unwrap();
    says(runs(&fixture.path("some")), &["some", "no folder", "cola, sst2"]);
    fs::create_dir_all(fixture.path("some/SST-2")).unwrap();
    fs::create_dir_all(fixture.path("some/sst")).unwrap();
    says(runs(&fixture.path("some")), &["is also a run of sst2"]);
}

/// MNLI, then RTE from its model (as in the paper for GLUE's test set), then WNLI: the encoder is kept, the head is
/// new.
#[test]
fn a_fine_tuned_model_gives_its_encoder_to_the_next_task() {
    for head in ["head.kind=reference", "head.kind=hf"] {
        let fixture = Fixture::new();
        let set = [head, "head.pooling=first"];
        fixture.finetune("mnli", Weights::Random, &fixture.path("model"), &set);
        for (first, second) in [("mnli", "rte"), ("rte", "wnli")] {
            let [first_model, second_model] =
                [first, second].map(|task| fixture.path("runs").join(task).join("model"));
            // The updates are negligible, so the weights are the initial ones; another seed draws another head.
            let seed = format!("train.seed={}", second.len());
            let set = [head, "head.pooling=first", "optimizer.learning_rate=1e-30", &seed];
            fixture.finetune(second, Weights::Pretrained, &first_model, &set);
            let [before, after] =
                [first_model, second_model].map(|dir| Pretrained::read(&dir).unwrap().tensors);
            assert_eq!(before.len(), after.len());
            let mut new = 0;
            for ((name, a), (other, b)) in before.iter().zip(&after) {
                assert_eq!(name, other);
                let same = a.size() == b.size() && (a - b).abs().max().double_value(&[]) < 1e-20;
                assert!(same || !name.starts_with("electra."), "{head} {second} {name}");
                new += usize::from(!same);
            }
            // The matrices are drawn anew; for other numbers of classes the biases have other sizes too.
            assert!(new >= 1, "{head} {second}");
        }
    }
}
