//! Rules that find what a pronoun may stand for: names, and phrases behind an article or a preposition.
//!
//! They know closed classes of words and no verbs but frequent past tenses, so a phrase may have a word too many or too
//! few. A candidate that is none costs little: its tokens do not look original.

use crate::words::Word;
use std::ops::Range;

/// Words of the longest phrase, an article included.
const LONGEST: usize = 4;

/// What a phrase may begin with.
const ARTICLES: &str = "\
    the a an this that these those my your his her its our their some any no every each another both \
    many few several two three all";

/// What a phrase without an article may stand behind.
const PREPOSITIONS: &str = "\
    of with in on at from by for to into onto over under below above behind between through around about \
    after before near beside against during without like than across along toward towards inside outside \
    upon beneath";

/// Other words that no phrase has: pronouns, conjunctions, auxiliaries, adverbs, and frequent verbs.
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

/// Titles, whose full stop ends no phrase.
const TITLES: &[&str] = &["mr", "mrs", "ms", "dr"];

/// Whether a class, its words with spaces between, has a word.
fn has(class: &str, word: &str) -> bool {
    class.split_ascii_whitespace().any(|known| known == word)
}

/// Whether a word in lower case is of a closed class.
pub(crate) fn is_closed(word: &str) -> bool {
    [ARTICLES, PREPOSITIONS, OTHERS].into_iter().any(|class| has(class, word))
}

/// The word that a phrase is about: its last, but for `'s`.
pub(crate) fn subject(words: &[Word]) -> Option<&str> {
    let words = words.iter().rev().map(|word| word.key.as_str());
    words.into_iter().find(|word| !word.starts_with('\''))
}

/// Candidates in a text for the pronoun at the place of a word; no two are about the same word.
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
                .any(|other| subject(&words[other.clone()]) == subject(&words[phrase.clone()]))
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
    /// The phrase that begins with a word, or that a name before it is the owner in, if there is one.
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

    /// Where the words end that a phrase may have, from one place on and before another.
    fn end(&self, from: usize, limit: usize) -> usize {
        let limit = limit.min(self.words.len());
        let fits = |&i: &usize| self.is_open(i) && (i == from || !self.divided(i));
        from + (from..limit).take_while(fits).count()
    }

    /// Whether a word may be in a phrase: of no closed class, and no past tense by its ending.
    fn is_open(&self, i: usize) -> bool {
        let key = self.words[i].key.as_str();
        let verb = key.len() > 4 && (key.ends_with("ed") || key.ends_with("ing"));
        i != self.pronoun && !key.starts_with('\'') && !is_closed(key) && !verb
    }

    fn is_name(&self, i: usize) -> bool {
        let capital = self.text[self.words[i].range.clone()].starts_with(char::is_uppercase);
        capital && self.is_open(i)
    }

    /// Whether punctuation stands before a word.
    fn divided(&self, i: usize) -> bool {
        let Some(before) = i.checked_sub(1).map(|i| &self.words[i]) else { return true };
        let gap = &self.text[before.range.end..self.words[i].range.start];
        let titled = TITLES.contains(&before.key.as_str());
        !titled && gap.chars().any(|c| !c.is_whitespace() && c != '-')
    }
}
