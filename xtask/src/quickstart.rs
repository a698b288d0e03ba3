//! `cargo xtask quickstart`: all steps on the sample data, and a table of results.

use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA, Step},
    sh,
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

const OUT: &str = "runs/quickstart";
pub(crate) const CORPUS: &str = "data/sample/pretrain";
pub(crate) const CONFIG: &str = "configs/pretrain-tiny.toml";
const FINETUNE: &str = "configs/finetune-tiny.toml";
const TASKS: [&str; 2] = ["word-order", "sentence-start"];
const WEIGHTS: [&str; 2] = ["pretrained", "random"];

pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    pipeline::build(Path::new(CORPUS))?;
    let built = start.elapsed();
    let mut times = vec![("setup and build".to_owned(), built)];
    let out = Path::new(OUT);
    times.extend(pipeline::run(&steps(out), &out.join("stamps"))?);
    let report = report(out, &times, start.elapsed())?;
    files::write(out.join("report.txt"), &report)?;
    sh::say(&report);
    Ok(())
}

/// The name of a fine-tuning step and of its output folder.
fn finetuned(task: &str, weights: &str) -> String {
    format!("{task}-{weights}")
}

/// The steps that make the vocabulary and shards of the sample corpus in `out`.
pub(crate) fn data_steps(out: &Path) -> Vec<Step> {
    let text = |path: &Path| path.display().to_string();
    let (vocab, shards) = (out.join("vocab.txt"), out.join("shards"));
    vec![
        Step {
            name: "vocabulary".to_owned(),
            command: sh::words([
                ELECTRA,
                "vocab",
                "train",
                "--corpus",
                CORPUS,
                "--size",
                "4000",
                "--out",
                &text(&vocab),
            ]),
            inputs: vec![CORPUS.into()],
            output: vocab.clone(),
        },
        Step {
            name: "shards".to_owned(),
            command: sh::words([
                ELECTRA,
                "shards",
                "build",
                "--corpus",
                CORPUS,
                "--vocab",
                &text(&vocab),
                "--seq-len",
                "16",
                "--held-out",
                "0.05",
                "--out",
                &text(&shards),
            ]),
            inputs: vec![CORPUS.into(), vocab],
            output: shards,
        },
    ]
}

fn steps(out: &Path) -> Vec<Step> {
    let path = |name: &str| out.join(name);
    let text = |path: &Path| path.display().to_string();
    let run = path("run");
    let mut steps = data_steps(out);
    steps.push(Step {
        name: "pretrain".to_owned(),
        command: sh::words([
            ELECTRA,
            "pretrain",
            CONFIG,
            "--set",
            &format!("data.shards={}", text(&path("shards"))),
            "--out",
            &text(&run),
        ]),
        inputs: vec![CONFIG.into()],
        output: run.clone(),
    });
    steps.extend(pipeline::after_pretraining(&run, out));
    let model = text(&path("discriminator"));
    for task in TASKS {
        for weights in WEIGHTS {
            let (name, data) = (finetuned(task, weights), format!("data/sample/{task}"));
            let folder = path(&name);
            let command = sh::words([
                ELECTRA,
                "finetune",
                "--task",
                &data,
                "--data",
                &data,
                "--model",
                &model,
                "--config",
                FINETUNE,
                "--weights",
                weights,
                "--seeds",
                "3",
                "--out",
                &text(&folder),
            ]);
            steps.push(Step {
                name,
                command,
                inputs: vec![FINETUNE.into(), data.into()],
                output: folder,
            });
        }
    }
    steps
}

