//! SQuAD's JSON files, versions 1.1 and 2.0. Nothing is left out or corrected.

use crate::{
    error::{Error, Result},
    json,
};
use serde::{Deserialize, Deserializer};
use std::{collections::HashMap, fs::File, io::Read, path::Path};

/// A file of questions about paragraphs of articles. Unknown keys are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SquadFile {
    /// The version given in the file: "1.1", "v2.0"; files of other authors often have other values.
    #[serde(default, deserialize_with = "version")]
    pub version: Option<String>,
    /// The articles.
    #[serde(rename = "data")]
    pub articles: Vec<Article>,
}

/// An article.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Article {
    /// The title.
    #[serde(default)]
    pub title: Option<String>,
    /// The paragraphs.
    pub paragraphs: Vec<Paragraph>,
}

/// A text with questions about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Paragraph {
    /// The text that contains the answers.
    pub context: String,
    /// The questions.
    #[serde(rename = "qas")]
    pub questions: Vec<Question>,
}

/// A question with its gold answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// The id in files of predictions; unique in a file.
    pub id: String,
    /// The question.
    #[serde(rename = "question")]
    pub text: String,
    /// The answers of several annotators: empty if the question has no answer (2.0), `None` if the file lacks the
    /// key (a test file without gold answers).
    #[serde(default)]
    pub answers: Option<Vec<Answer>>,
    /// Whether the text does not contain an answer (2.0).
    #[serde(default)]
    pub is_impossible: bool,
    /// Spans that could be mistaken for an answer to an unanswerable question (2.0).
    #[serde(default)]
    pub plausible_answers: Vec<Answer>,
}

/// A span of the context.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The span's text.
    pub text: String,
    /// Unicode characters of the context before it (not bytes, not UTF-16 units).
    #[serde(rename = "answer_start")]
    pub start: usize,
}

impl SquadFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Naming the file and the place in it: if it cannot be read, is larger than 1 GiB, is not UTF-8 or JSON, a key is
    /// missing or has a value of another type, or an id is a duplicate.
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_reader(File::open(path).map_err(Error::io(path))?, path)
    }

    /// [`SquadFile::read`] of any bytes; `path` names them in errors.
    ///
    /// # Errors
    /// As [`SquadFile::read`].
    pub fn from_reader(reader: impl Read, path: &Path) -> Result<Self> {
        let file: Self = json::read_from(reader, path)?;
        let mut places = HashMap::new();
        for (a, article) in file.articles.iter().enumerate() {
            for (p, paragraph) in article.paragraphs.iter().enumerate() {
                for (q, question) in paragraph.questions.iter().enumerate() {
                    if let Some(before) = places.insert(question.id.as_str(), (a, p, q)) {
                        let name = |(a, p, q)| format!("data[{a}].paragraphs[{p}].qas[{q}]");
                        let (here, before) = (name((a, p, q)), name(before));
                        let id = &question.id;
                        return Err(Error::file(
                            path,
                            format!("{here}.id: {id:?} is also the id of {before}"),
                        ));
                    }
                }
            }
        }
        Ok(file)
    }

    /// All paragraphs, in the file's order.
    pub fn paragraphs(&self) -> impl Iterator<Item = &Paragraph> {
        self.articles.iter().flat_map(|article| &article.paragraphs)
    }

    /// All questions with their contexts, in the file's order.
    pub fn questions(&self) -> impl Iterator<Item = (&str, &Question)> {
        self.paragraphs().flat_map(|paragraph| {
            paragraph.questions.iter().map(|question| (paragraph.context.as_str(), question))
        })
    }
}

/// A string, or the number that some files have instead.
fn version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Version {
        Text(String),
        Number(f64),
    }
    Ok(Option::deserialize(deserializer)?.map(|version| match version {
        Version::Text(text) => text,
        Version::Number(number) => number.to_string(),
    }))
}
