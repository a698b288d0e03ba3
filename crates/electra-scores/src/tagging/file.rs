//! CoNLL files: one word per line with its columns, an empty line after each sentence.

use crate::{
    error::{Error, Result},
    lines::Lines,
};
use std::{fmt::Write, fs::File, io::Read, path::Path};

/// The word of the line that begins a document in CoNLL files; it is not part of a sentence.
const DOCUMENT: &str = "-DOCSTART-";

/// The largest number of words in a sentence. In a longer one, the empty lines between sentences are missing.
const LONGEST_SENTENCE: usize = 100_000;

/// The columns to read: 1 is the first, -1 the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The column of the words.
    pub word: i64,
    /// The column of the tags; `None` for a file without tags.
    pub tag: Option<i64>,
}

/// A sentence of a file. Its words are on consecutive lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The line of its first word, from 1.
    pub line: u64,
    /// The lines of the file.
    pub lines: Vec<String>,
    /// The words.
    pub words: Vec<String>,
    /// The tags of the words; empty if no column of tags was requested.
    pub tags: Vec<String>,
}

impl Sentence {
    /// The lines with a tag in a further column, and an empty line at the end.
    pub fn with_tags<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> String {
        let mut text = String::new();
        for (line, tag) in self.lines.iter().zip(tags) {
            let separator = if line.contains('\t') { '\t' } else { ' ' };
            let _ = writeln!(text, "{line}{separator}{tag}");
        }
        text + "\n"
    }
}

/// The sentences of a file: an iterator that holds one at a time.
///
/// Columns are separated by tabs in lines that contain a tab, else by spaces. All lines have as many columns as the
/// first; a line of `-DOCSTART-` only ends a sentence.
#[derive(Debug)]
pub struct Sentences {
    file: String,
    lines: Lines,
    columns: Columns,
    /// The number of columns in the first line.
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

    /// The sentences in any bytes; `file` names them in errors.
    pub fn from_reader(reader: impl Read + Send + 'static, file: &str, columns: Columns) -> Self {
        let lines = Lines::new(Box::new(reader));
        Self { file: file.to_owned(), lines, columns, width: None, ended: false }
    }

    /// The file's name in errors.
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
                    format!("{} columns, but the lines before it have {width}", fields.len());
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
                    "{width} column{}: the word and the tag must be in different columns",
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

/// A line's columns; none for a line of spaces and tabs. Other white space is part of a column.
fn fields(line: &str) -> Vec<&str> {
    if line.trim_matches([' ', '\t', '\r']).is_empty() {
        return Vec::new();
    }
    match line.contains('\t') {
        true => line.split('\t').collect(),
        false => line.split(' ').filter(|field| !field.is_empty()).collect(),
    }
}

/// The index of a column that is counted from 1, or from -1 backwards.
fn place(column: i64, width: usize) -> Option<usize> {
    let (width, from_one) = (i64::try_from(width).ok()?, column);
    let place = if from_one > 0 { from_one - 1 } else { width + from_one };
    (from_one != 0 && (0..width).contains(&place)).then_some(place as usize)
}
