//! Questions as inputs: `[CLS] question [SEP] window of the context [SEP]`.

use super::{
    head::SpanTarget,
    window::{Context, windows},
};
use crate::{
    batch::Input,
    config::SpanConfig,
    error::{Error, Result},
    summary::{TextUnit, Truncated},
};
use electra_scores::squad::{Paragraph, Question};
use electra_tokenize::{Tokenizer, WordPiece};
use rayon::prelude::*;
use std::ops::Range;

/// A paragraph with its questions as inputs.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The text that contains the answers.
    pub context: Context,
    /// Its questions, in the file's order.
    pub questions: Vec<QuestionWindows>,
}

/// A question as inputs, one for each window of the context.
#[derive(Clone, Debug)]
pub struct QuestionWindows {
    /// The tokens of the context in each input.
    pub windows: Vec<Range<usize>>,
    /// The position in an input of its window's first token.
    pub first: usize,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The training target of each input.
    pub targets: Vec<SpanTarget>,
    /// The number of tokens of the question before it was truncated.
    pub question_length: usize,
}

/// The answer of a question as tokens, for training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerTokens {
    /// The answer's tokens in the context.
    Answer(Range<usize>),
    /// The question has no answer.
    Impossible,
    /// Unknown: the question is to be answered.
    Unknown,
}

/// The inputs of all questions of passages, in order.
pub(super) fn inputs(passages: &[Passage]) -> Vec<&Input> {
    let questions = passages.iter().flat_map(|passage| &passage.questions);
    questions.flat_map(|question| &question.inputs).collect()
}

/// The questions of passages that are longer than `max_query_length`.
pub(super) fn truncated(passages: &[Passage], config: &SpanConfig) -> Truncated {
    let questions = passages.iter().flat_map(|passage| &passage.questions);
    let lengths = questions.map(|question| question.question_length);
    Truncated::of(TextUnit::Questions, lengths, config.max_query_length)
}

/// Encodes questions as inputs.
#[derive(Debug)]
pub struct QuestionEncoder<'a> {
    /// The encoder's tokenizer.
    pub tokenizer: &'a WordPiece,
    /// The length of the longest input in tokens.
    pub max_length: usize,
    /// The lengths of questions, and the stride.
    pub config: &'a SpanConfig,
}

impl<'a> QuestionEncoder<'a> {
    /// # Errors
    /// If `max_length` leaves no room for a question and a token of the context.
    pub fn new(
        tokenizer: &'a WordPiece,
        max_length: usize,
        config: &'a SpanConfig,
    ) -> Result<Self> {
        let least = config.max_query_length + 4;
        if max_length < least {
            let expected = format!(
                "must be at least {least}: squad.max_query_length, three special tokens and one of the context"
            );
            return Err(Error::value("train.max_length", max_length, expected));
        }
        Ok(Self { tokenizer, max_length, config })
    }

    /// The inputs of the questions of paragraphs; `answer` returns the answer of a question, or `None` to leave it out.
    ///
    /// # Errors
    /// If the tokenizer fails on a text.
    pub fn passages(
        &self,
        paragraphs: &[&Paragraph],
        answer: impl Fn(&Context, &Question) -> Option<AnswerTokens> + Sync,
    ) -> Result<Vec<Passage>> {
        let passage = |paragraph: &&Paragraph| {
            let context = Context::new(self.tokenizer, &paragraph.context)?;
            let questions = paragraph.questions.iter().filter_map(|question| {
                let answer = answer(&context, question)?;
                Some(self.question(&context, &question.text, &answer))
            });
            let questions = questions.collect::<Result<_>>()?;
            Ok(Passage { context, questions })
        };
        paragraphs.par_iter().map(passage).collect()
    }

    /// The inputs of one question. The target of a window that does not contain the complete answer is `[CLS]`.
    ///
    /// # Errors
    /// If the tokenizer fails on the question.
    ///
    /// Source: reference `finetune/qa/qa_tasks.py`, `QATask.featurize`.
    pub fn question(
        &self,
        context: &Context,
        text: &str,
        answer: &AnswerTokens,
    ) -> Result<QuestionWindows> {
        let special = self.tokenizer.vocab().special();
        let mut prefix = vec![special.cls];
        self.tokenizer.encode_into(text, &mut prefix)?;
        let question_length = prefix.len() - 1;
        prefix.truncate(1 + self.config.max_query_length);
        prefix.push(special.sep);
        let first = prefix.len();
        let room = self.max_length - first - 1;
        let windows = windows(context.ids().len(), room, self.config.stride);
        let input = |window: &Range<usize>| {
            let mut ids = Vec::with_capacity(first + window.len() + 1);
            ids.extend_from_slice(&prefix);
            ids.extend_from_slice(&context.ids()[window.clone()]);
            ids.push(special.sep);
            Input { ids, segment_b_start: first }
        };
        let target = |window: &Range<usize>| match answer {
            AnswerTokens::Answer(answer)
                if window.start <= answer.start && answer.end <= window.end =>
            {
                SpanTarget {
                    start: first + answer.start - window.start,
                    end: first + answer.end - 1 - window.start,
                    impossible: false,
                }
            }
            AnswerTokens::Answer(_) | AnswerTokens::Unknown => SpanTarget::default(),
            AnswerTokens::Impossible => SpanTarget { start: 0, end: 0, impossible: true },
        };
        let inputs = windows.iter().map(input).collect();
        let targets = windows.iter().map(target).collect();
        Ok(QuestionWindows { windows, first, inputs, targets, question_length })
    }
}
