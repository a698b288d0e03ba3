//! The scores of finished cells: statistics, the table, and JSON.

use super::{
    cell::{Cell, END},
    definition::{Definition, Equal, Row},
    statistics::{Paired, Summary},
};
use crate::files;
use anyhow::{Context, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// The contents of `results.json`.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) title: String,
    source: String,
    scale: String,
    equal: &'static str,
    baseline: String,
    tasks: Vec<String>,
    pub(super) rows: Vec<RowResults>,
}

/// The scores of a config, in percent.
#[derive(Debug, Serialize)]
pub(super) struct RowResults {
    config: String,
    pub(super) label: String,
    paper: Option<f64>,
    updates: u64,
    /// FLOPs of pre-training.
    pub(super) flops: f64,
    /// In the order of pre-training; the last is its end.
    pub(super) points: Vec<Point>,
    /// The mean over tasks minus that of the baseline with the same seed, at the end; `None` for the baseline.
    against_baseline: Option<Paired>,
}

/// The scores after a part of pre-training.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    /// Percent of the updates.
    pub(super) percent: u64,
    pub(super) flops: f64,
    /// The seeds with scores for all tasks.
    seeds: Vec<u64>,
    /// The scores by task and seed, in the order of `seeds`.
    scores: BTreeMap<String, Vec<f64>>,
    /// The mean over the tasks for each seed.
    means: Vec<f64>,
    by_task: BTreeMap<String, Summary>,
    /// Over seeds, of the mean over the tasks; `None` without seeds.
    pub(super) mean: Option<Summary>,
}

/// The experiment that the results are of.
#[derive(Debug)]
pub(super) struct Experiment<'a> {
    pub(super) definition: &'a Definition,
    pub(super) scale: &'a str,
    /// The tasks that the scale has.
    pub(super) tasks: Vec<String>,
}

impl Results {
    /// Reads the scores of the finished cells; `cells` has those of each row.
    pub(super) fn read(experiment: &Experiment<'_>, cells: &[Vec<Cell>]) -> Result<Self> {
        let Experiment { definition, scale, tasks } = experiment;
        let rows = definition.rows.iter().zip(cells).map(|(row, cells)| of_row(row, cells, tasks));
        let mut rows = rows.collect::<Result<Vec<_>>>()?;
        let baseline = rows.iter().find(|row| row.config == definition.baseline);
        let reference = baseline.and_then(|row| row.points.last()).map(Point::by_seed);
        for row in rows.iter_mut().filter(|row| row.config != definition.baseline) {
            let (Some(reference), Some(end)) = (&reference, row.points.last()) else { continue };
            let own = end.by_seed();
            let differences: Vec<f64> =
                own.iter().filter_map(|(seed, mean)| Some(mean - reference.get(seed)?)).collect();
            row.against_baseline = Paired::of(&differences)?;
        }
        Ok(Self {
            title: definition.title.clone(),
            source: definition.source.clone(),
            scale: (*scale).to_owned(),
            equal: match definition.equal {
                Equal::Flops => "FLOPs",
                Equal::Steps => "updates",
            },
            baseline: definition.baseline.clone(),
            tasks: tasks.clone(),
            rows,
        })
    }

