//! CoNLL files: one word per line with its columns, an empty line after each sentence.

use crate::{
    error::{Error, Result},
    lines::Lines,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, io::Read, path::Path};

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
    /// Which lines are comments.
    pub comments: Comments,
}

/// Which lines before the first word of a sentence are comments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Comments {
    /// Lines that begin with `#` and are not a word with its columns: they have another number of columns than the first
    /// line of a word, or they have an id or a value after `=`, as in MultiCoNER (`# id 5 domain=en`) and CoNLL-U
    /// (`# text = ...`).
    #[default]
    Detect,
    /// All lines that begin with `#`.
    Hash,
    /// None: each line is a word.
    None,
}

impl Comments {
    /// For `skip_serializing_if`.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a line before the first word of a sentence is a comment; the words of the file have `width` columns.
    fn is_comment(self, line: &str, width: Option<usize>) -> bool {
        let is_metadata = |fields: &[&str]| match fields {
            ["#", "id", ..] | ["#", _, "=", ..] => true,
            ["#", .., last] => last.contains('='),
            _ => false,
        };
        let fields = fields(line);
        line.starts_with('#')
            && match self {
                Self::Detect => width != Some(fields.len()) || is_metadata(&fields),
                Self::Hash => true,
                Self::None => false,
            }
    }
}

/// A sentence of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// Its lines in the file, in order: those of its words, and others without a word.
    pub lines: Vec<SentenceLine>,
    /// The words.
    pub words: Vec<String>,
    /// The tags of the words; empty if no column of tags was requested.
    pub tags: Vec<String>,
}

/// A line of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceLine {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Its text.
    pub text: String,
    /// Whether it is a word; otherwise it is a comment, or in CoNLL-U a range of words or an empty node.
    pub is_word: bool,
}

impl Sentence {
    /// The lines of the words, in order.
    pub fn word_lines(&self) -> impl Iterator<Item = &SentenceLine> {
        self.lines.iter().filter(|line| line.is_word)
    }

    /// The number of the line of its first word.
    pub fn first_line(&self) -> u64 {
        self.word_lines().next().map_or(0, |line| line.number)
    }

    /// The lines of the words, each with a tag in a further column, and an empty line at the end.
    pub fn with_tags<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> String {
        let tagged = self.word_lines().zip(tags).map(|(line, tag)| line.with_tag(tag));
        tagged.collect::<String>() + "\n"
    }

    /// All lines, those of the words with a tag in a further column, and an empty line at the end.
    pub fn annotated<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> String {
        let mut tags = tags.into_iter();
        let line = |line: &SentenceLine| match line.is_word {
            true => line.with_tag(tags.next().unwrap_or_default()),
            false => format!("{}\n", line.text),
        };
        self.lines.iter().map(line).collect::<String>() + "\n"
    }
}

impl SentenceLine {
    fn with_tag(&self, tag: &str) -> String {
        let separator = if self.text.contains('\t') { '\t' } else { ' ' };
        format!("{}{separator}{tag}\n", self.text)
    }
}

/// The sentences of a file: an iterator that holds one at a time.
///
/// Columns are separated by tabs in lines that contain a tab, else by spaces. All lines of words have as many columns as
/// the first; a line of `-DOCSTART-` only ends a sentence. In CoNLL-U (ten columns, of which the first is the number of
/// the word), a range of words (`1-2`) and an empty node (`1.1`) are not words.
#[derive(Debug)]
pub struct Sentences {
    file: String,
    lines: Lines,
    /// Lines that were read ahead, to find the number of columns.
    ahead: VecDeque<(u64, String)>,
    columns: Columns,
    /// The number of columns of the first word.
    width: Option<usize>,
    ended: bool,
}

/// The number of columns in CoNLL-U.
const CONLL_U: usize = 10;

