//! Pre-training runs as rows of the comparison, with the scores of their fine-tuning folders.

use super::row::{GLUE_TASKS, Row, RowScores, Squad};
use anyhow::{bail, ensure};
use electra_files::read_json;
use electra_scores::{Metric, glue::TASKS, metrics::Summary};
use electra_tasks::{Report, Weights};
use electra_train::{Recipe, RunConfig, objective::ObjectiveSettings, run_dir::RunDir, state};
use serde::Serialize;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The runs of a folder.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) rows: Vec<Row>,
    pub(crate) not_shown: Vec<NotShown>,
}

/// A folder that is not in the table.
#[derive(Debug, Serialize)]
pub(crate) struct NotShown {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// The folders of runs and of fine-tuning in a folder and its subfolders.
#[derive(Debug, Default)]
struct Folders {
    runs: Vec<PathBuf>,
    /// With the results of each.
    tuned: Vec<(PathBuf, Report)>,
    not_shown: Vec<NotShown>,
}

/// Reads the runs in `dir` and its subfolders, sorted by path. What cannot be read is in [`Runs::not_shown`].
///
/// # Errors
/// If there is no run in `dir`.
pub(crate) fn read(dir: &Path) -> anyhow::Result<Runs> {
    let Folders { runs, tuned, mut not_shown } = Folders::find(dir)?;
    if runs.is_empty() && not_shown.is_empty() {
        bail!(
            "{}: no run in this folder or its subfolders: a run folder, which `electra pretrain` writes, has manifest.json \
             and config.toml",
            dir.display()
        );
    }
    let mut owners = Vec::new();
    for (folder, report) in &tuned {
        match owner(folder, &runs) {
            Ok(owner) => owners.push((owner, folder, report)),
            Err(reason) => not_shown.push(NotShown { name: name(dir, folder), reason }),
        }
    }
    let mut rows = Vec::new();
    for run in &runs {
        let of_run = owners.iter().filter(|(owner, ..)| *owner == Some(run.as_path()));
        let results: Vec<(String, &Report)> =
            of_run.map(|(_, folder, report)| (name(dir, folder), *report)).collect();
        match row(run, name(dir, run), &results) {
            Ok(row) => rows.push(row),
            Err(error) => {
                not_shown.push(NotShown { name: name(dir, run), reason: format!("{error:#}") });
            }
        }
    }
    Ok(Runs { rows, not_shown })
}

impl Folders {
    /// Does not follow links, and skips hidden folders, which are incomplete ones.
    fn find(dir: &Path) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let hidden = |entry: &DirEntry| {
            entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
        };
        let mut entries = WalkDir::new(dir).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.depth() == 0 => return Err(error.into()),
                Err(error) => {
                    let path = error.path().unwrap_or(dir);
                    let (name, reason) = (name(dir, path), error.to_string());
                    found.not_shown.push(NotShown { name, reason });
                    continue;
                }
            };
            if !entry.file_type().is_dir() {
                continue;
            }
            if hidden(&entry) {
                entries.skip_current_dir();
                continue;
            }
            let path = entry.path();
            let has = |file: &str| path.join(file).is_file();
            if has("inputs.json") {
                // Its seeds are run folders too, but not of pre-training.
                entries.skip_current_dir();
                if has("results.json") {
                    found.add_results(dir, path);
                }
            } else if has("manifest.json") && has("config.toml") {
                found.runs.push(path.to_owned());
            }
        }
        Ok(found)
    }

    fn add_results(&mut self, dir: &Path, folder: &Path) {
        match read_json::<Report>(&folder.join("results.json")) {
            // Scores from random weights do not tell anything about the run.
            Ok(report) if report.weights == Weights::Random => {}
            Ok(report) => self.tuned.push((folder.to_owned(), report)),
            Err(error) => {
                let (name, reason) = (name(dir, folder), error.to_string());
                self.not_shown.push(NotShown { name, reason });
            }
        }
    }
}

/// The path below `dir`; the folder's own name for `dir` itself.
fn name(dir: &Path, path: &Path) -> String {
    match path.strip_prefix(dir) {
        Ok(below) if !below.as_os_str().is_empty() => below.display().to_string(),
        _ => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
    }
}

