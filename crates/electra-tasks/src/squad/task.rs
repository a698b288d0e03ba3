//! Question answering as a problem: its files, its features, its answers and their scores.

use super::{
    Version,
    answer::{Answered, ById, PARAGRAPHS, decode_all},
    details::details,
    encode::{Encoding, Passage, Teaching, features},
    file::{Paragraph, Question, SquadFile},
    head::{SpanHead, SpanTarget},
    read,
    window::Context,
};
use crate::{
    Error, FinetuneConfig, Result,
    baseline::{Baselines, SplitScores},
    batch::Feature,
    config::{HeadConfig, HeadKind, Pooling, SpanConfig},
    details::Details,
    model::{Header, Kind},
    objective::Answering,
    problem::{HeadClass, LoadSite, Loaded, Problem, Remembered, Split, TaskCard},
    report::{Examples, LeftOut},
    scored::Scored,
    scores::{
        Metric, Scores,
        figure::{Figure, Layout, json},
        squad::{NullOdds, Predictions, score_1, score_2},
    },
    task::Files,
};
use electra_model::{EncoderConfig, hf::Architecture};
use electra_train::folder::write_file;
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tch::nn;

/// A task of questions whose answers are spans of a text, as a `task.toml` with `kind = "squad"` describes it.
///
/// ```
/// let task: electra_tasks::squad::SquadTask = toml::from_str(r#"
///     name = "squad1.1"
///     kind = "squad"
///     version = "1.1"
///     metric = "f1"
///     [files]
///     train = "train-v1.1.json"
///     dev = "dev-v1.1.json"
/// "#)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SquadTask {
    /// What it is called in reports.
    pub name: String,
    /// The kind of task.
    pub kind: SquadKind,
    /// By which rules it is learned and scored.
    pub version: Version,
    /// What seeds are compared by.
    pub metric: Metric,
    /// The files: SQuAD's JSON, or MRQA's `.jsonl` and `.jsonl.gz`.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquadKind {
    /// Answers are spans of a text.
    Squad,
}

/// What a model of such a task needs besides weights: its `task.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SquadInfo {
    /// What every kind has.
    #[serde(flatten)]
    pub header: Header,
    /// By which rules it was learned.
    pub version: Version,
    /// How spans are found.
    pub squad: SpanConfig,
}

