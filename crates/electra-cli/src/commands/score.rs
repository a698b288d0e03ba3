//! `electra score`: scores files of predictions like the official scripts.

use super::number;
use crate::console;
use clap::{Parser, Subcommand, error::ErrorKind};
use electra_scores::{
    MatchCounts,
    figure::{Layout, json},
    glue::{self, Average, GlueTask},
    multi_label::{self, MultiLabelTask},
    sentence::{self, FileScores, SentenceTask},
    squad::{self, Unmatched, Version, read_null_odds, read_predictions, score_1, score_2},
    tagging::{self, Columns, Comments, Rule},
};
use serde_json::json as object;
use std::{path::PathBuf, process::ExitCode};

/// Score predictions against a labeled file.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Score predictions for a labeled file of GLUE.
    Glue(Glue),
    /// Average the outputs of `electra score glue` over GLUE's tasks.
    Average(AverageArgs),
    /// Score answers to the questions of SQuAD, like the official script of the version.
    Squad(Squad),
    /// Score tags in CoNLL files: entities like seqeval and conlleval.
    Tagging(Tagging),
    /// Score classes or numbers of any task, like scikit-learn.
    Classification(Classification),
    /// Score sets of labels, like scikit-learn.
    MultiLabel(MultiLabel),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Glue(args) => args.run(),
            Self::Average(args) => args.run(),
            Self::Squad(args) => args.run(),
            Self::Tagging(args) => args.run(),
            Self::Classification(args) => args.run(),
            Self::MultiLabel(args) => args.run(),
        }
    }
}

/// Score predictions for a labeled file of GLUE: the official metrics of the task as fractions; null if undefined (a
/// correlation with a constant).
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra score glue --task mnli --gold glue/MNLI/dev_mismatched.tsv --pred predictions.tsv")]
pub(crate) struct Glue {
    /// The task: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, or ax, the diagnostic set.
    #[arg(long)]
    task: String,
    /// The labeled file, in GLUE's format; for ax, diagnostic-full.tsv.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// Predictions, as `electra predict` writes them: the columns `index` (the row's number, from 0) and `prediction`.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
}

impl Glue {
    fn run(self) -> anyhow::Result<ExitCode> {
        let scores = glue::score(glue::find(&self.task)?, &self.gold, &self.pred)?;
        console::print(serde_json::to_string_pretty(&scores)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Average the outputs of `electra score glue` over GLUE's tasks; a fraction.
#[derive(Debug, Parser)]
#[command(after_help = "Example (MNLI has two files; the matched one comes first):
  electra score average --rule without-wnli --of cola=cola.json --of sst2=sst2.json --of mrpc=mrpc.json \\
    --of stsb=stsb.json --of qqp=qqp.json --of mnli=m.json --of mnli=mm.json --of qnli=qnli.json --of rte=rte.json")]
pub(crate) struct AverageArgs {
    /// A task and its scores, as printed by `electra score glue`; repeatable.
    #[arg(long = "of", value_name = "TASK=FILE", required = true, value_parser = task_and_file)]
    scores: Vec<(&'static GlueTask, PathBuf)>,
    /// How to average.
    #[arg(long, default_value = "leaderboard")]
    rule: Average,
}

impl AverageArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        let scores = self.scores.iter().map(|(task, path)| Ok((*task, glue::read_scores(path)?)));
        let scores = scores.collect::<electra_scores::Result<Vec<_>>>()?;
        console::print(object!({ "average": glue::average(&scores, self.rule)? }))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn task_and_file(text: &str) -> Result<(&'static GlueTask, PathBuf), String> {
    let (task, file) = text.split_once('=').ok_or("must be TASK=FILE")?;
    Ok((glue::find(task).map_err(|error| error.to_string())?, file.into()))
}

/// Score answers to the questions of SQuAD, like the official script of the version, in percent.
///
/// A question without a prediction scores 0 in version 1.1, as in its official script; version 2.0 leaves it out of all
/// scores. Predictions for ids that are not in the gold file are ignored. Both are logged as warnings.
///
/// Files of MRQA are scored by version 1.1, as in MRQA's script. That script can also leave out questions without a
/// prediction, and uses only `answers` as gold answers; here `detected_answers` are correct too.
#[derive(Debug, Parser)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:
  electra score squad --version 2.0 --gold dev-v2.0.json --pred preds.json --null-odds null_odds.json
  electra score squad --version 1.1 --gold NewsQA.jsonl.gz --pred preds.json"
)]
pub(crate) struct Squad {
    /// Version of SQuAD, which selects the official script.
    #[arg(long)]
    version: Version,
    /// Questions with their answers, in the format of SQuAD, MRQA or `datasets`.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// Predictions: {id: text}; "" predicts no answer.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
    /// Scores of "no answer": {id: number}. Adds the best thresholds and the curves (2.0).
    #[arg(long, value_name = "FILE")]
    null_odds: Option<PathBuf>,
    /// Replace answers with null odds above this by "no answer".
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        requires = "null_odds",
        allow_negative_numbers = true,
        value_parser = number
    )]
    na_prob_thresh: f64,
}

