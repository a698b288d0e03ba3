//! `cargo xtask parity --curves`: held-out losses of pre-training, compared with an independent loop in Python.
//!
//! Both sides train the quickstart's networks on the same shards, with their own initial weights, order, masks and
//! samples for each seed. The masks of the held-out split are the same.

use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA, Step},
    quickstart, sh,
    svg::{Chart, Line, Stroke, draw},
};
use anyhow::{Context, Result, bail};
use plotters::style::{BLUE, RED, RGBColor};
use serde_json::Value;
use std::path::Path;

const HOME: &str = "target/parity/curves";
const PICTURE: &str = "docs/curves-independent.svg";
const SCRIPT: &str = "tests/python/pretrain_curve.py";
const UPDATES: u64 = 3000;
/// Updates between evaluations.
const EVERY: u64 = 250;

/// A held-out loss.
struct Metric {
    /// Its key in metrics.jsonl.
    key: &'static str,
    title: &'static str,
    /// The largest difference between both sides' evaluations of the same weights, relative to the loss. A single sample
    /// that differs by rounding changes the discriminator's loss.
    tolerance: f64,
}

const METRICS: [Metric; 3] = [
    Metric { key: "generator_loss", title: "held-out generator loss", tolerance: 1e-5 },
    Metric {
        key: "generator_loss_mask",
        title: "held-out generator loss on [MASK] positions",
        tolerance: 1e-5,
    },
    Metric { key: "discriminator_loss", title: "held-out discriminator loss", tolerance: 1e-3 },
];

/// The largest difference between the means of both sides, in standard errors of this difference.
const LIMIT: f64 = 3.0;

/// Compares `seeds` runs of each side, with the Python interpreter `python`.
///
/// # Errors
/// If a difference is above the limit at any evaluation.
pub(crate) fn run(seeds: u16, python: &str) -> Result<()> {
    let home = Path::new(HOME);
    let steps = [quickstart::data_steps(home), training(home, seeds, python)].concat();
    pipeline::run(&steps, &home.join("stamps"))?;
    let evaluations = |file: String| -> Result<Vec<Value>> {
        let rows = files::rows(home.join(file))?;
        Ok(rows.into_iter().filter(|row| row["kind"] == "evaluate").collect())
    };
    let ours = (1..=seeds).map(|seed| evaluations(format!("electra-{seed}/metrics.jsonl")));
    let theirs = (1..=seeds).map(|seed| evaluations(format!("python-{seed}.jsonl")));
    let (ours, theirs) = (ours.collect::<Result<Vec<_>>>()?, theirs.collect::<Result<Vec<_>>>()?);
    let last = ours[0].last().context("no held-out evaluation")?;
    let again = evaluations("python-evaluate.jsonl".to_owned())?;
    check_evaluation(last, again.first().context("no held-out evaluation in Python")?)?;
    let comparisons = METRICS.iter().map(|metric| compare(metric, &ours, &theirs));
    let comparisons = comparisons.collect::<Result<Vec<_>>>()?;
    files::write(PICTURE, &picture(&comparisons)?)?;
    sh::say(&format!("saved the curves to {PICTURE}"));
    sh::say(&table(&comparisons));
    let outside: Vec<String> = METRICS
        .iter()
        .zip(&comparisons)
        .flat_map(|(metric, points)| points.iter().map(move |point| (metric, point)))
        .filter(|(_, point)| point.is_outside())
        .map(|(metric, p)| format!("{} at {}: {:.1}", metric.key, p.step, p.errors()))
        .collect();
    if !outside.is_empty() {
        bail!("means differ by more than {LIMIT} standard errors: {}", outside.join(", "));
    }
    Ok(())
}

