//! Fine-tuning on multiple choice.

use super::{
    details::hardest,
    head::{ChoiceNet, ChoicePrediction},
    model::{ChoiceInfo, inputs, numbered},
    set::ChoiceSet,
};
use crate::{
    baseline::Baselines,
    batch::InputGroups,
    details::Details,
    error::{Error, Result},
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    split::Splits,
    summary::{LabelCount, Summaries, TRAIN, text_key},
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind, TrainingSet, loaded},
    texts::data::write_predictions,
};
use electra_files::nearest;
use electra_scores::{
    Files, Form, LabelColumns, LeftOut, Metric, Pairs, Read, Scores, metrics::accuracy,
    sentence::check_classes, table::Row,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::Path};

/// Multiple choice, as a `task.toml` with `kind = "multiple-choice"` describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceTask {
    /// The name in reports.
    pub name: String,
    /// The kind of task.
    pub kind: ChoiceKind,
    /// The column of the text: the context or the question.
    pub text: String,
    /// The columns of the choices, at least two.
    pub choices: Vec<String>,
    /// The column of the label.
    pub label: String,
    /// Whether the label is the name of the right choice or its text.
    #[serde(default)]
    pub label_is: LabelIs,
    /// The names of the choices, in order; by default their numbers from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The label of rows without a gold label; such rows are left out and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_label: Option<String>,
    /// The largest fraction of a file's rows that may be left out because they are malformed.
    #[serde(default)]
    pub unusable_rows: f64,
    /// The metric that seeds are compared by: accuracy.
    pub metric: Metric,
    /// The data files, relative to the data folder.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChoiceKind {
    /// One of several choices.
    MultipleChoice,
}

/// The contents of the label column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelIs {
    /// The name of the right choice, one of [`ChoiceTask::labels`].
    #[default]
    Name,
    /// The text of the right choice.
    Text,
}

impl ChoiceTask {
    fn names(&self) -> Vec<String> {
        self.labels.clone().unwrap_or_else(|| numbered(self.choices.len()))
    }

    fn form(&self) -> Form<'_> {
        Form {
            texts: std::iter::once(&self.text).chain(&self.choices).map(String::as_str).collect(),
            labels: LabelColumns::One { column: &self.label, no_label: self.no_label.as_deref() },
            unusable_rows: self.unusable_rows,
            pairs: Pairs::Ordered,
            files: &self.files,
        }
    }

    /// The number of the right choice of a row, whose fields are the text, the choices and the label.
    fn right(&self, path: &Path, row: &Row, names: &[String]) -> Result<usize> {
        let choices = &row.fields[1..=names.len()];
        let label = &row.fields[row.fields.len() - 1];
        let known = match self.label_is {
            LabelIs::Name => names,
            LabelIs::Text => choices,
        };
        let found: Vec<usize> = (0..known.len()).filter(|&i| known[i] == *label).collect();
        let why = match (&found[..], self.label_is) {
            ([choice], _) => return Ok(*choice),
            ([], LabelIs::Name) => {
                let near = nearest(label, names.iter().map(String::as_str));
                format!("label {label:?} is not in {names:?}{near}")
            }
            ([], LabelIs::Text) => format!("{label:?} is not the text of a choice of the row"),
            _ => format!("{label:?} is the text of {} choices of the row", found.len()),
        };
        let message = format!("column {:?}: {why}", self.label);
        Err(Error::row(&path.display().to_string(), row.line, message))
    }

    /// The rows of a file, and those that are left out; they are added to `summaries` as `split`.
    fn read(
        &self,
        split: &str,
        path: &Path,
        site: &LoadSite<'_>,
        summaries: &mut Summaries,
    ) -> Result<(ChoiceSet, Option<LeftOut>)> {
        let Read { rows, left_out } = self.form().rows(path)?;
        let names = self.names();
        let labels = rows.iter().map(|row| self.right(path, row, &names));
        let labels: Vec<usize> = labels.collect::<Result<_>>()?;
        let texts = rows.iter().map(|row| (&row.fields[0], &row.fields[1..=names.len()]));
        let keys: Vec<u64> = texts.clone().map(text_key).collect();
        summaries.add(split, path, LabelCount::of(&names, labels.iter().copied()), keys);
        let (inputs, truncated) = inputs(texts, site.tokenizer, site.config.train.max_length)?;
        summaries.truncated(truncated);
        Ok((ChoiceSet { inputs, labels, rows }, left_out))
    }
}

