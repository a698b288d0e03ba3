//! A fine-tuned model for questions.

use super::{
    decode::decode_all,
    encode::{AnswerTokens, Passage, QuestionEncoder, inputs, truncated},
    head::SpanNet,
    window::Context,
};
use crate::{
    adopt::Foreign,
    answer::{Answer, Request, RequestForm},
    config::{HeadKind, SpanConfig},
    error::Result,
    head::HeadSite,
    model::{HeadClass, Header},
    model_kind::{Inference, ModelKind},
};
use electra_model::hf::Architecture;
use electra_scores::{Metric, squad::Version};
use electra_tokenize::WordPiece;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The number of paragraphs (or questions of requests) whose windows are sorted by length and predicted together.
pub(super) const PARAGRAPHS: usize = 64;

/// The `task.json` of a task of questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SquadInfo {
    /// The keys of every kind.
    #[serde(flatten)]
    pub header: Header,
    /// The version of the task.
    pub version: Version,
    /// The settings of decoding.
    pub squad: SpanConfig,
}

impl SquadInfo {
    fn encoder<'a>(&'a self, tokenizer: &'a WordPiece) -> Result<QuestionEncoder<'a>> {
        QuestionEncoder::new(tokenizer, self.header.max_length, &self.squad)
    }
}

impl ModelKind for SquadInfo {
    const KIND: &'static str = "squad";
    type Net = SpanNet;

    fn class(&self) -> HeadClass {
        match self.header.head.kind {
            HeadKind::Reference => HeadClass::none(),
            HeadKind::Hf => HeadClass {
                architecture: Architecture::ElectraForQuestionAnswering,
                labels: None,
                dropout: None,
                head: "qa_outputs",
            },
        }
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<SpanNet> {
        SpanNet::new(site, &self.squad)
    }

    /// Spans are decoded as those of a fine-tuned model; with version 2.0 there is no answer if the logits of `[CLS]` are
    /// above those of the best span.
    fn adopt(folder: &Foreign<'_>) -> Result<Option<Self>> {
        let Architecture::ElectraForQuestionAnswering = folder.config.architecture else {
            return Ok(None);
        };
        let header = folder.header(Metric::F1).of_kind(Self::KIND);
        let mut squad = SpanConfig { null_threshold: 0.0, ..SpanConfig::reference() };
        squad.fit(header.max_length, |_| false);
        Ok(Some(Self { header, version: folder.squad, squad }))
    }

    fn validate(&self, tokenizer: &WordPiece) -> Result<()> {
        self.squad.validate()?;
        self.encoder(tokenizer).map(drop)
    }

    fn form(&self) -> RequestForm {
        RequestForm::Questions {
            null_threshold: match self.version {
                Version::V1 => None,
                Version::V2 => Some(self.squad.null_threshold),
            },
        }
    }

    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>> {
        let encoder = self.encoder(model.tokenizer)?;
        let questions =
            Request::all(requests, "must be a question about a text", |request| match request {
                Request::Question { question, context } => Some((question, context)),
                _ => None,
            })?;
        let mut answers = Vec::new();
        for questions in questions.chunks(PARAGRAPHS) {
            // Consecutive questions about the same text share its tokens.
            let by_context: Vec<_> = questions.chunk_by(|a, b| a.1 == b.1).collect();
            let passage = |questions: &&[(&String, &String)]| {
                let context = Context::new(model.tokenizer, questions[0].1)?;
                let windows = questions.iter().map(|(question, _)| {
                    encoder.question(&context, question, &AnswerTokens::Unknown)
                });
                let questions = windows.collect::<Result<_>>()?;
                Ok(Passage { context, questions })
            };
            let passages: Vec<Passage> =
                by_context.par_iter().map(passage).collect::<Result<_>>()?;
            model.add_truncated(truncated(&passages, &self.squad));
            let outputs = model.predict(&inputs(&passages))?;
            let found = decode_all(&passages, &outputs, &self.squad, self.header.head.kind);
            answers.extend(found.into_iter().map(Answer::Span));
        }
        Ok(answers)
    }
}