/// Trains all runs. Evaluates the first of this project's again in Python. A new binary or script runs all of them again.
fn training(home: &Path, seeds: u16, python: &str) -> Vec<Step> {
    let text = |name: String| home.join(name).display().to_string();
    let scripts = [SCRIPT, "tests/python/shards.py"].map(Into::into).to_vec();
    let step = |name: String, output: String, command: Vec<String>, inputs| Step {
        name,
        command,
        inputs,
        output: output.into(),
    };
    let mut steps = Vec::new();
    for seed in 1..=seeds {
        let run = text(format!("electra-{seed}"));
        let sets = [
            format!("data.shards={}", text("shards".to_owned())),
            "train.device=cpu".to_owned(),
            format!("train.seed={seed}"),
            format!("train.steps={UPDATES}"),
            // A tenth, as in the config.
            format!("optimizer.warmup_steps={}", UPDATES / 10),
            format!("evaluate.every={EVERY}"),
        ];
        let mut command = sh::words([ELECTRA, "pretrain", quickstart::CONFIG]);
        sets.iter().for_each(|set| command.extend(sh::words(["--set", set])));
        command.extend(sh::words(["--out", &run]));
        let inputs = vec![quickstart::CONFIG.into(), ELECTRA.into()];
        steps.push(step(format!("electra-{seed}"), run.clone(), command, inputs));

        let (config, rows) = (format!("{run}/config.toml"), text(format!("python-{seed}.jsonl")));
        let command =
            sh::words([python, SCRIPT, &config, "--seed", &seed.to_string(), "--out", &rows]);
        steps.push(step(format!("python-{seed}"), rows, command, scripts.clone()));

        if seed == 1 {
            let [discriminator, generator] =
                ["discriminator", "generator"].map(|part| text(part.to_owned()));
            for (part, folder) in [("discriminator", &discriminator), ("generator", &generator)] {
                let mut command = sh::words([ELECTRA, "export", &run, "--format", "hf"]);
                command.extend(sh::words(["--part", part, "--out", folder]));
                steps.push(step(part.to_owned(), folder.clone(), command, Vec::new()));
            }
            let rows = text("python-evaluate.jsonl".to_owned());
            let mut command = sh::words([python, SCRIPT, &config, "--out", &rows]);
            let networks = ["--discriminator", &discriminator, "--generator", &generator];
            command.extend(sh::words(networks));
            steps.push(step("python-evaluate".to_owned(), rows, command, scripts.clone()));
        }
    }
    steps
}

/// Checks that both sides evaluate the same weights equally.
fn check_evaluation(ours: &Value, theirs: &Value) -> Result<()> {
    for Metric { key, tolerance, .. } in METRICS {
        let (a, b) = (number(ours, key)?, number(theirs, key)?);
        let difference = (a - b).abs() / b.abs();
        sh::say(&format!("evaluation of the same weights: {key} differs by {difference:.1e}"));
        if difference > tolerance || difference.is_nan() {
            bail!("{key} of the same weights is {a}, and {b} in Python");
        }
    }
    Ok(())
}

/// Mean and standard deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    sd: f64,
}

/// A loss at one evaluation.
#[derive(Debug)]
struct Point {
    step: f64,
    ours: Spread,
    theirs: Spread,
    /// Standard error of the difference between the means, from the variances of [`compare`].
    error: f64,
    /// The same from the variances at this evaluation alone.
    own_error: f64,
}

impl Point {
    /// The difference between the means in standard errors.
    fn errors(&self) -> f64 {
        self.difference() / self.error
    }

    /// Whether the means differ by more than the limit, or have no spread.
    fn is_outside(&self) -> bool {
        self.errors() > LIMIT || self.errors().is_nan()
    }

    fn difference(&self) -> f64 {
        (self.ours.mean - self.theirs.mean).abs()
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Self { mean, sd: (squares / (n - 1.0)).sqrt() }
    }
}

/// Compares a loss at every evaluation.
///
/// A few seeds estimate a standard deviation poorly, so the variance is the mean of both sides' variances at the evaluation
/// and at those before and after it. The initial weights are compared by their own variance.
fn compare(metric: &Metric, ours: &[Vec<Value>], theirs: &[Vec<Value>]) -> Result<Vec<Point>> {
    let seeds = ours.len() as f64;
    let mut points = Vec::new();
    for (at, row) in ours[0].iter().enumerate() {
        let step = number(row, "step")?;
        let spread = |runs: &[Vec<Value>]| -> Result<Spread> {
            let value = |rows: &Vec<Value>| {
                let row = rows.get(at).context("a run has fewer evaluations than another")?;
                if number(row, "step")? != step {
                    bail!("runs have evaluations at different updates: {row}");
                }
                number(row, metric.key)
            };
            Ok(Spread::of(&runs.iter().map(value).collect::<Result<Vec<_>>>()?))
        };
        let (ours, theirs) = (spread(ours)?, spread(theirs)?);
        let own_error = ours.sd.hypot(theirs.sd) / seeds.sqrt();
        points.push(Point { step, ours, theirs, error: own_error, own_error });
    }
    let squares: Vec<f64> = points.iter().map(|point| point.own_error.powi(2)).collect();
    for (at, point) in points.iter_mut().enumerate().skip(1) {
        let near = &squares[(at - 1).max(1)..(at + 2).min(squares.len())];
        point.error = (near.iter().sum::<f64>() / near.len() as f64).sqrt();
    }
    Ok(points)
}

