//! Learning curves of both precisions: runs the quickstart's pre-training in each, and draws the held-out curves.

use super::{
    options::{HOME, Options, Precision},
    page,
    report::report,
};
use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA},
    quickstart, sh,
    svg::{Chart, Line, Stroke, draw},
};
use anyhow::{Context, Result};
use plotters::style::{BLUE, RED};
use serde_json::{Value, json};
use std::path::Path;

const PICTURE: &str = "docs/curves-precision.svg";
/// Number of held-out evaluations of a run, besides the first.
const EVALUATIONS: u64 = 20;
/// Metrics: the key in metrics.jsonl, the title, and where it is shown.
const METRICS: [(&str, &str, Shown); 4] = [
    ("generator_loss_mask", "held-out generator loss on [MASK] positions", Shown::Drawn),
    ("discriminator_loss", "held-out discriminator loss", Shown::Drawn),
    ("generator_accuracy_mask", "held-out generator accuracy on [MASK] positions", Shown::Listed),
    ("discriminator_auc", "held-out discriminator AUC", Shown::Listed),
];

/// Where a metric is shown: only in the table, or also in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Drawn,
    Listed,
}

pub(super) fn run(args: &Options) -> Result<()> {
    pipeline::build(Path::new(quickstart::CORPUS))?;
    let out = Path::new(HOME).join("curves");
    pipeline::run(&quickstart::data_steps(&out), &out.join("stamps"))?;
    let steps = args.steps.map_or_else(steps_of_config, Ok)?;
    let train = |precision: Precision| -> Result<Vec<Value>> {
        let run = out.join(precision.name());
        sh::run(&command(&out.join("shards"), &run, precision, steps))?;
        let rows = files::rows(run.join("metrics.jsonl"))?;
        Ok(rows.into_iter().filter(|row| row["kind"] == "evaluate").collect())
    };
    let (f32, bf16) = (train(Precision::F32)?, train(Precision::Bf16)?);
    files::write(PICTURE, &picture(&f32, &bf16)?)?;
    sh::say(&format!("saved the curves to {PICTURE}"));
    let (results, rows) = compare(&f32, &bf16, steps)?;
    report(args, &results, &rows)
}

fn steps_of_config() -> Result<u64> {
    let config: toml::Table =
        files::read(quickstart::CONFIG)?.parse().context(quickstart::CONFIG)?;
    let steps = config.get("train").and_then(|train| train.get("steps")?.as_integer());
    let steps = steps.and_then(|steps| u64::try_from(steps).ok());
    steps.with_context(|| format!("{}: train.steps is missing", quickstart::CONFIG))
}

fn command(shards: &Path, run: &Path, precision: Precision, steps: u64) -> Vec<String> {
    let sets = [
        format!("data.shards={}", shards.display()),
        format!("model.precision={}", precision.name()),
        format!("train.steps={steps}"),
        "train.device=cpu".to_owned(),
        // A tenth, as in the config.
        format!("optimizer.warmup_steps={}", steps / 10),
        format!("evaluate.every={}", (steps / EVALUATIONS).max(1)),
    ];
    let mut command = sh::words([ELECTRA, "pretrain", quickstart::CONFIG]);
    for set in sets {
        command.extend(sh::words(["--set", &set]));
    }
    command.extend(sh::words(["--overwrite", "--out", &run.display().to_string()]));
    command
}

fn picture(f32: &[Value], bf16: &[Value]) -> Result<String> {
    let points = |rows: &[Value], key: &str| {
        rows.iter().map(|row| Ok((number(row, "step")?, number(row, key)?))).collect::<Result<_>>()
    };
    let drawn = METRICS.into_iter().filter(|(_, _, shown)| *shown == Shown::Drawn);
    let charts = drawn.map(|(key, title, _)| {
        let (plain, rounded) = (points(f32, key)?, points(bf16, key)?);
        let lines = vec![
            Line { label: Some("f32"), color: BLUE, stroke: Stroke::Solid, points: plain },
            Line { label: Some("bf16"), color: RED, stroke: Stroke::Dashed, points: rounded },
        ];
        Ok(Chart { title, lines })
    });
    draw(&charts.collect::<Result<Vec<_>>>()?, "updates")
}

/// Compares the metrics at the end, and their largest difference at any evaluation. Returns JSON, and rows of the page.
fn compare(f32: &[Value], bf16: &[Value], steps: u64) -> Result<(Value, Vec<String>)> {
    let mut results = json!({"work": "curves", "steps": steps});
    let mut rows = Vec::new();
    for (key, name, _) in METRICS {
        let values = |rows: &[Value]| -> Result<Vec<f64>> {
            rows.iter().map(|row| number(row, key)).collect()
        };
        let (plain, rounded) = (values(f32)?, values(bf16)?);
        let last = |values: &[f64]| values.last().copied().context("no held-out evaluation");
        let (a, b) = (last(&plain)?, last(&rounded)?);
        let gap = plain.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        results[key] = json!({"f32": a, "bf16": b, "largest_difference": gap});
        let [a, b, gap] = [a, b, gap].map(|x| format!("{x:.3}"));
        rows.push(page::line(name, &[a, b, gap, steps.to_string()]));
    }
    Ok((results, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, loss: f64) -> Value {
        json!({"kind": "evaluate", "step": step, "generator_loss_mask": loss, "discriminator_loss": 0.5, "generator_accuracy_mask": 0.25, "discriminator_auc": 0.75})
    }

    #[test]
    fn both_runs_are_in_the_picture_and_the_table() {
        let f32 = [row(0, 8.0), row(10, 6.0), row(20, 4.0)];
        let bf16 = [row(0, 8.0), row(10, 6.5), row(20, 4.125)];
        let (results, rows) = compare(&f32, &bf16, 20).unwrap();
        assert_eq!(results["generator_loss_mask"]["largest_difference"], 0.5);
        assert!(rows[0].ends_with("| 4.000 | 4.125 | 0.500 | 20 |"), "{}", rows[0]);
        let page = files::read(sh::root().join(page::PAGE)).unwrap();
        for row in &rows {
            assert!(page::with_row(&page, row).is_ok(), "{row}");
        }
        let picture = picture(&f32, &bf16).unwrap();
        for words in [METRICS[0].1, METRICS[1].1, "f32", "bf16", "updates"] {
            assert!(picture.contains(words), "{words:?} is not in {picture}");
        }
    }

    #[test]
    fn runs_differ_only_in_their_precision() {
        let of = |precision| command(Path::new("s"), Path::new("r"), precision, 100).join(" ");
        let (f32, bf16) = (of(Precision::F32), of(Precision::Bf16));
        assert_eq!(f32.replace("model.precision=f32", "model.precision=bf16"), bf16);
        assert!(f32.contains("evaluate.every=5"), "{f32}");
    }
}
