//! WNLI's candidates as a task: a discriminator is fine-tuned on them, starting from the head of its pre-training.

use crate::model::{
    Candidate, CandidateNet, KIND, NOT_A_SCHEMA, PRETRAINED, TEXTS, encode, losses, observe,
    original, scores,
};
use electra_model::{EncoderConfig, hf::Architecture};
use electra_scores::{Files, LeftOut, Metric, Scores, metrics::accuracy, table::Rows};
use electra_tasks::{
    Error, Result,
    answer::CandidateScores,
    baseline::{Baselines, SplitScores},
    batch::{BatchTensors, Input},
    body::Body,
    config::FinetuneConfig,
    model::{HeadClass, Header, ModelFiles},
    report::Examples,
    split::{Split, Splits},
    task::{Answers, LoadSite, LoadedTask, RowLosses, Task, TaskCard, TaskData, TaskHead},
    texts::data::write_predictions,
};
use electra_train::metrics::Observations;
use serde::{Deserialize, Serialize};
use std::{ops::Range, path::Path, sync::Arc};
use tch::{Tensor, nn};

/// WNLI, learned as the paper does: of the candidates in the pronoun's place, the tokens of the antecedent are to look
/// original and those of the others replaced.
///
/// Of a row with label 1 the other candidates, which the rules find, are learned too; of one with label 0 its own alone.
/// Rows that are not schemas are left out and listed. The `[head]` section is not used.
///
/// Source: Clark et al. 2020, appendix B. Departures: the rules, and the loss, which the paper does not give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WinogradTask {
    /// What it is called in reports.
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

/// The data of the task, encoded.
#[derive(Debug)]
struct WinogradData {
    /// The candidates that are learned.
    train: Vec<Candidate>,
    scored: Splits<CandidateSet>,
    /// The most frequent label of the training file.
    majority: usize,
}

/// The candidates of a file's rows.
#[derive(Debug, Default)]
struct CandidateSet {
    inputs: Vec<Input>,
    candidates: Vec<Candidate>,
    /// Those of each row, its own first; none if the row is not a schema.
    rows: Vec<Range<usize>>,
    /// Labels: 1 if the row's candidate is the antecedent.
    gold: Vec<usize>,
    /// The rows that are not schemas, a line each.
    unparsed: Vec<String>,
}

impl CandidateSet {
    /// Reads a labelled file.
    fn read(path: &Path, site: &LoadSite<'_>) -> Result<Self> {
        let mut set = Self::default();
        for row in Rows::open(path, &[TEXTS[0], TEXTS[1], "label"])? {
            let row = row?;
            let label = row.fields[2].as_str();
            let fail = |why: String| Error::row(&path.display().to_string(), row.line, why);
            let gold = ["0", "1"].iter().position(|known| *known == label);
            let gold = gold.ok_or_else(|| fail(format!("label {label:?} must be 0 or 1")))?;
            let (texts, max_length) =
                ([&row.fields[0][..], &row.fields[1][..]], site.config.train.max_length);
            let first = set.inputs.len();
            for (input, candidate) in encode(site.tokenizer, texts, gold == 1, max_length)? {
                set.inputs.push(input);
                set.candidates.push(candidate);
            }
            if first == set.inputs.len() {
                let why = "not a clause of sentence1 with a candidate in a pronoun's place";
                set.unparsed.push(fail(why.to_owned()).to_string());
            }
            set.rows.push(first..set.inputs.len());
            set.gold.push(gold);
        }
        match set.rows.is_empty() {
            true => Err(Error::file(path, "it has no rows")),
            false => Ok(set),
        }
    }

    fn scores(&self, predicted: &[usize]) -> Scores {
        Scores::from([(Metric::Accuracy, Some(accuracy(predicted, &self.gold)))])
    }

    /// The candidates that are learned: if a row's own is wrong nothing is known of the others.
    fn learned(&self) -> (Vec<Input>, Vec<Candidate>) {
        let known = |(row, gold): (&Range<usize>, &usize)| match gold {
            1 => row.clone(),
            _ => row.start..row.end.min(row.start + 1),
        };
        let known = self.rows.iter().zip(&self.gold).flat_map(known);
        known.map(|i| (self.inputs[i].clone(), self.candidates[i].clone())).unzip()
    }
}

impl WinogradTask {
    /// Checks the keys.
    ///
    /// # Errors
    /// Naming the first that does not fit.
    pub fn validate(&self) -> Result<()> {
        if self.metric != Metric::Accuracy {
            return Err(Error::value("metric", self.metric, "must be accuracy"));
        }
        Ok(self.files.without_tables()?)
    }
}

