//! The model card: README.md of an exported folder, for users and for the model hub.

use crate::{
    error::Result,
    metrics::Figures,
    objective::{Objective, ObjectiveSettings, TrainedNetwork},
    recipe::Recipe,
    run_dir::RunDir,
    state,
};
use electra_data::MaskedBatch;
use electra_model::hf::{self, Architecture};
use std::{fmt::Write, fs, path::Path};

/// The card of one of a run's networks, with config `exported`. It contains the facts of the run folder; the author adds
/// language, license and intended use.
///
/// # Errors
/// If the run's files cannot be read.
pub(crate) fn card(
    run: &RunDir,
    recipe: &Recipe,
    checkpoint: &Path,
    objective: &dyn Objective<Batch = MaskedBatch>,
    network: &TrainedNetwork<'_>,
    exported: &hf::Config,
) -> Result<String> {
    let networks = &objective.networks();
    let (config, step) = (recipe.config(), state::open(checkpoint)?.state.step);
    let (class, encoder) = (exported.architecture, &exported.encoder);
    let (auto, tag) = match class {
        Architecture::ElectraForPreTraining => ("AutoModelForPreTraining", "feature-extraction"),
        Architecture::ElectraForMaskedLM => ("AutoModelForMaskedLM", "fill-mask"),
        _ => ("AutoModel", "feature-extraction"),
    };
    let about = match class == Architecture::of_head(network.head) {
        true => network.about,
        false => TrainedNetwork::WITHOUT_HEAD,
    };
    let (batch, length) = (
        (config.train.batch_size * config.train.accumulate) as u64,
        config.data.sequence_length as u64,
    );
    let rows = rows(run)?;
    let held_out = rows.iter().rfind(|row| {
        row.get("kind").is_some_and(|kind| kind == "evaluate")
            && row.get("step").and_then(serde_json::Value::as_u64) <= Some(step)
    });
    let flops_of_step = recipe.flops_of_step(networks);
    let mut table: Vec<(&str, String)> = vec![
        ("objective", objective.name().to_owned()),
        ("updates", format!("{step} of {}", config.train.steps)),
        ("batch", format!("{batch} sequences of {length} tokens")),
        ("tokens seen", (step * batch * length).to_string()),
        (
            "learning rate",
            format!(
                "peak {}, {} updates of warm-up, decay to 0",
                config.optimizer.learning_rate, config.optimizer.warmup_steps
            ),
        ),
        ("weight decay", config.optimizer.weight_decay.to_string()),
        (
            "layers, hidden, heads, feed-forward",
            format!(
                "{}, {}, {}, {}",
                encoder.layers, encoder.hidden, encoder.heads, encoder.intermediate
            ),
        ),
        (
            "embeddings, vocabulary, positions",
            format!(
                "{}, {}, {}",
                encoder.embedding_size, encoder.vocab_size, encoder.max_positions
            ),
        ),
        ("FLOPs (the reference's count)", format!("{:.3e}", flops_of_step * step as f64)),
        (
            "training time",
            match seconds(&rows, step) {
                Some(seconds) => format!("{:.2} hours", seconds / 3600.0),
                None => "not recorded".to_owned(),
            },
        ),
    ];
    table.extend(config.objective.card());
    if let [first, generator] = &networks[..] {
        let hidden = |network: &TrainedNetwork<'_>| network.encoder.config().hidden;
        let share = hidden(generator) as f64 / hidden(first) as f64;
        let size = format!("{} ({share:.3} of the {}'s)", hidden(generator), first.role);
        table.push(("generator's hidden size", size));
    }
    if !encoder.is_electra() {
        table.push(("parts", encoder.part_names().join(", ")));
    }
    if !config.init.from.as_os_str().is_empty() {
        table.push(("initialized from", config.init.from.display().to_string()));
    }
    if let Ok(shards) = run.shards() {
        table.push((
            "training text",
            format!(
                "{} documents, {} tokens, in {} examples",
                shards.train.documents, shards.train.tokens, shards.train.examples
            ),
        ));
    }
    if let Ok(manifest) = run.manifest() {
        table.push(("hardware", manifest.hardware()));
        table.push((
            "made with",
            format!("electra {} {}", manifest.version, manifest.git).trim().to_owned(),
        ));
    }

    let mut card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: {tag}\ntags:\n- electra\n---\n\n# {class:?}\n\n{about}\n\n## Training\n\n| | |\n|---|---|\n"
    );
    for (key, value) in table {
        let _ = writeln!(card, "| {key} | {} |", cell(&value));
    }
    if let Some(row) = held_out {
        card.push_str("\n## Held-out metrics\n\n| | |\n|---|---|\n");
        for (key, value) in row.iter().filter(|(key, _)| *key != "kind") {
            let value = value
                .as_f64()
                .filter(|x| x.fract() != 0.0)
                .map_or(value.to_string(), |x| format!("{x:.4}"));
            let _ = writeln!(card, "| {} | {value} |", key.replace('_', " "));
        }
    }
    card.push_str("\n## Use\n\n");
    // `transformers` has no class for networks with other parts.
    if encoder.is_electra() {
        let _ = write!(
            card,
            "```python\nfrom transformers import AutoTokenizer, {auto}\n\ntokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\nmodel = {auto}.from_pretrained(\"FOLDER\")\n```\n\n"
        );
    }
    card.push_str(
        "```\nelectra finetune --task TASK --model FOLDER --config configs/finetune-small.toml --out runs/task\n```\n",
    );
    Ok(card)
}

/// Escapes text for a cell of a Markdown table.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn rows(run: &RunDir) -> Result<Vec<Figures>> {
    // Before the first row, a run has no metrics file.
    let text = fs::read_to_string(run.metrics()).unwrap_or_default();
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Total seconds up to `step`. The clock restarts at 0 whenever the run is resumed.
fn seconds(rows: &[Figures], step: u64) -> Option<f64> {
    let clock =
        rows.iter().filter(|row| row.get("step").and_then(serde_json::Value::as_u64) <= Some(step));
    let times: Vec<f64> = clock.filter_map(|row| row.get("seconds")?.as_f64()).collect();
    let before: f64 = times.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]).sum();
    times.last().map(|last| before + last)
}
