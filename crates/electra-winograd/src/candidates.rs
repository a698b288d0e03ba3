//! Rules that find candidates for the antecedent of a pronoun: names, and noun phrases after an article or a
//! preposition.
//!
//! They use lists of function words and frequent verbs, not a parser, so a phrase may have a word too many or too few.
//! A wrong candidate does little harm: its tokens do not look original.

use crate::words::Word;
use std::ops::Range;

/// The most words in a phrase, an article included.
const LONGEST: usize = 4;

/// Words that a phrase may begin with.
const ARTICLES: &str = "\
    the a an this that these those my your his her its our their some any no every each another both \
    many few several two three all";

/// Words that may precede a phrase without an article.
const PREPOSITIONS: &str = "\
    of with in on at from by for to into onto over under below above behind between through around about \
    after before near beside against during without like than across along toward towards inside outside \
    upon beneath";

/// Other words that are not part of a phrase: pronouns, conjunctions, auxiliaries, adverbs, and frequent verbs.
const OTHERS: &str = "\
    i me you he him she it we us they them hers theirs mine yours himself herself itself themselves who \
    whom whose which what where when why how there here someone somebody anyone anybody everyone \
    everybody nobody nothing something anything and or but nor so yet because since although though if \
    unless until while as is are was were be been being am do does did doing done has have had having \
    will would can could shall should may might must not never always still just only even also too very \
    quite rather really almost soon now then later again once already often out up down off away back \
    right well more most less much better first last today went gone go goes got get gets gave give \
    given took take taken made make put sat set ran run came come saw see seen said say says told tell \
    knew know known thought think felt feel fell fall broke break brought bring bought buy built caught \
    fought found find held hold kept keep left leave let lost met paid read sent sold spoke stood threw \
    won wrote yes oh don didn doesn isn wasn weren couldn wouldn";

/// Titles, whose period does not end a phrase.
const TITLES: &[&str] = &["mr", "mrs", "ms", "dr"];

/// Whether a space-separated list contains a word.
fn has(class: &str, word: &str) -> bool {
    class.split_ascii_whitespace().any(|known| known == word)
}

/// Whether a lower-case word is in one of the lists.
pub(crate) fn is_listed(word: &str) -> bool {
    [ARTICLES, PREPOSITIONS, OTHERS].into_iter().any(|class| has(class, word))
}

/// The head of a phrase: its last word apart from `'s`.
pub(crate) fn head_word(words: &[Word]) -> Option<&str> {
    let words = words.iter().rev().map(|word| word.key.as_str());
    words.into_iter().find(|word| !word.starts_with('\''))
}

/// The candidates in a text for the pronoun with index `pronoun`; no two have the same head.
pub(crate) fn candidates(text: &str, words: &[Word], pronoun: usize) -> Vec<Range<usize>> {
    let phrases = Phrases { text, words, pronoun };
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let phrase = phrases.starting(at);
        at = phrase.as_ref().map_or(at + 1, |phrase| phrase.end.max(at + 1));
        let known = |phrase: &Range<usize>| {
            found
                .iter()
                .any(|other| head_word(&words[other.clone()]) == head_word(&words[phrase.clone()]))
        };
        if let Some(phrase) = phrase.filter(|phrase| !known(phrase)) {
            found.push(phrase);
        }
    }
    found
}

struct Phrases<'a> {
    text: &'a str,
    words: &'a [Word],
    pronoun: usize,
}

impl Phrases<'_> {
    /// The phrase that begins at a word, or whose possessive `'s` is at it, if there is one.
    fn starting(&self, at: usize) -> Option<Range<usize>> {
        let key = self.words[at].key.as_str();
        if key == "'s" {
            let owner = (0..at).rev().take_while(|&i| self.is_name(i)).last()?;
            let end = self.end(at + 1, at + LONGEST);
            return (end > at + 1).then_some(owner..end);
        }
        if at == self.pronoun || key.starts_with('\'') {
            return None;
        }
        if has(ARTICLES, key) {
            let end = self.end(at + 1, at + LONGEST);
            return (end > at + 1).then_some(at..end);
        }
        if self.is_name(at) {
            let end = (at + 1..self.words.len())
                .find(|&i| !self.is_name(i) || self.divided(i))
                .unwrap_or(self.words.len());
            return Some(at..end);
        }
        let behind = at.checked_sub(1).filter(|_| !self.divided(at))?;
        let preposition = has(PREPOSITIONS, &self.words[behind].key);
        let end = self.end(at, at + LONGEST - 1);
        (preposition && end > at).then_some(at..end)
    }

    /// The end of the words from `from` on, and before `limit`, that may be in a phrase.
    fn end(&self, from: usize, limit: usize) -> usize {
        let limit = limit.min(self.words.len());
        let fits = |&i: &usize| self.is_open(i) && (i == from || !self.divided(i));
        from + (from..limit).take_while(fits).count()
    }

    /// Whether a word may be in a phrase: not in a list, and without the ending of a past tense or participle.
    fn is_open(&self, i: usize) -> bool {
        let key = self.words[i].key.as_str();
        let verb = key.len() > 4 && (key.ends_with("ed") || key.ends_with("ing"));
        i != self.pronoun && !key.starts_with('\'') && !is_listed(key) && !verb
    }

    fn is_name(&self, i: usize) -> bool {
        let capital = self.text[self.words[i].range.clone()].starts_with(char::is_uppercase);
        capital && self.is_open(i)
    }

    /// Whether there is punctuation before a word.
    fn divided(&self, i: usize) -> bool {
        let Some(before) = i.checked_sub(1).map(|i| &self.words[i]) else { return true };
        let gap = &self.text[before.range.end..self.words[i].range.start];
        let titled = TITLES.contains(&before.key.as_str());
        !titled && gap.chars().any(|c| !c.is_whitespace() && c != '-')
    }
}
