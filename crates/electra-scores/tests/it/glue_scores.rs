//! Scores of predictions for GLUE's files, in their official layouts, and the averages over tasks.

use crate::says;
use approx::assert_relative_eq;
use electra_scores::{
    Metric, Scores,
    glue::{Average, TASKS, Training, average, find, read_scores, score},
};
use std::fs;

/// Scores of predictions (`index<TAB>prediction` rows) against a gold file's text.
fn scored(task: &str, gold: &str, predictions: &str) -> electra_scores::Result<Scores> {
    let dir = tempfile::tempdir().unwrap();
    let (gold_path, path) = (dir.path().join("dev.tsv"), dir.path().join("preds.txt"));
    fs::write(&gold_path, gold).unwrap();
    fs::write(&path, format!("index\tprediction\n{predictions}")).unwrap();
    score(find(task).unwrap(), &gold_path, &path)
}

#[track_caller]
fn check(task: &str, gold: &str, predictions: &str, expected: &[(Metric, f64)]) {
    let found = scored(task, gold, predictions).unwrap();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (metric, expected) in expected {
        assert_relative_eq!(found[metric].unwrap(), expected, epsilon = 1e-12);
    }
}

/// No header; two of four right, one false of each kind: no correlation.
#[test]
fn cola_has_no_header_and_matthews() {
    let gold = "s\t1\t\tA.\ns\t1\t\tB \"c.\ns\t0\t*\tC.\ns\t0\t*\tD.\n";
    check("cola", gold, "0\t1\n1\t0\n2\t1\n3\t0\n", &[(Metric::Matthews, 0.0)]);
    check("CoLA", gold, "3\t0\n2\t0\n1\t1\n0\t1\n", &[(Metric::Matthews, 1.0)]);
}

/// One true positive, one false one and one false negative of three: accuracy 1/3, F1 2/4.
#[test]
fn mrpc_has_a_byte_order_mark_accuracy_and_f1() {
    let gold = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tA\tB\n0\t1\t2\tA\tB\n1\t1\t2\tA\tB\n";
    let expected = [(Metric::Accuracy, 1.0 / 3.0), (Metric::F1, 0.5)];
    check("mrpc", gold, "0\t1\n1\t1\n2\t0\n", &expected);
}

/// Extra columns in a file of predictions, as from `electra predict --probabilities`, are ignored.
#[test]
fn words_are_compared_and_rows_without_gold_are_not_scored() {
    let gold = "index\tquestion\tsentence\tlabel\n0\tq\ts\tentailment\n1\tq\ts\tnot_entailment\n";
    check("qnli", gold, "0\tentailment\n1\tentailment\n", &[(Metric::Accuracy, 0.5)]);
    let row = |label| format!("0{}\t{label}\n", "\t".repeat(10));
    let header = "index\tpromptID\tpairID\tgenre\tb1\tb2\tp1\tp2\tsentence1\tsentence2\tlabel1\tgold_label\n";
    let gold = header.to_owned() + &row("neutral") + &row("-") + &row("contradiction");
    check("mnli", &gold, "0\tneutral\n2\tcontradiction\n", &[(Metric::Accuracy, 1.0)]);
}

#[test]
fn correlations_of_a_constant_are_undefined() {
    let row = |score| format!("0\tg\tf\ty\t0\ta\tb\ts\tt\t{score}\n");
    let header =
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n";
    let gold = header.to_owned() + &row("1.000") + &row("2.000") + &row("4.000");
    // Ranks 1 2 3 on both sides; of 1 2 4 with 0 1 2, sums of products 3, of squares 14/3 and 2.
    let pearson = 3.0 / (14.0f64 / 3.0 * 2.0).sqrt();
    check(
        "stsb",
        &gold,
        "0\t0\n1\t1.0\n2\t2e0\n",
        &[(Metric::Pearson, pearson), (Metric::Spearman, 1.0)],
    );
    let constant = scored("stsb", &gold, "0\t1\n1\t1\n2\t1\n").unwrap();
    assert_eq!(constant, Scores::from([(Metric::Pearson, None), (Metric::Spearman, None)]));
    for wrong in ["NaN", "inf", "much", ""] {
        says(
            scored("stsb", &gold, &format!("0\t1\n1\t{wrong}\n2\t1\n")),
            &["preds.txt:3", &format!("{wrong:?}"), "finite"],
        );
    }
}

