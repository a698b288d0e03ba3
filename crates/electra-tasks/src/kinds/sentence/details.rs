//! The report on a sentence task: a confusion matrix and the hardest examples.

use super::head::SentencePrediction;
use crate::{
    details::{Details, HARDEST, text_cells, text_columns},
    texts::data::EncodedSet,
};
use electra_scores::{Label, LabelSpace};

/// The sections of a report.
pub(super) fn details(
    space: &LabelSpace,
    set: &EncodedSet<Label>,
    predicted: &[SentencePrediction],
) -> Vec<Details> {
    let mut parts = Vec::new();
    if let LabelSpace::Classes(labels) = space {
        let mut counts = vec![vec![0; labels.len()]; labels.len()];
        for (gold, prediction) in set.labels.iter().zip(predicted) {
            if let (Label::Class(gold), Label::Class(predicted)) = (gold, prediction.label) {
                counts[*gold][predicted] += 1;
            }
        }
        parts.push(Details::Confusion { labels: labels.clone(), counts });
    }
    parts.push(hardest(space, set, predicted));
    parts
}

/// The examples with the highest losses: `-ln p(gold)`, or the squared error.
fn hardest(
    space: &LabelSpace,
    EncodedSet { labels: gold, texts, .. }: &EncodedSet<Label>,
    predicted: &[SentencePrediction],
) -> Details {
    let (measure, probability) = match space {
        LabelSpace::Classes(_) => ("loss", Some("its probability")),
        LabelSpace::Range { .. } => ("squared error", None),
    };
    let columns = ["index", measure, "gold", "predicted"].into_iter().chain(probability);
    let columns = columns.chain(text_columns(texts).iter().copied());
    let mut order: Vec<(usize, f64)> =
        gold.iter().zip(predicted).map(|(gold, p)| loss(gold, p)).enumerate().collect();
    // `total_cmp` puts a positive NaN first.
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let row = |&(index, loss): &(usize, f64)| {
        let prediction = &predicted[index];
        let mut row = vec![
            texts[index].row.to_string(),
            format!("{loss:.4}"),
            space.text(gold[index]),
            space.text(prediction.label),
        ];
        if let Label::Class(class) = prediction.label {
            row.push(format!("{:.4}", prediction.probabilities[class]));
        }
        row.extend(text_cells(&texts[index]));
        row
    };
    let title = format!("Hardest examples, by {measure}");
    Details::table(&title, columns, order.iter().take(HARDEST).map(row))
}

fn loss(gold: &Label, prediction: &SentencePrediction) -> f64 {
    let loss = match (gold, prediction.label) {
        (Label::Class(gold), _) => {
            let p = prediction.probabilities.get(*gold).copied().unwrap_or(0.0);
            -f64::from(p).ln()
        }
        (Label::Value(gold), Label::Value(predicted)) => (gold - predicted).powi(2),
        (Label::Value(_), Label::Class(_)) => f64::NAN,
    };
    loss.abs()
}
