//! FLOPs of a config, of the published models and of runs.

use crate::{electra, errors::fails, output, root};
use serde_json::{Value, json};
use std::{fs, path::Path};

#[test]
fn flops_prints_a_table_and_json() {
    let dir = Path::new(".");
    let json: serde_json::Value =
        serde_json::from_str(&output(dir, "flops configs/pretrain-small.toml --json --memory 4GB"))
            .unwrap();
    // 1.2937e18 by the reference's script.
    assert!((json["flops_of_run"].as_f64().unwrap() / 1.2937e18 - 1.0).abs() < 1e-4, "{json}");
    assert!(output(dir, "flops configs/pretrain-small.toml").contains("1.2937e18"));
    assert!((json["product_flops_per_token"].as_f64().unwrap() / 0.070e9 - 1.0).abs() < 0.01);

    let number = |key: &str| json[key].as_f64().unwrap();
    assert_eq!(number("parameter_bytes"), 4.0 * number("parameters"));
    assert_eq!(number("moment_bytes"), 8.0 * number("parameters"));
    assert_eq!(number("memory_bytes"), 4e9);
    assert!(number("step_bytes") > number("process_bytes") + 16.0 * number("parameters"));
    assert!(number("largest_batch_size") > 8.0, "{json}");
    electra(dir, "flops configs/pretrain-small.toml --memory much").failure().code(2);
}

fn parsed(dir: &Path, line: &str) -> Value {
    serde_json::from_str(&output(dir, line)).unwrap()
}

/// The row of a name.
#[track_caller]
fn row<'a>(rows: &'a Value, name: &str) -> &'a Value {
    let found = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {rows}"))
}

