//! Reports from known rows of metrics: `report.html` of pre-training, and pages of several runs.

use crate::preset;
use electra_train::{
    Existing, RunConfig,
    objective::TokenPrediction,
    report::{self, RunLog, compare, write_csv},
    run_dir::{Manifest, RunDir},
};
use std::fs;
use tch::Device;

const ROWS: &str = r#"{"kind":"evaluate","step":0,"loss":9.0,"discriminator_auc":0.5,"tokens":64}
{"kind":"train","step":5,"loss":8.0,"discriminator_precision":null,"learning_rate":0.00025,"tokens_per_second":1000.0}
{"kind":"train","step":10,"loss":6.0,"discriminator_precision":null,"learning_rate":0.0005,"tokens_per_second":2000.0}
{"kind":"evaluate","step":10,"loss":7.125,"discriminator_auc":0.75,"tokens":64}
"#;

/// A run named `a<b` with `rows` of metrics, and its report after 10 updates.
fn reported(rows: &str) -> electra_train::Result<String> {
    reported_bytes(rows.as_bytes())
}

fn reported_bytes(rows: &[u8]) -> electra_train::Result<String> {
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig::read(&preset("tiny"), &["train.steps=40".to_owned()]).unwrap();
    let parts = vec!["attention=<script src=x>".to_owned()];
    let manifest = Manifest::new("replaced-token", parts, Device::Cpu, 7, 1234);
    let path = folder.path().join("a<b");
    let run = RunDir::create(&path, Existing::Refuse, &manifest, |run| {
        fs::create_dir(run.tokenizer()).unwrap();
        let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\nblue\n<b>\n";
        fs::write(run.tokenizer().join("vocab.txt"), vocab).unwrap();
        Ok(())
    });
    let run = run.unwrap();
    fs::write(run.metrics(), rows).unwrap();
    let token = |original, sampled, replaced_probability| TokenPrediction {
        original,
        sampled,
        replaced_probability,
    };
    let sequence = vec![
        token(2, None, 0.0),
        token(5, Some(6), 0.8),
        token(7, Some(7), 0.4),
        token(3, None, 1.0),
    ];
    report::write(&run, &config, 10, &[sequence])?;
    Ok(fs::read_to_string(path.join("report.html")).unwrap())
}

/// A plot is 1440 by 520 pixels: its lower left corner is at (128, 431), the upper right at (1391, 16). Coordinates are
/// rounded down from the corner.
#[test]
fn metrics_and_curves_match_the_rows() {
    let html = reported(ROWS).unwrap();
    let plot = |title: &str| {
        let from = html.find(&format!("<h3>{title}</h3>")).unwrap();
        &html[from..from + html[from..].find("</svg>").unwrap()]
    };
    // The loss ranges from 6 to 9 over updates 0 to 10: 8 is at two thirds of the height (276 of 415), 7.125 at three
    // eighths (155).
    let loss = plot("loss");
    assert!(loss.contains("points=\"759,155 1391,431 \""), "{loss}");
    assert!(loss.contains("points=\"128,16 1391,276 \""), "{loss}");
    assert!(plot("tokens_per_second").contains("points=\"128,431 1391,16 \""));
    // The main metrics come first, independent of the order in the rows.
    let offsets = ["loss", "discriminator_auc", "tokens_per_second", "learning_rate"]
        .map(|title| html.find(&format!("<h3>{title}</h3>")).unwrap());
    assert!(offsets.is_sorted(), "{offsets:?}");
    // A metric that is always null, and keys that are not plotted.
    for key in ["discriminator_precision", "tokens", "step", "kind"] {
        assert!(!html.contains(&format!("<h3>{key}</h3>")), "{key}");
    }
    for row in [
        "<tr><td>updates</td><td>10 of 40</td></tr>",
        "<tr><td>parameters</td><td>1234</td></tr>",
        "<tr><th>figure</th><th class=\"n\">training, update 10</th><th class=\"n\">held-out, update 10</th></tr>",
        "<tr><td>loss</td><td class=\"n\">6</td><td class=\"n\">7.1250</td></tr>",
        "<tr><td>discriminator_auc</td><td class=\"n\">-</td><td class=\"n\">0.7500</td></tr>",
        "<tr><td>discriminator_precision</td><td class=\"n\">-</td><td class=\"n\">-</td></tr>",
        "<tr><td>learning_rate</td><td class=\"n\">5.000e-4</td><td class=\"n\">-</td></tr>",
        "<tr><td>train.steps</td><td>40</td></tr>",
        "<tr><td>objective.masking.kind</td><td>&quot;",
    ] {
        assert!(html.contains(row), "{row:?} is not in {html}");
    }
}

