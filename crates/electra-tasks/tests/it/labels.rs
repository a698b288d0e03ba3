//! Warnings and counts of the data that is read: labels with their numbers, truncated texts, weights and scores of classes.

use crate::{
    described, device, device_name,
    e2e::{Fixture, TASK, config, finish, turn},
    root, says,
};
use approx::assert_abs_diff_eq;
use electra_model::{EncoderConfig, EncoderSizes, Parts};
use electra_scores::{Label, LabelSpace, MatchCounts, Metric, SentenceTask};
use electra_tasks::{
    FinetuneConfig, HeadNet, HeadSite, Predictor, Report,
    batch::Input,
    body::Body,
    head::HeadInput,
    kinds::sentence::SentenceNet,
    predictor::{StreamInput, StreamOptions},
    summary::{LabelCount, TextUnit, Truncated},
};
use std::fs;
use tch::nn;

/// Three animals for each color, one class with a single row; dev is the training file, test is of other texts.
fn unbalanced(keys: &str) -> (Fixture, SentenceTask) {
    let fixture = Fixture::new();
    let texts = ["fox bird", "bear fox", "fish bear fox bird", "red green", "."];
    let labels = ["animal", "animal", "animal", "color", "other"];
    let rows = texts.iter().zip(labels).map(|(text, label)| format!("{text}\t{label}\n"));
    let rows = "text\tlabel\n".to_owned() + &rows.collect::<String>();
    fixture.write("task/train.tsv", &rows);
    fixture.write("task/dev.tsv", &rows);
    fixture.write("task/test.tsv", "text\tlabel\nblue\tcolor\nfox bird\tanimal\n");
    fixture.write("task/task.toml", TASK.replace("[files]", &format!("{keys}\n[files]")));
    let task = described(&fixture.path("task"));
    (fixture, task)
}

#[test]
fn labels_and_truncated_texts_are_counted_for_every_split() {
    let (fixture, task) = unbalanced("class_weights = \"balanced\"");
    let config = config(&["train.epochs=1", "train.max_length=5"]);
    let report = finish(&fixture.finetune(&task, &config, "out"));
    let count = |label: &str, count, weight| LabelCount { label: label.to_owned(), count, weight };
    let [train, dev, test] = &report.data[..] else { panic!("{:?}", report.data) };
    // Balanced: 5 / (3 * 3), 5 / (3 * 1).
    let (often, rare) = (Some(5.0 / 9.0), Some(5.0 / 3.0));
    let weighted = [count("animal", 3, often), count("color", 1, rare), count("other", 1, rare)];
    assert_eq!(train.labels, weighted);
    assert_eq!(
        dev.labels,
        [count("animal", 3, None), count("color", 1, None), count("other", 1, None)]
    );
    assert_eq!(
        test.labels,
        [count("animal", 1, None), count("color", 1, None), count("other", 0, None)]
    );
    let of = |count, texts, longest| Truncated {
        unit: TextUnit::Texts,
        count,
        texts,
        longest,
        limit: 5,
    };
    // Each word is one token, besides [CLS] and [SEP].
    assert_eq!((train.truncated, dev.truncated), (of(1, 5, 6), of(1, 5, 6)));
    assert_eq!(test.truncated, of(0, 2, 4));
    assert_eq!((train.in_train, dev.in_train, test.in_train), (0, 5, 1));
    assert_eq!([&train.split, &dev.split, &test.split], ["train", "dev", "test"]);
    assert_eq!(
        train.truncated.message().unwrap(),
        "1 of 5 texts (20.0 %) are truncated to 5 tokens; the longest has 6"
    );
    // The same in results.json and in the report.
    let text = fs::read_to_string(fixture.path("out/results.json")).unwrap();
    let read: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(read.data, report.data);
    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    for part in ["<h2>Data</h2>", "1 of 5 texts (20.0 %)", "1.6667"] {
        assert!(html.contains(part), "{part:?} is not in {html}");
    }
    // One seed has no spread.
    assert!(!html.contains("median"), "{html}");
    let card = fs::read_to_string(fixture.path("out/model/README.md")).unwrap();
    assert!(!card.contains("standard deviation") && card.contains("seed 1"), "{card}");
}

