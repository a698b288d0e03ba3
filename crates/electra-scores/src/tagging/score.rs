//! Scores of tagged words: of entities by type and overall, equal to those of seqeval and conlleval.

use super::file::{Columns, Sentence, Sentences};
use crate::{
    counts::{MatchCounts, fraction},
    error::{Error, Result},
};
use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

/// Which sequences of tags are an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Rule {
    /// As conlleval, and seqeval by default: a tag that does not continue an entity begins one, with any prefix.
    Conll,
    /// As seqeval's strict mode with IOB2: only `B I*` is an entity.
    StrictIob2,
    /// As seqeval's strict mode with IOBES: only `S` and `B I* E` are entities.
    StrictIobes,
    /// No entities: tags are classes, such as parts of speech.
    Plain,
}

/// An entity in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entity<'a> {
    /// The type; empty if the tags have none.
    pub kind: &'a str,
    /// The index of its first word.
    pub start: usize,
    /// The index after its last word.
    pub end: usize,
}

/// Scores of tagged sentences.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggingScores {
    /// Counts of entities of all types together.
    pub overall: MatchCounts,
    /// Counts of entities by type.
    pub by_type: BTreeMap<String, MatchCounts>,
    /// The fraction of words with the gold tag.
    pub accuracy: f64,
}

/// A parsed tag.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Tag<'a> {
    /// B, I, E, S or O.
    pub(super) prefix: char,
    pub(super) kind: &'a str,
}

impl<'a> Tag<'a> {
    /// Parses a tag of any scheme; for strict IOB2 only B and I are prefixes.
    pub(super) fn parse(text: &'a str, rule: Rule) -> std::result::Result<Self, String> {
        let (prefix, kind) = text.split_once('-').unwrap_or((text, ""));
        let canonical = match prefix {
            "B" => Some('B'),
            "I" => Some('I'),
            "O" if kind.is_empty() => Some('O'),
            _ if rule == Rule::StrictIob2 => None,
            // The same in BMES and BILOU.
            "M" => Some('I'),
            "E" | "L" => Some('E'),
            "S" | "U" => Some('S'),
            _ => None,
        };
        let expected = match rule {
            Rule::StrictIob2 => "B or I",
            _ => "B, I, E, S (BIOES), B, I, L, U (BILOU) or B, M, E, S (BMES)",
        };
        canonical
            .map(|prefix| Self { prefix, kind })
            .ok_or_else(|| format!("must be O, or one of {expected} with a type, as in B-PER"))
    }

    /// Whether this tag continues the entity of the tag before it.
    fn continues(self, before: Self) -> bool {
        matches!(before.prefix, 'B' | 'I')
            && matches!(self.prefix, 'I' | 'E')
            && before.kind == self.kind
    }
}

/// The entities of a sentence, in order.
///
/// # Errors
/// For a tag without a prefix of the rule: B, I, O; except with strict IOB2 also E and S, and L, U and M, which are read
/// as E, S and I.
pub fn entities<'a>(tags: &'a [impl AsRef<str>], rule: Rule) -> Result<Vec<Entity<'a>>> {
    if rule == Rule::Plain {
        return Ok(Vec::new());
    }
    let parse = |tag: &'a _| {
        let text: &'a str = AsRef::<str>::as_ref(tag);
        Tag::parse(text, rule).map_err(|why| Error::value("tag", format!("{text:?}"), why))
    };
    let tags: Vec<Tag<'a>> = tags.iter().map(parse).collect::<Result<_>>()?;
    let mut found = Vec::new();
    let mut start = 0;
    for end in 1..=tags.len() {
        if tags.get(end).is_some_and(|tag| tag.continues(tags[end - 1])) {
            continue;
        }
        let (first, last) = (tags[start], tags[end - 1]);
        let is_entity = match rule {
            Rule::Conll | Rule::Plain => first.prefix != 'O',
            Rule::StrictIob2 => first.prefix == 'B',
            Rule::StrictIobes => matches!((first.prefix, last.prefix), ('B', 'E') | ('S', 'S')),
        };
        if is_entity {
            found.push(Entity { kind: first.kind, start, end });
        }
        start = end;
    }
    Ok(found)
}

/// Tags of sentences.
pub type Tags = Vec<Vec<String>>;

