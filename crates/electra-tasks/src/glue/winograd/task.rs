//! WNLI's candidates as a problem: a discriminator is fine-tuned to know the antecedent, with the head of its
//! pre-training.

use super::{
    Schema, TEXTS,
    head::{CandidateHead, CandidateTarget},
    scorer::{Encoding, Judged, mean},
};
use crate::{
    Error, FinetuneConfig, Result,
    baseline::{Baselines, SplitScores},
    batch::Feature,
    encoded::write_predictions,
    model::{Header, Kind},
    objective::Answering,
    problem::{HeadClass, LoadSite, Loaded, Problem, Remembered, Split, TaskCard},
    report::{Examples, LeftOut},
    scored::Scored,
    scores::{Metric, Scores, accuracy},
    table::Rows,
    task::Files,
};
use electra_model::{EncoderConfig, hf::Architecture};
use serde::{Deserialize, Serialize};
use std::{ops::Range, path::Path, sync::Arc};
use tch::nn;

/// What `transformers` calls the head of pre-training.
const PRETRAINED: &str = "discriminator_predictions";

/// WNLI, learned as the paper does: of the candidates that stand in the pronoun's place, the tokens of the antecedent are
/// to look original and those of the others replaced.
///
/// Of a row with label 1 the other candidates, which the rules find, are learned from too; of one with label 0 its own
/// alone. Rows that are no schema are left out and listed. The `[head]` section is not used.
///
/// Source: Clark et al. 2020, appendix B. Departures: the rules, and the loss, which the paper does not give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WinogradTask {
    /// What it is called in reports.
    pub name: String,
    /// The kind of task.
    pub kind: WinogradKind,
    /// What seeds are compared by: accuracy.
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
pub struct WinogradData {
    scored: Scored<Judging>,
    /// The most frequent label of the training file.
    majority: usize,
}

/// Rows that are judged.
#[derive(Debug, Default)]
struct Judging {
    /// The candidates of all rows.
    inputs: Vec<Arc<Feature<CandidateTarget>>>,
    /// Those of each row, its own first; none where the row is no schema.
    rows: Vec<Range<usize>>,
    /// Labels: 1 where the row's candidate is the antecedent.
    gold: Vec<usize>,
    /// The rows that are no schema, a line each.
    not_parsed: Vec<String>,
}

impl Judging {
    /// Reads a labelled file.
    fn read(path: &Path, encoding: Encoding<'_>) -> Result<Self> {
        let columns = [TEXTS[0], TEXTS[1], "label"];
        let mut set = Self::default();
        for row in Rows::open(path, &columns)? {
            let row = row?;
            let label = row.fields[2].as_str();
            let gold = ["0", "1"].iter().position(|known| *known == label).ok_or_else(|| {
                let message = format!("label {label:?} must be 0 or 1");
                Error::row(&path.display().to_string(), row.line, message)
            })?;
            let inputs = match Schema::parse(&row.fields[0], &row.fields[1]) {
                Some(schema) => encoding.inputs(&schema)?,
                None => Vec::new(),
            };
            let first = set.inputs.len();
            set.inputs.extend(inputs.into_iter().enumerate().map(|(number, input)| {
                let Feature { ids, segment_b_start, target: place } = input;
                let antecedent = number == 0 && gold == 1;
                Arc::new(Feature {
                    ids,
                    segment_b_start,
                    target: CandidateTarget { place, antecedent },
                })
            }));
            if first == set.inputs.len() {
                let why = "no clause of sentence1 with a candidate in a pronoun's place";
                let error = Error::row(&path.display().to_string(), row.line, why);
                set.not_parsed.push(error.to_string());
            }
            set.rows.push(first..set.inputs.len());
            set.gold.push(gold);
        }
        match set.rows.is_empty() {
            true => Err(Error::file(path, "there is no row in it")),
            false => Ok(set),
        }
    }

    fn scores(&self, predicted: &[usize]) -> Scores {
        Scores::from([(Metric::Accuracy, Some(accuracy(predicted, &self.gold)))])
    }

    /// What is learned from: of a row whose candidate is wrong nothing is known of the others.
    fn taught(&self) -> Vec<Arc<Feature<CandidateTarget>>> {
        let known = |(row, gold): (&Range<usize>, &usize)| match gold {
            1 => row.clone(),
            _ => row.start..row.end.min(row.start + 1),
        };
        let known = self.rows.iter().zip(&self.gold).flat_map(known);
        known.map(|input| Arc::clone(&self.inputs[input])).collect()
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
        match &self.files.columns {
            Some(names) => {
                let expected = "WNLI's files have a header";
                Err(Error::value("files.columns", format!("{names:?}"), expected))
            }
            None => Ok(()),
        }
    }
}

