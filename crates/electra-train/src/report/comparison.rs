//! Several runs on one page, and their metrics as a table of comma-separated values.

use super::figures::{keys, latest};
use crate::{
    error::Result,
    html::{self, Curve, Page},
    metrics::{self, Figures},
    run_dir::{Manifest, RunDir},
};
use electra_files::read_toml;
use serde_json::Value;
use std::{collections::BTreeMap, io::Write};

/// Kinds of rows, and their names on the page. Evaluation is on the held-out split in pre-training, and on the dev set in
/// fine-tuning.
const KINDS: [(&str, &str); 2] = [("evaluate", "evaluation"), ("train", "training")];

/// What a run has recorded until now. Its process may still be running.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// A name that distinguishes it from other runs.
    pub name: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config, of pre-training or of fine-tuning.
    pub config: toml::Table,
    /// Its rows of metrics; empty if it has not written any yet.
    pub rows: Vec<Figures>,
}

impl RunLog {
    /// Reads a run folder of pre-training or of one seed of fine-tuning. Takes no lock and writes nothing.
    ///
    /// # Errors
    /// Naming the file that cannot be read.
    pub fn read(name: &str, run: &RunDir) -> Result<Self> {
        let metrics = run.metrics();
        let rows = if metrics.exists() { metrics::read(&metrics)? } else { Vec::new() };
        let (manifest, config) = (run.manifest()?, read_toml(&run.config(), &[])?);
        Ok(Self { name: name.to_owned(), manifest, config, rows })
    }

    /// The last update that it has recorded a row of; 0 without rows.
    pub fn step(&self) -> u64 {
        self.rows.iter().filter_map(|row| row.get("step")?.as_u64()).max().unwrap_or(0)
    }

    /// The last row of a kind, such as `evaluate`.
    pub fn last(&self, kind: &str) -> Option<&Figures> {
        self.rows.iter().rev().find(|row| row.get("kind").is_some_and(|found| found == kind))
    }
}

/// A page of runs: facts, the latest metrics, curves with common axes in one color for each run, and beside them the keys of
/// the configs whose values differ. For a single run it has the whole config.
pub fn compare(runs: &[RunLog]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let mut page = Page::new(&match names[..] {
        [name] => name.to_owned(),
        _ => format!("{} runs", names.len()),
    });
    page.legend(names.iter().copied());
    let facts = runs.iter().map(|run| {
        let Manifest { objective, parameters, seed, version, git, .. } = &run.manifest;
        let numbers = [run.step().to_string(), parameters.to_string(), seed.to_string()];
        let [step, parameters, seed] = numbers;
        let version = format!("{version} {git}");
        vec![
            run.name.clone(),
            objective.clone(),
            step,
            parameters,
            seed,
            run.manifest.hardware(),
            version,
        ]
    });
    let header = ["run", "objective", "updates", "parameters", "seed", "hardware", "version"];
    page.table(&header, facts);

    let (mut curves, mut tables) = (Page::new(""), Vec::new());
    for (kind, name) in KINDS {
        let of_kind = |row: &&Figures| row.get("kind").is_some_and(|found| found == kind);
        let rows = || runs.iter().flat_map(|run| run.rows.iter().filter(of_kind));
        let keys = keys(rows());
        if keys.is_empty() {
            continue;
        }
        let mut table = Page::new("");
        table.heading(&format!("Latest metrics: {name}"));
        let columns: Vec<(&str, &[Figures], &str)> =
            runs.iter().map(|run| (run.name.as_str(), &run.rows[..], kind)).collect();
        latest(&mut table, &columns, &keys);
        tables.push(table);
        curves.heading(&format!("Curves: {name}"));
        for key in keys {
            let of_run = |run: &RunLog| Curve::of(&run.name, &run.rows, kind, key);
            curves.plot(key, "update", &runs.iter().map(of_run).collect::<Vec<_>>());
        }
    }
    page.beside([curves, configs(runs)]);
    page.beside(tables);
    page.finish()
}

/// The config of a single run, or the keys whose values differ.
fn configs(runs: &[RunLog]) -> Page {
    let mut page = Page::new("");
    if let [run] = runs {
        page.heading("Config");
        page.config(&run.config);
        return page;
    }
    page.heading("Differences of the configs");
    let configs: Vec<BTreeMap<String, String>> =
        runs.iter().map(|run| html::keys(&run.config).into_iter().collect()).collect();
    let mut all: Vec<&String> = configs.iter().flat_map(BTreeMap::keys).collect();
    all.sort();
    all.dedup();
    let differing = all.into_iter().filter_map(|key| {
        let values: Vec<Option<&String>> = configs.iter().map(|config| config.get(key)).collect();
        let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
        let cells = values.iter().map(|value| value.map_or("-", String::as_str).to_owned());
        differ.then(|| std::iter::once(key.clone()).chain(cells).collect::<Vec<String>>())
    });
    let differing: Vec<_> = differing.collect();
    if differing.is_empty() {
        page.paragraph("The configs are equal.");
        return page;
    }
    let header: Vec<&str> =
        std::iter::once("key").chain(runs.iter().map(|run| run.name.as_str())).collect();
    page.table(&header, differing);
    page
}

/// Writes the metrics of runs as comma-separated values with the columns `run`, `kind` (`train` or `evaluate`), `step`,
/// `metric` and `value`. Undefined metrics have no line.
///
/// # Errors
/// If writing fails.
pub fn write_csv(runs: &[RunLog], out: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["run", "kind", "step", "metric", "value"])?;
    for run in runs {
        for row in &run.rows {
            let kind = row.get("kind").and_then(Value::as_str).unwrap_or_default();
            let step = row.get("step").map(Value::to_string).unwrap_or_default();
            for (metric, value) in row.iter().filter(|(key, _)| *key != "step") {
                if value.is_number() {
                    csv.write_record([&run.name, kind, &step, metric, &value.to_string()])?;
                }
            }
        }
    }
    Ok(csv.flush()?)
}
