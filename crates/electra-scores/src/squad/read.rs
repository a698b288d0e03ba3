//! Reading files of questions: SQuAD's JSON, lists, MRQA's JSON lines, and rows of the library `datasets`.

use super::{
    entry::{Document, Entry, ParagraphEntry, QuestionEntry},
    file::{Answer, Article, Paragraph, Question, SquadFile},
};
use crate::{
    error::{Error, Result},
    json,
    lines::{Bytes, Lines},
};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::HashMap,
    io::{Cursor, Read},
    path::Path,
};

/// Reads questions in any of these layouts; `.gz` at the end of the name is decompressed.
///
/// - an object `{version, data}`, whose list `data` has articles, texts or questions;
/// - such a list;
/// - JSON lines of articles, texts or questions.
///
/// An article has `paragraphs`, each a text; a text has `context` and `qas`, the questions; a question that is an entry of
/// its own has `context` too, as in the library `datasets`, and consecutive questions on the same context are one
/// paragraph. A question has `id` (MRQA: `qid`), `question` and `answers`: a list of `{text, answer_start}`, or
/// `{text: [...], answer_start: [...]}`. In MRQA's lines `answers` are texts: the answers are the first occurrence of
/// each of `detected_answers`, in the file's order, then the texts that were not detected, without a place.
///
/// # Errors
/// Naming the file and the place in it: if it cannot be read, is larger than 1 GiB, is not UTF-8 or JSON, a key is
/// missing or has a value of another type, or an id is a duplicate.
///
/// Source: reference `finetune/qa/mrqa_tasks` in `qa_tasks.py` (the first occurrence of the first detected answer).
pub fn read(path: &Path) -> Result<SquadFile> {
    read_from(electra_files::open(path)?, path)
}

/// [`read`] of any bytes; `name` names them in errors, and its extension tells JSON lines (`.jsonl`, `.ndjson`) and
/// compression.
///
/// # Errors
/// As [`read`].
pub fn read_from(reader: impl Read + Send + 'static, name: &Path) -> Result<SquadFile> {
    let file = name.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (file, bytes): (&str, Bytes) = match file.strip_suffix(".gz") {
        Some(file) => (file, Box::new(MultiGzDecoder::new(reader))),
        None => (&file, Box::new(reader)),
    };
    if file.ends_with(".jsonl") || file.ends_with(".ndjson") {
        return read_lines(Lines::new(bytes), name);
    }
    let text = json::text(bytes, name)?;
    if is_lines(&text) {
        return read_lines(Lines::from_reader(Cursor::new(text.into_bytes())), name);
    }
    let document: Document = json::parse(name, &text)?;
    let mut collector = Collector::default();
    for (number, entry) in document.entries.into_iter().enumerate() {
        let place = format!("{}[{number}]", document.name);
        collector
            .add(entry, &place)
            .map_err(|(inner, why)| Error::file(name, format!("{place}{inner}: {why}")))?;
    }
    let version = document.version.map(|version| version.0);
    Ok(SquadFile { version, articles: collector.articles })
}

