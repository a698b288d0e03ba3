//! Question answering as fine-tuning sees it: its data, its head, the answers and their scores.

use super::{
    decode::decode_all,
    details::details,
    encode::{AnswerTokens, Passage, QuestionEncoder, inputs},
    head::{SpanNet, SpanTarget},
    model::{KIND, PARAGRAPHS, SquadInfo},
    task::SquadTask,
    window::Context,
};
use crate::{
    answer::SpanAnswer,
    baseline::{Baselines, SplitScores},
    batch::{BatchTensors, Input},
    body::Body,
    by_id::ById,
    config::{FinetuneConfig, HeadKind, Pooling, SpanConfig},
    details::Details,
    error::{Error, Result},
    model::{Header, ModelFiles},
    preset::Group,
    report::Examples,
    split::{Split, Splits},
    task::{Answers, LoadSite, LoadedTask, RowLosses, Task, TaskCard, TaskData, TaskHead},
};
use electra_files::write_file;
use electra_model::EncoderConfig;
use electra_scores::{
    LeftOut, Metric, Scores,
    figure::{Figure, Layout, json},
    squad::{
        NullOdds, Paragraph, Predictions, Question, SquadFile, Version, read, score_1, score_2,
    },
};
use electra_train::metrics::Observations;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tch::{Tensor, nn};

/// The questions of a task.
#[derive(Debug)]
struct SquadData {
    task: SquadTask,
    config: SpanConfig,
    head: HeadKind,
    /// What the training inputs teach.
    train: Vec<SpanTarget>,
    scored: Splits<QuestionSet>,
}

/// The questions of a split, with their gold answers.
#[derive(Debug)]
struct QuestionSet {
    gold: SquadFile,
    passages: Vec<Passage>,
}

impl Task for SquadTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn description(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain values serialise")
    }

    fn group(&self) -> Group {
        Group::Questions
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        self.validate()?;
        if config.head.pooling != Pooling::First {
            return Err(Error::value("head.pooling", "mean", "must be \"first\" for spans"));
        }
        self.spans(config).map(|_| ())
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        site.two_segments()?;
        let config = self.spans(site.config)?;
        let train = &site.config.train;
        let encoder = QuestionEncoder::new(site.tokenizer, train.max_length, config)?;
        let (passages, left_out) =
            self.training_set(&encoder, &site.data.join(&self.files.train))?;
        let scored = Splits::read(&self.files, site.data, |path| self.scored_set(&encoder, path))?;
        let count = |set: &QuestionSet| set.gold.questions().count();
        let examples = Examples {
            train: passages.iter().map(|passage| passage.questions.len()).sum(),
            dev: count(&scored.dev),
            test: scored.test.as_ref().map_or(0, count),
        };
        let questions = passages.into_iter().flat_map(|passage| passage.questions);
        let (inputs, targets): (Vec<Vec<Input>>, Vec<Vec<SpanTarget>>) =
            questions.map(|question| (question.inputs, question.targets)).unzip();
        let (inputs, targets) = (inputs.concat(), targets.concat());
        tracing::info!(
            "{} windows over the contexts of {} questions",
            inputs.len(),
            examples.train
        );
        let splits = scored.names();
        let data = SquadData {
            task: self.clone(),
            config: config.clone(),
            head: site.config.head.kind,
            train: targets,
            scored,
        };
        let loaded = LoadedTask::each_once(train, inputs, examples, splits, data);
        Ok(LoadedTask { left_out: left_out.into_iter().collect(), ..loaded })
    }
}