/// [CLS], "red" replaced with "blue", "<b>" sampled as itself, [SEP]; opacities are three quarters of 0, 0.8, 0.4, 1.
#[test]
fn samples_show_replacements_and_the_discriminators_probabilities() {
    let word = |opacity: &str, text: &str| {
        format!("<span style=\"background:rgba(213,94,0,{opacity})\">{text}</span> ")
    };
    let expected = [
        "<p>",
        &word("0.00", "[CLS]"),
        "<s>red</s> ",
        &word("0.60", "<b>blue</b>"),
        &word("0.30", "<b>&lt;b&gt;</b>"),
        &word("0.75", "[SEP]"),
        "</p>\n",
    ];
    let html = reported(ROWS).unwrap();
    assert!(html.contains(&expected.concat()), "{html}");
}

#[test]
fn the_report_is_escaped_and_self_contained() {
    let html = reported(ROWS).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    assert!(html.contains("<title>a&lt;b: pre-training</title>"), "{html}");
    assert!(html.contains("attention=&lt;script src=x&gt;"), "{html}");
    for word in ["<script", "<link", "http", "href=", "url(", "@import"] {
        assert!(!html.contains(word), "{word:?} is in {html}");
    }
}

#[test]
fn runs_without_rows_have_a_report_and_invalid_rows_are_named() {
    let html = reported("").unwrap();
    assert!(html.contains("10 of 40") && !html.contains("<svg"), "{html}");
    let message = reported(&ROWS.replace("\"step\":5", "\"step\":")).unwrap_err().to_string();
    assert!(message.contains("metrics.jsonl: line 2: "), "{message}");
}

/// A process that trains the run may be writing the last line, or was killed.
#[test]
fn an_incomplete_last_line_is_left_out() {
    let whole = reported(ROWS).unwrap();
    let next = "{\"kind\":\"train\",\"step\":15,\"loss\":5.0,\"\u{e4}\":1.0}";
    for end in [0, 1, 20, next.len() - 6, next.len() - 7, next.len()] {
        // In the middle of a character, too.
        let torn = [ROWS.as_bytes(), &next.as_bytes()[..end]].concat();
        assert_eq!(reported_bytes(&torn).unwrap(), whole, "{end}");
    }
    assert_ne!(reported(&format!("{ROWS}{next}\n")).unwrap(), whole);
}

/// A run with these rows, whose config is the tiny preset with overrides.
fn log(name: &str, rows: &str, overrides: &[&str]) -> RunLog {
    let overrides: Vec<String> = overrides.iter().map(|&key| key.to_owned()).collect();
    let config = RunConfig::read(&preset("tiny"), &overrides).unwrap();
    RunLog {
        name: name.to_owned(),
        manifest: Manifest::new("replaced-token", Vec::new(), Device::Cpu, 7, 1234),
        config: config.to_toml().parse().unwrap(),
        rows: rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect(),
    }
}

const SECOND: &str = r#"{"kind":"train","step":5,"loss":10.0}
{"kind":"evaluate","step":20,"loss":3.0,"probe_accuracy":0.75}
"#;