/// The run that a fine-tuning folder belongs to: the innermost that it lies in; else the only one beside it or beside the
/// nearest folder around it that has a run beside it.
///
/// # Errors
/// If there are several beside it, with a message that names two.
fn owner<'a>(tuned: &Path, runs: &'a [PathBuf]) -> Result<Option<&'a Path>, String> {
    let around = runs.iter().filter(|run| tuned.starts_with(run));
    if let Some(run) = around.max_by_key(|run| run.components().count()) {
        return Ok(Some(run));
    }
    for folder in tuned.ancestors().skip(1) {
        let beside: Vec<&PathBuf> =
            runs.iter().filter(|run| run.parent() == Some(folder)).collect();
        match beside[..] {
            [] => {}
            [run] => return Ok(Some(run)),
            [first, second, ..] => {
                return Err(format!(
                    "its scores could be of {} or of {}: move it into the folder of its run",
                    first.display(),
                    second.display()
                ));
            }
        }
    }
    Ok(None)
}

/// The row of a run.
fn row(path: &Path, name: String, results: &[(String, &Report)]) -> anyhow::Result<Row> {
    let run = RunDir::open(path)?;
    let manifest = run.manifest()?;
    let mut config = RunConfig::read(&run.config(), &[])?;
    config.train.device = "cpu".to_owned();
    let trained_tokens = config.objective.trained_share();
    let recipe = Recipe::from_config(config);
    let built = recipe.untrained()?;
    let objective = built.objective.name();
    ensure!(
        manifest.objective == objective,
        "manifest.json has the objective {}, but config.toml has {objective}: FLOPs of custom objectives are not known",
        manifest.objective
    );
    let networks = built.objective.networks();
    // What fine-tuning loads: the encoder without its pre-training head.
    let encoder = networks.first().map(|network| format!("{}.electra.", network.role));
    let variables = built.variables()?;
    let parameters = encoder.map(|encoder| {
        let of_encoder = variables.iter().filter(|(name, _)| name.starts_with(&encoder));
        of_encoder.map(|(_, tensor)| tensor.numel() as u64).sum()
    });
    Ok(Row {
        name,
        objective: manifest.objective,
        trained_tokens: Some(trained_tokens),
        parameters,
        flops: Some(recipe.flops_of_step(&networks) * state::steps_done(path)? as f64),
        scores: scores(results),
    })
}

/// The scores of fine-tuning results: of each task the best median over seeds on dev, in percent.
fn scores(results: &[(String, &Report)]) -> RowScores {
    let mut scores = RowScores::default();
    let average = |task: &str| task != "wnli";
    for task in TASKS.iter().filter(|task| average(task.name) && !task.is_diagnostic()) {
        if let Some((folder, [score])) = best(results, task.name, [task.metric]) {
            scores.glue_tasks.insert(task.name, score);
            scores.scores_from.push(folder.clone());
        }
    }
    if scores.glue_tasks.len() == GLUE_TASKS {
        scores.glue = Some(scores.glue_tasks.values().sum::<f64>() / GLUE_TASKS as f64);
    }
    let mut squad = |name: &str| {
        let (folder, [f1, exact_match]) = best(results, name, [Metric::F1, Metric::ExactMatch])?;
        scores.scores_from.push(folder.clone());
        Some(Squad { exact_match, f1 })
    };
    (scores.squad_1_1, scores.squad_2_0) = (squad("squad1.1"), squad("squad2.0"));
    scores
}

/// Of the results of a task, those with the best first metric: the medians over seeds.
fn best<'a, const N: usize>(
    results: &'a [(String, &Report)],
    task: &str,
    metrics: [Metric; N],
) -> Option<(&'a String, [f64; N])> {
    let medians = |report: &Report| {
        let medians = metrics.map(|metric| {
            let seeds = report.seeds.iter().filter_map(|seed| seed.dev_score(metric));
            Some(100.0 * Summary::of(&seeds.collect::<Vec<_>>())?.median)
        });
        medians.iter().all(Option::is_some).then(|| medians.map(Option::unwrap_or_default))
    };
    let of_task = results.iter().filter(|(_, report)| report.task == task);
    of_task
        .filter_map(|(folder, report)| Some((folder, medians(report)?)))
        .max_by(|(_, a), (_, b)| a[0].total_cmp(&b[0]))
}