impl Task for ChoiceTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn description(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain values serialize")
    }

    fn validate(&self) -> Result<()> {
        if self.metric != Metric::Accuracy {
            return Err(Error::value("metric", self.metric, "must be accuracy"));
        }
        let columns: BTreeSet<&String> =
            [&self.text, &self.label].into_iter().chain(&self.choices).collect();
        if self.choices.len() < 2 || columns.len() < 2 + self.choices.len() {
            let expected = "must be two or more columns, each named once and not as text or label";
            return Err(Error::value("choices", format!("{:?}", self.choices), expected));
        }
        if let Some(labels) = &self.labels {
            let fail = |why| Error::value("labels", format!("{labels:?}"), why);
            check_classes(labels, self.metric).map_err(fail)?;
            if labels.len() != self.choices.len() {
                return Err(fail(format!("must be the names of {} choices", self.choices.len())));
            }
        }
        Ok(self.form().validate()?)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        site.two_segments()?;
        let (mut left_out, mut summaries) = (Vec::new(), Summaries::default());
        let mut read = |split: &str, path: &Path| {
            let (set, skipped) = self.read(split, path, site, &mut summaries)?;
            left_out.extend(skipped);
            Ok(set)
        };
        let train = site.data.join(&self.files.train);
        let ChoiceSet { inputs, labels, .. } = read(TRAIN, &train)?;
        let splits = Splits::read(&self.files, site.data, |split, path| read(&split.name(), path))?;
        let sizes = vec![self.choices.len(); labels.len()];
        let inputs = InputGroups::new(inputs.into(), sizes);
        let train = TrainingSet { examples: labels.len(), inputs, labels, left_out };
        let loaded = loaded(self.clone(), &site.config.train, train, splits);
        Ok(LoadedTask { summaries: summaries.finish(), ..loaded })
    }
}

fn scores(predicted: &[usize], set: &ChoiceSet) -> Scores {
    Scores::from([(Metric::Accuracy, Some(accuracy(predicted, &set.labels)))])
}

impl TaskKind for ChoiceTask {
    /// The number of the right choice.
    type Label = usize;
    type Examples = ChoiceSet;
    type Net = ChoiceNet;
    type Prediction = ChoicePrediction;

    fn head_name(&self) -> &'static str {
        ChoiceInfo::KIND
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<ChoiceNet> {
        ChoiceNet::new(site, self.choices.len())
    }

    fn label_json(&self, label: &usize) -> serde_json::Value {
        (*label).into()
    }

    fn count(&self, set: &ChoiceSet) -> usize {
        set.labels.len()
    }

    fn predict(&self, network: &Network<'_, Self>, set: &ChoiceSet) -> Vec<ChoicePrediction> {
        let logits = network.predict(&set.inputs);
        logits.chunks(self.choices.len()).map(ChoicePrediction::new).collect()
    }

    fn score(&self, set: &ChoiceSet, predictions: &[ChoicePrediction]) -> Scores {
        scores(&predictions.iter().map(|p| p.choice).collect::<Vec<_>>(), set)
    }

    /// The number that is right most often.
    fn baselines(&self, labels: &[usize], splits: &Splits<ChoiceSet>) -> Baselines {
        let count = |choice: usize| labels.iter().filter(|&&label| label == choice).count();
        let best = (0..self.choices.len()).rev().max_by_key(|&choice| count(choice)).unwrap_or(0);
        let majority = splits.scores(|set| scores(&vec![best; set.labels.len()], set));
        Baselines { majority, bag_of_words: None }
    }

    fn details(&self, set: &ChoiceSet, predictions: &[ChoicePrediction]) -> Vec<Details> {
        vec![hardest(set, predictions, &self.names())]
    }

    /// `predictions.tsv`: the columns `index` and `prediction`, as `electra predict` writes them.
    fn write(&self, set: &ChoiceSet, predictions: &[ChoicePrediction], dir: &Path) -> Result<()> {
        let names = self.names();
        let name = |prediction: &ChoicePrediction| names[prediction.choice].clone();
        let indices = set.rows.iter().map(|row| row.index);
        write_predictions(indices.zip(predictions.iter().map(name)), dir)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        ChoiceInfo {
            header: header.of_kind(ChoiceInfo::KIND),
            text: self.text.clone(),
            choices: self.choices.clone(),
            labels: self.names(),
        }
        .files()
    }

    fn card(&self) -> TaskCard {
        let columns = format!("{}; choices {}", self.text, self.choices.join(", "));
        TaskCard {
            pipeline: "multiple-choice",
            rows: vec![
                ("task", format!("multiple choice: {}", self.names().join(", "))),
                ("text columns", columns),
            ],
            predict: "electra predict --model FOLDER --input new.tsv --output predictions.tsv",
        }
    }
}