    /// The table in Markdown.
    pub(super) fn table(&self) -> Result<String> {
        let baseline = self.rows.iter().find(|row| row.config == self.baseline);
        let baseline = baseline.map_or(self.baseline.as_str(), |row| &row.label);
        let mut text = format!(
            "# {}\n\n{}\n\nScale {}, equal {} of pre-training. Dev scores in percent, mean ± standard deviation over \
             pre-training\nseeds. The column \"paper\" has the scores of the source above, at its own scale. Differences are \
             of the mean, to {baseline} with the same\nseed; p is from a two-sided paired t-test, not corrected for the \
             number of rows. The last column is the smallest\ndifference that would have had p < 0.05 with this number of \
             seeds and this standard deviation.\n\n",
            self.title, self.source, self.scale, self.equal
        );
        let tasks = self.tasks.join(" | ");
        writeln!(
            text,
            "| | updates | FLOPs | {tasks} | mean | paper | seeds | difference | p | smallest significant difference |"
        )?;
        writeln!(text, "|---|{}", "---|".repeat(self.tasks.len() + 8))?;
        for row in &self.rows {
            let Some(end) = row.points.last() else { continue };
            let tasks = self.tasks.iter().map(|task| spread(end.by_task.get(task)));
            let tasks: Vec<String> = tasks.collect();
            let paired = row.against_baseline;
            let number = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            writeln!(
                text,
                "| {} | {} | {:.2e} | {} | {} | {} | {} | {} | {} | {} |",
                row.label,
                row.updates,
                row.flops,
                tasks.join(" | "),
                spread(end.mean.as_ref()),
                number(row.paper, 2),
                end.seeds.len(),
                paired.map_or_else(|| "-".to_owned(), |it| signed(&it.difference)),
                number(paired.and_then(|it| it.p), 3),
                number(paired.and_then(|it| it.smallest_significant), 1)
            )?;
        }
        if self.rows.iter().any(|row| row.points.len() > 1) {
            text += "\nMean over the tasks after a part of pre-training:\n\n";
            writeln!(text, "| | part of the updates | FLOPs | mean |\n|---|---|---|---|")?;
            for row in &self.rows {
                for Point { percent, flops, mean, .. } in &row.points {
                    let mean = spread(mean.as_ref());
                    writeln!(text, "| {} | {percent} % | {flops:.2e} | {mean} |", row.label)?;
                }
            }
        }
        Ok(text)
    }
}

impl Point {
    fn by_seed(&self) -> BTreeMap<u64, f64> {
        self.seeds.iter().copied().zip(self.means.iter().copied()).collect()
    }
}

fn of_row(row: &Row, cells: &[Cell], tasks: &[String]) -> Result<RowResults> {
    let first = cells.first().context("a row has no cells")?;
    let points = first.points.iter().map(|&point| of_point(point, cells, tasks));
    Ok(RowResults {
        config: row.config.clone(),
        label: row.label.clone(),
        paper: row.paper,
        updates: first.updates,
        flops: first.flops_per_update * first.updates as f64,
        points: points.collect::<Result<_>>()?,
        against_baseline: None,
    })
}

fn of_point(percent: u64, cells: &[Cell], tasks: &[String]) -> Result<Point> {
    let (mut seeds, mut means) = (Vec::new(), Vec::new());
    let mut scores: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for cell in cells {
        let paths: Vec<_> = tasks.iter().map(|task| cell.results(task, percent)).collect();
        if !paths.iter().all(|path| path.exists()) {
            continue;
        }
        let mut sum = 0.0;
        for (task, path) in tasks.iter().zip(paths) {
            // A correlation of constant predictions is not defined, and counts as 0.
            let score = 100.0 * files::json(path)?["dev"]["median"].as_f64().unwrap_or(0.0);
            scores.entry(task.clone()).or_default().push(score);
            sum += score;
        }
        seeds.push(cell.seed);
        means.push(sum / tasks.len() as f64);
    }
    let summary = |(task, scores): (&String, &Vec<f64>)| Some((task.clone(), Summary::of(scores)?));
    let by_task = scores.iter().filter_map(summary).collect();
    let updates = cells.first().map_or(0, |cell| cell.updates_at(percent)) as f64;
    let flops = updates * cells.first().map_or(0.0, |cell| cell.flops_per_update);
    let mean = Summary::of(&means);
    debug_assert!(percent <= END, "{percent}");
    Ok(Point { percent, flops, seeds, scores, means, by_task, mean })
}

fn spread(summary: Option<&Summary>) -> String {
    match summary {
        None => "-".to_owned(),
        Some(Summary { mean, sd: None, .. }) => format!("{mean:.1}"),
        Some(Summary { mean, sd: Some(sd), .. }) => format!("{mean:.1} ± {sd:.1}"),
    }
}

