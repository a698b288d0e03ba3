//! Tagging schemes: the tags in files, and their conversion to BIOES, in which entities are learned.

use super::score::{Entity, Rule, Tag, entities};
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
    /// `B-X`, `I-X`, `E-X` for the first, middle and last words of an entity, `S-X` for a single word, `O` outside
    /// (IOBES).
    Bioes,
    /// As BIOES, with `L-X` for the last word and `U-X` for a single word.
    Bilou,
    /// As BIOES, with `M-X` for middle words.
    Bmes,
}

const OUTSIDE: &str = "O";

/// The schemes with entities.
const WITH_ENTITIES: [Scheme; 5] =
    [Scheme::Bio, Scheme::Iob1, Scheme::Bioes, Scheme::Bilou, Scheme::Bmes];

impl Scheme {
    /// Whether tags mark entities, rather than being classes.
    pub fn has_entities(self) -> bool {
        self != Self::Plain
    }

    /// The prefixes of the first, middle and last words of an entity, and of a single word.
    fn prefixes(self) -> [&'static str; 4] {
        match self {
            Self::Plain => ["", "", "", ""],
            Self::Bio | Self::Iob1 => ["B", "I", "I", "B"],
            Self::Bioes => ["B", "I", "E", "S"],
            Self::Bilou => ["B", "I", "L", "U"],
            Self::Bmes => ["B", "M", "E", "S"],
        }
    }

    fn has(self, tag: &str) -> bool {
        let prefix = tag.split_once('-').map_or(tag, |(prefix, _)| prefix);
        self == Self::Plain || tag == OUTSIDE || self.prefixes().contains(&prefix)
    }

    /// Checks that a tag belongs to the scheme. Its order is not checked: as in conlleval, a tag that does not continue
    /// an entity begins one.
    ///
    /// # Errors
    /// A message with the tags of the scheme, and the schemes that have the tag.
    pub fn check(self, tag: &str) -> std::result::Result<(), String> {
        if self.has(tag) {
            return Ok(());
        }
        let mut prefixes = self.prefixes().to_vec();
        prefixes.dedup();
        prefixes.truncate(if self.has("S") || self.has("U") { 4 } else { 2 });
        let others = WITH_ENTITIES.into_iter().filter(|scheme| scheme.has(tag));
        let others: Vec<String> = others.chain([Self::Plain]).map(|s| s.to_string()).collect();
        Err(format!(
            "tag {tag:?} is not a tag of the scheme {self}: expected O, or one of {} with a type, as in B-PER; it is a \
             tag of {}{}",
            prefixes.join(", "),
            others.join(", "),
            Self::similar(tag)
                .map(|similar| format!("; it looks like {similar}"))
                .unwrap_or_default()
        ))
    }

    /// The tag of an entity that a plain tag seems to be in another notation: `B-PER` for `B_PER`, `b-PER` and `PER-B`.
    pub fn similar(tag: &str) -> Option<String> {
        const SEPARATORS: [char; 6] = ['-', '_', ':', '/', '.', '|'];
        if Tag::parse(tag, Rule::Conll).is_ok() {
            return None;
        }
        let pairs = [tag.split_once(SEPARATORS), tag.rsplit_once(SEPARATORS).map(|(k, p)| (p, k))];
        pairs.into_iter().flatten().find_map(|(prefix, kind)| {
            let prefix = prefix.to_uppercase();
            let is_known = ["B", "I", "E", "S", "L", "U", "M"].contains(&prefix.as_str());
            (is_known && !kind.is_empty()).then(|| named(&prefix, kind))
        })
    }

    /// The scheme of the tags of sentences.
    ///
    /// Tags of which one has no prefix are plain. IOB1 differs from BIO in the tags of single entities: it is chosen if
    /// more entities begin with `I` than with a `B` that IOB1 would not have.
    ///
    /// # Errors
    /// A message with two tags that no scheme has both of.
    pub fn detect<'a>(
        sentences: impl IntoIterator<Item = &'a [String]> + Clone,
    ) -> std::result::Result<Self, String> {
        let tags: BTreeSet<&str> =
            sentences.clone().into_iter().flatten().map(String::as_str).collect();
        if tags.iter().any(|tag| Tag::parse(tag, Rule::Conll).is_err()) {
            return Ok(Self::Plain);
        }
        let fitting = |scheme: &Self| tags.iter().all(|tag| scheme.has(tag));
        // BIO and IOB1 have the same tags.
        match [Self::Bio, Self::Bioes, Self::Bilou, Self::Bmes].into_iter().find(fitting) {
            Some(Self::Bio) => Ok(match begins(sentences) {
                (with_b, with_i) if with_i > with_b => Self::Iob1,
                _ => Self::Bio,
            }),
            Some(scheme) => Ok(scheme),
            None => {
                let tags: Vec<&str> = tags.into_iter().collect();
                Err(format!(
                    "no scheme has all of the tags {}; set the key scheme",
                    tags.join(", ")
                ))
            }
        }
    }

    /// The scheme of the classes of a model, which have no order: IOB1 only if no class begins with `B`.
    ///
    /// # Errors
    /// As [`Scheme::detect`].
    pub fn of_classes(classes: &[String]) -> std::result::Result<Self, String> {
        Self::detect(classes.iter().map(std::slice::from_ref))
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
        let [first, middle, last, single] = self.prefixes();
        let mut tags = vec![OUTSIDE.to_owned(); tags.len()];
        let mut before: Option<Entity<'_>> = None;
        for entity in found {
            let adjoins = before.is_some_and(|b| b.end == entity.start && b.kind == entity.kind);
            let own = &mut tags[entity.start..entity.end];
            let end = own.len() - 1;
            for (place, tag) in own.iter_mut().enumerate() {
                let prefix = match (place == 0, place == end) {
                    (true, _) if self == Self::Iob1 && !adjoins => middle,
                    (true, true) => single,
                    (true, false) => first,
                    (false, true) => last,
                    (false, false) => middle,
                };
                *tag = named(prefix, entity.kind);
            }
            before = Some(entity);
        }
        tags
    }

    /// The names of classes for `id2label`, by which `transformers` groups words into entities: tags of any scheme with
    /// entities in BIO, the only one that it groups. Several classes have the same name: `E-X` is `I-X` and `S-X` is
    /// `B-X`. Plain tags are as they are.
    pub fn names(self, classes: &[String]) -> Vec<String> {
        let name = |class: &String| match Tag::parse(class, Rule::Conll) {
            Ok(tag) if self.has_entities() => match tag.prefix {
                'B' | 'S' => named("B", tag.kind),
                'I' | 'E' => named("I", tag.kind),
                _ => class.clone(),
            },
            _ => class.clone(),
        };
        classes.iter().map(name).collect()
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

/// How many entities begin with a `B` that is not after the same type, and with an `I`.
fn begins<'a>(sentences: impl IntoIterator<Item = &'a [String]>) -> (usize, usize) {
    let (mut with_b, mut with_i) = (0, 0);
    for tags in sentences {
        let mut before = None;
        for tag in tags.iter().filter_map(|tag| Tag::parse(tag, Rule::Conll).ok()) {
            let adjoins = before.is_some_and(|b: Tag<'_>| b.prefix != 'O' && b.kind == tag.kind);
            with_b += usize::from(tag.prefix == 'B' && !adjoins);
            with_i += usize::from(tag.prefix == 'I' && !adjoins);
            before = Some(tag);
        }
    }
    (with_b, with_i)
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
