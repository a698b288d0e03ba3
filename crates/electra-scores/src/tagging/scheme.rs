//! Tagging schemes: the tags in files, and their conversion to BIOES, in which entities are learned.

use super::score::{Entity, Rule, entities};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// The tagging scheme of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scheme {
    /// Each tag is a class, such as a part of speech.
    Plain,
    /// `B-X` begins an entity of type X, `I-X` continues it, `O` is outside of entities (IOB2).
    Bio,
    /// As BIO, but an entity begins with `I-X` unless the previous word ends an entity of the same type.
    Iob1,
    /// `B-X`, `I-X`, `E-X` for the first, middle and last words of an entity, `S-X` for a single word, `O` outside.
    Bioes,
}

const OUTSIDE: &str = "O";

impl Scheme {
    /// Whether tags mark entities, rather than being classes.
    pub fn has_entities(self) -> bool {
        self != Self::Plain
    }

    /// Checks that a tag belongs to the scheme. Its order is not checked: as in conlleval, a tag that does not continue
    /// an entity begins one.
    ///
    /// # Errors
    /// A message with the tags of the scheme.
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
            "tag {tag:?} is not a tag of the scheme {self}: expected O, or one of {begin} with a type, as in B-PER"
        ))
    }

    /// The tags to learn for the tags of a file in this scheme: entities in BIOES, as in the reference.
    pub fn learned(self, tags: &[String]) -> Vec<String> {
        match self {
            Self::Plain => tags.to_vec(),
            _ => Self::Bioes.written(tags),
        }
    }

    /// The tags of any scheme with entities, rewritten in this scheme; plain tags as they are.
    pub fn written(self, tags: &[String]) -> Vec<String> {
        if self == Self::Plain {
            return tags.to_vec();
        }
        let found = entities(tags, Rule::Conll).expect("a file's tags are checked when it is read");
        let mut tags = vec![OUTSIDE.to_owned(); tags.len()];
        let mut before: Option<Entity<'_>> = None;
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

    /// What training data must contain for the tag to be predicted: the tag itself, or its entity type; none for `O`.
    pub fn subject(self, tag: &str) -> Option<&str> {
        match self {
            Self::Plain => Some(tag),
            _ if tag == OUTSIDE => None,
            _ => Some(tag.split_once('-').map_or("", |(_, kind)| kind)),
        }
    }

    /// The classes to learn for the subjects (see [`Scheme::subject`]) of the training file.
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
        self.serialize(f)
    }
}

/// `B-X`; `B` if the type is empty.
fn named(prefix: &str, kind: &str) -> String {
    match kind {
        "" => prefix.to_owned(),
        kind => format!("{prefix}-{kind}"),
    }
}
