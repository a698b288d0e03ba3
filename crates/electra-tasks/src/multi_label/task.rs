//! Multi-label classification as a problem: its keys, its rows, its answers and their scores.

use super::{
    details::details,
    head::MultiLabelHead,
    predict::{MultiLabelInfo, held, names},
};
use crate::{
    Error, FinetuneConfig, Result,
    baseline::{BagOfWords, Baselines},
    batch::Feature,
    details::Details,
    encoded::{TextData, check_label, loaded},
    model::{Header, Kind},
    objective::Answering,
    predict::TextInfo,
    problem::{LoadSite, Loaded, Problem, Remembered, Split, TaskCard},
    rows::{self, Form, TextTask},
    scores::{Found, Metric, Scores, multi_label},
    table::Row,
    task::{Dataset, Files, Pairs, is_zero},
};
use electra_files::nearest;
use electra_model::EncoderConfig;
use electra_train::folder::write_file;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tch::nn;

/// A task of sets of labels, as a `task.toml` with `kind = "multi-label"` describes it.
///
/// ```
/// let task: electra_tasks::MultiLabelTask = toml::from_str(r#"
///     name = "topics"
///     kind = "multi-label"
///     text_a = "text"
///     label = "topics"
///     metric = "micro-f1"
///     [files]
///     train = "train.tsv"
///     dev = "dev.tsv"
/// "#)?;
/// task.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiLabelTask {
    /// What it is called in reports.
    pub name: String,
    /// The kind of task.
    pub kind: MultiLabelKind,
    /// Column of the (first) text.
    pub text_a: String,
    /// Column of the second text, for pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<String>,
    /// Column of a row's labels, with `separator` between them, or in JSON lines a list of strings; an empty one is the
    /// empty set. Without the key each of `labels` is a column of its own: 1 where the label holds, 0 where not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What stands between the labels of a row; white space around a label is not part of it.
    #[serde(default = "comma")]
    pub separator: String,
    /// The labels in the order of their numbers; without it, those of the training file, sorted. One that no training
    /// row has is warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// A label holds where its probability is at least this.
    #[serde(default = "half")]
    pub threshold: f64,
    /// Whether the texts of a pair may change places.
    #[serde(default, skip_serializing_if = "Pairs::is_ordered")]
    pub pairs: Pairs,
    /// As [`crate::Task::unusable_rows`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unusable_rows: f64,
    /// What seeds are compared by: `micro-f1`, `macro-f1` or `accuracy`, which is of whole sets.
    pub metric: Metric,
    /// The data files, relative to the data folder.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MultiLabelKind {
    /// A set of labels.
    MultiLabel,
}

fn comma() -> String {
    ",".to_owned()
}

fn half() -> f64 {
    0.5
}

/// The data of a multi-label task, encoded: the labels, and for each example whether each of them holds.
pub type MultiLabelData = TextData<Vec<String>, Vec<bool>>;

impl MultiLabelTask {
    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first key that does not.
    pub fn validate(&self) -> Result<()> {
        if !matches!(self.metric, Metric::MicroF1 | Metric::MacroF1 | Metric::Accuracy) {
            let expected = "must be micro-f1, macro-f1 or accuracy for sets of labels";
            return Err(Error::value("metric", self.metric, expected));
        }
        if self.separator.is_empty() || self.separator.contains(['\t', '\n', '\r']) {
            let expected = "must have a character, and no tab or line break";
            return Err(Error::value("separator", format!("{:?}", self.separator), expected));
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            let expected = "must be a probability between 0 and 1";
            return Err(Error::value("threshold", self.threshold, expected));
        }
        match (&self.labels, &self.label) {
            (Some(labels), _) => self
                .check_labels(labels)
                .map_err(|why| Error::value("labels", format!("{labels:?}"), why))?,
            (None, None) => {
                let expected = "must name the column of a row's labels; or the key labels the columns of each label";
                return Err(Error::value("label", "nothing", expected));
            }
            (None, Some(_)) => {}
        }
        self.form().validate()
    }

    /// Why `labels` cannot be told from each other, if they cannot.
    fn check_labels(&self, labels: &[String]) -> std::result::Result<(), String> {
        if labels.is_empty() {
            return Err("there must be one label at least".to_owned());
        }
        for (place, label) in labels.iter().enumerate() {
            if label.trim() != label || label.is_empty() {
                return Err(format!("{label:?} is empty or has white space around it"));
            }
            check_label(label)?;
            if label.contains(&self.separator) {
                let separator = &self.separator;
                return Err(format!("{label:?} has the separator {separator:?} in it"));
            }
            if labels[..place].contains(label) {
                return Err(format!("{label:?} stands twice"));
            }
        }
        Ok(())
    }