/// The table of results.
fn report(out: &Path, times: &[(String, Duration)], whole: Duration) -> Result<String> {
    let rows = files::rows(out.join("run/metrics.jsonl"))?;
    let held_out: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "evaluate").collect();
    let (first, last) = held_out
        .first()
        .zip(held_out.last())
        .context("metrics.jsonl has no held-out evaluation")?;
    let evaluated = files::json(out.join("evaluate.json"))?;
    let mut text = String::from(
        "\nPre-training, held-out data                    start       end          baseline\n",
    );
    // Accuracy of always predicting the majority class.
    let majority = evaluated["replaced_fraction"].as_f64().map(|share| share.max(1.0 - share));
    let metrics = [
        (
            "generator loss on [MASK] positions",
            "generator_loss_mask",
            evaluated["unigram_entropy"].as_f64(),
        ),
        ("generator accuracy on [MASK] positions", "generator_accuracy_mask", None),
        ("discriminator loss", "discriminator_loss", evaluated["majority_class_entropy"].as_f64()),
        ("discriminator accuracy", "discriminator_accuracy", majority),
        ("discriminator AUC", "discriminator_auc", Some(0.5)),
    ];
    for (label, key, baseline) in metrics {
        let (a, b) = (number(first, key)?, number(last, key)?);
        let baseline = baseline.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
        writeln!(text, "  {label:<40}{a:>10.3}{b:>10.3}{baseline:>18}")?;
    }
    text.push_str("\nFine-tuning, test accuracy in % (3 seeds)   pre-trained   random weights   bag of words   majority\n");
    for task in TASKS {
        let results = WEIGHTS.map(|weights| result(out, task, weights));
        let [pretrained, random] = results;
        let (pretrained, random) = (pretrained?, random?);
        let spread = |report: &Value| -> Result<String> {
            let percent = |key: &str| number(&report["test"], key).map(|x| 100.0 * x);
            Ok(format!("{:.1} ± {:.1}", percent("mean")?, percent("sd")?))
        };
        let baseline = |kind: &str| {
            number(&pretrained["baselines"][kind]["test"], "accuracy").map(|x| 100.0 * x)
        };
        writeln!(
            text,
            "  {task:<40}{:>13}{:>17}{:>15.1}{:>11.1}",
            spread(&pretrained)?,
            spread(&random)?,
            baseline("bag_of_words")?,
            baseline("majority")?
        )?;
    }
    text.push_str("\nSeconds\n");
    for (name, took) in times {
        writeln!(text, "  {:<40}{:>10.1}", name, took.as_secs_f64())?;
    }
    writeln!(text, "  {:<40}{:>10.1}", "total of this run", whole.as_secs_f64())?;
    let o = out.display();
    write!(
        text,
        "
Output
  run: metrics, config, checkpoints         {o}/run
  models in Hugging Face format             {o}/discriminator  {o}/generator
  fine-tuned model                          {o}/word-order-pretrained/model
  this table                                {o}/report.txt

Next steps
  {ELECTRA} predict --model {o}/word-order-pretrained --input data/sample/word-order/dev.tsv --output predictions.tsv
  {ELECTRA} evaluate {o}/run
  {ELECTRA} train --corpus YOUR_TEXT --dry-run
  {ELECTRA} finetune --help       for your own task, described as in data/sample/word-order/task.toml
"
    )?;
    Ok(text)
}

fn result(out: &Path, task: &str, weights: &str) -> Result<Value> {
    files::json(out.join(finetuned(task, weights)).join("results.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn steps_use_the_outputs_of_earlier_steps() {
        let steps = steps(Path::new(OUT));
        let mut made: Vec<String> = Vec::new();
        for step in &steps {
            for word in step.command.iter().filter_map(|word| word.split('=').next_back()) {
                let ours = word.starts_with(OUT) && Path::new(word) != step.output;
                assert!(
                    !ours || made.iter().any(|path| path == word),
                    "{}: no earlier step creates {word}",
                    step.name
                );
            }
            made.push(step.output.display().to_string());
        }
        assert_eq!(steps.len(), 6 + TASKS.len() * WEIGHTS.len());
    }

    /// Uses the keys of results.json that the tests of `electra finetune` check.
    #[test]
    fn the_report_has_all_results() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let row = |loss: f64| {
            format!(
                r#"{{"kind":"evaluate","generator_loss_mask":{loss},"generator_accuracy_mask":0.25,"discriminator_loss":0.375,"discriminator_accuracy":0.875,"discriminator_auc":0.75}}"#
            )
        };
        write("run/metrics.jsonl", &format!("{}\n{}\n", row(7.5), row(4.5)));
        write(
            "evaluate.json",
            r#"{"unigram_entropy":6.5,"majority_class_entropy":0.4,"replaced_fraction":0.125}"#,
        );
        for task in TASKS {
            for weights in WEIGHTS {
                write(
                    &format!("{}/results.json", finetuned(task, weights)),
                    r#"{"test":{"mean":0.75,"sd":0.01},"baselines":{"majority":{"test":{"accuracy":0.5}},"bag_of_words":{"test":{"accuracy":0.625}}}}"#,
                );
            }
        }
        let report = report(dir.path(), &[], Duration::from_secs(1)).unwrap();
        for expected in ["7.500     4.500             6.500", "75.0 ± 1.0", "62.5       50.0"] {
            assert!(report.contains(expected), "{expected} in {report}");
        }
    }
}
