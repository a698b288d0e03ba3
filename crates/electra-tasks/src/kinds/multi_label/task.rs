//! Multi-label tasks as fine-tuning sees them.

use super::{
    details::details,
    head::MultiLabelNet,
    model::{KIND, MultiLabelInfo, holds},
};
use crate::{
    baseline::{BagOfWords, Baselines},
    batch::{BatchTensors, Input},
    body::Body,
    config::FinetuneConfig,
    details::Details,
    error::{Error, Result},
    model::{Header, ModelFiles},
    split::Split,
    task::{Answers, LoadSite, LoadedTask, RowLosses, Task, TaskCard, TaskData, TaskHead},
    texts::data::{Dataset, TextData, TextTask, dataset, loaded},
};
use electra_files::write_file;
use electra_model::EncoderConfig;
use electra_scores::{
    Form, MatchCounts, Metric, Scores, check_label,
    multi_label::{MultiLabelTask, by_label, names, scores},
    table::Row,
};
use electra_train::metrics::Observations;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tch::{Tensor, nn};

/// The data of a multi-label task, encoded.
pub type MultiLabelData = TextData<MultiLabelTask>;

/// Reads every file of the task below `data`.
///
/// # Errors
/// Naming file, line and column of the first row that cannot be used, or the file that is empty.
pub fn load(task: &MultiLabelTask, data: &Path) -> Result<Dataset<Vec<String>, Vec<bool>>> {
    let dataset = dataset(task, data)?;
    let is_used = |label: usize| dataset.train.iter().any(|example| example.label[label]);
    let labels = dataset.space.iter().enumerate();
    let untrained: Vec<&String> =
        labels.filter(|(label, _)| !is_used(*label)).map(|(_, name)| name).collect();
    if !untrained.is_empty() {
        tracing::warn!(
            "{}: no row has {untrained:?}: the model learns that they never hold",
            data.join(&task.files.train).display()
        );
    }
    Ok(dataset)
}

impl TextTask for MultiLabelTask {
    type Space = Vec<String>;
    type Label = Vec<bool>;

    fn form(&self) -> Form<'_> {
        MultiLabelTask::form(self)
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

    fn label(&self, path: &Path, row: &Row, labels: &Vec<String>) -> Result<Vec<bool>> {
        let texts = if self.text_b.is_some() { 2 } else { 1 };
        self.flags(&row.fields[texts..], labels)
            .map_err(|why| Error::row(&path.display().to_string(), row.line, why))
    }
}

impl Task for MultiLabelTask {
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
        Ok(self.validate()?)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        loaded(self, site, load(self, site.data)?)
    }
}

impl TaskData for MultiLabelData {
    fn head(
        self: Arc<Self>,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn TaskHead>> {
        let net = MultiLabelNet::new(path, encoder, &config.head, self.space.len())?;
        Ok(Box::new(MultiLabelHead { net, data: self }))
    }

    fn label(&self, example: usize) -> serde_json::Value {
        names(&self.space, &self.train_labels[example]).into()
    }

    /// The most frequent set; and for each label naive Bayes over the words.
    fn baselines(&self) -> Baselines {
        let frequent = frequent(self.train_labels.iter());
        Baselines {
            majority: self
                .split_scores(|set| scores(&vec![frequent.clone(); set.labels.len()], &set.labels)),
            bag_of_words: Some(
                self.split_scores(|set| scores(&by_words(self, &set.inputs), &set.labels)),
            ),
        }
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let info = MultiLabelInfo {
            header: header.of_kind(KIND),
            text_a: self.task.text_a.clone(),
            text_b: self.task.text_b.clone(),
            labels: self.space.clone(),
            threshold: self.task.threshold,
            separator: self.task.separator.clone(),
        };
        ModelFiles::new(&info, info.class())
    }

    fn card(&self) -> TaskCard {
        let labels = format!(
            "sets of labels: {}; one holds from a probability of {} on",
            self.space.join(", "),
            self.task.threshold
        );
        TaskCard {
            pipeline: "text-classification",
            rows: vec![("task", labels), ("text columns", self.task.form().texts.join(", "))],
            predict: "electra predict --model FOLDER --input new.tsv --output predictions.tsv",
        }
    }
}

#[derive(Debug)]
struct MultiLabelHead {
    net: MultiLabelNet,
    data: Arc<MultiLabelData>,
}

impl MultiLabelHead {
    fn labels(&self, examples: &[usize]) -> Vec<&Vec<bool>> {
        examples.iter().map(|&example| &self.data.train_labels[example]).collect()
    }
}

impl TaskHead for MultiLabelHead {
    fn name(&self) -> &'static str {
        KIND
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        batch: &BatchTensors,
        examples: &[usize],
        train: bool,
    ) -> RowLosses {
        self.net.losses(hidden_bsh, batch, &self.labels(examples), train)
    }

