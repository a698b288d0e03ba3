//! `report.html`: the report of fine-tuning or of a grid as a self-contained page.

use super::grid_report::GridReport;
use crate::{
    baseline::Baselines,
    config::FinetuneConfig,
    details::Details,
    error::Result,
    report::Report,
    split::Split,
    summary::{LabelCount, SplitSummary},
};
use electra_files::{if_there, read_json, write_file};
use electra_scores::{LeftOut, Metric, Scores, metrics::Summary};
use electra_train::{
    html::{Curve, Page},
    metrics::{self, Figures},
    run_dir::RunDir,
};
use std::{collections::BTreeSet, path::Path};

const NAME: &str = "report.html";
/// The file of the sections on the dev set, next to its answers.
pub(super) const DETAILS: &str = "details.json";

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
    data(&mut page, &report.data);
    scores(&mut page, report);
    left_out(&mut page, &report.left_out);
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
    let path = seed_dir(report.best_seed).join(Split::Dev.name()).join(DETAILS);
    let details: Vec<Details> = if_there(read_json(&path))?.unwrap_or_default();
    if !details.is_empty() {
        page.paragraph(&format!(
            "Below: predictions for the dev set, with seed {}.",
            report.best_seed
        ));
    }
    for part in &details {
        part.show(&mut page);
    }
    page.heading("Config");
    page.config(config);
    Ok(write_file(&out.join(NAME), page.finish())?)
}

/// Writes the report of a grid into its folder; each cell has its own report.
pub(super) fn write_grid(out: &Path, report: &GridReport) -> Result<()> {
    let mut page = Page::new(&format!("{}: grid", report.task));
    page.paragraph(&format!(
        "{} on dev, over the seeds {:?}. Each cell's folder has a report of its own.",
        report.metric, report.seeds
    ));
    let rows = report.cells.iter().map(|cell| {
        let of = |pick: fn(&Summary) -> f64| figure(cell.dev.as_ref().map(pick));
        let mark = match &cell.diverged {
            Some(why) => why,
            None if Some(&cell.name) == report.best.as_ref() => "best",
            None => "",
        };
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
    Ok(write_file(&out.join(NAME), page.finish())?)
}

/// What was read for each split, and the numbers of its labels.
fn data(page: &mut Page, splits: &[SplitSummary]) {
    if splits.is_empty() {
        return;
    }
    page.heading("Data");
    let rows = splits.iter().map(|split| {
        let truncated = split.truncated.message().unwrap_or_else(|| "none".to_owned());
        let (file, examples) = (split.file.display().to_string(), split.examples.to_string());
        vec![split.split.clone(), file, examples, truncated, split.in_train.to_string()]
    });
    page.table(&["split", "file", "examples", "truncated", "also in the training set"], rows);
    // The splits of one of several tasks have the same labels.
    for group in splits.chunk_by(|_, next| !next.is_train()) {
        let labels: BTreeSet<&str> =
            group.iter().flat_map(|split| &split.labels).map(|label| &*label.label).collect();
        if labels.is_empty() {
            continue;
        }
        let is_weighted = group[0].labels.iter().any(|label| label.weight.is_some());
        let mut header = vec!["label".to_owned()];
        header.extend(group.iter().map(|split| split.split.clone()));
        header.extend(is_weighted.then(|| "weight".to_owned()));
        let of = |split: &SplitSummary, name: &str| -> Option<LabelCount> {
            split.labels.iter().find(|label| label.label == name).cloned()
        };
        let rows = labels.into_iter().map(|name| {
            let count = |split| of(split, name).map_or(0, |label| label.count).to_string();
            let weight = of(&group[0], name).and_then(|label| label.weight);
            let weight = is_weighted.then(|| figure(weight));
            std::iter::once(name.to_owned()).chain(group.iter().map(count)).chain(weight).collect()
        });
        page.table(&header, rows.collect::<Vec<Vec<String>>>());
    }
}

/// Every score of every seed and of the baselines, and a summary by the metric; then further dev sets and, for several
/// tasks, each task.
fn scores(page: &mut Page, report: &Report) {
    page.heading("Scores");
    let seeds = report.seeds.iter().map(|seed| {
        let step = seed.chosen_step.map_or(String::new(), |step| format!(", update {step}"));
        (format!("seed {}{step}", seed.seed), &seed.dev, seed.test.as_ref())
    });
    let Baselines { majority, bag_of_words } = &report.baselines;
    let baselines = [("majority", Some(majority)), ("bag of words", bag_of_words.as_ref())];
    let baselines = baselines.into_iter().filter_map(|(name, split)| {
        split.map(|split| (name.to_owned(), &split.dev, split.test.as_ref()))
    });
    table(page, &seeds.chain(baselines).collect::<Vec<_>>());
    let summary = |name: &str, summary: &Option<Summary>| {
        let summary = summary.as_ref()?;
        let figures = [summary.median, summary.mean, summary.sd, summary.min, summary.max];
        Some([vec![name.to_owned()], figures.map(|x| figure(Some(x))).to_vec()].concat())
    };
    let rows = [summary("dev", &report.dev), summary("test", &report.test)];
    let metric = report.metric.to_string();
    let header = [&metric[..], "median", "mean", "sd", "smallest", "largest"];
    // A single seed has no spread.
    if report.seeds.len() > 1 {
        page.table(&header, rows.into_iter().flatten());
    }

    let names: BTreeSet<&String> =
        report.seeds.iter().flat_map(|seed| seed.more_dev.keys()).collect();
    for name in names {
        page.subheading(name);
        let seeds = report.seeds.iter().filter_map(|seed| {
            let dev = seed.more_dev.get(name)?;
            Some((format!("seed {}", seed.seed), dev, seed.more_test.get(name)))
        });
        table(page, &seeds.collect::<Vec<_>>());
    }
}

/// The scores of some rows on dev, and on test if a row has them.
fn table(page: &mut Page, rows: &[(String, &Scores, Option<&Scores>)]) {
    let metrics: BTreeSet<Metric> =
        rows.iter().flat_map(|(_, dev, _)| dev.keys()).copied().collect();
    let splits = match rows.iter().any(|(.., test)| test.is_some()) {
        true => &["dev", "test"][..],
        false => &["dev"],
    };
    let mut header = vec![String::new()];
    for split in splits {
        header.extend(metrics.iter().map(|metric| format!("{split} {metric}")));
    }
    let row = |(name, dev, test): &(String, &Scores, Option<&Scores>)| {
        let mut row = vec![name.clone()];
        for scores in [Some(*dev), *test].into_iter().take(splits.len()) {
            row.extend(metrics.iter().map(|metric| {
                figure(scores.and_then(|scores| scores.get(metric).copied().flatten()))
            }));
        }
        row
    };
    page.table(&header, rows.iter().map(row));
}

/// The number of rows or questions of each file that are not used, and the first of them.
fn left_out(page: &mut Page, files: &[LeftOut]) {
    if files.is_empty() {
        return;
    }
    page.heading("Left out");
    page.paragraph("Rows and questions that are not used for training or scores; left-out.txt lists all of them.");
    for LeftOut { file, count, named } in files {
        page.subheading(&format!("{}: {count}", file.display()));
        let header = format!("{} of {count}", named.len());
        page.table(&[header], named.iter().map(|line| vec![line]));
    }
}

fn figure(score: Option<f64>) -> String {
    score.map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"))
}