    /// Reads every file of the task below `data`.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used, or the file that is empty.
    pub fn load(&self, data: &Path) -> Result<Dataset<Vec<String>, Vec<bool>>> {
        let dataset = rows::dataset(self, data)?;
        let held = |label: usize| dataset.train.iter().any(|example| example.target[label]);
        let labels = dataset.answers.iter().enumerate();
        let untrained: Vec<&String> =
            labels.filter(|(label, _)| !held(*label)).map(|(_, name)| name).collect();
        if !untrained.is_empty() {
            tracing::warn!(
                "{}: no row has {untrained:?}: the model learns that they never hold",
                data.join(&self.files.train).display()
            );
        }
        Ok(dataset)
    }

    /// The labels of each row of a labelled file; `None` for the rows that are left out. Texts are not looked at.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be used, or the file that has none.
    pub fn gold(&self, path: &Path) -> Result<Vec<Option<Vec<String>>>> {
        self.form().gold(path, |row| {
            let fail = |why: String| Error::row(&path.display().to_string(), row.line, why);
            Ok(match (&self.labels, &row.fields[..]) {
                (None, [text]) => {
                    self.parsed(text).map_err(fail)?.into_iter().map(str::to_owned).collect()
                }
                (labels, fields) => {
                    let labels = labels.as_deref().unwrap_or_default();
                    names(labels, &self.flags(fields, labels).map_err(fail)?)
                }
            })
        })
    }

