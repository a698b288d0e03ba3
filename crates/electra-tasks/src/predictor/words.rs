//! Prediction of tags for CoNLL files in constant memory.

use super::options::{NOT_FINITE, Probabilities, Stream, StreamOptions};
use crate::{
    answer::{Answer, Answered, Request, TaggedWord, TaskModel},
    error::{Error, Result},
    summary::Truncated,
};
use electra_scores::{
    tagging::{Columns, Sentence, Sentences},
    window::{Filled, fill},
};
use std::{io::Write, path::Path};

/// The limit on the words in a window, its last sentence not counted.
const WINDOW_WORDS: usize = 1 << 16;

/// Tags sentences, a window at a time; returns the number of words.
pub(super) fn stream(stream: Stream<'_>, columns: Columns) -> Result<u64> {
    let Stream { model, input, writer, name, options, truncated, on_done } = stream;
    let file = input.name.display().to_string();
    let mut sentences = Sentences::from_reader(input.reader, &file, columns);
    let mut done = 0;
    loop {
        let words = |sentence: &Sentence| sentence.words.len();
        let (window, filled) = fill(&mut sentences, options.window, WINDOW_WORDS, words);
        let written = write(model, &window, &file, writer, name, options);
        writer.flush().map_err(Error::io(name))?;
        *truncated = truncated.with(written?);
        done += window.iter().map(words).sum::<usize>() as u64;
        on_done(done);
        if let Filled::Ended = filled? {
            return Ok(done);
        }
    }
}

fn write(
    model: &dyn TaskModel,
    sentences: &[Sentence],
    file: &str,
    writer: &mut dyn Write,
    name: &Path,
    options: &StreamOptions,
) -> Result<Truncated> {
    let requests: Vec<Request> = sentences.iter().map(|s| Request::words(&s.words)).collect();
    let Answered { answers, truncated } = model.answer(&requests, options.batch_size)?;
    for (sentence, answer) in sentences.iter().zip(answers) {
        if !answer.is_finite() {
            return Err(Error::row(file, sentence.first_line(), NOT_FINITE));
        }
        let Answer::Tags(words) = answer else { continue };
        let has_tabs = sentence.word_lines().any(|line| line.text.contains('\t'));
        let divider = if has_tabs { '\t' } else { ' ' };
        let column = |word: &TaggedWord| match options.probabilities {
            Probabilities::Omit => word.tag.clone(),
            Probabilities::Write => format!("{}{divider}{}", word.tag, word.probability),
        };
        let columns: Vec<String> = words.iter().map(column).collect();
        let text = sentence.annotated(columns.iter().map(String::as_str));
        writer.write_all(text.as_bytes()).map_err(Error::io(name))?;
    }
    Ok(truncated)
}
