//! The report on multiple choice: the hardest examples.

use super::{head::ChoicePrediction, set::ChoiceSet};
use crate::details::{Details, HARDEST};

/// The rows with the highest losses, `-ln p(gold)`.
pub(super) fn hardest(
    set: &ChoiceSet,
    predictions: &[ChoicePrediction],
    labels: &[String],
) -> Details {
    let loss = |i: usize| f64::from(predictions[i].probabilities[set.labels[i]]).ln().abs();
    let mut order: Vec<usize> = (0..predictions.len()).collect();
    // `total_cmp` puts a positive NaN first.
    order.sort_by(|&a, &b| loss(b).total_cmp(&loss(a)));
    let row = |&i: &usize| {
        let (fields, gold, predicted) = (&set.rows[i].fields, set.labels[i], predictions[i].choice);
        vec![
            set.rows[i].index.to_string(),
            format!("{:.4}", loss(i)),
            labels[gold].clone(),
            labels[predicted].clone(),
            format!("{:.4}", predictions[i].probabilities[predicted]),
            fields[0].clone(),
            fields[1 + gold].clone(),
            fields[1 + predicted].clone(),
        ]
    };
    let columns = [
        "index",
        "loss",
        "gold",
        "predicted",
        "its probability",
        "text",
        "gold choice",
        "predicted choice",
    ];
    Details::table("Hardest examples, by loss", columns, order.iter().take(HARDEST).map(row))
}
