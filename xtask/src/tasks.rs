//! `cargo xtask tasks`: fine-tunes on GLUE and SQuAD, from a pre-trained model and from random weights, and makes a table
//! of dev scores.

use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA, Step},
    sh,
};
use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// Options of `cargo xtask tasks`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pre-trained model: an exported folder.
    #[arg(long, value_parser = sh::path_arg)]
    model: PathBuf,
    /// The folder with GLUE's folders. Without it, GLUE is skipped.
    #[arg(long, value_parser = sh::path_arg)]
    glue: Option<PathBuf>,
    /// The folder with SQuAD's files. Without it, SQuAD is skipped.
    #[arg(long, value_parser = sh::path_arg)]
    squad: Option<PathBuf>,
    /// Only these tasks, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(TASKS.map(|task| task.name)))]
    only: Vec<String>,
    /// Number of runs of each task, with seeds 1, 2, ...
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Published hyperparameters to use: those of the paper or of the reference repository.
    #[arg(long, default_value = "paper", value_parser = ["paper", "repo"])]
    preset: String,
    /// Override a config key of all tasks; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Override a config key of one task, as in `sst2:train.epochs=1`; repeatable.
    #[arg(long, value_name = "TASK:KEY=VALUE")]
    set_of: Vec<String>,
    /// Output folder, runs/tasks by default. Completed steps are skipped.
    #[arg(long, value_parser = sh::path_arg)]
    out: Option<PathBuf>,
}

/// The location of a task's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// A folder in GLUE's.
    Glue(&'static str),
    Squad,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    name: &'static str,
    data: Data,
}

const TASKS: [Task; 11] = [
    Task { name: "cola", data: Data::Glue("CoLA") },
    Task { name: "sst2", data: Data::Glue("SST-2") },
    Task { name: "mrpc", data: Data::Glue("MRPC") },
    Task { name: "stsb", data: Data::Glue("STS-B") },
    Task { name: "qqp", data: Data::Glue("QQP") },
    Task { name: "mnli", data: Data::Glue("MNLI") },
    Task { name: "qnli", data: Data::Glue("QNLI") },
    Task { name: "rte", data: Data::Glue("RTE") },
    Task { name: "wnli", data: Data::Glue("WNLI") },
    Task { name: "squad1.1", data: Data::Squad },
    Task { name: "squad2.0", data: Data::Squad },
];

/// The folder of a task of GLUE; `None` for other tasks.
pub(crate) fn glue_folder(name: &str) -> Option<&'static str> {
    TASKS.iter().find(|task| task.name == name).and_then(|task| match task.data {
        Data::Glue(folder) => Some(folder),
        Data::Squad => None,
    })
}

/// The initial weights of each task, in the order of the table.
const WEIGHTS: [&str; 2] = ["pretrained", "random"];

pub(crate) fn run(args: &Args) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs/tasks"));
    let steps = steps(args, &out)?;
    pipeline::build(Path::new("data/sample/pretrain"))?;
    for (index, step) in steps.iter().enumerate() {
        // One pipeline per step: the steps are independent.
        pipeline::run(std::slice::from_ref(step), &out.join("stamps"))?;
        files::write(out.join("table.md"), &table(&steps[..=index])?)?;
    }
    sh::say(&files::read(out.join("table.md"))?);
    Ok(())
}

/// The fine-tuning steps: each task from both kinds of weights.
fn steps(args: &Args, out: &Path) -> Result<Vec<Step>> {
    let mut of_tasks = Vec::new();
    for set in &args.set_of {
        let (task, set) = set.split_once(':').unwrap_or_default();
        if !TASKS.iter().any(|known| known.name == task) {
            let names = TASKS.map(|known| known.name).join(", ");
            bail!("--set-of takes TASK:KEY=VALUE, where TASK is one of {names}");
        }
        of_tasks.push((task, set));
    }
    let selected =
        |task: &&Task| args.only.is_empty() || args.only.iter().any(|it| it == task.name);
    let mut steps = Vec::new();
    for task in TASKS.iter().filter(selected) {
        let data = match task.data {
            Data::Glue(_) => &args.glue,
            Data::Squad => &args.squad,
        };
        let Some(data) = data else {
            let option = if task.data == Data::Squad { "--squad" } else { "--glue" };
            if args.only.is_empty() {
                continue;
            }
            bail!("{} needs {option}", task.name);
        };
        let own = of_tasks.iter().filter(|(name, _)| *name == task.name).map(|(_, set)| *set);
        let sets: Vec<&str> = args.overrides.iter().map(String::as_str).chain(own).collect();
        for weights in WEIGHTS {
            let name = format!("{}-{weights}", task.name);
            let output = out.join(&name);
            let command = command(args, task, data, weights, &sets, &output);
            let files = match task.data {
                Data::Glue(folder) => data.join(folder),
                Data::Squad => data.clone(),
            };
            steps.push(Step { name, command, inputs: vec![args.model.clone(), files], output });
        }
    }
    if steps.is_empty() {
        bail!("no tasks: use --glue and --squad to give the folders with the data");
    }
    Ok(steps)
}