    fn observe(&self, examples: &[usize], outputs: &[Tensor], seen: &mut Observations) {
        self.net.observe(&self.labels(examples), outputs, seen);
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        let data = Arc::clone(&self.data);
        let probabilities =
            body.predict(&data.scored.of(split).inputs, batch_size, |hidden, batch| {
                self.net.predict(hidden, batch)
            });
        let predicted = probabilities.iter().map(|row| holds(row, data.task.threshold)).collect();
        Box::new(MultiLabelAnswers { data, split: split.clone(), predicted })
    }
}

#[derive(Debug)]
struct MultiLabelAnswers {
    data: Arc<MultiLabelData>,
    split: Split,
    /// Which labels hold, example by example.
    predicted: Vec<Vec<bool>>,
}

impl Answers for MultiLabelAnswers {
    fn score(&self) -> Scores {
        scores(&self.predicted, &self.data.scored.of(&self.split).labels)
    }

    fn details(&self) -> Vec<Details> {
        let TextData { task, space, dev_texts, scored, .. } = &*self.data;
        match self.split {
            Split::Dev => {
                details(space, &task.separator, dev_texts, &scored.dev.labels, &self.predicted)
            }
            Split::MoreDev(_) | Split::Test => Vec::new(),
        }
    }

    /// `predictions.tsv`: `index`, the number of the row in the file, and `prediction`, as `electra predict` writes them;
    /// `labels.tsv`: the scores of each label.
    fn write(&self, dir: &Path) -> Result<()> {
        let TextData { task, space, .. } = &*self.data;
        let sets = self.predicted.iter().map(|flags| names(space, flags).join(&task.separator));
        self.data.write_predictions(&self.split, sets, dir)?;
        let counts =
            by_label(&self.predicted, &self.data.scored.of(&self.split).labels, space.len());
        let table = MatchCounts::table("label", space.iter().map(String::as_str).zip(counts));
        Ok(write_file(&dir.join("labels.tsv"), &table)?)
    }
}

/// The labels that naive Bayes over the words predicts. A model has as many numbers as the vocabulary words, and there
/// may be thousands of labels: one model is held at a time.
fn by_words(data: &MultiLabelData, inputs: &[Input]) -> Vec<Vec<bool>> {
    let labels = data.space.len();
    let mut predicted = vec![vec![false; labels]; inputs.len()];
    for label in 0..labels {
        let train = data.train.iter().zip(&data.train_labels);
        let train = train.map(|(input, labels)| (input, usize::from(labels[label])));
        let model = BagOfWords::train(train, 2, data.vocab_size, &data.special);
        for (predicted, input) in predicted.iter_mut().zip(inputs) {
            predicted[label] = model.predict(input) == 1;
        }
    }
    predicted
}

/// The most frequent set; of ties the one that comes first if sets are written as 0 and 1.
fn frequent<'a>(sets: impl Iterator<Item = &'a Vec<bool>>) -> Vec<bool> {
    let mut counts: BTreeMap<&Vec<bool>, u64> = BTreeMap::new();
    for set in sets {
        *counts.entry(set).or_default() += 1;
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(Vec::new, |(set, _)| set.clone())
}
