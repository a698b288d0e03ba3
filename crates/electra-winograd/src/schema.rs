//! A row of WNLI taken apart.

use crate::{
    candidates::{candidates, is_closed, subject},
    words::{Word, text, words},
};

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

/// A phrase as it is written in a pronoun's place: it begins with a capital where the pronoun does, and an article or
/// another closed word with a small letter where the pronoun does.
fn in_place_of(pronoun: &str, phrase: &str) -> String {
    let capital = pronoun.starts_with(char::is_uppercase);
    let word = phrase.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let mut rest = phrase.chars();
    let Some(first) = rest.next() else { return String::new() };
    let first: String = match capital {
        true => first.to_uppercase().collect(),
        false if is_closed(&word.to_lowercase()) => first.to_lowercase().collect(),
        false => first.to_string(),
    };
    first + rest.as_str()
}
