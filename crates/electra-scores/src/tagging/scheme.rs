//! Schemes of tags: what a tag may look like in a file, and the one scheme that is learned.

use super::score::{Entity, Rule, entities};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// How a file's tags are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scheme {
    /// Each tag is a class of words, as parts of speech are.
    Plain,
    /// `B-X` begins an entity of type X, `I-X` goes on with it, `O` is none (IOB2).
    Bio,
    /// As BIO, but an entity begins with `I-X` unless the word before ends one of the same type.
    Iob1,
    /// `B-X`, `I-X`, `E-X` for the first, middle and last words of an entity, `S-X` for one of a single word, `O`.
    Bioes,
}

const OUTSIDE: &str = "O";

impl Scheme {
    /// Whether tags make entities, and are not classes by themselves.
    pub fn has_entities(self) -> bool {
        self != Self::Plain
    }

    /// Checks that a tag is one of the scheme's; whether it may follow the one before it is not asked: as for
    /// conlleval, what does not go on with an entity begins one.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(self, tag: &str) -> std::result::Result<(), String> {
        let prefixes: &[&str] = match self {
            Self::Plain => return Ok(()),
            Self::Bio | Self::Iob1 => &["B", "I"],
            Self::Bioes => &["B", "I", "E", "S"],
        };
        let prefix = tag.split_once('-').map_or(tag, |(prefix, _)| prefix);
        if tag == OUTSIDE || prefixes.contains(&prefix) {
            return Ok(());
        }
        let begin = prefixes.join(", ");
        Err(format!(
            "tag {tag:?} is none of the scheme {self}: O, or one of {begin} with a type, as in B-PER"
        ))
    }

    /// Tags as they are learned: plain ones as they are, entities in BIOES, as in the reference.
    pub fn learned(self, tags: &[String]) -> Vec<String> {
        Self::Bioes.of(self, tags)
    }

    /// Tags that were learned, or a file's, in this scheme, each entity as it is written there.
    pub fn written(self, tags: &[String]) -> Vec<String> {
        self.of(self, tags)
    }

    fn of(self, from: Self, tags: &[String]) -> Vec<String> {
        match from {
            Self::Plain => tags.to_vec(),
            _ => self.tags(&found(tags), tags.len()),
        }
    }

    fn tags(self, found: &[Entity<'_>], words: usize) -> Vec<String> {
        let mut tags = vec![OUTSIDE.to_owned(); words];
        let mut before: Option<&Entity<'_>> = None;
        for entity in found {
            let adjoins = before.is_some_and(|b| b.end == entity.start && b.kind == entity.kind);
            let own = &mut tags[entity.start..entity.end];
            let end = own.len() - 1;
            for (place, tag) in own.iter_mut().enumerate() {
                let prefix = match (self, place == 0, place == end) {
                    (Self::Bioes, true, true) => "S",
                    (Self::Bioes, false, true) => "E",
                    (Self::Bio | Self::Bioes, true, _) => "B",
                    (Self::Iob1, true, _) if adjoins => "B",
                    _ => "I",
                };
                *tag = named(prefix, entity.kind);
            }
            before = Some(entity);
        }
        tags
    }

    /// What is unseen or not: the tag itself, or its entity's type; none for `O`.
    pub fn subject(self, tag: &str) -> Option<&str> {
        match self {
            Self::Plain => Some(tag),
            _ if tag == OUTSIDE => None,
            _ => Some(tag.split_once('-').map_or("", |(_, kind)| kind)),
        }
    }

    /// The classes that are learned of the subjects of the training file.
    pub fn classes(self, subjects: &BTreeSet<String>) -> Vec<String> {
        match self {
            Self::Plain => subjects.iter().cloned().collect(),
            _ => {
                let of = |kind: &String| ["B", "I", "E", "S"].map(|prefix| named(prefix, kind));
                std::iter::once(OUTSIDE.to_owned()).chain(subjects.iter().flat_map(of)).collect()
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Bio => "bio",
            Self::Iob1 => "iob1",
            Self::Bioes => "bioes",
        })
    }
}

fn found(tags: &[String]) -> Vec<Entity<'_>> {
    entities(tags, Rule::Conll).expect("a file's tags are checked when it is read")
}

/// `B-X`; `B` where the type has no name.
fn named(prefix: &str, kind: &str) -> String {
    match kind {
        "" => prefix.to_owned(),
        kind => format!("{prefix}-{kind}"),
    }
}
