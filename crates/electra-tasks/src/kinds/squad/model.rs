//! A fine-tuned model of questions.

use super::{
    decode::decode_all,
    encode::{AnswerTokens, Passage, QuestionEncoder, inputs},
    head::SpanNet,
    window::Context,
};
use crate::{
    answer::{Answer, Request, RequestForm, TaskModel},
    config::{HeadKind, SpanConfig},
    error::Result,
    model::{HeadClass, Header, invalid, read_info},
    pool::{ModelSite, NetworkPool},
};
use electra_model::{EncoderConfig, hf::Architecture};
use electra_scores::squad::Version;
use electra_tokenize::WordPiece;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::nn;

/// The kind in `task.json`.
pub const KIND: &str = "squad";

/// Paragraphs (or questions of requests) whose windows are sorted by length and answered together.
pub(super) const PARAGRAPHS: usize = 64;

/// The `task.json` of a task of questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SquadInfo {
    /// What every kind has.
    #[serde(flatten)]
    pub header: Header,
    /// The rules by which it was learned.
    pub version: Version,
    /// How spans are found.
    pub squad: SpanConfig,
}

impl SquadInfo {
    pub(super) fn class(&self) -> HeadClass {
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
}

/// A model that answers questions.
#[derive(Debug)]
struct SquadModel {
    info: SquadInfo,
    tokenizer: WordPiece,
    network: NetworkPool<SpanNet>,
}

impl SquadModel {
    fn encoder(&self) -> Result<QuestionEncoder<'_>> {
        QuestionEncoder::new(&self.tokenizer, self.info.header.max_length, &self.info.squad)
    }
}

/// Opens a model of the kind.
pub(crate) fn open(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let info: SquadInfo = read_info(site.dir)?;
    info.squad.validate().map_err(invalid(site.dir))?;
    let (head, squad) = (info.header.head.clone(), info.squad.clone());
    let build = move |path: &nn::Path<'_>, encoder: &EncoderConfig| {
        SpanNet::new(path, encoder, &head, &squad)
    };
    let (network, tokenizer) = NetworkPool::read(site, info.class().head, build)?;
    let model = SquadModel { info, tokenizer, network };
    model.encoder().map(drop).map_err(invalid(site.dir))?;
    Ok(Box::new(model))
}

impl TaskModel for SquadModel {
    fn form(&self) -> RequestForm {
        RequestForm::Questions {
            null_threshold: match self.info.version {
                Version::V1 => None,
                Version::V2 => Some(self.info.squad.null_threshold),
            },
        }
    }

    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Vec<Answer>> {
        let SquadInfo { header, squad, .. } = &self.info;
        let encoder = self.encoder()?;
        let questions =
            Request::all(requests, "must be a question about a text", |request| match request {
                Request::Question { question, context } => Some((question, context)),
                _ => None,
            })?;
        let mut answers = Vec::new();
        for questions in questions.chunks(PARAGRAPHS) {
            // Questions about one text share its tokens.
            let same_text: Vec<_> = questions.chunk_by(|a, b| a.1 == b.1).collect();
            let passage = |questions: &&[(&String, &String)]| {
                let context = Context::new(&self.tokenizer, questions[0].1)?;
                let windows = questions.iter().map(|(question, _)| {
                    encoder.question(&context, question, &AnswerTokens::Unknown)
                });
                let questions = windows.collect::<Result<_>>()?;
                Ok(Passage { context, questions })
            };
            let passages: Vec<Passage> =
                same_text.par_iter().map(passage).collect::<Result<_>>()?;
            let predictions =
                self.network.predict(&inputs(&passages), batch_size, SpanNet::predict)?;
            let found = decode_all(&passages, &predictions, squad, header.head.kind);
            answers.extend(found.into_iter().map(Answer::Span));
        }
        Ok(answers)
    }
}
