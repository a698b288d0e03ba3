//! The MRQA shared task's files (JSON lines, `.jsonl` or `.jsonl.gz`) as questions of SQuAD's form.

use super::file::{Answer, Article, Paragraph, Question, SquadFile};
use crate::{
    error::{Error, Result},
    lines::{Bytes, Lines},
};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::{collections::HashMap, io::Read, path::Path};

/// A line: a context with its questions. The first line of a file may be a header.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    header: Option<serde_json::Value>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    qas: Vec<MrqaQuestion>,
}

#[derive(Deserialize)]
struct MrqaQuestion {
    qid: String,
    question: String,
    #[serde(default)]
    answers: Vec<String>,
    #[serde(default)]
    detected_answers: Vec<Detected>,
}

#[derive(Deserialize)]
struct Detected {
    text: String,
    /// First and last character, inclusive.
    char_spans: Vec<[usize; 2]>,
}

/// Reads a file. The answers of a question are the first occurrence of each detected answer, in the file's order, then
/// the texts in `answers` that were not detected. The latter have the start of the first detected answer, which is not
/// used.
///
/// # Errors
/// Naming the file and the line: if it cannot be read or has another format, or an id is a duplicate.
///
/// Source: reference `finetune/qa/mrqa_tasks` in `qa_tasks.py` (the first occurrence of the first detected answer).
pub(super) fn read(reader: impl Read + Send + 'static, path: &Path) -> Result<SquadFile> {
    let name = path.display().to_string();
    let bytes: Bytes = match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    };
    let mut lines = Lines::new(bytes);
    let (mut paragraphs, mut places) = (Vec::new(), HashMap::new());
    while let Some((number, text)) = lines.next(&name)? {
        let fail = |message: String| Error::row(&name, number, message);
        let line: Line = serde_json::from_str(text).map_err(|e| fail(e.to_string()))?;
        let Some(context) = line.context else {
            match line.header {
                Some(_) if number == 1 => continue,
                _ => return Err(fail("there is no key \"context\"".to_owned())),
            }
        };
        let questions: Vec<Question> = line.qas.into_iter().map(question).collect();
        for question in &questions {
            if let Some(before) = places.insert(question.id.clone(), number) {
                let message = format!("duplicate id {:?}, first in line {before}", question.id);
                return Err(fail(message));
            }
        }
        paragraphs.push(Paragraph { context, questions });
    }
    Ok(SquadFile { version: None, articles: vec![Article { title: None, paragraphs }] })
}

fn question(question: MrqaQuestion) -> Question {
    let mut answers: Vec<Answer> = Vec::new();
    for Detected { text, char_spans } in question.detected_answers {
        answers.extend(char_spans.first().map(|&[start, _]| Answer { text, start }));
    }
    let start = answers.first().map_or(0, |answer| answer.start);
    for text in question.answers {
        if answers.iter().all(|answer| answer.text != text) {
            answers.push(Answer { text, start });
        }
    }
    Question {
        id: question.qid,
        text: question.question,
        answers: Some(answers),
        is_impossible: false,
        plausible_answers: Vec::new(),
    }
}
