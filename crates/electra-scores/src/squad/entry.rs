//! The entries of files of questions, as JSON has them: articles, texts with questions, and single questions.

use electra_files::is_similar;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// A file that is one JSON value: SQuAD's object, or a list of entries.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) version: Option<Text>,
    /// The name of the list of entries in messages: empty if it is the document itself.
    pub(super) name: &'static str,
    pub(super) entries: Vec<Entry>,
}

/// An article, a text with questions, or a question with its text. Unknown keys are ignored.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The first line of MRQA's files.
    pub(super) header: Option<IgnoredAny>,
    pub(super) title: Option<String>,
    pub(super) paragraphs: Option<Vec<ParagraphEntry>>,
    pub(super) context: Option<String>,
    pub(super) qas: Option<Vec<QuestionEntry>>,
    /// The question of an entry that has one.
    pub(super) question: QuestionEntry,
}

#[derive(Debug, Deserialize)]
pub(super) struct ParagraphEntry {
    pub(super) context: String,
    pub(super) qas: Vec<QuestionEntry>,
}

#[derive(Debug, Default)]
pub(super) struct QuestionEntry {
    pub(super) id: Option<Text>,
    /// The id in MRQA's files.
    pub(super) qid: Option<Text>,
    pub(super) question: Option<String>,
    pub(super) answers: Option<Answers>,
    /// MRQA's answers with their places.
    pub(super) detected_answers: Option<Vec<Detected>>,
    pub(super) is_impossible: Option<bool>,
    pub(super) plausible_answers: Option<Answers>,
    /// An unknown key that is similar to `answers`.
    pub(super) similar_key: Option<String>,
}

impl QuestionEntry {
    /// Reads the value of a key.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        match key.as_str() {
            "id" => put(&mut self.id, "id", map)?,
            "qid" => put(&mut self.qid, "qid", map)?,
            "question" => put(&mut self.question, "question", map)?,
            "answers" => put(&mut self.answers, "answers", map)?,
            "detected_answers" => put(&mut self.detected_answers, "detected_answers", map)?,
            "is_impossible" => put(&mut self.is_impossible, "is_impossible", map)?,
            "plausible_answers" => put(&mut self.plausible_answers, "plausible_answers", map)?,
            _ => {
                if is_similar(&key, "answers") {
                    self.similar_key = Some(key);
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Detected {
    pub(super) text: String,
    /// First and last character, inclusive.
    pub(super) char_spans: Vec<[i64; 2]>,
}

/// Answers: a list of spans `{text, answer_start}` (SQuAD) or of texts (MRQA), or an object of two lists
/// `{text: [...], answer_start: [...]}` (the library `datasets`).
#[derive(Debug)]
pub(super) struct Answers(pub(super) Vec<Span>);

/// The text of an answer and the number of characters before it.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) start: Option<i64>,
}

/// A string, or a number as text.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

/// An integer that may be written as 5.0.
struct Place(i64);

/// Implements `Deserialize` by a visitor.
macro_rules! visited {
    ($type:ident by $visitor:ident, expecting $expected:literal: $($methods:tt)+) => {
        struct $visitor;

        impl<'de> Visitor<'de> for $visitor {
            type Value = $type;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expected)
            }

            $($methods)+
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }
    };
}

visited! {
    Document by DocumentVisitor, expecting "an object with the key \"data\", or a list of articles or questions":

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Document, A::Error> {
        Ok(Document { version: None, name: "", entries: all(list)? })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let (mut version, mut entries) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => version = map.next_value()?,
                "data" => entries = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let entries = entries.ok_or_else(|| A::Error::missing_field("data"))?;
        Ok(Document { version, name: "data", entries })
    }
}

visited! {
    Entry by EntryVisitor, expecting "an article, a text with questions, or a question":

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "header" => put(&mut entry.header, "header", &mut map)?,
                "title" => put(&mut entry.title, "title", &mut map)?,
                "paragraphs" => put(&mut entry.paragraphs, "paragraphs", &mut map)?,
                "context" => put(&mut entry.context, "context", &mut map)?,
                "qas" => put(&mut entry.qas, "qas", &mut map)?,
                _ => entry.question.take(key, &mut map)?,
            }
        }
        Ok(entry)
    }
}

visited! {
    QuestionEntry by QuestionVisitor, expecting "a question":

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QuestionEntry, A::Error> {
        let mut entry = QuestionEntry::default();
        while let Some(key) = map.next_key::<String>()? {
            entry.take(key, &mut map)?;
        }
        match entry.question {
            Some(_) => Ok(entry),
            None => Err(A::Error::missing_field("question")),
        }
    }
}

visited! {
    Answers by AnswersVisitor, expecting
        "a list of answers, or an object with the lists \"text\" and \"answer_start\"":

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Answers, A::Error> {
        all(list).map(Answers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Answers, A::Error> {
        let (mut texts, mut starts) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "text" => texts = Some(map.next_value::<Vec<String>>()?),
                "answer_start" => starts = Some(map.next_value::<Vec<Option<Place>>>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let texts = texts.ok_or_else(|| A::Error::missing_field("text"))?;
        let starts = starts.ok_or_else(|| A::Error::missing_field("answer_start"))?;
        if texts.len() != starts.len() {
            let (texts, starts) = (texts.len(), starts.len());
            let message = format!("{texts} entries in \"text\" and {starts} in \"answer_start\"");
            return Err(A::Error::custom(message));
        }
        let span = |(text, start): (String, Option<Place>)| {
            Span { text, start: start.map(|Place(start)| start) }
        };
        Ok(Answers(texts.into_iter().zip(starts).map(span).collect()))
    }
}

visited! {
    Span by SpanVisitor, expecting "an answer: an object with \"text\" and \"answer_start\", or a string":

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        Ok(Span { text: text.to_owned(), start: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Span, A::Error> {
        let (mut text, mut start) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "text" => text = Some(map.next_value()?),
                "answer_start" => start = map.next_value::<Option<Place>>()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let text = text.ok_or_else(|| A::Error::missing_field("text"))?;
        Ok(Span { text, start: start.map(|Place(start)| start) })
    }
}

visited! {
    Text by TextVisitor, expecting "a string or a number":

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Text, E> {
        // 2.0 stays 2.0.
        Ok(Text(format!("{number:?}")))
    }
}

visited! {
    Place by PlaceVisitor, expecting "the number of characters before the answer":

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Place, E> {
        // A larger number is beyond any text, as this one is.
        Ok(Place(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Place, E> {
        Ok(Place(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Place, E> {
        match number.fract() == 0.0 {
            true => Ok(Place(number as i64)),
            false => Err(E::invalid_value(serde::de::Unexpected::Float(number), &self)),
        }
    }
}

/// Reads the value of a key.
fn put<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    value: &mut Option<T>,
    key: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if value.is_some() {
        return Err(A::Error::duplicate_field(key));
    }
    *value = map.next_value()?;
    Ok(())
}

/// The elements of a list.
fn all<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(mut list: A) -> Result<Vec<T>, A::Error> {
    let mut all = Vec::new();
    while let Some(element) = list.next_element()? {
        all.push(element);
    }
    Ok(all)
}