impl SquadTask {
    /// The config's section for spans.
    fn spans<'a>(&self, config: &'a FinetuneConfig) -> Result<&'a SpanConfig> {
        config.squad.as_ref().ok_or_else(|| {
            Error::value(
                "squad",
                "no such section",
                "must be there, as in configs/finetune-squad-small.toml",
            )
        })
    }

    /// The answer that a training question is learned with, or why the question is left out.
    fn training_answer(
        &self,
        context: &Context,
        question: &Question,
    ) -> std::result::Result<AnswerTokens, String> {
        match (self.version, question.is_impossible, question.answers.as_deref()) {
            (Version::V2, true, _) => Ok(AnswerTokens::Impossible),
            (Version::V1, true, _) => {
                Err("is_impossible, and version 1.1 has an answer for each question".to_owned())
            }
            // The reference learns from the first answer alone.
            (_, false, Some([first, ..])) => {
                context.align(first).map(AnswerTokens::Answer).map_err(|why| why.to_string())
            }
            (_, false, _) => Err("there is no answer".to_owned()),
        }
    }

    /// The training file as inputs, and the questions that are left out.
    fn training_set(
        &self,
        encoder: &QuestionEncoder<'_>,
        path: &Path,
    ) -> Result<(Vec<Passage>, Option<LeftOut>)> {
        let file = read(path)?;
        let left_out = Mutex::new(Vec::new());
        let paragraphs: Vec<&Paragraph> = file.paragraphs().collect();
        let passages = encoder.passages(&paragraphs, |context, question| {
            let why = match self.training_answer(context, question) {
                Ok(answer) => return Some(answer),
                Err(why) => why,
            };
            let line = format!("{}: question {:?}: {why}", path.display(), question.id);
            left_out.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            None
        })?;
        let mut left_out = left_out.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Threads find them in any order.
        left_out.sort();
        if passages.iter().all(|passage| passage.questions.is_empty()) {
            let why = left_out.first().map_or("it has none", String::as_str);
            return Err(Error::file(path, format!("no question can be learned from: {why}")));
        }
        Ok((passages, LeftOut::of(path, left_out)))
    }

    /// Questions that are scored.
    fn scored_set(&self, encoder: &QuestionEncoder<'_>, path: &Path) -> Result<QuestionSet> {
        let gold = read(path)?;
        let mut any = false;
        for (_, question) in gold.questions() {
            any = true;
            let wanted = match (self.version, question.answers.as_deref()) {
                (_, None) => "must be there, [] where there is none: it is scored",
                (Version::V1, Some([])) => {
                    "must be there: version 1.1 has an answer for each question"
                }
                _ => continue,
            };
            let message = format!("question {:?}: answers {wanted}", question.id);
            return Err(Error::file(path, message));
        }
        if !any {
            return Err(Error::file(path, "there is no question in it"));
        }
        let paragraphs: Vec<&Paragraph> = gold.paragraphs().collect();
        let passages = encoder.passages(&paragraphs, |_, _| Some(AnswerTokens::Unknown))?;
        Ok(QuestionSet { gold, passages })
    }

    /// The official figures of answers to `gold`, by the names of the official scripts, and the scores among them.
    fn official(
        &self,
        gold: &SquadFile,
        answers: &[SpanAnswer],
        threshold: f64,
    ) -> (Vec<(&'static str, Figure)>, Scores) {
        let ids = || gold.questions().map(|(_, question)| question.id.clone());
        let predictions: Predictions =
            ids().zip(answers).map(|(id, answer)| (id, answer.text.clone())).collect();
        let (figures, exact, f1) = match self.version {
            Version::V1 => {
                let scores = score_1(gold, &predictions).expect("the gold file was checked");
                (scores.figures(), scores.exact_match, scores.f1)
            }
            Version::V2 => {
                let odds: NullOdds =
                    ids().zip(answers).map(|(id, answer)| (id, answer.null_odds)).collect();
                let scores = score_2(gold, &predictions, Some(&odds), threshold)
                    .expect("the gold file was checked and every question has an answer");
                (scores.figures(), scores.all.exact, scores.all.f1)
            }
        };
        let scores = Scores::from([
            (Metric::ExactMatch, Some(exact / 100.0)),
            (Metric::F1, Some(f1 / 100.0)),
        ]);
        (figures, scores)
    }
}