#[test]
fn predictions_that_do_not_fit_the_gold_file() {
    let gold = "sentence\tlabel\nA .\t1\nB .\t0\n";
    let fails = |predictions: &str, words: &[&str]| says(scored("sst2", gold, predictions), words);
    fails("0\t1\n", &["preds.txt", "no prediction for index 1", "missing predictions: 1"]);
    fails("0\t1\n1\t0\n2\t0\n", &["preds.txt:4", "index \"2\"", "dev.tsv", "0 to 1"]);
    fails("0\t1\n-1\t0\n", &["preds.txt:3", "\"-1\""]);
    fails("0\t1\n0\t1\n", &["preds.txt:3", "index 0", "line 2"]);
    fails("0\t1\n1\tnegative\n", &["preds.txt:3", "\"negative\"", "task's labels", "0, 1"]);
    fails("0\t1\n1\n", &["preds.txt:3", "1 columns", "2"]);
    let with_gold = |gold: &str, words: &[&str]| says(scored("sst2", gold, "0\t1\n"), words);
    with_gold("sentence\tlabel\nA .\t2\n", &["dev.tsv:2", "\"2\"", "label"]);
    with_gold("sentence\tlabels\nA .\t1\n", &["dev.tsv:1", "did you mean \"labels\""]);
    with_gold("sentence\tlabel\n", &["dev.tsv", "no labeled row"]);
    with_gold("sentence\tlabel\nA .\n", &["dev.tsv", "1 of 1 rows cannot be used", "1 columns"]);
}

/// All 0.5, but MRPC's F1 0.9 and accuracy 0.7, MNLI 0.4 and 0.8, WNLI 1: by hand, the task means are 0.5 five times
/// (CoLA, SST-2, STS-B, QQP, QNLI, RTE: six), 0.8, 0.6 and 1.
#[test]
fn averages_are_over_tasks_not_over_metrics() {
    let mut scores = Vec::new();
    for task in TASKS.iter().filter(|task| matches!(task.training, Training::Files { .. })) {
        let values = |value: f64| {
            let metric = |&metric: &Metric| match (task.name, metric) {
                ("mrpc", Metric::F1) => (metric, Some(0.9)),
                ("mrpc", _) => (metric, Some(0.7)),
                _ => (metric, Some(value)),
            };
            task.metrics.iter().map(metric).collect::<Scores>()
        };
        match task.name {
            "mnli" => scores.extend([(task, values(0.4)), (task, values(0.8))]),
            "wnli" => scores.push((task, values(1.0))),
            _ => scores.push((task, values(0.5))),
        }
    }
    assert_eq!(scores.len(), 10);
    let check = |rule, expected: f64| {
        assert_relative_eq!(average(&scores, rule).unwrap(), expected, epsilon = 1e-12);
    };
    check(Average::Leaderboard, (6.0 * 0.5 + 0.8 + 0.6 + 1.0) / 9.0);
    check(Average::WithoutWnli, (6.0 * 0.5 + 0.8 + 0.6) / 8.0);
    check(Average::Paper, (6.0 * 0.5 + 0.7 + 0.4) / 8.0);

    let matched: Vec<_> =
        scores.iter().filter(|(_, s)| s.values().all(|x| *x != Some(0.8))).cloned().collect();
    assert_eq!(matched.len(), 9);
    assert!(average(&matched, Average::Paper).is_ok());
    says(average(&matched, Average::Leaderboard), &["1 files", "2 for mnli"]);
    says(average(&scores[1..], Average::Paper), &["0 files", "1 for cola"]);
    scores[0].1 = Scores::from([(Metric::Matthews, None)]);
    says(average(&scores, Average::Paper), &["matthews of cola"]);
}

#[test]
fn scores_are_read_as_they_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.json");
    let printed = Scores::from([(Metric::Pearson, Some(0.1 + 0.2)), (Metric::Spearman, None)]);
    fs::write(&path, serde_json::to_string(&printed).unwrap()).unwrap();
    assert_eq!(read_scores(&path).unwrap(), printed);
    fs::write(&path, "{\"acuracy\": 1}").unwrap();
    says(read_scores(&path), &["scores.json", "acuracy", "did you mean \"accuracy\""]);
}
