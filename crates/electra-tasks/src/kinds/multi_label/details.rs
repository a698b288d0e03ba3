//! The report on a multi-label task: the examples with the most wrong labels.

use crate::{
    details::{self, Details, HARDEST},
    texts::data::EncodedSet,
};
use electra_scores::multi_label::names;

/// The examples with the most wrong labels.
pub(super) fn hardest(
    labels: &[String],
    separator: &str,
    EncodedSet { labels: gold, texts, .. }: &EncodedSet<Vec<bool>>,
    predicted: &[Vec<bool>],
) -> Details {
    let wrong = |(index, (gold, predicted)): (usize, (&Vec<bool>, &Vec<bool>))| {
        let count = gold.iter().zip(predicted).filter(|(gold, found)| gold != found).count();
        (count > 0).then_some((count, index))
    };
    let mut wrong: Vec<(usize, usize)> =
        gold.iter().zip(predicted).enumerate().filter_map(wrong).collect();
    wrong.sort_by_key(|&(count, index)| (usize::MAX - count, index));
    let set = |held: &[bool]| names(labels, held).join(separator);
    let row = |&(count, index): &(usize, usize)| {
        let place = texts[index].row.to_string();
        let cells = [place, count.to_string(), set(&gold[index]), set(&predicted[index])];
        cells.into_iter().chain(details::text_cells(&texts[index])).collect()
    };
    let columns =
        ["index", "wrong", "gold", "predicted"].iter().chain(details::text_columns(texts)).copied();
    let rows = wrong.iter().take(HARDEST).map(row);
    Details::table("Examples with the most wrong labels", columns, rows)
}
