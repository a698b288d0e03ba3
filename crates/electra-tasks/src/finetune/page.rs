//! `report.html`: a run of fine-tuning for people, in one file that needs nothing else.

use super::{folder::read_json, grid::GridReport, seed::DETAILS};
use crate::{
    FinetuneConfig, Report, Result,
    details::Details,
    problem::Split,
    scores::{Metric, Scores, Summary},
};
use electra_train::{
    folder::write_file,
    html::{Curve, Page},
    metrics::{self, Figures},
    run_dir::RunDir,
};
use std::path::Path;

const NAME: &str = "report.html";

/// Writes the report of a run of fine-tuning into its folder `out`.
pub(super) fn write(out: &Path, report: &Report, config: &FinetuneConfig) -> Result<()> {
    let metric = report.metric;
    let seed_dir = |seed: u64| out.join(format!("seed-{seed}"));
    let mut page = Page::new(&format!("{}: fine-tuning", report.task));
    let examples = report.examples;
    page.table::<&str, _>(
        &[],
        [
            vec!["model".to_owned(), report.model.display().to_string()],
            vec!["weights".to_owned(), format!("{:?}", report.weights)],
            vec![
                "examples".to_owned(),
                format!(
                    "{} training, {} dev, {} test",
                    examples.train, examples.dev, examples.test
                ),
            ],
            vec!["updates of a seed".to_owned(), report.steps.to_string()],
            vec!["best seed".to_owned(), report.best_seed.to_string()],
        ],
    );
    scores(&mut page, report);
    let rows = report.seeds.iter().map(|seed| {
        let run = RunDir::open(&seed_dir(seed.seed))?;
        Ok((format!("seed {}", seed.seed), metrics::read(&run.metrics())?))
    });
    let rows: Vec<(String, Vec<Figures>)> = rows.collect::<Result<_>>()?;
    let curves = |kind: &str, key: &str| -> Vec<Curve> {
        rows.iter().map(|(seed, rows)| Curve::of(seed, rows, kind, key)).collect()
    };
    page.heading("Curves");
    let title = "Loss of the updates that have a row in metrics.jsonl";
    page.plot(title, "update", &curves("train", "loss"));
    let (title, key) = (format!("{metric} on dev"), format!("dev_{metric}"));
    page.plot(&title, "update", &curves("evaluate", &key));
    let details: Vec<Details> =
        read_json(&seed_dir(report.best_seed).join(Split::Dev.name()).join(DETAILS))?
            .unwrap_or_default();
    if !details.is_empty() {
        page.paragraph(&format!("Below: the dev set, as seed {} answers it.", report.best_seed));
    }
    for part in &details {
        part.show(&mut page);
    }
    page.heading("Config");
    page.config(config);
    Ok(write_file(&out.join(NAME), &page.finish())?)
}

/// Writes the report of a grid into its folder; each cell has one of its own.
pub(super) fn write_grid(out: &Path, report: &GridReport) -> Result<()> {
    let mut page = Page::new(&format!("{}: grid", report.task));
    page.paragraph(&format!(
        "{} on dev, over the seeds {:?}. Each cell's folder has a report of its own.",
        report.metric, report.seeds
    ));
    let rows = report.cells.iter().map(|cell| {
        let of = |pick: fn(&Summary) -> f64| figure(cell.dev.as_ref().map(pick));
        let mark = if Some(&cell.name) == report.best.as_ref() { "best" } else { "" };
        vec![
            cell.name.clone(),
            of(|s| s.median),
            of(|s| s.mean),
            of(|s| s.sd),
            figure(cell.best_dev),
            cell.best_seed.to_string(),
            figure(cell.best_test),
            mark.to_owned(),
        ]
    });
    let header = ["cell", "median", "mean", "sd", "best", "its seed", "its test score", ""];
    page.table(&header, rows);
    Ok(write_file(&out.join(NAME), &page.finish())?)
}

/// Every score of every seed, their summary by the metric, and the baselines.
fn scores(page: &mut Page, report: &Report) {
    page.heading("Scores");
    let metrics: Vec<Metric> =
        report.seeds.first().map(|seed| seed.dev.keys().copied().collect()).unwrap_or_default();
    let mut header = vec![String::new()];
    for split in ["dev", "test"] {
        header.extend(metrics.iter().map(|metric| format!("{split} {metric}")));
    }
    let cells = |name: String, dev: Option<&Scores>, test: Option<&Scores>| {
        let of = |scores: Option<&Scores>, metric| {
            figure(scores.and_then(|scores: &Scores| scores.get(metric).copied().flatten()))
        };
        let dev = metrics.iter().map(|metric| of(dev, metric));
        let test = metrics.iter().map(|metric| of(test, metric));
        std::iter::once(name).chain(dev).chain(test).collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for seed in &report.seeds {
        let step = seed.chosen_step.map_or(String::new(), |step| format!(", update {step}"));
        let name = format!("seed {}{step}", seed.seed);
        rows.push(cells(name, Some(&seed.dev), seed.test.as_ref()));
        for (other, scores) in &seed.more_dev {
            rows.push(cells(format!("seed {}, {other}", seed.seed), Some(scores), None));
        }
    }
    let baselines = [
        ("majority", Some(&report.baselines.majority)),
        ("bag of words", report.baselines.bag_of_words.as_ref()),
    ];
    for (name, split) in baselines {
        if let Some(split) = split {
            rows.push(cells(name.to_owned(), Some(&split.dev), split.test.as_ref()));
        }
    }
    page.table(&header, rows);
    let summary = |name: &str, summary: &Option<Summary>| {
        let summary = summary.as_ref()?;
        let figures = [summary.median, summary.mean, summary.sd, summary.min, summary.max];
        Some([vec![name.to_owned()], figures.map(|x| figure(Some(x))).to_vec()].concat())
    };
    let rows = [summary("dev", &report.dev), summary("test", &report.test)];
    let metric = report.metric.to_string();
    let header = [&metric[..], "median", "mean", "sd", "smallest", "largest"];
    page.table(&header, rows.into_iter().flatten());
}

fn figure(score: Option<f64>) -> String {
    score.map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"))
}