/// As above: the plot's lower left corner is at (128, 431), the upper right at (1391, 16).
#[test]
fn runs_are_compared_on_common_axes_in_one_color_each() {
    let runs = [
        log("a", ROWS, &["train.seed=1"]),
        log("b<c", SECOND, &["train.seed=2", "optimizer.learning_rate=5e-4"]),
    ];
    let html = compare(&runs);
    let plot = |section: &str, title: &str| {
        let section = html.find(&format!("<h2>Curves: {section}</h2>")).unwrap();
        let from = section + html[section..].find(&format!("<h3>{title}</h3>")).unwrap();
        &html[from..from + html[from..].find("</p>").unwrap()]
    };
    // Training losses range from 6 to 10, updates from 5 to 10: 8 is at half of the height (207 of 415).
    let training = plot("training", "loss");
    assert!(training.contains("points=\"128,224 1391,431 \""), "{training}");
    // Held-out: 3 to 9 over updates 0 to 20; 7.125 is 11 sixteenths up (285 of 415), update 10 half way (631 of 1263).
    let evaluation = plot("evaluation", "loss");
    assert!(evaluation.contains("points=\"128,16 759,146 \""), "{evaluation}");
    // A run keeps its color where the other one has no values.
    let (first, second) = ("border-color:rgb(0,114,178)", "border-color:rgb(213,94,0)");
    assert!(training.contains(first) && training.contains(second), "{training}");
    let probe = plot("evaluation", "probe_accuracy");
    assert!(probe.contains(second) && !probe.contains(first), "{probe}");
    assert!(probe.contains("b&lt;c") && !html.contains("b<c"));
    for row in [
        "<tr><th>key</th><th class=\"n\">a</th><th class=\"n\">b&lt;c</th></tr>",
        "<tr><td>train.seed</td><td class=\"n\">1</td><td class=\"n\">2</td></tr>",
        "<tr><td>optimizer.learning_rate</td><td class=\"n\">0.001</td><td class=\"n\">0.0005</td></tr>",
        "<tr><td>probe_accuracy</td><td class=\"n\">-</td><td class=\"n\">0.7500</td></tr>",
        "<th class=\"n\">a, update 10</th><th class=\"n\">b&lt;c, update 20</th>",
    ] {
        assert!(html.contains(row), "{row:?} is not in {html}");
    }
    assert!(!html.contains("<td>train.steps</td>"), "equal keys are not differences");
    for word in ["<script", "<link", "http", "href=", "url(", "@import"] {
        assert!(!html.contains(word), "{word:?} is in {html}");
    }

    let same = compare(&[log("a", ROWS, &[]), log("b", ROWS, &[])]);
    assert!(same.contains("The configs are equal."), "{same}");
    let alone = compare(&runs[..1]);
    assert!(alone.contains("<td>train.steps</td>") && !alone.contains("Differences"), "{alone}");
}

#[test]
fn the_eighth_run_has_dashes() {
    let names: Vec<String> = (1..=8).map(|run| run.to_string()).collect();
    let runs: Vec<RunLog> = names.iter().map(|name| log(name, ROWS, &[])).collect();
    let html = compare(&runs);
    let legend = |name: &str| {
        let end = html.find(&format!("</i>{name}</span>")).unwrap();
        &html[html[..end].rfind("<i").unwrap()..end]
    };
    let solid = "<i class=\"line\" style=\"border-color:rgb(0,114,178)\">";
    assert_eq!(legend("1"), solid);
    assert_eq!(legend("8"), solid.replace("line", "line dashed"));
}

#[test]
fn metrics_of_runs_are_comma_separated_values() {
    let mut csv = Vec::new();
    write_csv(&[log("a,b", ROWS, &[]), log("c", SECOND, &[])], &mut csv).unwrap();
    let lines: Vec<String> = String::from_utf8(csv).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "run,kind,step,metric,value");
    for line in [
        "\"a,b\",evaluate,0,discriminator_auc,0.5",
        "\"a,b\",train,5,learning_rate,0.00025",
        "c,train,5,loss,10.0",
        "c,evaluate,20,probe_accuracy,0.75",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:?}");
    }
    // 3 + 3 + 3 + 3 and 1 + 2 numbers; the two undefined precisions have no line.
    assert_eq!(lines.len(), 1 + 12 + 3, "{lines:?}");
}