fn signed(summary: &Summary) -> String {
    match summary.sd {
        None => format!("{:+.1}", summary.mean),
        Some(sd) => format!("{:+.1} ± {sd:.1}", summary.mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn definition() -> Definition {
        let text = r#"
            title = "Two configs"
            source = "Table 0."
            equal = "flops"
            baseline = "electra"
            tasks = ["cola", "rte"]
            rows = [
                { config = "electra", label = "ELECTRA", paper = 85.0 },
                { config = "bert", label = "BERT" },
            ]
        "#;
        toml::from_str(text).unwrap()
    }

    /// Cells of a config with the scores of both tasks for each seed.
    fn cells(dir: &Path, config: &str, scores: &[[f64; 2]]) -> Vec<Cell> {
        let cell = |seed: usize, scores: &[f64; 2]| {
            let cell = Cell {
                config: config.to_owned(),
                seed: seed as u64 + 1,
                updates: 200,
                flops_per_update: 1e6,
                points: vec![END],
                folder: dir.join(format!("{config}-{seed}")),
            };
            for (task, score) in ["cola", "rte"].iter().zip(scores) {
                let path = cell.results(task, END);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{{\"dev\":{{\"median\":{score}}}}}")).unwrap();
            }
            cell
        };
        scores.iter().enumerate().map(|(seed, scores)| cell(seed, scores)).collect()
    }

    fn results(dir: &Path) -> Results {
        let electra = cells(dir, "electra", &[[0.5, 0.7], [0.5, 0.8], [0.5, 0.9]]);
        let mut bert = cells(dir, "bert", &[[0.5, 0.68], [0.5, 0.76], [0.5, 0.84]]);
        // A cell that is not finished.
        bert.push(Cell { seed: 4, folder: dir.join("bert-4"), ..bert[0].clone() });
        let definition = definition();
        let tasks = definition.tasks.clone();
        let experiment = Experiment { definition: &definition, scale: "tiny", tasks };
        Results::read(&experiment, &[electra, bert]).unwrap()
    }

    /// By hand: the differences of the means are -1, -2 and -3, as in the test of the statistics.
    #[test]
    fn the_table_has_means_and_paired_differences() {
        let dir = tempfile::tempdir().unwrap();
        let table = results(dir.path()).table().unwrap();
        let rows = [
            "| | updates | FLOPs | cola | rte | mean | paper | seeds | difference | p | smallest significant difference |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            "| ELECTRA | 200 | 2.00e8 | 50.0 ± 0.0 | 80.0 ± 10.0 | 65.0 ± 5.0 | 85.00 | 3 | - | - | - |",
            "| BERT | 200 | 2.00e8 | 50.0 ± 0.0 | 76.0 ± 8.0 | 63.0 ± 4.0 | - | 3 | -2.0 ± 1.0 | 0.074 | 2.5 |",
        ];
        assert!(table.ends_with(&format!("{}\n", rows.join("\n"))), "{table}");
        assert!(table.contains("of the mean, to ELECTRA with the same"), "{table}");
    }

    #[test]
    fn rows_without_scores_and_undefined_correlations() {
        let dir = tempfile::tempdir().unwrap();
        let definition = definition();
        let electra = cells(dir.path(), "electra", &[[0.5, 0.7]]);
        fs::write(electra[0].results("rte", END), r#"{"dev":null}"#).unwrap();
        let bert = vec![Cell { folder: dir.path().join("none"), ..electra[0].clone() }];
        let tasks = definition.tasks.clone();
        let experiment = Experiment { definition: &definition, scale: "tiny", tasks };
        let table = Results::read(&experiment, &[electra, bert]).unwrap().table().unwrap();
        assert!(table.contains("| 50.0 | 0.0 | 25.0 | 85.00 | 1 | - | - | - |"), "{table}");
        assert!(table.contains("| - | - | - | - | 0 | - | - | - |"), "{table}");
    }

    #[test]
    fn results_json_has_the_scores_of_each_seed() {
        let dir = tempfile::tempdir().unwrap();
        let json = serde_json::to_value(results(dir.path())).unwrap();
        let bert = &json["rows"][1];
        assert_eq!(bert["points"][0]["seeds"], serde_json::json!([1, 2, 3]));
        assert_eq!(bert["points"][0]["scores"]["cola"], serde_json::json!([50.0, 50.0, 50.0]));
        assert_eq!(bert["against_baseline"]["difference"]["n"], 3);
    }
}
