//! Prediction of answers to the questions of a file.

use super::options::{NOT_FINITE, Stream};
use crate::{
    answer::{Answer, Request, SpanAnswer},
    by_id::ById,
    error::{Error, Result},
};
use electra_scores::squad::{Paragraph, SquadFile, read_from};
use std::path::Path;

/// The number of paragraphs whose questions are answered together.
const PARAGRAPHS: usize = 64;

/// Answers a file of questions; returns the number of questions. If the null odds are above `threshold`, the answer
/// is empty.
pub(super) fn stream(stream: Stream<'_>, threshold: Option<f64>) -> Result<u64> {
    let Stream { model, input, writer, name, options, truncated, on_done } = stream;
    let files = [options.null_odds.as_ref(), options.n_best.as_ref()];
    files.into_iter().flatten().try_for_each(|output| check_output(output))?;
    let file: SquadFile = read_from(input.reader, &input.name)?;
    let (mut ids, mut answers) = (Vec::new(), Vec::new());
    let paragraphs: Vec<&Paragraph> = file.paragraphs().collect();
    for paragraphs in paragraphs.chunks(PARAGRAPHS) {
        let mut requests = Vec::new();
        for paragraph in paragraphs {
            for question in &paragraph.questions {
                ids.push(question.id.as_str());
                requests.push(Request::question(&question.text, &paragraph.context));
            }
        }
        let answered = model.answer(&requests, options.batch_size)?;
        *truncated = truncated.with(answered.truncated);
        for answer in answered.answers {
            if !answer.is_finite() {
                let id = format!("{:?}", ids[answers.len()]);
                return Err(Error::value("question", id, NOT_FINITE));
            }
            let Answer::Span(answer) = answer else { continue };
            answers.push(answer);
        }
        on_done(answers.len() as u64);
    }
    if let Some(path) = &options.null_odds {
        ById::of(&ids, &answers, |answer| answer.null_odds).write(path)?;
    }
    if let Some(path) = &options.n_best {
        ById::of(&ids, &answers, |answer| &answer.n_best).write(path)?;
    }
    let text = |answer: &SpanAnswer| match answer.null_odds > threshold.unwrap_or(f64::INFINITY) {
        true => String::new(),
        false => answer.text.clone(),
    };
    let json = ById::of(&ids, &answers, text).json();
    writer.write_all(json.as_bytes()).and_then(|()| writer.flush()).map_err(Error::io(name))?;
    Ok(answers.len() as u64)
}

/// Checks that `output` can be written, before anything is predicted.
fn check_output(output: &Path) -> Result<()> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    if output.is_dir() {
        return Err(Error::file(output, "is a folder: give the path of a file"));
    }
    match parent {
        Some(parent) if !parent.is_dir() => {
            Err(Error::file(parent, "the folder does not exist: create it, or write elsewhere"))
        }
        _ => Ok(()),
    }
}
