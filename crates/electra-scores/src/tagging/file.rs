//! CoNLL files: a word a line with its columns, an empty line after each sentence.

use crate::{
    error::{Error, Result},
    lines::{Bytes, Lines},
};
use std::{fmt::Write, fs::File, io::Read, path::Path};

/// What begins a document in the CoNLL files: no sentence.
const DOCUMENT: &str = "-DOCSTART-";

/// Words of the longest sentence: above it, the empty lines between sentences are missing.
const LONGEST_SENTENCE: usize = 100_000;

/// Which columns of a file are read: 1 is the first, -1 the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Words.
    pub word: i64,
    /// Tags; `None` where there are none yet.
    pub tag: Option<i64>,
}

/// A sentence of a file. Its words are on lines that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The line of its first word, from 1.
    pub line: u64,
    /// The lines as they stand in the file.
    pub lines: Vec<String>,
    /// The words.
    pub words: Vec<String>,
    /// Their tags; none where no column of tags was asked for.
    pub tags: Vec<String>,
}

impl Sentence {
    /// Its lines with a tag after each, divided from it as its columns are, and the empty line after it.
    pub fn with_tags<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> String {
        let mut text = String::new();
        for (line, tag) in self.lines.iter().zip(tags) {
            let divider = if line.contains('\t') { '\t' } else { ' ' };
            let _ = writeln!(text, "{line}{divider}{tag}");
        }
        text + "\n"
    }
}

/// The sentences of a file: an iterator that holds one at a time.
///
/// Columns are divided by a tab in lines that have one, else by spaces. All lines have as many columns as the first;
/// those of `-DOCSTART-` only divide sentences.
#[derive(Debug)]
pub struct Sentences {
    file: String,
    lines: Lines,
    columns: Columns,
    /// Columns of the first word's line.
    width: Option<usize>,
    ended: bool,
}

impl Sentences {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path, columns: Columns) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self::from_reader(file, &path.display().to_string(), columns))
    }

    /// The sentences of any bytes; `file` names them in errors.
    pub fn from_reader(reader: impl Read + Send + 'static, file: &str, columns: Columns) -> Self {
        let lines = Lines::new(Bytes::new(Box::new(reader)));
        Self { file: file.to_owned(), lines, columns, width: None, ended: false }
    }

    /// What errors call them.
    pub fn file(&self) -> &str {
        &self.file
    }

    fn read(&mut self) -> Result<Option<Sentence>> {
        let mut sentence =
            Sentence { line: 0, lines: Vec::new(), words: Vec::new(), tags: Vec::new() };
        while let Some((line, text)) = self.lines.any(&self.file)? {
            let fields = fields(text);
            if fields.is_empty() || fields[0] == DOCUMENT {
                if sentence.words.is_empty() {
                    continue;
                }
                return Ok(Some(sentence));
            }
            let fail = |message: String| Error::row(&self.file, line, message);
            let width = *self.width.get_or_insert(fields.len());
            if fields.len() != width {
                let message =
                    format!("{} columns where the lines before have {width}", fields.len());
                return Err(fail(message));
            }
            let place = |column: i64| {
                place(column, width).ok_or_else(|| {
                    fail(format!("there is no column {column}: the line has {width}"))
                })
            };
            let word = place(self.columns.word)?;
            let tag = self.columns.tag.map(place).transpose()?;
            if tag == Some(word) {
                return Err(fail(format!(
                    "{width} column{}: word and tag cannot be the same one",
                    if width == 1 { "" } else { "s" }
                )));
            }
            if sentence.words.len() == LONGEST_SENTENCE {
                return Err(fail(format!(
                    "no empty line in {LONGEST_SENTENCE} lines: there must be one after each sentence"
                )));
            }
            if sentence.words.is_empty() {
                sentence.line = line;
            }
            if fields[word].trim().is_empty() {
                return Err(fail("the word is empty".to_owned()));
            }
            sentence.words.push(fields[word].to_owned());
            sentence.tags.extend(tag.map(|tag| fields[tag].to_owned()));
            sentence.lines.push(text.to_owned());
        }
        Ok((!sentence.words.is_empty()).then_some(sentence))
    }
}

impl Iterator for Sentences {
    type Item = Result<Sentence>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let sentence = self.read().transpose();
        self.ended = !matches!(sentence, Some(Ok(_)));
        sentence
    }
}

/// A line's columns; none for a line of spaces and tabs. Other white space is what stands in a column.
fn fields(line: &str) -> Vec<&str> {
    if line.trim_matches([' ', '\t', '\r']).is_empty() {
        return Vec::new();
    }
    match line.contains('\t') {
        true => line.split('\t').collect(),
        false => line.split(' ').filter(|field| !field.is_empty()).collect(),
    }
}

/// The place of a column, counted from 1, or from -1 backwards.
fn place(column: i64, width: usize) -> Option<usize> {
    let (width, from_one) = (i64::try_from(width).ok()?, column);
    let place = if from_one > 0 { from_one - 1 } else { width + from_one };
    (from_one != 0 && (0..width).contains(&place)).then_some(place as usize)
}