    /// The labels that stand in `text`, or why they are no set.
    pub(crate) fn parsed<'a>(&self, text: &'a str) -> std::result::Result<Vec<&'a str>, String> {
        let mut names = Vec::new();
        if text.trim().is_empty() {
            return Ok(names);
        }
        for name in text.split(self.separator.as_str()).map(str::trim) {
            if name.is_empty() {
                return Err(format!(
                    "{text:?} has an empty label: a set has none between separators"
                ));
            }
            if names.contains(&name) {
                return Err(format!("label {name:?} stands twice in {text:?}"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Which labels hold, by the fields behind a row's texts.
    fn flags(
        &self,
        fields: &[String],
        labels: &[String],
    ) -> std::result::Result<Vec<bool>, String> {
        let Some(column) = &self.label else {
            let flag = |(label, field): (&String, &String)| match field.trim() {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(format!("{field:?} in column {label:?} must be 1 or 0")),
            };
            return labels.iter().zip(fields).map(flag).collect();
        };
        let mut held = vec![false; labels.len()];
        let text = fields.last().map(String::as_str).unwrap_or_default();
        for name in self.parsed(text).map_err(|why| format!("column {column:?}: {why}"))? {
            let label = labels.iter().position(|known| known == name).ok_or_else(|| {
                let known = nearest(name, labels.iter().map(String::as_str));
                let origin = if self.labels.is_some() { "key labels" } else { "training file" };
                format!("label {name:?} in column {column:?} is not in the {origin}{known}")
            })?;
            held[label] = true;
        }
        Ok(held)
    }
}

impl TextTask for MultiLabelTask {
    type Space = Vec<String>;
    type Target = Vec<bool>;

    fn form(&self) -> Form<'_> {
        let answer: Vec<&str> = match (&self.label, &self.labels) {
            (Some(column), _) => vec![column],
            (None, labels) => labels.iter().flatten().map(String::as_str).collect(),
        };
        Form {
            texts: std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect(),
            answer,
            no_label: None,
            separator: self.label.as_ref().map(|_| self.separator.as_str()),
            unusable_rows: self.unusable_rows,
            pairs: self.pairs,
            files: &self.files,
        }
    }

    fn space(&self, path: &Path, rows: &[Row]) -> Result<Vec<String>> {
        if let Some(labels) = &self.labels {
            return Ok(labels.clone());
        }
        let mut labels = Vec::new();
        for row in rows {
            let text = row.fields.last().map(String::as_str).unwrap_or_default();
            let fail = |why: String| Error::row(&path.display().to_string(), row.line, why);
            let names = self.parsed(text).map_err(fail)?;
            names.iter().try_for_each(|name| check_label(name)).map_err(fail)?;
            labels.extend(names.into_iter().map(str::to_owned));
        }
        labels.sort();
        labels.dedup();
        match labels.is_empty() {
            true => Err(Error::file(path, "no row has a label")),
            false => Ok(labels),
        }
    }

    fn target(&self, path: &Path, row: &Row, labels: &Vec<String>) -> Result<Vec<bool>> {
        let texts = if self.text_b.is_some() { 2 } else { 1 };
        self.flags(&row.fields[texts..], labels)
            .map_err(|why| Error::row(&path.display().to_string(), row.line, why))
    }
}

impl Problem for MultiLabelTask {
    type Head = MultiLabelHead;
    type Data = MultiLabelData;
    /// Which labels hold, example by example.
    type Answers = Vec<Vec<bool>>;

    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        self.validate()
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>> {
        if self.text_b.is_some() {
            site.two_segments()?;
        }
        loaded(site, MultiLabelTask::load(self, site.data)?)
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        data: &MultiLabelData,
    ) -> electra_model::Result<MultiLabelHead> {
        MultiLabelHead::new(path, encoder, &config.head, data.answers.len())
    }

    fn answers(
        &self,
        network: Answering<'_, MultiLabelHead>,
        data: &MultiLabelData,
        split: &Split,
        batch_size: usize,
    ) -> Self::Answers {
        let probabilities = network.predict(data.split(split), batch_size);
        probabilities.iter().map(|row| held(row, self.threshold)).collect()
    }

    fn score(&self, data: &MultiLabelData, split: &Split, answers: &Self::Answers) -> Scores {
        multi_label::scores(answers, &gold(data.split(split)))
    }

    fn details(
        &self,
        data: &MultiLabelData,
        split: &Split,
        answers: &Self::Answers,
    ) -> Vec<Details> {
        match split {
            Split::Dev => {
                let gold = gold(data.split(split));
                details(&data.answers, &self.separator, &data.dev_texts, &gold, answers)
            }
            Split::MoreDev(_) | Split::Test => Vec::new(),
        }
    }

    /// `predictions.tsv`: `index`, the number of the row in the file, and `prediction`, as `electra predict` writes them;
    /// `labels.tsv`: the scores of each label.
    fn write(
        &self,
        data: &MultiLabelData,
        split: &Split,
        answers: &Self::Answers,
        dir: &Path,
    ) -> Result<()> {
        let sets = answers.iter().map(|held| names(&data.answers, held).join(&self.separator));
        data.write_predictions(split, sets, dir)?;
        let found = multi_label::by_label(answers, &gold(data.split(split)), data.answers.len());
        let table = Found::table("label", data.answers.iter().map(String::as_str).zip(found));
        Ok(write_file(&dir.join("labels.tsv"), &table)?)
    }

    /// The most frequent set; and for each label naive Bayes over the words.
    fn baselines(&self, data: &MultiLabelData) -> Baselines {
        let frequent = frequent(data.train.iter().map(|feature| &feature.target));
        Baselines {
            majority: data.split_scores(|split| {
                let features = data.split(split);
                multi_label::scores(&vec![frequent.clone(); features.len()], &gold(features))
            }),
            bag_of_words: Some(data.split_scores(|split| {
                let features = data.split(split);
                multi_label::scores(&by_words(data, features), &gold(features))
            })),
        }
    }

    fn remember(&self, data: &MultiLabelData, config: &FinetuneConfig, seed: u64) -> Remembered {
        let info = MultiLabelInfo {
            header: Header::new(Kind::MultiLabel, self, config, seed),
            text_a: self.text_a.clone(),
            text_b: self.text_b.clone(),
            labels: data.answers.clone(),
            threshold: self.threshold,
            separator: self.separator.clone(),
        };
        let class = info.class();
        let info = serde_json::to_value(info).expect("plain values serialise");
        Remembered { info, class, members: Vec::new() }
    }

    fn card(&self, data: &MultiLabelData) -> TaskCard {
        let labels = format!(
            "sets of labels: {}; one holds from a probability of {} on",
            data.answers.join(", "),
            self.threshold
        );
        TaskCard {
            pipeline: "text-classification",
            rows: vec![("task", labels), ("text columns", self.form().texts.join(", "))],
            predict: "electra predict --model FOLDER --input new.tsv --output predictions.tsv",
        }
    }
}

/// What naive Bayes over the words says of each label. A model has as many numbers as the vocabulary words, and there may
/// be thousands of labels: one model is held at a time.
fn by_words(data: &MultiLabelData, features: &[Arc<Feature<Vec<bool>>>]) -> Vec<Vec<bool>> {
    let labels = data.answers.len();
    let mut predicted = vec![vec![false; labels]; features.len()];
    for label in 0..labels {
        let train = data.train.iter().map(|f| (f, usize::from(f.target[label])));
        let model = BagOfWords::train(train, 2, data.vocab_size, &data.special);
        for (predicted, feature) in predicted.iter_mut().zip(features) {
            predicted[label] = model.predict(feature) == 1;
        }
    }
    predicted
}

fn gold(features: &[Arc<Feature<Vec<bool>>>]) -> Vec<Vec<bool>> {
    features.iter().map(|feature| feature.target.clone()).collect()
}

/// The most frequent set; of equally frequent ones that which comes first where a set is written as 0 and 1.
fn frequent<'a>(sets: impl Iterator<Item = &'a Vec<bool>>) -> Vec<bool> {
    let mut counts: BTreeMap<&Vec<bool>, u64> = BTreeMap::new();
    for set in sets {
        *counts.entry(set).or_default() += 1;
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(Vec::new, |(set, _)| set.clone())
}
