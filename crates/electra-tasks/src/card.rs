//! The model card of a fine-tuned model: README.md, for people and for the model hub.

use crate::{
    baseline::SplitScores,
    config::FinetuneConfig,
    error::Result,
    model::HeadClass,
    report::{Report, Weights},
    task::TaskCard,
};
use electra_files::write_file;
use electra_scores::{Scores, metrics::Summary};
use electra_train::{card::cell, run_dir::RunDir};
use std::{fmt::Write, path::Path};

/// Writes `model/README.md`: the task, the training, the scores, and how to load the model. `best` is the best seed's
/// folder, whose manifest has the hardware.
///
/// # Errors
/// Naming the file.
pub(crate) fn write(
    model: &Path,
    best: &Path,
    report: &Report,
    config: &FinetuneConfig,
    task: &TaskCard,
    class: &HeadClass,
) -> Result<()> {
    let manifest = RunDir::open(best)?.manifest()?;
    let mut card = front_matter(report, task.pipeline);
    let _ = write!(card, "\n# {}\n\nAn ELECTRA encoder, fine-tuned.\n", report.task);
    let mut rows = task.rows.clone();
    rows.extend(about(report));
    rows.extend(recipe(report, config));
    rows.push(("hardware", manifest.hardware()));
    rows.push(("training time", format!("{:.0} seconds for all seeds", seconds(report))));
    rows.push(("made with", format!("electra {} {}", manifest.version, manifest.git)));
    card.push_str("\n## Training\n\n| | |\n|---|---|\n");
    for (key, value) in rows {
        let _ = writeln!(card, "| {key} | {} |", cell(value.trim()));
    }
    scores(&mut card, report);
    usage(&mut card, task.predict, class);
    Ok(write_file(&model.join("README.md"), &card)?)
}

/// The metadata for the hub: the model's purpose, and the best seed's score on dev.
fn front_matter(report: &Report, pipeline: &str) -> String {
    // A JSON string is a YAML string.
    let name = serde_json::Value::from(report.task.as_str());
    let metric = report.metric.hub_name();
    let score = report.best(|seed| seed.dev_score(report.metric));
    let result = score.map_or_else(String::new, |score| {
        format!(
            "model-index:\n- name: {name}\n  results:\n  - task:\n      type: {pipeline}\n    \
             dataset:\n      type: {name}\n      name: {name}\n      split: validation\n    \
             metrics:\n    - type: {metric}\n      value: {score:.4}\n"
        )
    });
    format!(
        "---\nlibrary_name: transformers\npipeline_tag: {pipeline}\ntags:\n- electra\n\
         metrics:\n- {metric}\n{result}---\n"
    )
}

fn about(report: &Report) -> Vec<(&'static str, String)> {
    let (model, examples) = (report.model.display(), report.examples);
    vec![
        (
            "examples",
            format!("{} training, {} dev, {} test", examples.train, examples.dev, examples.test),
        ),
        (
            "base model",
            match report.weights {
                Weights::Pretrained => model.to_string(),
                Weights::Random => format!("{model}: only its sizes; the weights were random"),
            },
        ),
    ]
}

fn recipe(report: &Report, config: &FinetuneConfig) -> Vec<(&'static str, String)> {
    let (train, rates) = (&config.train, &config.optimizer);
    let seeds: Vec<_> = report.seeds.iter().map(|seed| seed.seed.to_string()).collect();
    vec![
        ("seeds", format!("{}; this is the model of seed {}", seeds.join(", "), report.best_seed)),
        ("epochs", format!("{} ({} updates)", train.epochs, report.steps)),
        ("batch", format!("{} examples", train.batch_size * train.accumulate)),
        ("longest input", format!("{} tokens", train.max_length)),
        (
            "learning rate",
            format!(
                "peak {}, warm-up over {} of the updates, decay to 0; times {} from each layer to the one below",
                rates.learning_rate, rates.warmup_fraction, rates.layer_decay
            ),
        ),
        ("weight decay", rates.weight_decay.to_string()),
        ("head", format!("{:?}, dropout {}", config.head.kind, config.head.dropout)),
    ]
}

fn seconds(report: &Report) -> f64 {
    report.seeds.iter().map(|seed| seed.seconds).sum()
}

/// The table of scores, with baselines.
fn scores(card: &mut String, report: &Report) {
    let metric = report.metric;
    let _ = write!(card, "\n## Scores\n\n| {metric} | dev | test |\n|---|---|---|\n");
    let mut row = |name: &str, dev: Option<f64>, test: Option<f64>| {
        let [dev, test] = [dev, test].map(|x| x.map_or("-".to_owned(), |x| format!("{x:.4}")));
        let _ = writeln!(card, "| {name} | {dev} | {test} |");
    };
    for seed in &report.seeds {
        row(&format!("seed {}", seed.seed), seed.dev_score(metric), seed.test_score(metric));
    }
    let of = |summary: &Option<Summary>, pick: fn(&Summary) -> f64| summary.as_ref().map(pick);
    // A single seed has no spread.
    if report.seeds.len() > 1 {
        row("median", of(&report.dev, |s| s.median), of(&report.test, |s| s.median));
        row("mean", of(&report.dev, |s| s.mean), of(&report.test, |s| s.mean));
        row("standard deviation", of(&report.dev, |s| s.sd), of(&report.test, |s| s.sd));
    }
    let baselines = [
        ("majority", Some(&report.baselines.majority)),
        ("bag of words", report.baselines.bag_of_words.as_ref()),
    ];
    for (name, split) in baselines {
        let of = |scores: &Scores| scores.get(&metric).copied().flatten();
        if let Some(SplitScores { dev, test }) = split {
            row(name, of(dev), test.as_ref().and_then(of));
        }
    }
}

fn usage(card: &mut String, predict: &str, class: &HeadClass) {
    let (class, with_head) = class.auto_model();
    let words = match with_head {
        true => "",
        false => "`transformers` has no class for this head; it loads the encoder:\n\n",
    };
    let _ = write!(
        card,
        "\n## Use\n\n```\n{predict}\n```\n\n\
         {words}```python\nfrom transformers import AutoTokenizer, {class}\n\n\
         tokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\nmodel = {class}.from_pretrained(\"FOLDER\")\n```\n"
    );
}