#[test]
fn each_class_has_its_scores_in_files_results_and_report() {
    let (fixture, task) = unbalanced("labels = [\"other\", \"color\", \"animal\"]");
    let mut task = task;
    task.metric = Metric::MacroF1;
    let config = config(&["train.epochs=1"]);
    let report = finish(&fixture.finetune(&task, &config, "out"));
    let seed = &report.seeds[0];
    let dir = fixture.path("out/seed-1/dev");
    let second = |path: &std::path::Path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
    };
    let (gold, predicted) =
        (second(&fixture.path("task/dev.tsv")), second(&dir.join("predictions.tsv")));
    let names = ["other", "color", "animal"];
    assert_eq!(seed.dev_by_label.iter().map(|of| &of.label[..]).collect::<Vec<_>>(), names);
    let mut sum = 0.0;
    for of in &seed.dev_by_label {
        let count = |labels: &[String]| labels.iter().filter(|label| **label == of.label).count();
        let pairs = gold.iter().zip(&predicted);
        let right = pairs.filter(|(a, b)| a == b && **a == of.label).count();
        let counts = MatchCounts { gold: count(&gold), predicted: count(&predicted), right };
        assert_eq!((of.gold, of.predicted, of.right), (counts.gold, counts.predicted, right));
        assert_eq!(
            (of.precision, of.recall, of.f1),
            (counts.precision(), counts.recall(), counts.f1())
        );
        sum += of.f1;
    }
    // All classes are in the dev file.
    assert_abs_diff_eq!(seed.dev[&Metric::MacroF1].unwrap(), sum / 3.0, epsilon = 1e-12);
    assert_eq!(report.dev.unwrap().mean, sum / 3.0);
    assert_eq!(seed.test_by_label.len(), 3);
    let table = fs::read_to_string(dir.join("classes.tsv")).unwrap();
    assert!(table.starts_with("class\tprecision\trecall\tf1\tgold\tpredicted\tright\nother\t"));
    assert!(
        fs::read_to_string(fixture.path("out/report.html")).unwrap().contains("<h2>Classes</h2>")
    );
}

/// The loss of a row is the cross-entropy times the weight of its class.
#[test]
fn weights_of_classes_multiply_the_losses() {
    let _turn = turn();
    let path = root().join("configs/finetune-tiny.toml");
    let config = FinetuneConfig::read(&path, &["head.dropout=0.0".to_owned()]).unwrap().head;
    let sizes = EncoderSizes { layers: 1, hidden: 8, heads: 2, intermediate: 8 };
    let encoder = EncoderConfig::electra(20, 8, sizes);
    let vs = nn::VarStore::new(device());
    let body = Body::new(&vs.root(), &encoder, &Parts::shipped(), 0).unwrap();
    let space = LabelSpace::Classes(["a", "b", "c"].map(str::to_owned).to_vec());
    let site = |path: &nn::Path<'_>| {
        SentenceNet::new(&HeadSite::new(path, &encoder, &config), &space).unwrap()
    };
    let plain = site(&(vs.root() / "plain"));
    let weights = [0.5, 2.0, 4.0];
    let weighted = site(&(vs.root() / "weighted")).with_weights(Some(&weights));
    let mut variables = vs.variables();
    for (name, tensor) in vs.variables() {
        if let Some(rest) = name.strip_prefix("plain") {
            let other = variables.get_mut(&format!("weighted{rest}")).unwrap();
            tch::no_grad(|| other.copy_(&tensor));
        }
    }
    let inputs: Vec<Input> =
        (5..8).map(|id| Input { ids: vec![2, id, 3], segment_b_start: 3 }).collect();
    let batch = body.tensors(&inputs.iter().collect::<Vec<_>>());
    let hidden_bsh = &body.forward_t(&batch, false);
    let x = HeadInput { hidden_bsh, batch: &batch, train: false };
    let labels = [2, 0, 1].map(Label::Class);
    let labels: Vec<&Label> = labels.iter().collect();
    let of = |net: &SentenceNet| Vec::<f32>::try_from(net.losses(&x, &labels).losses_b).unwrap();
    for ((weighted, plain), weight) in of(&weighted).iter().zip(of(&plain)).zip([4.0, 0.5, 2.0]) {
        assert_abs_diff_eq!(*weighted, plain * weight, epsilon = 1e-5);
    }
}

#[test]
fn weights_that_do_not_suit_the_classes() {
    let (fixture, task) = unbalanced("class_weights = { animal = 1.0, color = 2.0 }");
    let config = config(&["train.epochs=1"]);
    let run = || fixture.finetune(&task, &config, "out").run(&false.into(), &mut |_| {});
    says(run(), &["class_weights", "no weight for the class \"other\""]);
    let regression = TASK.replace("\"classification\"", "\"regression\"");
    let regression = regression.replace("\"accuracy\"", "\"pearson\"");
    fixture.write(
        "task/task.toml",
        regression.replace("[files]", "class_weights = \"balanced\"\n[files]"),
    );
    let read = electra_tasks::Kinds::default().read(&fixture.path("task"), &[]);
    says(read, &["class_weights = balanced", "has no classes"]);
}

#[test]
fn texts_that_are_truncated_in_prediction_are_counted() {
    let (fixture, task) = unbalanced("");
    let config = config(&["train.epochs=1", "train.max_length=5"]);
    finish(&fixture.finetune(&task, &config, "out"));
    let predictor = Predictor::open(&fixture.path("out"), device_name()).unwrap();
    fixture.write(
        "new.tsv",
        "text\nred\nred green blue black\nfox bird bear\nred green blue black fox\n",
    );
    let options = StreamOptions { window: 1, ..StreamOptions::default() };
    let input = StreamInput::open(&fixture.path("new.tsv")).unwrap();
    let report =
        predictor.stream(input, Vec::new(), "out".as_ref(), &options, &mut |_| {}).unwrap();
    let Truncated { count, texts, longest, limit, .. } = report.truncated;
    assert_eq!((count, texts, longest, limit), (2, 4, 7, 5));
}