impl Sentences {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path, columns: Columns) -> Result<Self> {
        let file = electra_files::open(path)?;
        Ok(Self::from_reader(file, &path.display().to_string(), columns))
    }

    /// The sentences in any bytes; `file` names them in errors.
    pub fn from_reader(reader: impl Read + Send + 'static, file: &str, columns: Columns) -> Self {
        Self {
            file: file.to_owned(),
            lines: Lines::new(Box::new(reader)),
            ahead: VecDeque::new(),
            columns,
            width: None,
            ended: false,
        }
    }

    /// The file's name in errors.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The next line with its number.
    fn line(&mut self) -> Result<Option<(u64, String)>> {
        if self.width.is_none() && self.ahead.is_empty() {
            self.find_width()?;
        }
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => Ok(self.lines.any(&self.file)?.map(|(line, text)| (line, text.to_owned()))),
        }
    }

    /// Reads up to the first line of a word that does not begin with `#`.
    fn find_width(&mut self) -> Result<()> {
        while let Some((line, text)) = self.lines.any(&self.file)? {
            self.ahead.push_back((line, text.to_owned()));
            let fields = fields(text);
            let is_word =
                !fields.is_empty() && fields[0] != DOCUMENT && !is_range(&fields, self.columns);
            if is_word && (self.columns.comments == Comments::None || !text.starts_with('#')) {
                self.width = Some(fields.len());
                return Ok(());
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Sentence>> {
        let mut sentence = Sentence::default();
        while let Some((number, text)) = self.line()? {
            let fields = fields(&text);
            if fields.is_empty() || fields[0] == DOCUMENT {
                if sentence.words.is_empty() {
                    continue;
                }
                return Ok(Some(sentence));
            }
            let is_comment =
                sentence.words.is_empty() && self.columns.comments.is_comment(&text, self.width);
            let is_word = !is_comment && !is_range(&fields, self.columns);
            if is_word {
                let (word, tag) = self.word(number, &text, &fields)?;
                if sentence.words.len() == LONGEST_SENTENCE {
                    let message = format!(
                        "no empty line in {LONGEST_SENTENCE} lines: there must be one after each sentence"
                    );
                    return Err(Error::row(&self.file, number, message));
                }
                sentence.words.push(word);
                sentence.tags.extend(tag);
            }
            sentence.lines.push(SentenceLine { number, text, is_word });
        }
        Ok((!sentence.words.is_empty()).then_some(sentence))
    }

    /// The word and the tag of a line.
    fn word(&self, number: u64, text: &str, fields: &[&str]) -> Result<(String, Option<String>)> {
        let fail = |message: String| Error::row(&self.file, number, message);
        let width = self.width.unwrap_or(fields.len());
        if fields.len() != width {
            let comment = match text.starts_with('#') {
                true => "; a comment must be before the first word of a sentence",
                false => "",
            };
            let count = fields.len();
            return Err(fail(format!(
                "{count} columns, but the lines before it have {width}{comment}"
            )));
        }
        let place = |column: i64| {
            place(column, width)
                .ok_or_else(|| fail(format!("there is no column {column}: the line has {width}")))
        };
        let word = place(self.columns.word)?;
        let tag = self.columns.tag.map(place).transpose()?;
        if tag == Some(word) {
            return Err(fail(format!(
                "{width} column{}: the word and the tag must be in different columns",
                if width == 1 { "" } else { "s" }
            )));
        }
        if fields[word].trim().is_empty() {
            return Err(fail("the word is empty".to_owned()));
        }
        Ok((fields[word].to_owned(), tag.map(|tag| fields[tag].to_owned())))
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

/// Whether a line is a range of words or an empty node of CoNLL-U.
fn is_range(fields: &[&str], columns: Columns) -> bool {
    let is_conll_u = fields.len() >= CONLL_U && columns.word != 1;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut ends = fields[0].split_once(['-', '.']).into_iter();
    is_conll_u && ends.any(|(first, second)| is_number(first) && is_number(second))
}

/// The index of a column that is counted from 1, or from -1 backwards.
fn place(column: i64, width: usize) -> Option<usize> {
    let (width, from_one) = (i64::try_from(width).ok()?, column);
    let place = if from_one > 0 { from_one - 1 } else { width + from_one };
    (from_one != 0 && (0..width).contains(&place)).then_some(place as usize)
}
