//! The report on a tagging task: scores of each type, and the sentences with the most wrong tags.

use crate::details::{self, Details, HARDEST};
use electra_scores::{
    MatchCounts,
    tagging::{Scheme, Sentence, TaggingScores},
};
use std::collections::BTreeMap;

/// The sections of a report; `entities` are the scores of entities, if the scheme has them.
pub(super) fn details(
    scheme: Scheme,
    entities: Option<&TaggingScores>,
    sentences: &[Sentence],
    gold: &[Vec<String>],
    predicted: &[Vec<String>],
) -> Vec<Details> {
    let rows = |found: &BTreeMap<String, MatchCounts>, title, what| {
        details::found(title, what, found.iter().map(|(name, found)| (name.as_str(), *found)))
    };
    let types = match entities {
        Some(scores) => rows(&scores.by_type, "Entities by type", "type"),
        None => rows(&by_tag(gold, predicted), "Words by tag", "tag"),
    };
    vec![types, hardest(scheme, sentences, gold, predicted)]
}

/// The counts of words by tag.
fn by_tag(gold: &[Vec<String>], predicted: &[Vec<String>]) -> BTreeMap<String, MatchCounts> {
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
fn hardest(
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
            sentence.line.to_string(),
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
