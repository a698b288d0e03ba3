//! Fine-tuning on question answering.

use super::{
    decode::decode_all,
    details::details,
    encode::{AnswerTokens, Passage, QuestionEncoder, inputs, truncated},
    head::{SpanNet, SpanTarget},
    model::{PARAGRAPHS, SquadInfo},
    task::SquadTask,
    window::Context,
};
use crate::{
    answer::SpanAnswer,
    baseline::Baselines,
    batch::Input,
    by_id::ById,
    config::{FinetuneConfig, HeadKind, SpanConfig},
    details::Details,
    error::{Error, Result},
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    preset::Group,
    split::Splits,
    summary::{LabelCount, Summaries, TRAIN, text_key},
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind, TrainingSet, loaded},
};
use electra_files::write_file;
use electra_scores::{
    LeftOut, Metric, Scores,
    figure::{Figure, Layout, json},
    squad::{
        NullOdds, Paragraph, Predictions, Question, SquadFile, Version, read, score_1, score_2,
    },
};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// A task of questions with the settings of decoding.
#[derive(Debug)]
struct SquadData {
    task: SquadTask,
    config: SpanConfig,
    head: HeadKind,
}

/// The questions of a split with their gold answers.
#[derive(Debug)]
struct QuestionSet {
    gold: SquadFile,
    passages: Vec<Passage>,
}

impl Task for SquadTask {
    crate::described_by_keys!();

    fn group(&self) -> Group {
        Group::Questions
    }

    fn validate(&self) -> Result<()> {
        if !matches!(self.metric, Metric::F1 | Metric::ExactMatch) {
            return Err(Error::value("metric", self.metric, "must be f1 or exact-match for spans"));
        }
        Ok(self.files.without_tables()?)
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        config.head.check_tokens()?;
        self.spans(config).map(|_| ())
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        site.two_segments()?;
        let config = self.spans(site.config)?;
        let train = &site.config.train;
        let encoder = QuestionEncoder::new(site.tokenizer, train.max_length, config)?;
        let path = site.data.join(&self.files.train);
        let (file, passages, left_out) = self.training_set(&encoder, &path)?;
        let mut summaries = Summaries::default();
        let mut summarize = |split: &str, path: &Path, file: &SquadFile, passages: &[Passage]| {
            self.warn_without_text(path, file);
            summaries.add(split, path, self.counts(file), file.questions().map(question_key));
            summaries.truncated(truncated(passages, config));
        };
        summarize(TRAIN, &path, &file, &passages);
        let splits = Splits::read(&self.files, site.data, |split, path| {
            let set = self.scored_set(&encoder, path)?;
            summarize(&split.name(), path, &set.gold, &set.passages);
            Ok(set)
        })?;
        let examples = passages.iter().map(|passage| passage.questions.len()).sum();
        let questions = passages.into_iter().flat_map(|passage| passage.questions);
        let (inputs, targets): (Vec<Vec<Input>>, Vec<Vec<SpanTarget>>) =
            questions.map(|question| (question.inputs, question.targets)).unzip();
        let train_set = TrainingSet {
            examples,
            inputs: inputs.concat().into(),
            labels: targets.concat(),
            left_out: left_out.into_iter().collect(),
        };
        tracing::info!("{} windows of {examples} questions", train_set.inputs.len());
        let (task, config) = (self.clone(), config.clone());
        let data = SquadData { task, config, head: site.config.head.kind };
        let loaded = loaded(data, train, train_set, splits);
        Ok(LoadedTask { summaries: summaries.finish(), ..loaded })
    }
}

/// A number for a question and its context.
fn question_key((context, question): (&str, &Question)) -> u64 {
    text_key((context, &question.text))
}

