//! The report on a tagging task: scores of each type, and the sentences with the most wrong tags.

use crate::details::{Details, HARDEST};
use electra_scores::{
    MatchCounts,
    tagging::{Scheme, Sentence},
};
use std::collections::BTreeMap;

/// The counts of words by tag.
pub(super) fn by_tag(
    gold: &[Vec<String>],
    predicted: &[Vec<String>],
) -> BTreeMap<String, MatchCounts> {
    let mut found: BTreeMap<String, MatchCounts> = BTreeMap::new();
    for (gold, predicted) in gold.iter().flatten().zip(predicted.iter().flatten()) {
        let of_gold = found.entry(gold.clone()).or_default();
        of_gold.gold += 1;
        of_gold.right += usize::from(gold == predicted);
        found.entry(predicted.clone()).or_default().predicted += 1;
    }
    found
}

/// The sentences with wrong tags, by their number and then by fewest words.
pub(super) fn hardest(
    scheme: Scheme,
    sentences: &[Sentence],
    gold: &[Vec<String>],
    predicted: &[Vec<String>],
) -> Details {
    let tagged = sentences.iter().zip(gold.iter().zip(predicted));
    let mut wrong: Vec<(usize, &Sentence, &[String], &[String])> = tagged
        .map(|(sentence, (gold, predicted))| {
            let count = gold.iter().zip(predicted).filter(|(gold, found)| gold != found).count();
            (count, sentence, gold.as_slice(), predicted.as_slice())
        })
        .filter(|(count, ..)| *count > 0)
        .collect();
    wrong.sort_by_key(|(count, sentence, ..)| (usize::MAX - count, sentence.words.len()));
    let row = |&(count, sentence, gold, predicted): &(usize, &Sentence, &[String], &[String])| {
        vec![
            sentence.first_line().to_string(),
            count.to_string(),
            sentence.words.len().to_string(),
            marked(scheme, &sentence.words, gold),
            marked(scheme, &sentence.words, predicted),
        ]
    };
    let columns = ["line", "wrong", "words", "gold", "predicted"];
    let rows = wrong.iter().take(HARDEST).map(row);
    Details::table("Sentences with the most wrong tags", columns, rows)
}

/// A sentence with the tag after each word of an entity, as in `fox/B-ANIMAL runs`.
fn marked(scheme: Scheme, words: &[String], tags: &[String]) -> String {
    let word = |(word, tag): (&String, &String)| match scheme.subject(tag) {
        Some(_) => format!("{word}/{tag}"),
        None => word.clone(),
    };
    words.iter().zip(tags).map(word).collect::<Vec<_>>().join(" ")
}
