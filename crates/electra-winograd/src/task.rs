//! Fine-tuning of a discriminator on WNLI's candidates, starting from its pre-training head.

use crate::model::{
    Candidate, CandidateNet, EncodedRows, NOT_A_SCHEMA, PRETRAINED, TEXTS, WinogradInfo,
};
use electra_scores::{Files, LeftOut, Metric, Scores, metrics::accuracy, table::Rows};
use electra_tasks::{
    Error, Result,
    answer::CandidateScores,
    baseline::Baselines,
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    split::Splits,
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind, TrainingSet, loaded},
    texts::data::write_predictions,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// WNLI, trained as in the paper: the tokens of the antecedent in the pronoun's place are labeled original, those of
/// every other candidate replaced.
///
/// The training inputs of a row with label 1 are all its candidates; of one with label 0, its own candidate alone.
/// Rows that are not schemas are left out and listed. The `[head]` section is not used.
///
/// Source: Clark et al. 2020, appendix B. Departures: the rules, and the loss, which the paper does not give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WinogradTask {
    /// The name in reports.
    pub name: String,
    /// The kind of task.
    pub kind: WinogradKind,
    /// The metric that seeds are compared by: accuracy.
    pub metric: Metric,
    /// The files of WNLI, relative to the data folder; without `columns`.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WinogradKind {
    /// Candidates for a pronoun.
    Winograd,
}

/// The rows of a labeled file.
#[derive(Debug, Default)]
struct LabeledRows {
    encoded: EncodedRows,
    /// 1 if the row's candidate is the antecedent, else 0.
    labels: Vec<usize>,
    /// The rows that are not schemas, a line each.
    unparsed: Vec<String>,
}

impl LabeledRows {
    fn read(path: &Path, site: &LoadSite<'_>) -> Result<Self> {
        let mut set = Self::default();
        for row in Rows::open(path, &[TEXTS[0], TEXTS[1], "label"])? {
            let row = row?;
            let fail = |why: String| Error::row(&path.display().to_string(), row.line, why);
            let [sentence1, sentence2, label] = [0, 1, 2].map(|field| row.fields[field].as_str());
            let number = ["0", "1"].iter().position(|known| *known == label);
            let number = number.ok_or_else(|| fail(format!("label {label:?} must be 0 or 1")))?;
            let (texts, max_length) = ([sentence1, sentence2], site.config.train.max_length);
            if set.encoded.push(site.tokenizer, texts, number == 1, max_length)? == 0 {
                set.unparsed.push(fail(NOT_A_SCHEMA.to_owned()).to_string());
            }
            set.labels.push(number);
        }
        match set.labels.is_empty() {
            true => Err(Error::file(path, "the file has no rows")),
            false => Ok(set),
        }
    }
}

impl Task for WinogradTask {
    electra_tasks::described_by_keys!();

    fn validate(&self) -> Result<()> {
        if self.metric != Metric::Accuracy {
            return Err(Error::value("metric", self.metric, "must be accuracy"));
        }
        Ok(self.files.without_tables()?)
    }

    fn pretrained_head(&self) -> Option<&'static str> {
        Some(PRETRAINED)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        let path = site.data.join(&self.files.train);
        let LabeledRows { encoded, labels, unparsed } = LabeledRows::read(&path, site)?;
        let examples = labels.len() - unparsed.len();
        if examples == 0 {
            return Err(Error::file(
                path,
                format!("no row can be used for training: every row is {NOT_A_SCHEMA}"),
            ));
        }
        // If a row's own candidate is not the antecedent, the labels of the others are unknown.
        let known = encoded.rows.iter().zip(&labels).flat_map(|(row, label)| match label {
            1 => row.clone(),
            _ => row.start..row.end.min(row.start + 1),
        });
        let known: Vec<usize> = known.collect();
        let train = TrainingSet {
            examples,
            inputs: known.iter().map(|&i| encoded.inputs[i].clone()).collect(),
            labels: known.iter().map(|&i| encoded.candidates[i].clone()).collect(),
            left_out: LeftOut::of(&path, unparsed).into_iter().collect(),
        };
        let splits = Splits::read(&self.files, site.data, |_, path| {
            let rows = LabeledRows::read(path, site)?;
            rows.encoded.warn(&path.display().to_string());
            Ok(rows)
        })?;
        let positive = labels.iter().sum::<usize>();
        let data = WinogradData { majority: usize::from(2 * positive > labels.len()) };
        Ok(loaded(data, &site.config.train, train, splits))
    }
}

/// The task after its data was read.
#[derive(Debug)]
struct WinogradData {
    /// The most frequent label of the training file.
    majority: usize,
}

impl TaskKind for WinogradData {
    type Label = Candidate;
    type Examples = LabeledRows;
    type Net = CandidateNet;
    type Prediction = CandidateScores;

    fn head_name(&self) -> &'static str {
        "candidates"
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<CandidateNet> {
        CandidateNet::new(site)
    }

    fn label_json(&self, Candidate { tokens, antecedent }: &Candidate) -> serde_json::Value {
        serde_json::json!({ "tokens": [tokens.start, tokens.end], "antecedent": antecedent })
    }

    fn count(&self, set: &LabeledRows) -> usize {
        set.labels.len()
    }

    fn predict(&self, network: &Network<'_, Self>, set: &LabeledRows) -> Vec<CandidateScores> {
        set.encoded.scores(&network.predict(&set.encoded.inputs))
    }

    fn score(&self, set: &LabeledRows, scores: &[CandidateScores]) -> Scores {
        let predicted = scores.iter().map(|scores| usize::from(scores.label() == "1"));
        let accuracy = accuracy(&predicted.collect::<Vec<_>>(), &set.labels);
        Scores::from([(Metric::Accuracy, Some(accuracy))])
    }

    fn baselines(&self, _candidates: &[Candidate], splits: &Splits<LabeledRows>) -> Baselines {
        let majority = splits.scores(|set| {
            let accuracy = accuracy(&vec![self.majority; set.labels.len()], &set.labels);
            Scores::from([(Metric::Accuracy, Some(accuracy))])
        });
        Baselines { majority, bag_of_words: None }
    }

    /// `predictions.tsv`: the columns `index` and `prediction`, as `electra predict` writes them.
    fn write(&self, _: &LabeledRows, scores: &[CandidateScores], dir: &Path) -> Result<()> {
        write_predictions(scores.iter().map(CandidateScores::label).enumerate(), dir)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        WinogradInfo(header.of_kind(WinogradInfo::KIND)).files()
    }

    fn card(&self) -> TaskCard {
        let task = "which antecedent of a pronoun looks original in its place (WNLI)".to_owned();
        TaskCard::new(
            "token-classification",
            task,
            "electra predict --model FOLDER --input WNLI/test.tsv --output predictions.tsv",
        )
    }
}
