//! Prediction of tags for CoNLL files in constant memory.

use super::{
    options::{NOT_FINITE, Probabilities, Stream, StreamOptions},
    window::{Filled, fill},
};
use crate::{
    answer::{Answer, Request, TaggedWord, TaskModel},
    error::{Error, Result},
};
use electra_scores::tagging::{Columns, Sentence, Sentences};
use std::{io::Write, path::Path};

/// The limit on the words in a window, its last sentence not counted.
const WINDOW_WORDS: usize = 1 << 16;

/// Tags sentences, a window at a time; returns the number of words.
pub(super) fn stream(stream: Stream<'_>, column: i64) -> Result<u64> {
    let Stream { model, input, writer, name, options, on_done } = stream;
    let columns = Columns { word: column, tag: None };
    let file = input.name.display().to_string();
    let mut sentences = Sentences::from_reader(input.reader, &file, columns);
    let mut done = 0;
    loop {
        let words = |sentence: &Sentence| sentence.words.len();
        let (window, filled) = fill(&mut sentences, options.window, WINDOW_WORDS, words);
        let written = write(model, &window, &file, writer, name, options);
        writer.flush().map_err(Error::io(name))?;
        written?;
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
) -> Result<()> {
    let requests: Vec<Request> = sentences.iter().map(|s| Request::words(&s.words)).collect();
    for (sentence, answer) in sentences.iter().zip(model.answer(&requests, options.batch_size)?) {
        if !answer.is_finite() {
            return Err(Error::row(file, sentence.line, NOT_FINITE));
        }
        let Answer::Tags(words) = answer else { continue };
        let divider = if sentence.lines[0].contains('\t') { '\t' } else { ' ' };
        let column = |word: &TaggedWord| match options.probabilities {
            Probabilities::Omit => word.tag.clone(),
            Probabilities::Write => format!("{}{divider}{}", word.tag, word.probability),
        };
        let columns: Vec<String> = words.iter().map(column).collect();
        let text = sentence.with_tags(columns.iter().map(String::as_str));
        writer.write_all(text.as_bytes()).map_err(Error::io(name))?;
    }
    Ok(())
}