/// The lines of a table, with one space between words.
fn lines(table: &str) -> Vec<String> {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What the reference's script prints, in the digits of its published results, then in the paper's two digits. The paper
/// has 3.3e18 for ELMo and 1.4e18 for ELECTRA-Small, unlike its script.
#[test]
fn flops_of_published_models_are_the_references() {
    let rows = &parsed(Path::new("."), "flops --published --json")["published"];
    let check = |name: &str, script: &str, paper: &str| {
        let flops = row(rows, name)["flops"].as_f64().unwrap();
        let digits = script.find('e').unwrap() - 2;
        assert_eq!(format!("{flops:.digits$e}"), script, "{name}");
        assert_eq!(format!("{flops:.1e}"), paper, "{name}");
    };
    check("ELMo", "3.411e18", "3.4e18");
    check("GPT", "3.969e19", "4.0e19");
    check("BERT-Small", "1.4187e18", "1.4e18");
    check("BERT-Base", "6.428e19", "6.4e19");
    check("BERT-Large", "1.917e20", "1.9e20");
    check("XLNet-Large", "3.857e21", "3.9e21");
    check("RoBERTa-Large", "3.187e21", "3.2e21");
    check("ALBERT-xxlarge", "3.114e22", "3.1e22");
    check("SpanBERT-Large", "7.1e20", "7.1e20");
    check("ELECTRA-Small", "1.2937e18", "1.3e18");
    check("ELECTRA-Base", "6.4245e19", "6.4e19");
    check("ELECTRA-400K", "7.118e20", "7.1e20");
    check("ELECTRA-1.75M", "3.114e21", "3.1e21");
}

/// Shares, parameters and scores of Clark et al. 2020, Tables 1, 2 and 4, and of He et al. 2021.
#[test]
fn published_models_have_their_papers_numbers() {
    let rows = &parsed(Path::new("."), "flops --published --json")["published"];
    let check = |name: &str, share: f64, millions: f64, glue: Option<f64>, squad: [Value; 2]| {
        let row = row(rows, name);
        assert_eq!(row["trained_tokens"], share, "{name}");
        let parameters = row["parameters"].as_u64().unwrap() as f64 / 1e6;
        assert!((parameters - millions).abs() < 1e-6, "{name}: {parameters}");
        assert_eq!(row["glue"], json!(glue), "{name}");
        assert_eq!([&row["squad_1_1"], &row["squad_2_0"]], [&squad[0], &squad[1]], "{name}");
    };
    let none = || Value::Null;
    let squad = |exact_match: f64, f1: f64| json!({ "exact_match": exact_match, "f1": f1 });
    check("ELMo", 1.0, 96.0, Some(71.2), [none(), none()]);
    check("GPT", 1.0, 117.0, Some(78.8), [none(), none()]);
    check("BERT-Small", 0.15, 14.0, Some(75.1), [none(), none()]);
    check("BERT-Base", 0.15, 110.0, Some(82.2), [squad(80.8, 88.5), none()]);
    check("BERT-Large", 0.15, 335.0, Some(84.0), [squad(84.1, 90.9), squad(79.0, 81.8)]);
    check("XLNet-Large", 1.0 / 6.0, 360.0, Some(89.1), [squad(89.7, 95.1), squad(87.9, 90.6)]);
    check("RoBERTa-Large", 0.15, 356.0, Some(88.9), [squad(88.9, 94.6), squad(86.5, 89.4)]);
    check("SpanBERT-Large", 0.15, 335.0, None, [squad(88.8, 94.6), squad(85.7, 88.7)]);
    check("ELECTRA-Small", 1.0, 14.0, Some(79.9), [none(), none()]);
    check("ELECTRA-Base", 1.0, 110.0, Some(85.1), [squad(84.5, 90.8), squad(80.5, 83.3)]);
    check("ELECTRA-400K", 1.0, 335.0, Some(89.0), [squad(88.7, 94.2), squad(86.9, 89.6)]);
    check("ELECTRA-1.75M", 1.0, 335.0, Some(89.5), [squad(89.7, 94.9), squad(88.0, 90.6)]);
    check("DeBERTaV3-Base", 1.0, 183.831_552, None, [none(), squad(85.4, 88.4)]);
    check("DeBERTaV3-Large", 1.0, 434.012_160, Some(91.37), [none(), squad(89.0, 91.5)]);
    // The mean of the eight scores in Lan et al. 2020, 719.7 / 8.
    let albert = row(rows, "ALBERT-xxlarge");
    assert!((albert["glue"].as_f64().unwrap() - 89.9625).abs() < 1e-9, "{albert}");
    assert_eq!(albert["squad_2_0"], squad(87.4, 90.2));
    assert_eq!(row(rows, "DeBERTaV3-Base")["flops"], Value::Null);

    let table = lines(&output(Path::new("."), "flops --published"));
    assert_eq!(
        table[0],
        "model objective trained tokens parameters FLOPs GLUE SQuAD 1.1 SQuAD 2.0"
    );
    for expected in [
        "ELMo LM in both directions 100% 96M 3.411e18 71.2 unknown unknown",
        "XLNet-Large permutation LM 16.7% 360M 3.857e21 89.1 89.7/95.1 87.9/90.6",
        "SpanBERT-Large span MLM, SBO 15% 335M 7.1e20 unknown 88.8/94.6 85.7/88.7",
        "DeBERTaV3-Large RTD, GDES 100% 434M unknown 91.4 unknown 89.0/91.5",
    ] {
        assert!(table.iter().any(|line| line == expected), "{expected} is not in {table:?}");
    }
}

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A run of ELECTRA-Small, whose config has some changes, with a checkpoint after `steps` updates.
fn write_run(dir: &Path, name: &str, objective: &str, changes: &[(&str, &str)], steps: u64) {
    let mut config = fs::read_to_string(root().join("configs/pretrain-small.toml")).unwrap();
    for (from, to) in changes {
        assert!(config.contains(from), "{from}");
        config = config.replace(from, to);
    }
    let manifest = json!({
        "version": "0.1.0", "git": "", "objective": objective, "parts": [], "device": "Cpu", "seed": 1,
        "parameters": 14_196_219, "threads": 1,
    });
    write(dir, &format!("{name}/config.toml"), config);
    write(dir, &format!("{name}/manifest.json"), manifest.to_string());
    if steps > 0 {
        write(dir, &format!("{name}/checkpoints/step-{steps:07}/state.json"), "{}");
    }
}

/// A fine-tuning folder whose seeds have the scores of `dev`.
fn write_results(dir: &Path, name: &str, task: &str, weights: &str, dev: &[Value]) {
    let seed = |(i, dev): (usize, &Value)| json!({ "seed": i + 1, "dev": dev, "test": null, "seconds": 1.0 });
    let report = json!({
        "task": task, "metric": dev[0].as_object().unwrap().keys().next(), "model": "discriminator",
        "weights": weights, "examples": { "train": 9, "dev": 9, "test": 0 }, "steps": 1,
        "seeds": dev.iter().enumerate().map(seed).collect::<Vec<_>>(), "best_seed": 1, "dev": null, "test": null,
        "best_seed_test": null, "baselines": { "majority": { "dev": {}, "test": null }, "bag_of_words": null },
        "seconds": 1.0,
    });
    write(dir, &format!("{name}/results.json"), report.to_string());
    write(dir, &format!("{name}/inputs.json"), "{}");
    // A seed is a run folder too, but not of pre-training.
    write(dir, &format!("{name}/seed-1/config.toml"), "");
    write(dir, &format!("{name}/seed-1/manifest.json"), "{}");
}

/// The reference's script has 1.2937e18 FLOPs for all 1M updates of ELECTRA-Small and 1.4187e18 for 1.45M of BERT-Small;
/// here are 1000 and 145 updates.
#[test]
fn runs_are_rows_of_the_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write_run(dir, "runs/a/run", "replaced-token", &[], 1000);
    let masked = [("positions = \"all\"", "positions = \"masked\"")];
    write_run(dir, "runs/b/masked", "replaced-token", &masked, 0);
    let bert = [
        ("kind = \"replaced-token\"\n", "kind = \"bert\"\nrandom_share = 0.1\n"),
        ("generator_weight = 1.0\n", ""),
        ("discriminator_weight = 50.0    # lambda\n", ""),
        ("temperature = 1.0\n", ""),
        ("generator = \"masked-lm\"", "#"),
        ("positions = \"all\"", "#"),
        ("disallow_correct = false", "#"),
        ("log_conflict = false", "#"),
        ("mask_share = 0.85", "mask_share = 0.8"),
        ("\nrate = 0.15", "\nrate = 0.2"),
    ];
    write_run(dir, "runs/b/bert", "bert", &bert, 145);
    // What an interrupted command leaves, and folders of other kinds.
    write_run(dir, "runs/.new.tmp", "bert", &bert, 145);
    write(dir, "runs/notes/manifest.json", "{}");

    let runs = &parsed(dir, "flops --runs {}/runs --json")["runs"];
    let check = |name: &str, objective: &str, share: f64, flops: &str| {
        let row = row(runs, name);
        assert_eq!(row["objective"], objective, "{name}");
        assert_eq!(row["trained_tokens"], share, "{name}");
        // The encoder that fine-tuning loads, by its shapes.
        assert_eq!(row["parameters"], 13_483_008, "{name}");
        assert_eq!(format!("{:.4e}", row["flops"].as_f64().unwrap()), flops, "{name}");
        assert_eq!([&row["glue"], &row["squad_1_1"], &row["squad_2_0"]], [&Value::Null; 3]);
    };
    assert_eq!(runs.as_array().unwrap().len(), 3, "{runs}");
    check("a/run", "replaced-token", 1.0, "1.2937e15");
    check("b/masked", "replaced-token", 0.15, "0.0000e0");
    check("b/bert", "bert", 0.2, "1.4187e14");

    let table = lines(&output(dir, "flops --published --runs {}/runs"));
    let expected = "a/run replaced-token 100% 13.5M 1.294e15 - - -";
    assert!(table.iter().any(|line| line == expected), "{table:?}");
    assert!(table.iter().any(|line| line.starts_with("ELMo ")), "{table:?}");
    // The folder may be a run itself.
    let alone = lines(&output(dir, "flops --runs {}/runs/a/run"));
    assert_eq!(alone[1], expected.replace("a/run", "run"));
}