impl Task for WinogradTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn description(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain values serialise")
    }

    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        self.validate()
    }

    fn pretrained_head(&self) -> Option<&'static str> {
        Some(PRETRAINED)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        let path = site.data.join(&self.files.train);
        let set = CandidateSet::read(&path, site)?;
        let (inputs, train) = set.learned();
        if inputs.is_empty() {
            return Err(Error::file(path, format!("no row to learn from: all {NOT_A_SCHEMA}")));
        }
        let scored = Splits::read(&self.files, site.data, |path| {
            let set = CandidateSet::read(path, site)?;
            let (unparsed, all) = (set.unparsed.len(), set.rows.len());
            if unparsed > 0 {
                let path = path.display();
                tracing::warn!("{path}: {unparsed} of {all} rows {NOT_A_SCHEMA}: 0 is predicted");
            }
            Ok(set)
        })?;
        let examples = Examples {
            train: set.rows.len() - set.unparsed.len(),
            dev: scored.dev.rows.len(),
            test: scored.test.as_ref().map_or(0, |set| set.rows.len()),
        };
        let right = set.gold.iter().filter(|&&gold| gold == 1).count();
        let majority = usize::from(2 * right > set.gold.len());
        let splits = scored.names();
        let data = WinogradData { train, scored, majority };
        let loaded = LoadedTask::each_once(&site.config.train, inputs, examples, splits, data);
        Ok(LoadedTask {
            left_out: LeftOut::of(&path, set.unparsed).into_iter().collect(),
            ..loaded
        })
    }
}

impl TaskData for WinogradData {
    fn head(
        self: Arc<Self>,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        _config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn TaskHead>> {
        Ok(Box::new(CandidateHead { net: CandidateNet::at(path, encoder)?, data: self }))
    }

    fn label(&self, example: usize) -> serde_json::Value {
        let Candidate { tokens, antecedent } = &self.train[example];
        serde_json::json!({ "tokens": [tokens.start, tokens.end], "antecedent": antecedent })
    }

    fn baselines(&self) -> Baselines {
        let scores = |set: &CandidateSet| set.scores(&vec![self.majority; set.rows.len()]);
        let test = self.scored.test.as_ref().map(scores);
        Baselines {
            majority: SplitScores { dev: scores(&self.scored.dev), test },
            bag_of_words: None,
        }
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let class = HeadClass {
            architecture: Architecture::ElectraForPreTraining,
            labels: None,
            dropout: None,
            head: PRETRAINED,
        };
        ModelFiles::new(&header.of_kind(KIND), class)
    }

    fn card(&self) -> TaskCard {
        let task = "which antecedent of a pronoun looks original in its place (WNLI)".to_owned();
        TaskCard {
            pipeline: "token-classification",
            rows: vec![("task", task)],
            predict: "electra predict --model FOLDER --input WNLI/test.tsv --output predictions.tsv",
        }
    }
}

#[derive(Debug)]
struct CandidateHead {
    net: CandidateNet,
    data: Arc<WinogradData>,
}

impl CandidateHead {
    fn candidates(&self, examples: &[usize]) -> Vec<&Candidate> {
        examples.iter().map(|&example| &self.data.train[example]).collect()
    }
}

impl TaskHead for CandidateHead {
    fn name(&self) -> &'static str {
        "candidates"
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        _batch: &BatchTensors,
        examples: &[usize],
        _train: bool,
    ) -> RowLosses {
        losses(&self.net, hidden_bsh, &self.candidates(examples))
    }

    fn observe(&self, examples: &[usize], outputs: &[Tensor], seen: &mut Observations) {
        if let [logits_bs] = outputs {
            observe(&self.candidates(examples), logits_bs, seen);
        }
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        let data = Arc::clone(&self.data);
        let set = data.scored.of(split);
        let original =
            body.predict(&set.inputs, batch_size, |hidden, _| original(&self.net, hidden));
        let row = |row: &Range<usize>| scores(&original[row.clone()], &set.candidates[row.clone()]);
        let answers = set.rows.iter().map(row).collect();
        Box::new(CandidateAnswers { data, split: split.clone(), answers })
    }
}

#[derive(Debug)]
struct CandidateAnswers {
    data: Arc<WinogradData>,
    split: Split,
    answers: Vec<CandidateScores>,
}

impl Answers for CandidateAnswers {
    fn score(&self) -> Scores {
        let predicted = self.answers.iter().map(|answer| usize::from(answer.label() == "1"));
        self.data.scored.of(&self.split).scores(&predicted.collect::<Vec<_>>())
    }

    /// `predictions.tsv`: `index` and `prediction`, as `electra predict` writes them.
    fn write(&self, dir: &Path) -> Result<()> {
        write_predictions(self.answers.iter().map(CandidateScores::label).enumerate(), dir)
    }
}
