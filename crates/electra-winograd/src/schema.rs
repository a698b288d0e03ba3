//! Parsing of a row of WNLI.

use crate::{
    candidates::{candidates, head_word, is_listed},
    words::{Word, text, words},
};

/// The pronouns that `sentence2` may replace.
const PRONOUNS: &[&str] = &[
    "he", "him", "his", "she", "her", "hers", "it", "its", "they", "them", "their", "theirs",
    "this", "that", "one",
];

/// A parsed row: `sentence1` around its pronoun, and the candidates for the pronoun's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `sentence1` up to the pronoun.
    pub before: String,
    /// `sentence1` after the pronoun.
    pub after: String,
    /// The candidate of `sentence2`.
    pub candidate: String,
    /// Other candidates by the rules, whose nouns differ from the candidate's.
    pub others: Vec<String>,
}

/// A clause of `sentence1`: the index of the pronoun, and the numbers of words in `sentence2` before and after the
/// candidate.
struct Clause {
    pronoun: usize,
    before: usize,
    after: usize,
}

impl Schema {
    /// Parses a row; `None` if `sentence2` is not a clause of `sentence1` with a candidate in a pronoun's place.
    pub fn parse(sentence1: &str, sentence2: &str) -> Option<Self> {
        let (first, second) = (words(sentence1), words(sentence2));
        let clause = clause(&first, &second)?;
        let own = &second[clause.before..second.len() - clause.after];
        let candidate = text(sentence2, own);
        let (pronoun, possessive) = (&first[clause.pronoun], own.last()?.key.starts_with('\''));
        let written = &sentence1[pronoun.range.clone()];
        let others = candidates(sentence1, &first, clause.pronoun)
            .into_iter()
            .filter(|other| head_word(&first[other.clone()]) != head_word(own))
            .map(|other| {
                let ending = if possessive { "'s" } else { "" };
                in_place_of(written, &(text(sentence1, &first[other]).to_owned() + ending))
            })
            .collect();
        Some(Self {
            before: sentence1[..pronoun.range.start].to_owned(),
            after: sentence1[pronoun.range.end..].to_owned(),
            candidate: in_place_of(written, candidate),
            others,
        })
    }
}

/// The clause with the shortest candidate, the first one if there is a tie.
fn clause(first: &[Word], second: &[Word]) -> Option<Clause> {
    let alike = |a: &Word, b: &Word| a.key == b.key;
    let pronouns = (0..first.len()).filter(|&i| PRONOUNS.contains(&first[i].key.as_str()));
    let clauses = pronouns.filter_map(|pronoun| {
        // The words before the candidate are those before the pronoun; the candidate has at least one word.
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
        (before + after > 0 && !same).then_some(Clause { pronoun, before, after })
    });
    clauses.rev().max_by_key(|clause| clause.before + clause.after)
}

/// A phrase with the capitalization of the pronoun that it replaces: upper case if the pronoun is; otherwise an article
/// or another function word becomes lower case.
fn in_place_of(pronoun: &str, phrase: &str) -> String {
    let capital = pronoun.starts_with(char::is_uppercase);
    let word = phrase.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let mut rest = phrase.chars();
    let Some(first) = rest.next() else { return String::new() };
    let first: String = match capital {
        true => first.to_uppercase().collect(),
        false if is_listed(&word.to_lowercase()) => first.to_lowercase().collect(),
        false => first.to_string(),
    };
    first + rest.as_str()
}