impl Problem for WinogradTask {
    type Head = CandidateHead;
    type Data = WinogradData;
    type Answers = Vec<Judged>;

    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        self.validate()
    }

    fn pretrained_head(&self) -> Option<&'static str> {
        Some(PRETRAINED)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>> {
        let encoding =
            Encoding { tokenizer: site.tokenizer, max_length: site.config.train.max_length };
        let path = site.data.join(&self.files.train);
        let train = Judging::read(&path, encoding)?;
        let taught = train.taught();
        if taught.is_empty() {
            let message = "no row is a clause of sentence1 with a candidate in a pronoun's place";
            return Err(Error::file(path, message));
        }
        let scored = Scored::read(&self.files, site.data, |path| {
            let set = Judging::read(path, encoding)?;
            if !set.not_parsed.is_empty() {
                let (path, lines) = (path.display(), set.not_parsed.len());
                let all = set.rows.len();
                tracing::warn!("{path}: {lines} of {all} rows are no such clause: 0 is answered");
            }
            Ok(set)
        })?;
        let right = train.gold.iter().filter(|&&gold| gold == 1).count();
        let majority = usize::from(2 * right > train.gold.len());
        let examples = Examples {
            train: train.rows.len() - train.not_parsed.len(),
            dev: scored.dev.rows.len(),
            test: scored.test.as_ref().map_or(0, |set| set.rows.len()),
        };
        let splits = scored.splits();
        let data = WinogradData { scored, majority };
        let loaded = Loaded::each_once(&site.config.train, taught.into(), examples, splits, data);
        let left_out = LeftOut::of(&path, train.not_parsed).into_iter().collect();
        Ok(Loaded { left_out, ..loaded })
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        _config: &FinetuneConfig,
        _data: &WinogradData,
    ) -> electra_model::Result<CandidateHead> {
        CandidateHead::new(path, encoder)
    }

    fn answers(
        &self,
        network: Answering<'_, CandidateHead>,
        data: &WinogradData,
        split: &Split,
        batch_size: usize,
    ) -> Vec<Judged> {
        let Some(set) = data.scored.split(split) else { return Vec::new() };
        let logarithms = network.predict(&set.inputs, batch_size);
        let score = |input: usize| mean(&logarithms[input], &set.inputs[input].target.place);
        let judged = |row: &Range<usize>| Judged::of(&row.clone().map(score).collect::<Vec<_>>());
        set.rows.iter().map(judged).collect()
    }

    fn score(&self, data: &WinogradData, split: &Split, answers: &Vec<Judged>) -> Scores {
        let predicted: Vec<usize> = answers.iter().map(|a| a.is_antecedent().into()).collect();
        data.scored.split(split).map_or_else(Scores::new, |set| set.scores(&predicted))
    }

    /// `predictions.tsv`: `index` and `prediction`, as `electra predict` writes them.
    fn write(
        &self,
        _data: &WinogradData,
        _split: &Split,
        answers: &Vec<Judged>,
        dir: &Path,
    ) -> Result<()> {
        write_predictions(answers.iter().map(Judged::label).enumerate(), dir)
    }

    fn baselines(&self, data: &WinogradData) -> Baselines {
        let scores = |set: &Judging| set.scores(&vec![data.majority; set.rows.len()]);
        let majority = SplitScores {
            dev: scores(&data.scored.dev),
            test: data.scored.test.as_ref().map(scores),
        };
        Baselines { majority, bag_of_words: None }
    }

    fn remember(&self, _data: &WinogradData, config: &FinetuneConfig, seed: u64) -> Remembered {
        let header = Header::new(Kind::Winograd, self, config, seed);
        let class = HeadClass {
            architecture: Architecture::ElectraForPreTraining,
            labels: None,
            dropout: None,
            head: PRETRAINED,
        };
        let info = serde_json::to_value(header).expect("plain values serialise");
        Remembered { info, class, members: Vec::new() }
    }

    fn card(&self, _data: &WinogradData) -> TaskCard {
        let task = "which antecedent of a pronoun looks original in its place (WNLI)".to_owned();
        TaskCard {
            pipeline: "token-classification",
            rows: vec![("task", task)],
            predict: "electra predict --model FOLDER --input WNLI/test.tsv --output predictions.tsv",
        }
    }
}
