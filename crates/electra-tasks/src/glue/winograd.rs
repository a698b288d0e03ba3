//! WNLI by its candidates: which antecedent of a pronoun a discriminator takes for the original.
//!
//! A row of WNLI is a Winograd schema in disguise: `sentence2` repeats a clause of `sentence1` with a candidate in a
//! pronoun's place. The clause says which pronoun it is; rules find the other candidates in `sentence1`; each is put in
//! the pronoun's place, and a discriminator says how original its tokens look there. The row's candidate is
//! the antecedent (label 1) if none of the others looks more original.
//!
//! A discriminator answers as pre-training left it, or fine-tuned on the candidates ([`WinogradTask`]), as the paper does.
//!
//! Source: Clark et al. 2020, appendix B, in a few lines: antecedents by rules, as in Liu et al. 2019; the discriminator is
//! fine-tuned so that its scores of the antecedent's tokens are high. Neither rules nor code were published; the rules here
//! are in `candidates.rs`.

mod candidates;
mod head;
mod scorer;
mod task;

use candidates::{candidates, subject};
use std::ops::Range;

pub use head::{CandidateHead, CandidateTarget};
pub use scorer::{Judged, WinogradPredictor, WinogradReport, is_discriminator};
pub use task::{WinogradData, WinogradKind, WinogradTask};

/// The task that is answered so.
pub const TASK: &str = "wnli";
/// The name by which it is fine-tuned.
pub const CANDIDATES: &str = "wnli-candidates";
/// The columns of a row.
const TEXTS: [&str; 2] = ["sentence1", "sentence2"];

/// What `sentence2` may have replaced.
const PRONOUNS: &[&str] = &[
    "he", "him", "his", "she", "her", "hers", "it", "its", "they", "them", "their", "theirs",
    "this", "that", "one",
];

/// A row taken apart: `sentence1` around its pronoun, and what may stand in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `sentence1` up to the pronoun.
    pub before: String,
    /// `sentence1` after the pronoun.
    pub after: String,
    /// What `sentence2` has in its place.
    pub candidate: String,
    /// What else might stand there, by the rules; none names the same thing as the candidate.
    pub others: Vec<String>,
}

/// A word of a text: letters and digits, or an apostrophe and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    range: Range<usize>,
    /// In lower case.
    key: String,
}

/// Where a clause stands in `sentence1`: the pronoun, and the words of `sentence2` before and after its candidate.
struct Place {
    pronoun: usize,
    before: usize,
    after: usize,
}

impl Schema {
    /// Takes a row apart; `None` where `sentence2` is no clause of `sentence1` with another pronoun's place filled.
    pub fn parse(sentence1: &str, sentence2: &str) -> Option<Self> {
        let (first, second) = (words(sentence1), words(sentence2));
        let place = place(&first, &second)?;
        let own = &second[place.before..second.len() - place.after];
        let candidate = text(sentence2, own);
        let (pronoun, possessive) = (&first[place.pronoun], own.last()?.key.starts_with('\''));
        let spoken = &sentence1[pronoun.range.clone()];
        let others = candidates(sentence1, &first, place.pronoun)
            .into_iter()
            .filter(|other| subject(&first[other.clone()]) != subject(own))
            .map(|other| {
                let ending = if possessive { "'s" } else { "" };
                in_place_of(spoken, &(text(sentence1, &first[other]).to_owned() + ending))
            })
            .collect();
        Some(Self {
            before: sentence1[..pronoun.range.start].to_owned(),
            after: sentence1[pronoun.range.end..].to_owned(),
            candidate: in_place_of(spoken, candidate),
            others,
        })
    }
}

/// The place of the clause that leaves the shortest candidate, the first of equals.
fn place(first: &[Word], second: &[Word]) -> Option<Place> {
    let alike = |a: &Word, b: &Word| a.key == b.key;
    let places = (0..first.len()).filter(|&i| PRONOUNS.contains(&first[i].key.as_str()));
    let places = places.filter_map(|pronoun| {
        // The clause's words before the candidate end where the pronoun begins; the candidate has a word at least.
        let fits = |&count: &usize| {
            second[..count].iter().zip(&first[pronoun - count..pronoun]).all(|(a, b)| alike(a, b))
        };
        let most = pronoun.min(second.len().saturating_sub(1));
        let before = (0..=most).rev().find(fits)?;
        let rest = &second[before..];
        let fits = |&count: &usize| {
            let tail = &rest[rest.len() - count..];
            first[pronoun + 1..].len() >= count
                && tail.iter().zip(&first[pronoun + 1..]).all(|(a, b)| alike(a, b))
        };
        let after = (0..rest.len()).rev().find(fits)?;
        let same = rest.len() - after == 1 && alike(&rest[0], &first[pronoun]);
        (before + after > 0 && !same).then_some(Place { pronoun, before, after })
    });
    places.rev().max_by_key(|place| place.before + place.after)
}

/// The words of a text.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let apostrophe = matches!(c, '\'' | '\u{2019}');
        let goes_on = chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if !(c.is_alphanumeric() || apostrophe && goes_on) {
            continue;
        }
        let mut end = start + c.len_utf8();
        while let Some(&(at, next)) = chars.peek().filter(|(_, next)| next.is_alphanumeric()) {
            end = at + next.len_utf8();
            chars.next();
        }
        let key = text[start..end].to_lowercase().replace('\u{2019}', "'");
        words.push(Word { range: start..end, key });
    }
    words
}

/// The text from the first to the last of some words.
fn text<'a>(text: &'a str, words: &[Word]) -> &'a str {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => &text[first.range.start..last.range.end],
        _ => "",
    }
}

/// A phrase as it is written in a pronoun's place: it begins with a capital where the pronoun does, and an article or
/// another closed word with a small letter where the pronoun does.
fn in_place_of(pronoun: &str, phrase: &str) -> String {
    let capital = pronoun.starts_with(char::is_uppercase);
    let word = phrase.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let mut rest = phrase.chars();
    let Some(first) = rest.next() else { return String::new() };
    let first: String = match capital {
        true => first.to_uppercase().collect(),
        false if candidates::is_closed(&word.to_lowercase()) => first.to_lowercase().collect(),
        false => first.to_string(),
    };
    first + rest.as_str()
}
