//! Held-out metrics of a run, with baselines.

use crate::{
    Recipe, Result, export,
    metrics::{Figures, entropy, number},
};
use electra_data::{ShardSet, Split};
use std::path::Path;

/// Metrics of a run or checkpoint on the whole held-out split of `shards`, by default those of the run. `recipe` is that of
/// the run's config, with its custom parts and objective.
///
/// Adds baselines, the losses of models that ignore the context: `unigram_entropy`, `majority_class_entropy`, and with a
/// reference generator `reference_majority_class_entropy`.
///
/// # Errors
/// As [`Recipe::evaluate`].
pub fn evaluation(recipe: &Recipe, source: &Path, shards: Option<&Path>) -> Result<Figures> {
    let (run, checkpoint) = export::locate(source)?;
    let shards = shards.unwrap_or(&recipe.config().data.shards);
    let counts = ShardSet::open(shards, Split::Train)?.unigram_counts()?;
    let mut metrics = recipe.evaluate(&run, &checkpoint, shards)?;
    metrics.insert("unigram_entropy".to_owned(), number(entropy(counts.iter().copied())));
    for prefix in ["", "reference_"] {
        let replaced = metrics.get(&format!("{prefix}replaced_fraction"));
        if let Some(p) = replaced.and_then(serde_json::Value::as_f64) {
            let majority = -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
            metrics.insert(format!("{prefix}majority_class_entropy"), number(majority));
        }
    }
    metrics.insert("checkpoint".to_owned(), checkpoint.display().to_string().into());
    Ok(metrics)
}