impl SquadTask {
    /// The config's section for spans.
    fn spans<'a>(&self, config: &'a FinetuneConfig) -> Result<&'a SpanConfig> {
        config.squad.as_ref().ok_or_else(|| {
            Error::value(
                "squad",
                "missing",
                "the config needs a section [squad], as in configs/finetune-squad-small.toml",
            )
        })
    }

    /// The answer of a training question, or why the question is left out.
    fn training_answer(
        &self,
        context: &Context,
        question: &Question,
    ) -> std::result::Result<AnswerTokens, String> {
        if self.version == Version::V2 && question.has_no_answer() {
            return Ok(AnswerTokens::Impossible);
        }
        match (question.is_impossible, question.answers.as_deref()) {
            (true, _) => {
                Err("is_impossible = true, but in version 1.1 every question has an answer"
                    .to_owned())
            }
            // As in the reference, training uses the first answer only.
            (false, Some([first, ..])) => {
                context.align(first).map(AnswerTokens::Answer).map_err(|why| why.to_string())
            }
            (false, Some([])) => {
                Err("it has no answer; questions without an answer need version = \"2.0\""
                    .to_owned())
            }
            (false, None) => Err(question.missing_answers()),
        }
    }

    /// The number of questions with and without an answer, in version 2.0.
    fn counts(&self, file: &SquadFile) -> Vec<LabelCount> {
        if self.version == Version::V1 {
            return Vec::new();
        }
        let labels = ["answer", "no answer"].map(str::to_owned);
        let questions = file.questions();
        LabelCount::of(&labels, questions.map(|(_, question)| question.has_no_answer().into()))
    }

    /// Logs a warning with the number of questions that have no answer only because their answers have no text.
    fn warn_without_text(&self, path: &Path, file: &SquadFile) {
        let is_without_text = |question: &Question| {
            let answers = question.answers.as_ref().is_some_and(|answers| !answers.is_empty());
            answers && !question.is_impossible && question.has_no_answer()
        };
        let count = file.questions().filter(|(_, question)| is_without_text(question)).count();
        if self.version == Version::V2 && count > 0 {
            tracing::warn!(
                "{}: {count} questions have only answers without text: they are questions without an answer",
                path.display()
            );
        }
    }

    /// The training file, its questions as inputs, and those that are left out.
    fn training_set(
        &self,
        encoder: &QuestionEncoder<'_>,
        path: &Path,
    ) -> Result<(SquadFile, Vec<Passage>, Option<LeftOut>)> {
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
        // The order depends on the threads.
        left_out.sort();
        if passages.iter().all(|passage| passage.questions.is_empty()) {
            let why = left_out.first().map_or("the file has no questions", String::as_str);
            return Err(Error::file(path, format!("no question can be used for training: {why}")));
        }
        Ok((file, passages, LeftOut::of(path, left_out)))
    }

    /// Reads the questions of a split.
    fn scored_set(&self, encoder: &QuestionEncoder<'_>, path: &Path) -> Result<QuestionSet> {
        let gold = read(path)?;
        let mut any = false;
        for (_, question) in gold.questions() {
            any = true;
            let why = match (self.version, question.answers.as_deref()) {
                (_, None) => format!(
                    "{}; it is needed to score the question ([] for no answer)",
                    question.missing_answers()
                ),
                (Version::V1, Some([])) => {
                    "answers must not be empty: in version 1.1 every question has an answer; set version = \"2.0\""
                        .to_owned()
                }
                _ => continue,
            };
            return Err(Error::file(path, format!("question {:?}: {why}", question.id)));
        }
        if !any {
            return Err(Error::file(path, "the file has no questions"));
        }
        let paragraphs: Vec<&Paragraph> = gold.paragraphs().collect();
        let passages = encoder.passages(&paragraphs, |_, _| Some(AnswerTokens::Unknown))?;
        Ok(QuestionSet { gold, passages })
    }

    /// The official metrics of answers, named as in the official scripts, and the scores.
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

impl TaskKind for SquadData {
    type Label = SpanTarget;
    type Examples = QuestionSet;
    type Net = SpanNet;
    /// The answers to questions, in their order.
    type Prediction = SpanAnswer;

    fn head_name(&self) -> &'static str {
        "spans"
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<SpanNet> {
        SpanNet::new(site, &self.config)
    }

    fn label_json(&self, &SpanTarget { start, end, impossible }: &SpanTarget) -> serde_json::Value {
        serde_json::json!({ "start": start, "end": end, "impossible": impossible })
    }

    fn count(&self, set: &QuestionSet) -> usize {
        set.gold.questions().count()
    }

    fn predict(&self, network: &Network<'_, Self>, set: &QuestionSet) -> Vec<SpanAnswer> {
        // The output for a window has hundreds of spans, an answer few of them.
        let answers = set.passages.chunks(PARAGRAPHS).flat_map(|passages| {
            let outputs = network.predict(&inputs(passages));
            decode_all(passages, &outputs, &self.config, self.head)
        });
        answers.collect()
    }

    fn score(&self, set: &QuestionSet, answers: &[SpanAnswer]) -> Scores {
        self.task.official(&set.gold, answers, self.config.null_threshold).1
    }

    /// No answer to every question, the constant with the best score.
    fn baselines(&self, _targets: &[SpanTarget], splits: &Splits<QuestionSet>) -> Baselines {
        let none = SpanAnswer { text: String::new(), null_odds: 0.0, n_best: Vec::new() };
        let majority = splits.scores(|set| {
            self.task.official(&set.gold, &vec![none.clone(); self.count(set)], f64::INFINITY).1
        });
        Baselines { majority, bag_of_words: None }
    }

    fn details(&self, set: &QuestionSet, answers: &[SpanAnswer]) -> Vec<Details> {
        details(self.task.version, &set.gold, answers, self.config.null_threshold)
    }

    /// `preds.json` (the text of the best span, whatever the null odds), `null_odds.json`, `nbest.json`, and the official
    /// metrics in `eval.json`.
    fn write(&self, set: &QuestionSet, answers: &[SpanAnswer], dir: &Path) -> Result<()> {
        let ids: Vec<&str> = set.gold.questions().map(|(_, q)| q.id.as_str()).collect();
        ById::of(&ids, answers, |answer| &answer.text).write(&dir.join("preds.json"))?;
        ById::of(&ids, answers, |answer| answer.null_odds).write(&dir.join("null_odds.json"))?;
        ById::of(&ids, answers, |answer| &answer.n_best).write(&dir.join("nbest.json"))?;
        let (figures, _) = self.task.official(&set.gold, answers, self.config.null_threshold);
        Ok(write_file(&dir.join("eval.json"), &(json(&figures, Layout::Indented) + "\n"))?)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let (version, squad) = (self.task.version, self.config.clone());
        SquadInfo { header: header.of_kind(SquadInfo::KIND), version, squad }.files()
    }

    fn card(&self) -> TaskCard {
        let version = self.task.version;
        let task = format!("questions, answers are spans of a text; version {version}");
        TaskCard::new(
            "question-answering",
            task,
            "electra predict --model FOLDER --input questions.json --output preds.json",
        )
    }
}