impl Squad {
    fn run(self) -> anyhow::Result<ExitCode> {
        if self.version == Version::V1 && self.null_odds.is_some() {
            clap::Command::new("electra")
                .error(ErrorKind::ArgumentConflict, "--null-odds is for --version 2.0\n")
                .exit();
        }
        let gold = squad::read(&self.gold)?;
        let predictions = read_predictions(&self.pred)?;
        let (unmatched, text) = match self.version {
            Version::V1 => {
                if let Some(version) = gold.version.as_deref().filter(|found| *found != "1.1") {
                    tracing::warn!(
                        "{}: version {version:?}, scored as version 1.1",
                        self.gold.display()
                    );
                }
                let scores = score_1(&gold, &predictions)?;
                let text = json(&scores.figures(), Layout::Line);
                (scores.unmatched, text)
            }
            Version::V2 => {
                let odds = self.null_odds.as_deref().map(read_null_odds).transpose()?;
                let scores = score_2(&gold, &predictions, odds.as_ref(), self.na_prob_thresh)?;
                let text = json(&scores.figures(), Layout::Indented);
                (scores.unmatched, text)
            }
        };
        self.warn(&unmatched);
        console::print(text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn warn(&self, unmatched: &Unmatched) {
        let (file, gold) = (self.pred.display(), self.gold.display());
        let effect = match self.version {
            Version::V1 => "they score 0",
            Version::V2 => "they are left out of all scores",
        };
        if let Some(ids) = listed(&unmatched.missing) {
            tracing::warn!("{file}: no prediction for {ids}: {effect}");
        }
        if let Some(ids) = listed(&unmatched.unknown) {
            tracing::warn!("{file}: ignored predictions without a question in {gold}: {ids}");
        }
    }
}

/// Score tags in CoNLL files; fractions.
///
/// Both files must have the same words. By default the tag is in the last column, as in the outputs of `electra predict`
/// and `electra finetune`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra score tagging --gold test.txt --pred tagged.conll")]
pub(crate) struct Tagging {
    /// CoNLL file with the gold tags.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// CoNLL file with the predicted tags.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
    /// Which sequences of tags are an entity.
    #[arg(long, value_enum, default_value_t = Rule::Conll)]
    rule: Rule,
    /// Column of the words: 1 is the first, -1 the last.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    word_column: i64,
    /// Column of the gold tags.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    gold_column: i64,
    /// Column of the predicted tags.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pred_column: i64,
    /// Which lines before the first word of a sentence are comments.
    #[arg(long, value_enum, default_value_t = Comments::Detect)]
    comments: Comments,
}

impl Tagging {
    fn run(self) -> anyhow::Result<ExitCode> {
        let columns =
            |tag| Columns { word: self.word_column, tag: Some(tag), comments: self.comments };
        let (predicted, gold) = tagging::read_pair(
            (&self.pred, columns(self.pred_column)),
            (&self.gold, columns(self.gold_column)),
            self.rule,
        )?;
        let scores = tagging::score(&predicted, &gold, self.rule)?;
        if self.rule == Rule::Plain {
            let printed = object!({ "accuracy": scores.accuracy });
            console::print(serde_json::to_string_pretty(&printed)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut printed = figures(&scores.overall);
        printed["accuracy"] = scores.accuracy.into();
        printed["types"] =
            scores.by_type.iter().map(|(name, found)| (name.clone(), figures(found))).collect();
        console::print(serde_json::to_string_pretty(&printed)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Score classes or numbers of any task; fractions, and for classes also precision, recall and F1 of each.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra score classification --task mine/task.toml --gold mine/test.tsv --pred predictions.tsv")]
pub(crate) struct Classification {
    /// A task.toml or its folder with `kind = "classification"` or `"regression"`. Without the key `labels`, the classes
    /// are those in the two files.
    #[arg(long)]
    task: PathBuf,
    /// The labeled file.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// Predictions, as `electra predict` writes them: the columns `index` (the row's number, from 0) and `prediction`.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
}

impl Classification {
    fn run(self) -> anyhow::Result<ExitCode> {
        let task = SentenceTask::read(&self.task)?;
        let FileScores { scores, by_class } = sentence::score(&task, &self.gold, &self.pred)?;
        let mut printed = serde_json::to_value(&scores)?;
        if !by_class.is_empty() {
            printed["classes"] =
                by_class.iter().map(|(name, found)| (name.clone(), figures(found))).collect();
        }
        console::print(serde_json::to_string_pretty(&printed)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The counts and scores of a class or type, or of all.
fn figures(found: &MatchCounts) -> serde_json::Value {
    object!({
        "precision": found.precision(), "recall": found.recall(), "f1": found.f1(),
        "gold": found.gold, "predicted": found.predicted, "right": found.right,
    })
}

/// Score sets of labels: accuracy of whole sets, micro and macro F1; fractions.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra score multi-label --task topics/task.toml --gold topics/dev.tsv --pred predictions.tsv")]
pub(crate) struct MultiLabel {
    /// A task.toml or its folder, for the format of the labels. Without the key `labels`, the macro average is over the
    /// labels in the two files.
    #[arg(long)]
    task: PathBuf,
    /// The labeled file.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// Predictions, as `electra predict` writes them: the columns `index` (the row's number, from 0) and `prediction`.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
}

impl MultiLabel {
    fn run(self) -> anyhow::Result<ExitCode> {
        let task = MultiLabelTask::read(&self.task)?;
        let scores = multi_label::score(&task, &self.gold, &self.pred)?;
        console::print(serde_json::to_string_pretty(&scores)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The number of ids and the first few of them, if there are any.
fn listed(ids: &[String]) -> Option<String> {
    const SHOWN: usize = 10;
    let more = if ids.len() > SHOWN { ", ..." } else { "" };
    let first = ids.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    (!ids.is_empty()).then(|| format!("{} ids ({first}{more})", ids.len()))
}