/// The predicted and the gold tags of two CoNLL files, which must have the same words.
///
/// # Errors
/// Naming file and line of what cannot be read, of a tag that has no prefix of the rule, or of the first sentence or word
/// that differs or is missing.
pub fn read_pair(
    (predicted, predicted_columns): (&Path, Columns),
    (gold, gold_columns): (&Path, Columns),
    rule: Rule,
) -> Result<(Tags, Tags)> {
    let mut ours = Sentences::open(predicted, predicted_columns)?;
    let mut theirs = Sentences::open(gold, gold_columns)?;
    let (mut tags, mut gold_tags) = (Vec::new(), Vec::new());
    loop {
        let (found, wanted) = match (ours.next().transpose()?, theirs.next().transpose()?) {
            (None, None) if tags.is_empty() => return Err(Error::file(gold, "has no sentences")),
            (None, None) => return Ok((tags, gold_tags)),
            (Some(found), Some(wanted)) => (found, wanted),
            (Some(found), None) => return Err(missing(&ours, &found, &theirs, tags.len())),
            (None, Some(wanted)) => return Err(missing(&theirs, &wanted, &ours, tags.len())),
        };
        let same = found.words.iter().zip(&wanted.words).take_while(|(a, b)| a == b).count();
        if same < found.words.len().max(wanted.words.len()) {
            // The line after the last word is that of the end of the sentence.
            let line = |sentence: &Sentence| {
                let last = sentence.lines.last().map_or(0, |line| line.number + 1);
                sentence.word_lines().nth(same).map_or(last, |line| line.number)
            };
            let word = |words: &[String]| match words.get(same) {
                Some(word) => format!("the word {word:?}"),
                None => "the end of the sentence".to_owned(),
            };
            let message = format!(
                "{} where {}:{} has {}",
                word(&found.words),
                theirs.file(),
                line(&wanted),
                word(&wanted.words)
            );
            return Err(Error::row(ours.file(), line(&found), message));
        }
        for (file, sentence) in [(&ours, &found), (&theirs, &wanted)] {
            check_tags(file.file(), sentence, rule)?;
        }
        tags.push(found.tags);
        gold_tags.push(wanted.tags);
    }
}

/// The error about a sentence of `longer` that comes after all `count` sentences of `shorter`.
fn missing(longer: &Sentences, sentence: &Sentence, shorter: &Sentences, count: usize) -> Error {
    let words = sentence.words.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(" ");
    let more = if sentence.words.len() > 5 { " ..." } else { "" };
    let message = format!(
        "{} ends after {count} sentences and lacks this one, {:?}, and all after it",
        shorter.file(),
        words + more
    );
    Error::row(longer.file(), sentence.first_line(), message)
}

/// Checks that the tags of a sentence have prefixes of the rule.
fn check_tags(file: &str, sentence: &Sentence, rule: Rule) -> Result<()> {
    if rule == Rule::Plain {
        return Ok(());
    }
    for (line, tag) in sentence.word_lines().zip(&sentence.tags) {
        let fail = |why| Error::row(file, line.number, format!("tag {tag:?}: {why}"));
        Tag::parse(tag, rule).map_err(fail)?;
    }
    Ok(())
}

/// The fraction of words with the gold tag; 0 without words.
pub fn accuracy(predicted: &[Vec<String>], gold: &[Vec<String>]) -> f64 {
    let pairs = || predicted.iter().flatten().zip(gold.iter().flatten());
    fraction(pairs().filter(|(predicted, gold)| predicted == gold).count(), pairs().count())
}

/// Scores of predicted tags against gold, sentence by sentence.
///
/// # Errors
/// If the numbers of sentences or of words in a sentence differ, there are no words, or a tag has no prefix of the rule.
pub fn score(predicted: &[Vec<String>], gold: &[Vec<String>], rule: Rule) -> Result<TaggingScores> {
    if predicted.len() != gold.len() {
        let expected = format!("must be as many as the gold sentences, {}", gold.len());
        return Err(Error::value("predicted sentences", predicted.len(), expected));
    }
    let mut by_type: BTreeMap<String, MatchCounts> = BTreeMap::new();
    let mut words = 0;
    for (number, (predicted, gold)) in predicted.iter().zip(gold).enumerate() {
        if predicted.len() != gold.len() {
            let expected = format!("must be as many as its words, {}", gold.len());
            let key = format!("predicted tags of sentence {} (from 1)", number + 1);
            return Err(Error::value(&key, predicted.len(), expected));
        }
        words += gold.len();

        let known: HashSet<Entity<'_>> = entities(gold, rule)?.into_iter().collect();
        for entity in &known {
            by_type.entry(entity.kind.to_owned()).or_default().gold += 1;
        }
        for entity in entities(predicted, rule)? {
            let found = by_type.entry(entity.kind.to_owned()).or_default();
            found.predicted += 1;
            found.right += usize::from(known.contains(&entity));
        }
    }
    if words == 0 {
        return Err(Error::value("words", 0, "there must be at least one"));
    }
    let overall = by_type.values().copied().sum();
    Ok(TaggingScores { overall, by_type, accuracy: accuracy(predicted, gold) })
}