#[test]
fn runs_have_the_scores_of_their_fine_tuning() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write_run(dir, "runs/a/run", "replaced-token", &[], 0);
    let tuned = |name: &str, task: &str, metric: &str, seeds: &[f64]| {
        let seeds: Vec<Value> = seeds.iter().map(|score| json!({ metric: score })).collect();
        write_results(dir, name, task, "pretrained", &seeds);
    };
    // The median of the seeds, not their mean; Matthews and Spearman as in the paper.
    tuned("runs/a/glue/cola", "cola", "matthews", &[0.5, 0.6, 0.9]);
    tuned("runs/a/glue/sst2", "sst2", "accuracy", &[0.9]);
    tuned("runs/a/glue/mrpc", "mrpc", "accuracy", &[0.8]);
    tuned("runs/a/glue/stsb", "stsb", "spearman", &[0.7, 0.8]);
    tuned("runs/a/glue/qqp", "qqp", "accuracy", &[0.85]);
    tuned("runs/a/run/mnli", "mnli", "accuracy", &[0.65]);
    tuned("runs/a/glue/qnli", "qnli", "accuracy", &[0.55]);
    // No part of the average.
    tuned("runs/a/glue/wnli", "wnli", "accuracy", &[0.1]);
    tuned("runs/a/own", "own", "accuracy", &[0.1]);

    // Seven of eight: no average yet.
    let table = lines(&output(dir, "flops --runs {}/runs"));
    assert_eq!(table[1], "a/run replaced-token 100% 13.5M 0 7 of 8 - -");

    // Of two results for a task, as in a grid, the better; none from random weights.
    tuned("runs/a/rte/rate=1", "rte", "accuracy", &[0.70]);
    tuned("runs/a/rte/rate=2", "rte", "accuracy", &[0.60]);
    write_results(dir, "runs/a/rte-random", "rte", "random", &[json!({ "accuracy": 0.99 })]);
    let seeds = [(0.70, 0.80), (0.72, 0.86), (0.71, 0.82)];
    let seeds = seeds.map(|(exact, f1)| json!({ "exact-match": exact, "f1": f1 }));
    write_results(dir, "runs/a/squad", "squad1.1", "pretrained", &seeds);
    write_results(dir, "runs/a/squad2", "squad2.0", "pretrained", &seeds[..1]);
    let runs = &parsed(dir, "flops --runs {}/runs --json")["runs"];
    let run = row(runs, "a/run");
    // (60 + 90 + 80 + 75 + 85 + 65 + 55 + 70) / 8.
    assert!((run["glue"].as_f64().unwrap() - 72.5).abs() < 1e-9, "{run}");
    let folders = run["scores_from"].as_array().unwrap();
    assert!(folders.contains(&"a/rte/rate=1".into()) && folders.contains(&"a/run/mnli".into()));
    assert_eq!(folders.len(), 10, "{run}");
    let table = lines(&output(dir, "flops --runs {}/runs"));
    assert_eq!(table[1], "a/run replaced-token 100% 13.5M 0 72.5 71.0/82.0 70.0/80.0");

    // With a second run beside it, only what lies in a run is certain.
    write_run(dir, "runs/a/other", "replaced-token", &[], 0);
    let results = parsed(dir, "flops --runs {}/runs --json");
    let tasks = row(&results["runs"], "a/run")["glue_tasks"].as_object().unwrap();
    assert_eq!(tasks.keys().collect::<Vec<_>>(), ["mnli"]);
    assert_eq!(row(&results["runs"], "a/other")["scores_from"], Value::Null);
    let reason = row(&results["not_shown"], "a/squad")["reason"].as_str().unwrap();
    assert!(reason.contains("a/other") && reason.contains("a/run"), "{reason}");
}

