//! A row of the comparison of models, and the table.

use crate::commands::table::table;
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of tasks that the paper's GLUE average is over.
pub(crate) const GLUE_TASKS: usize = 8;

const HEADER: [&str; 8] = [
    "model",
    "objective",
    "trained tokens",
    "parameters",
    "FLOPs",
    "GLUE",
    "SQuAD 1.1",
    "SQuAD 2.0",
];

/// The columns of text, which are aligned to the left.
const TEXTS: usize = 2;

/// A published model or a run. `None` is not known. Scores are dev scores in percent.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) objective: String,
    /// The share of the input tokens that the loss of the network to fine-tune covers.
    pub(crate) trained_tokens: Option<f64>,
    /// Parameters of the network to fine-tune.
    pub(crate) parameters: Option<u64>,
    /// FLOPs of pre-training.
    pub(crate) flops: Option<f64>,
    #[serde(flatten)]
    pub(crate) scores: RowScores,
}

/// The scores of a row.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RowScores {
    /// The mean over the eight tasks.
    pub(crate) glue: Option<f64>,
    /// The score of each task; empty for published models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) glue_tasks: BTreeMap<&'static str, f64>,
    pub(crate) squad_1_1: Option<Squad>,
    pub(crate) squad_2_0: Option<Squad>,
    /// The fine-tuning folders that the scores are from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) scores_from: Vec<String>,
}

/// Scores on SQuAD.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Squad {
    pub(crate) exact_match: f64,
    pub(crate) f1: f64,
}

/// The lines of a table of groups of rows with an empty line between groups. Each group has a word for what is not known.
pub(crate) fn lines(groups: &[(&[Row], &str)]) -> Vec<String> {
    let groups: Vec<Vec<[String; 8]>> = groups
        .iter()
        .map(|(rows, unknown)| rows.iter().map(|row| row.cells(unknown)).collect())
        .collect();
    table(HEADER, TEXTS, &groups)
}

impl Row {
    fn cells(&self, unknown: &str) -> [String; 8] {
        let Self { name, objective, trained_tokens, parameters, flops, scores } = self;
        let or_unknown = |cell: Option<String>| cell.unwrap_or_else(|| unknown.to_owned());
        let squad = |squad: &Squad| format!("{:.1}/{:.1}", squad.exact_match, squad.f1);
        let tasks = scores.glue_tasks.len();
        let some_tasks = (tasks > 0).then(|| format!("{tasks} of {GLUE_TASKS}"));
        [
            name.clone(),
            objective.clone(),
            or_unknown(trained_tokens.map(|share| format!("{}%", short(100.0 * share)))),
            or_unknown(parameters.map(count)),
            or_unknown(flops.map(power)),
            or_unknown(scores.glue.map(|mean| format!("{mean:.1}")).or(some_tasks)),
            or_unknown(scores.squad_1_1.as_ref().map(squad)),
            or_unknown(scores.squad_2_0.as_ref().map(squad)),
        ]
    }
}

/// A number with one decimal, or none if that is 0.
fn short(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A number of parameters: 335M, 13.5M, 41K.
fn count(parameters: u64) -> String {
    match parameters as f64 {
        n if n >= 1e8 => format!("{:.0}M", n / 1e6),
        n if n >= 1e6 => format!("{}M", short(n / 1e6)),
        n => format!("{:.0}K", n / 1e3),
    }
}

/// FLOPs with four digits, or with the two that a paper gives.
fn power(flops: f64) -> String {
    if flops == 0.0 {
        return "0".to_owned();
    }
    let two = format!("{flops:.1e}");
    match two.parse() == Ok(flops) {
        true => two,
        false => format!("{flops:.3e}"),
    }
}