impl TaskData for SquadData {
    fn head(
        self: Arc<Self>,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn TaskHead>> {
        let net = SpanNet::new(path, encoder, &config.head, &self.config)?;
        Ok(Box::new(SpanHead { net, data: self }))
    }

    fn label(&self, example: usize) -> serde_json::Value {
        let SpanTarget { start, end, impossible } = self.train[example];
        serde_json::json!({ "start": start, "end": end, "impossible": impossible })
    }

    /// No answer to any question, which is what a constant scores best.
    fn baselines(&self) -> Baselines {
        let none = SpanAnswer { text: String::new(), null_odds: 0.0, n_best: Vec::new() };
        let silent = |set: &QuestionSet| {
            let answers = vec![none.clone(); set.gold.questions().count()];
            self.task.official(&set.gold, &answers, f64::INFINITY).1
        };
        let majority = SplitScores {
            dev: silent(&self.scored.dev),
            test: self.scored.test.as_ref().map(silent),
        };
        Baselines { majority, bag_of_words: None }
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let info = SquadInfo {
            header: header.of_kind(KIND),
            version: self.task.version,
            squad: self.config.clone(),
        };
        ModelFiles::new(&info, info.class())
    }

    fn card(&self) -> TaskCard {
        let version = self.task.version;
        let task = format!("questions, answers are spans of a text; version {version}");
        TaskCard {
            pipeline: "question-answering",
            rows: vec![("task", task)],
            predict: "electra predict --model FOLDER --input questions.json --output preds.json",
        }
    }
}

#[derive(Debug)]
struct SpanHead {
    net: SpanNet,
    data: Arc<SquadData>,
}

impl SpanHead {
    fn targets(&self, examples: &[usize]) -> Vec<SpanTarget> {
        examples.iter().map(|&example| self.data.train[example]).collect()
    }
}

impl TaskHead for SpanHead {
    fn name(&self) -> &'static str {
        "spans"
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        batch: &BatchTensors,
        examples: &[usize],
        train: bool,
    ) -> RowLosses {
        self.net.losses(hidden_bsh, batch, &self.targets(examples), train)
    }

    fn observe(&self, examples: &[usize], outputs: &[Tensor], seen: &mut Observations) {
        self.net.observe(&self.targets(examples), outputs, seen);
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        let data = Arc::clone(&self.data);
        // The prediction for a window has hundreds of spans, an answer few of them.
        let answers = data.scored.of(split).passages.chunks(PARAGRAPHS).flat_map(|passages| {
            let predictions = body.predict(&inputs(passages), batch_size, |hidden, batch| {
                self.net.predict(hidden, batch)
            });
            decode_all(passages, &predictions, &data.config, data.head)
        });
        let answers = answers.collect();
        Box::new(SpanAnswers { data, split: split.clone(), answers })
    }
}

#[derive(Debug)]
struct SpanAnswers {
    data: Arc<SquadData>,
    split: Split,
    /// In the order of the questions.
    answers: Vec<SpanAnswer>,
}

impl SpanAnswers {
    /// The official figures, and the scores among them.
    fn official(&self) -> (Vec<(&'static str, Figure)>, Scores) {
        let gold = &self.data.scored.of(&self.split).gold;
        self.data.task.official(gold, &self.answers, self.data.config.null_threshold)
    }
}

impl Answers for SpanAnswers {
    fn score(&self) -> Scores {
        self.official().1
    }

    fn details(&self) -> Vec<Details> {
        let SquadData { task, config, .. } = &*self.data;
        let gold = &self.data.scored.of(&self.split).gold;
        details(task.version, gold, &self.answers, config.null_threshold)
    }

    /// `preds.json` (the best span's text, whatever the odds), `null_odds.json`, `nbest.json`, and the official
    /// figures in `eval.json`.
    fn write(&self, dir: &Path) -> Result<()> {
        let ids: Vec<&str> =
            self.data.scored.of(&self.split).gold.questions().map(|(_, q)| q.id.as_str()).collect();
        ById::of(&ids, &self.answers, |answer| &answer.text).write(&dir.join("preds.json"))?;
        ById::of(&ids, &self.answers, |answer| answer.null_odds)
            .write(&dir.join("null_odds.json"))?;
        ById::of(&ids, &self.answers, |answer| &answer.n_best).write(&dir.join("nbest.json"))?;
        let (figures, _) = self.official();
        Ok(write_file(&dir.join("eval.json"), &(json(&figures, Layout::Indented) + "\n"))?)
    }
}