/// The rows of the table in docs/results.md, and the largest differences.
fn table(comparisons: &[Vec<Point>]) -> String {
    let mut lines = Vec::new();
    for at in 0..comparisons[0].len() {
        let mut line = format!("| {} |", comparisons[0][at].step);
        for Point { ours, theirs, .. } in comparisons.iter().map(|points| &points[at]) {
            for Spread { mean, sd } in [ours, theirs] {
                line += &format!(" {mean:.4} ± {sd:.4} |");
            }
        }
        lines.push(line);
    }
    for (metric, points) in METRICS.iter().zip(comparisons) {
        let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let relative = |point: &Point| point.difference() / point.theirs.mean;
        let own = points.iter().filter(|p| p.difference() <= LIMIT * p.own_error).count();
        lines.push(format!(
            "{}: at most {:.1} standard errors; {own} of {} within {LIMIT} standard errors of their own; after the start at most {:.2} % of the loss",
            metric.title,
            largest(&mut points.iter().map(Point::errors)),
            points.len(),
            100.0 * largest(&mut points.iter().skip(1).map(relative))
        ));
    }
    lines.join("\n")
}

/// The means over seeds, and the means plus and minus a standard deviation, without the initial weights.
fn picture(comparisons: &[Vec<Point>]) -> Result<String> {
    type Side = fn(&Point) -> Spread;
    let sides: [(Side, &str, RGBColor, Stroke); 2] = [
        (|point| point.ours, "electra", BLUE, Stroke::Solid),
        (|point| point.theirs, "independent", RED, Stroke::Dashed),
    ];
    let charts = METRICS.iter().zip(comparisons).map(|(metric, points)| {
        let mut lines = Vec::new();
        for (side, label, color, stroke) in sides {
            for sds in [0.0, -1.0, 1.0] {
                let value = |point: &Point| side(point).mean + sds * side(point).sd;
                let points = points.iter().skip(1).map(|point| (point.step, value(point)));
                let label = (sds == 0.0).then_some(label);
                lines.push(Line { label, color, stroke, points: points.collect() });
            }
        }
        Chart { title: metric.title, lines }
    });
    draw(&charts.collect::<Vec<_>>(), "updates")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A run with the given losses at updates 0, 250, ...
    fn run_of(losses: &[f64]) -> Vec<Value> {
        let row = |(n, &loss): (usize, &f64)| json!({"kind": "evaluate", "step": n * 250, "generator_loss": loss, "generator_loss_mask": loss, "discriminator_loss": loss});
        losses.iter().enumerate().map(row).collect()
    }

    #[test]
    fn differences_are_measured_by_the_spread_of_the_seeds() {
        let ours = [run_of(&[9.0, 4.0, 2.0, 1.0]), run_of(&[11.0, 6.0, 2.0, 1.0])];
        let theirs = [run_of(&[9.0, 4.0, 3.0, 1.0]), run_of(&[11.0, 6.0, 3.0, 1.0])];
        let points = compare(&METRICS[0], &ours, &theirs).unwrap();
        assert_eq!(points[0].ours, Spread { mean: 10.0, sd: 2f64.sqrt() });
        // Variances 2, 2, 0, 0: alone at the start, then over the neighbors without the start.
        let variances = [2.0, 1.0, 2.0 / 3.0, 0.0];
        for (point, variance) in points.iter().zip(variances) {
            assert!((point.error.powi(2) - variance).abs() < 1e-12, "{point:?}");
        }
        assert_eq!([points[0].errors(), points[1].errors()], [0.0, 0.0]);
        assert!((points[2].errors() - 1.5f64.sqrt()).abs() < 1e-12);
        // Without any spread, nothing can be compared.
        assert!(points[3].is_outside() && !points[2].is_outside());
        let short = [run_of(&[9.0, 4.0]), run_of(&[11.0, 6.0])];
        assert!(compare(&METRICS[0], &ours, &short).is_err());
    }

    #[test]
    fn both_sides_are_in_the_picture_and_the_table() {
        let ours = [run_of(&[9.0, 4.0]), run_of(&[11.0, 6.0])];
        let theirs = [run_of(&[9.5, 4.0]), run_of(&[11.0, 5.0])];
        let comparisons = METRICS.each_ref().map(|m| compare(m, &ours, &theirs).unwrap());
        let picture = picture(&comparisons).unwrap();
        for words in ["held-out generator loss", "electra", "independent", "updates"] {
            assert!(picture.contains(words), "{words:?} is not in {picture}");
        }
        let table = table(&comparisons);
        assert!(table.contains("| 250 | 5.0000 ± 1.4142 | 4.5000 ± 0.7071 |"), "{table}");
    }

    #[test]
    fn both_sides_train_with_the_same_config_and_evaluate_the_same_weights() {
        let steps = training(Path::new("out"), 2, "python");
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names[..3], ["electra-1", "python-1", "discriminator"]);
        assert_eq!(names[3..], ["generator", "python-evaluate", "electra-2", "python-2"]);
        assert!(steps[6].command.contains(&"out/electra-2/config.toml".to_owned()));
        check_evaluation(&run_of(&[2.0])[0], &run_of(&[2.000_001])[0]).unwrap();
        assert!(check_evaluation(&run_of(&[2.0])[0], &run_of(&[2.001])[0]).is_err());
    }
}