fn command(
    args: &Args,
    task: &Task,
    data: &Path,
    weights: &str,
    sets: &[&str],
    output: &Path,
) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let mut command = sh::words([
        ELECTRA,
        "finetune",
        "--task",
        task.name,
        "--data",
        &text(data),
        "--model",
        &text(&args.model),
        "--preset",
        &args.preset,
        "--weights",
        weights,
        "--seeds",
        &args.seeds.to_string(),
        "--out",
        &text(output),
    ]);
    for set in sets {
        command.extend(sh::words(["--set", set]));
    }
    command
}

/// The dev scores of completed steps in percent: mean and standard deviation over seeds, and baselines. Other results in
/// the folder are ignored, as they may belong to another model.
fn table(steps: &[Step]) -> Result<String> {
    let mut text = String::from(
        "| task | metric | pre-trained | random weights | bag of words | majority | training examples | dev examples | seeds |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for task in TASKS {
        let results = WEIGHTS.map(|weights| {
            let name = format!("{}-{weights}", task.name);
            let step = steps.iter().find(|step| step.name == name);
            step.map(|step| files::json(step.output.join("results.json"))).transpose()
        });
        let [pretrained, random] = results;
        let (pretrained, random) = (pretrained?, random?);
        let Some(any) = pretrained.as_ref().or(random.as_ref()) else { continue };
        let metric = any["metric"].as_str().context("no metric in results.json")?;
        let spread = |report: &Option<Value>| -> Result<String> {
            let Some(report) = report else { return Ok("-".to_owned()) };
            let percent = |key: &str| number(&report["dev"], key).map(|x| 100.0 * x);
            Ok(format!("{:.1} ± {:.1}", percent("mean")?, percent("sd")?))
        };
        let baseline = |kind: &str| {
            let score = any["baselines"][kind]["dev"][metric].as_f64();
            score.map_or_else(|| "-".to_owned(), |score| format!("{:.1}", 100.0 * score))
        };
        writeln!(
            text,
            "| {} | {metric} | {} | {} | {} | {} | {} | {} | {} |",
            task.name,
            spread(&pretrained)?,
            spread(&random)?,
            baseline("bag_of_words"),
            baseline("majority"),
            any["examples"]["train"],
            any["examples"]["dev"],
            any["seeds"].as_array().map_or(0, Vec::len)
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Line::try_parse_from(line.split(' ')).unwrap().args
    }

    fn commands(line: &str) -> Vec<String> {
        steps(&args(line), Path::new("out"))
            .unwrap()
            .iter()
            .map(|step| sh::shown(&step.command))
            .collect()
    }

    #[test]
    fn each_task_runs_from_both_weights_with_its_overrides() {
        let all = commands("x --model /m --glue /g --squad /s --set-of rte:train.epochs=1");
        assert_eq!(all.len(), 2 * TASKS.len());
        let one: Vec<&String> = all.iter().filter(|line| line.contains("train.epochs=1")).collect();
        assert_eq!(one.len(), 2);
        assert!(one.iter().all(|line| line.contains("--task rte --data /g")), "{one:?}");
        let squad = commands("x --model /m --squad /s");
        assert_eq!(squad.len(), 4);
        assert!(squad[0].contains("--task squad1.1 --data /s --model /m --preset paper"));
    }

    #[test]
    fn missing_data_and_unknown_tasks_are_errors() {
        let error = |line: &str| steps(&args(line), Path::new("out")).unwrap_err().to_string();
        assert!(error("x --model /m").contains("--glue and --squad"));
        assert!(error("x --model /m --squad /s --only cola").contains("cola needs --glue"));
        assert!(error("x --model /m --glue /g --set-of colla:a=1").contains("cola, sst2"));
    }

    #[test]
    fn the_table_has_only_completed_steps() {
        let dir = tempfile::tempdir().unwrap();
        let steps = steps(&args("x --model /m --glue /g --only cola,rte"), dir.path()).unwrap();
        let results = r#"{"metric":"matthews","examples":{"train":90,"dev":10},"seeds":[{},{}],"dev":{"mean":0.25,"sd":0.013},"baselines":{"majority":{"dev":{"matthews":0.0}}}}"#;
        for step in &steps {
            fs::create_dir_all(&step.output).unwrap();
            fs::write(step.output.join("results.json"), results).unwrap();
        }
        // Only the first step is complete; the other results are from an earlier call.
        let table = table(&steps[..1]).unwrap();
        let row = "| cola | matthews | 25.0 ± 1.3 | - | - | 0.0 | 90 | 10 | 2 |";
        assert!(table.lines().any(|line| line == row), "{table}");
        assert_eq!(table.lines().count(), 3);
    }
}