/// Whether a text is JSON lines: its first line is an object, and another follows or it is not SQuAD's.
fn is_lines(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Keys {
        data: Option<IgnoredAny>,
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().filter(|first| first.starts_with('{'));
    let keys = first.and_then(|first| serde_json::from_str::<Keys>(first).ok());
    keys.is_some_and(|keys| keys.data.is_none() || lines.next().is_some_and(|l| l.starts_with('{')))
}

fn read_lines(mut lines: Lines, path: &Path) -> Result<SquadFile> {
    let name = path.display().to_string();
    let mut collector = Collector::default();
    while let Some((number, text)) = lines.next(&name)? {
        let fail = |message: String| Error::row(&name, number, message);
        let entry: Entry = json::value(text)
            .map_err(|why| fail(why.replace(" at line 1 column ", " at column ")))?;
        if number == 1 && entry.header.is_some() && entry.context.is_none() {
            continue;
        }
        collector.add(entry, &format!("line {number}")).map_err(|(inner, why)| {
            let inner = inner.trim_start_matches('.');
            fail(if inner.is_empty() { why } else { format!("{inner}: {why}") })
        })?;
    }
    Ok(SquadFile { version: None, articles: collector.articles })
}

/// The place of an error within an entry, and the message.
type Fault = (String, String);

/// Articles from entries.
#[derive(Default)]
struct Collector {
    articles: Vec<Article>,
    /// Whether the last article is of entries that are not articles.
    is_open: bool,
    /// The place of each id.
    places: HashMap<String, String>,
}

impl Collector {
    fn add(&mut self, entry: Entry, place: &str) -> std::result::Result<(), Fault> {
        let title = entry.title.clone();
        match entry {
            Entry { paragraphs: Some(paragraphs), .. } => {
                let paragraphs = paragraphs.into_iter().enumerate().map(|(number, paragraph)| {
                    self.paragraph(paragraph, place, &format!(".paragraphs[{number}]"))
                });
                let paragraphs = paragraphs.collect::<std::result::Result<_, _>>()?;
                self.articles.push(Article { title, paragraphs });
                self.is_open = false;
            }
            Entry { context: Some(context), qas: Some(qas), .. } => {
                let paragraph = self.paragraph(ParagraphEntry { context, qas }, place, "")?;
                self.open(title).paragraphs.push(paragraph);
            }
            Entry { context: Some(context), question, .. } if question.question.is_some() => {
                let question = self.question(question, place, "")?;
                let article = self.open(title);
                match article.paragraphs.last_mut().filter(|last| last.context == context) {
                    Some(last) => last.questions.push(question),
                    None => {
                        let questions = vec![question];
                        article.paragraphs.push(Paragraph { context, questions });
                    }
                }
            }
            Entry { context: None, .. } => {
                let message = "must be an article with \"paragraphs\", or have the key \"context\"";
                return Err((String::new(), message.to_owned()));
            }
            _ => {
                let message = "must have \"qas\", or \"id\", \"question\" and \"answers\", besides \"context\"";
                return Err((String::new(), message.to_owned()));
            }
        }
        Ok(())
    }

    /// The article that texts and questions with this title are added to.
    fn open(&mut self, title: Option<String>) -> &mut Article {
        let same = self.is_open && self.articles.last().is_some_and(|last| last.title == title);
        if !same {
            self.articles.push(Article { title, paragraphs: Vec::new() });
        }
        self.is_open = true;
        self.articles.last_mut().expect("there is at least one")
    }

    fn paragraph(
        &mut self,
        ParagraphEntry { context, qas }: ParagraphEntry,
        place: &str,
        inner: &str,
    ) -> std::result::Result<Paragraph, Fault> {
        let questions = qas.into_iter().enumerate().map(|(number, question)| {
            self.question(question, place, &format!("{inner}.qas[{number}]"))
        });
        Ok(Paragraph { context, questions: questions.collect::<std::result::Result<_, _>>()? })
    }

    fn question(
        &mut self,
        entry: QuestionEntry,
        place: &str,
        inner: &str,
    ) -> std::result::Result<Question, Fault> {
        let text = entry.question.unwrap_or_default();
        let Some(id) = entry.id.or(entry.qid).map(|id| id.0) else {
            return Err((inner.to_owned(), "missing field `id`".to_owned()));
        };
        if let Some(before) = self.places.insert(id.clone(), format!("{place}{inner}")) {
            return Err((format!("{inner}.id"), format!("{id:?} is also the id of {before}")));
        }
        let detected = entry.detected_answers.into_iter().flatten().filter_map(|detected| {
            let &[start, _] = detected.char_spans.first()?;
            Some(Answer { text: detected.text, start: Some(start) })
        });
        let mut answers: Vec<Answer> = detected.collect();
        let has_places = !answers.is_empty();
        let given = |entry: super::entry::Answers| {
            entry.0.into_iter().map(|span| Answer { text: span.text, start: span.start })
        };
        // A flagged question needs no list.
        let has_key = has_places || entry.answers.is_some() || entry.is_impossible == Some(true);
        for answer in entry.answers.into_iter().flat_map(given) {
            // A detected answer has its place already.
            if !has_places || answers.iter().all(|known| known.text != answer.text) {
                answers.push(answer);
            }
        }
        Ok(Question {
            id,
            text,
            answers: has_key.then_some(answers),
            is_impossible: entry.is_impossible.unwrap_or(false),
            similar_key: entry.similar_key.filter(|_| !has_key),
            plausible_answers: entry.plausible_answers.into_iter().flat_map(given).collect(),
        })
    }
}
