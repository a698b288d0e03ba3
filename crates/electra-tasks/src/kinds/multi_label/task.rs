//! Fine-tuning on multi-label tasks.

use super::{
    details::hardest,
    head::MultiLabelNet,
    model::{MultiLabelInfo, predicted},
};
use crate::{
    baseline::{BagOfWords, Baselines},
    batch::Input,
    details::{ByLabel, Details},
    error::{Error, Result},
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    split::Splits,
    summary::LabelCount,
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind},
    texts::data::{EncodedSet, Example, TextColumns, TextData, TextTask, load_encoded},
};
use electra_scores::{
    Form, Scores, check_label,
    multi_label::{MultiLabelTask, by_label, names, scores},
    table::Row,
    warn_joined, warn_look_alikes,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

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
        let mut found = Vec::new();
        for row in rows {
            let text = row.fields.last().map(String::as_str).unwrap_or_default();
            let fail = |why: String| Error::row(&path.display().to_string(), row.line, why);
            let names = self.parsed(text).map_err(fail)?;
            names.iter().try_for_each(|name| check_label(name)).map_err(fail)?;
            found.extend(names.into_iter().map(|name| (name, row.line)));
        }
        warn_look_alikes(path, found.iter().copied());
        warn_joined(path, &self.separator, found.iter().map(|(name, _)| *name));
        let labels: BTreeSet<&str> = found.into_iter().map(|(name, _)| name).collect();
        match labels.is_empty() {
            true => Err(Error::file(path, "no row has a label")),
            false => Ok(labels.into_iter().map(str::to_owned).collect()),
        }
    }

    fn label(&self, path: &Path, row: &Row, labels: &Vec<String>) -> Result<Vec<bool>> {
        let texts = if self.text_b.is_some() { 2 } else { 1 };
        self.flags(&row.fields[texts..], labels)
            .map_err(|why| Error::row(&path.display().to_string(), row.line, why))
    }

    fn counts(&self, labels: &Vec<String>, examples: &[Example<Vec<bool>>]) -> Vec<LabelCount> {
        let held = |example: &Example<Vec<bool>>| {
            let flags = example.label.iter().enumerate();
            flags.filter_map(|(label, held)| held.then_some(label)).collect::<Vec<_>>()
        };
        LabelCount::of(labels, examples.iter().flat_map(held))
    }
}

impl Task for MultiLabelTask {
    crate::described_by_keys!();

    fn validate(&self) -> Result<()> {
        Ok(MultiLabelTask::validate(self)?)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        load_encoded(self, site)
    }
}

type Examples = EncodedSet<Vec<bool>>;

impl TaskKind for TextData<MultiLabelTask> {
    type Label = Vec<bool>;
    type Examples = Examples;
    type Net = MultiLabelNet;
    /// For each label, whether it is predicted.
    type Prediction = Vec<bool>;

    fn head_name(&self) -> &'static str {
        MultiLabelInfo::KIND
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<MultiLabelNet> {
        MultiLabelNet::new(site, self.space.len())
    }

    fn label_json(&self, label: &Vec<bool>) -> serde_json::Value {
        names(&self.space, label).into()
    }

    fn count(&self, set: &Examples) -> usize {
        set.labels.len()
    }

    fn predict(&self, network: &Network<'_, Self>, set: &Examples) -> Vec<Vec<bool>> {
        let probabilities = network.predict(&set.inputs);
        probabilities.iter().map(|row| predicted(row, self.task.threshold)).collect()
    }

    fn score(&self, set: &Examples, predictions: &[Vec<bool>]) -> Scores {
        scores(predictions, &set.labels)
    }

    /// The most frequent set; and naive Bayes over the words for each label.
    fn baselines(&self, labels: &[Vec<bool>], splits: &Splits<Examples>) -> Baselines {
        let frequent = frequent(labels);
        Baselines {
            majority: splits
                .scores(|set| scores(&vec![frequent.clone(); set.labels.len()], &set.labels)),
            bag_of_words: Some(
                splits.scores(|set| scores(&by_words(self, labels, &set.inputs), &set.labels)),
            ),
        }
    }

    fn by_label(&self, set: &Examples, predictions: &[Vec<bool>]) -> Option<ByLabel> {
        let counts = by_label(predictions, &set.labels, self.space.len());
        Some(ByLabel {
            title: "Labels",
            label: "label",
            file: "labels.tsv",
            counts: self.space.iter().cloned().zip(counts).collect(),
        })
    }

    fn details(&self, set: &Examples, predictions: &[Vec<bool>]) -> Vec<Details> {
        vec![hardest(&self.space, &self.task.separator, set, predictions)]
    }

    /// `predictions.tsv`: the column `index` with the number of the row in the file, and the column `prediction`, as
    /// `electra predict` writes them.
    fn write(&self, set: &Examples, predictions: &[Vec<bool>], dir: &Path) -> Result<()> {
        let joined = |flags: &Vec<bool>| names(&self.space, flags).join(&self.task.separator);
        set.write_predictions(predictions.iter().map(joined), dir)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let (text_a, text_b) = (self.task.text_a.clone(), self.task.text_b.clone());
        MultiLabelInfo {
            header: header.of_kind(MultiLabelInfo::KIND),
            texts: TextColumns { text_a, text_b },
            labels: self.space.clone(),
            threshold: self.task.threshold,
            separator: self.task.separator.clone(),
        }
        .files()
    }

    fn card(&self) -> TaskCard {
        self.text_card(format!(
            "sets of labels: {}; a label is predicted if its probability is at least {}",
            self.space.join(", "),
            self.task.threshold
        ))
    }
}

/// The labels that naive Bayes over the words predicts. A model has as many numbers as the vocabulary words, and there
/// may be thousands of labels: only one model is in memory at a time.
fn by_words(
    data: &TextData<MultiLabelTask>,
    labels: &[Vec<bool>],
    inputs: &[Input],
) -> Vec<Vec<bool>> {
    let mut predicted = vec![vec![false; data.space.len()]; inputs.len()];
    for label in 0..data.space.len() {
        let train = data.train.iter().zip(labels);
        let train = train.map(|(input, labels)| (input, usize::from(labels[label])));
        let model = BagOfWords::train(train, 2, data.vocab_size, &data.special);
        for (predicted, input) in predicted.iter_mut().zip(inputs) {
            predicted[label] = model.predict(input) == 1;
        }
    }
    predicted
}

/// The most frequent set; among equally frequent ones the first if sets are written as 0 and 1.
fn frequent(sets: &[Vec<bool>]) -> Vec<bool> {
    let mut counts: BTreeMap<&Vec<bool>, u64> = BTreeMap::new();
    for set in sets {
        *counts.entry(set).or_default() += 1;
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(Vec::new, |(set, _)| set.clone())
}
