//! Pre-training runs as rows of the comparison, with the scores of their fine-tuning folders.

use super::row::{GLUE_TASKS, Row, RowScores, Squad};
use crate::Extensions;
use crate::commands::run_folders::{NotShown, RESULTS, RunFolders, name, no_run};
use anyhow::ensure;
use electra_files::{if_there, read_json};
use electra_scores::{Metric, glue::TASKS, metrics::Summary};
use electra_tasks::{Report, Weights};
use electra_train::{RunConfig, objective::ObjectiveSettings, run_dir::RunDir, state};
use std::path::{Path, PathBuf};

/// The runs of a folder.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) rows: Vec<Row>,
    pub(crate) not_shown: Vec<NotShown>,
}

/// Reads the runs in `dir` and its subfolders, sorted by path. What cannot be read is in [`Runs::not_shown`].
///
/// # Errors
/// If there is no run in `dir`.
pub(crate) fn read(dir: &Path, extensions: &Extensions) -> anyhow::Result<Runs> {
    let RunFolders { pretraining: runs, finetuning, unreadable: mut not_shown } =
        RunFolders::find(dir)?;
    if runs.is_empty() && not_shown.is_empty() {
        return Err(no_run(dir));
    }
    let mut tuned = Vec::new();
    for folder in finetuning {
        match if_there(read_json::<Report>(&folder.join(RESULTS))) {
            // Scores from random weights do not tell anything about the run.
            Ok(Some(report)) if report.weights != Weights::Random => tuned.push((folder, report)),
            Ok(_) => {}
            Err(error) => {
                not_shown.push(NotShown { name: name(dir, &folder), reason: error.to_string() });
            }
        }
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
        match row(run, name(dir, run), &results, extensions) {
            Ok(row) => rows.push(row),
            Err(error) => {
                not_shown.push(NotShown { name: name(dir, run), reason: format!("{error:#}") });
            }
        }
    }
    Ok(Runs { rows, not_shown })
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
fn row(
    path: &Path,
    name: String,
    results: &[(String, &Report)],
    extensions: &Extensions,
) -> anyhow::Result<Row> {
    let run = RunDir::open(path)?;
    let manifest = run.manifest()?;
    let mut config = RunConfig::read(&run.config(), &[])?;
    config.train.device = "cpu".to_owned();
    let trained_tokens = config.objective.trained_share();
    let recipe = extensions.recipe(config);
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