impl SquadInfo {
    pub(crate) fn class(&self) -> HeadClass {
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

/// The questions of a task.
#[derive(Debug)]
pub struct SquadData {
    config: SpanConfig,
    head: HeadKind,
    scored: Scored<Questions>,
}

/// The questions of a split, with their gold answers.
#[derive(Debug)]
struct Questions {
    gold: SquadFile,
    passages: Vec<Passage>,
}

/// What a training file teaches.
struct Lessons {
    features: Vec<Arc<Feature<SpanTarget>>>,
    /// Questions that the features are of.
    questions: usize,
    /// Those that cannot be learned from.
    left_out: Option<LeftOut>,
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

    /// What a training question teaches, or why it is left out.
    fn teaching(
        &self,
        context: &Context,
        question: &Question,
    ) -> std::result::Result<Teaching, String> {
        match (self.version, question.is_impossible, question.answers.as_deref()) {
            (Version::V2, true, _) => Ok(Teaching::Impossible),
            (Version::V1, true, _) => {
                Err("is_impossible, and version 1.1 has an answer for each question".to_owned())
            }
            // The reference learns from the first answer alone.
            (_, false, Some([first, ..])) => {
                context.align(first).map(Teaching::Answer).map_err(|why| why.to_string())
            }
            (_, false, _) => Err("there is no answer".to_owned()),
        }
    }

    /// What the training file teaches.
    fn lessons(&self, encoding: &Encoding<'_>, path: &Path) -> Result<Lessons> {
        let file = read(path)?;
        let left_out = Mutex::new(Vec::new());
        let paragraphs: Vec<&Paragraph> = file.paragraphs().collect();
        let passages = encoding.passages(&paragraphs, |context, question| {
            let why = match self.teaching(context, question) {
                Ok(teaching) => return Some(teaching),
                Err(why) => why,
            };
            let line = format!("{}: question {:?}: {why}", path.display(), question.id);
            left_out.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            None
        })?;
        let mut left_out = left_out.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Threads find them in any order.
        left_out.sort();
        let questions: usize = passages.iter().map(|passage| passage.questions.len()).sum();
        if questions == 0 {
            let why = left_out.first().map_or("it has none", String::as_str);
            return Err(Error::file(path, format!("no question can be learned from: {why}")));
        }
        Ok(Lessons {
            features: features(&passages),
            questions,
            left_out: LeftOut::of(path, left_out),
        })
    }

    /// Questions that are scored.
    fn questions(&self, encoding: &Encoding<'_>, path: &Path) -> Result<Questions> {
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
        let passages = encoding.passages(&paragraphs, |_, _| Some(Teaching::Nothing))?;
        Ok(Questions { gold, passages })
    }

    /// The official figures of answers to `gold`, by the names of the official scripts, and the scores among them.
    fn official(
        &self,
        gold: &SquadFile,
        answers: &[(String, Answered)],
        threshold: f64,
    ) -> (Vec<(&'static str, Figure)>, Scores) {
        let predictions: Predictions =
            answers.iter().map(|(id, answer)| (id.clone(), answer.text.clone())).collect();
        let (figures, exact, f1) = match self.version {
            Version::V1 => {
                let scores = score_1(gold, &predictions).expect("the gold file was checked");
                (scores.figures(), scores.exact_match, scores.f1)
            }
            Version::V2 => {
                let odds: NullOdds =
                    answers.iter().map(|(id, answer)| (id.clone(), answer.null_odds)).collect();
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

impl Problem for SquadTask {
    type Head = SpanHead;
    type Data = SquadData;
    type Answers = Vec<(String, Answered)>;

    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        if !matches!(self.metric, Metric::F1 | Metric::ExactMatch) {
            return Err(Error::value("metric", self.metric, "must be f1 or exact-match for spans"));
        }
        if config.head.pooling != Pooling::First {
            return Err(Error::value("head.pooling", "mean", "must be \"first\" for spans"));
        }
        self.spans(config).map(|_| ())
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>> {
        site.two_segments()?;
        let config = self.spans(site.config)?;
        let train = &site.config.train;
        let encoding = Encoding::new(site.tokenizer, train.max_length, config)?;
        let Lessons { features, questions: learned, left_out } =
            self.lessons(&encoding, &site.data.join(&self.files.train))?;
        let scored = Scored::read(&self.files, site.data, |path| self.questions(&encoding, path))?;
        let count = |set: &Questions| set.gold.questions().count();
        let examples = Examples {
            train: learned,
            dev: count(&scored.dev),
            test: scored.test.as_ref().map_or(0, count),
        };
        tracing::info!("{} windows over the contexts of {learned} questions", features.len());
        let splits = scored.splits();
        let data = SquadData { config: config.clone(), head: site.config.head.kind, scored };
        let loaded = Loaded::each_once(train, features.into(), examples, splits, data);
        Ok(Loaded { left_out: left_out.into_iter().collect(), ..loaded })
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        data: &SquadData,
    ) -> electra_model::Result<SpanHead> {
        SpanHead::new(path, encoder, &config.head, &data.config)
    }

    fn answers(
        &self,
        network: Answering<'_, SpanHead>,
        data: &SquadData,
        split: &Split,
        batch_size: usize,
    ) -> Self::Answers {
        let Some(set) = data.scored.split(split) else { return Vec::new() };
        let paragraphs: Vec<&Paragraph> = set.gold.paragraphs().collect();
        // What is said of a window has hundreds of spans, an answer few of them.
        let some = paragraphs.chunks(PARAGRAPHS).zip(set.passages.chunks(PARAGRAPHS));
        let answered = some.flat_map(|(paragraphs, passages)| {
            let predictions = network.predict(&features(passages), batch_size);
            decode_all(paragraphs, passages, &predictions, &data.config, data.head)
        });
        answered.collect()
    }

    fn score(&self, data: &SquadData, split: &Split, answers: &Self::Answers) -> Scores {
        let threshold = data.config.null_threshold;
        data.scored
            .split(split)
            .map_or_else(Scores::new, |set| self.official(&set.gold, answers, threshold).1)
    }

    fn details(&self, data: &SquadData, split: &Split, answers: &Self::Answers) -> Vec<Details> {
        let threshold = data.config.null_threshold;
        data.scored
            .split(split)
            .map_or_else(Vec::new, |set| details(self.version, &set.gold, answers, threshold))
    }

    /// `preds.json` (the best span's text, whatever the odds), `null_odds.json`, `nbest.json`, and the official
    /// figures in `eval.json`.
    fn write(
        &self,
        data: &SquadData,
        split: &Split,
        answers: &Self::Answers,
        dir: &Path,
    ) -> Result<()> {
        ById::of(answers, |answer| &answer.text).write(&dir.join("preds.json"))?;
        ById::of(answers, |answer| answer.null_odds).write(&dir.join("null_odds.json"))?;
        ById::of(answers, |answer| &answer.n_best).write(&dir.join("nbest.json"))?;
        let Some(set) = data.scored.split(split) else { return Ok(()) };
        let (figures, _) = self.official(&set.gold, answers, data.config.null_threshold);
        Ok(write_file(&dir.join("eval.json"), &(json(&figures, Layout::Indented) + "\n"))?)
    }

    /// No answer to any question, which is what a constant scores best.
    fn baselines(&self, data: &SquadData) -> Baselines {
        let silent = |set: &Questions| {
            let none = Answered { text: String::new(), null_odds: 0.0, n_best: Vec::new() };
            let answers: Vec<_> =
                set.gold.questions().map(|(_, q)| (q.id.clone(), none.clone())).collect();
            self.official(&set.gold, &answers, f64::INFINITY).1
        };
        let majority = SplitScores {
            dev: silent(&data.scored.dev),
            test: data.scored.test.as_ref().map(silent),
        };
        Baselines { majority, bag_of_words: None }
    }

    fn remember(&self, data: &SquadData, config: &FinetuneConfig, seed: u64) -> Remembered {
        let info = SquadInfo {
            header: Header::new(Kind::Squad, self, config, seed),
            version: self.version,
            squad: data.config.clone(),
        };
        let class = info.class();
        let info = serde_json::to_value(info).expect("plain values serialise");
        Remembered { info, class, members: Vec::new() }
    }

    fn card(&self, _data: &SquadData) -> TaskCard {
        let task = format!("questions, answers are spans of a text; version {}", self.version);
        TaskCard {
            pipeline: "question-answering",
            rows: vec![("task", task)],
            predict: "electra predict --model FOLDER --input questions.json --output preds.json",
        }
    }
}

/// The head of a model folder.
pub(crate) fn head_of(
    path: &nn::Path<'_>,
    encoder: &EncoderConfig,
    info: &SquadInfo,
) -> electra_model::Result<SpanHead> {
    let head: &HeadConfig = &info.header.head;
    SpanHead::new(path, encoder, head, &info.squad)
}