#[test]
fn a_broken_run_is_named_and_the_others_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write_run(dir, "runs/good", "replaced-token", &[], 1000);
    write_run(dir, "runs/key", "replaced-token", &[("seed = 1", "sead = 1")], 0);
    write_run(dir, "runs/manifest", "replaced-token", &[], 0);
    write(dir, "runs/manifest/manifest.json", "{");
    write_run(dir, "runs/custom", "mine", &[], 0);
    write_run(dir, "runs/part", "replaced-token", &[("\"post-norm\"", "\"no-norm\"")], 0);
    write(dir, "runs/good/tuned/inputs.json", "{}");
    write(dir, "runs/good/tuned/results.json", "{}");

    let table = lines(&output(dir, "flops --runs {}/runs"));
    assert_eq!(table[1], "good replaced-token 100% 13.5M 1.294e15 - - -");
    let not_shown = &parsed(dir, "flops --runs {}/runs --json")["not_shown"];
    for (name, words) in [
        ("key", ["config.toml", "sead"]),
        ("manifest", ["manifest.json", "EOF"]),
        ("custom", ["objective mine", "replaced-token"]),
        ("part", ["no-norm", "block"]),
        ("good/tuned", ["results.json", "missing field"]),
    ] {
        let reason = row(not_shown, name)["reason"].as_str().unwrap();
        for word in words {
            assert!(reason.contains(word), "{word:?} is not in {reason:?}");
        }
        let start = format!("not shown: {name}: ");
        assert!(table.iter().any(|line| line.starts_with(&start)), "{start} in {table:?}");
    }
    assert_eq!(not_shown.as_array().unwrap().len(), 5, "{not_shown}");

    fs::create_dir(dir.join("empty")).unwrap();
    fails(dir, "flops --runs {}/empty", 1, &["empty", "manifest.json", "config.toml"]);
    fails(dir, "flops --runs {}/nowhere", 1, &["nowhere"]);
}

#[test]
fn options_of_a_config_and_of_the_comparison_exclude_each_other() {
    let dir = Path::new(".");
    let config = "flops configs/pretrain-tiny.toml";
    fails(dir, "flops", 2, &["<CONFIG"]);
    fails(dir, "flops --json", 2, &["<CONFIG"]);
    fails(dir, "flops --set train.steps=1", 2, &["<CONFIG"]);
    for comparison in ["--published", "--runs runs"] {
        let words = ["CONFIG", "cannot be used with", &comparison[..6]];
        fails(dir, &format!("{config} {comparison}"), 2, &words);
        for option in ["--set train.steps=1", "--memory 4GB"] {
            let words = [&option[..5], "cannot be used with", &comparison[..6]];
            fails(dir, &format!("flops {comparison} {option}"), 2, &words);
        }
    }
}
