//! Fine-tuning on sentence tasks.

use super::{
    details::details,
    head::{SentenceNet, SentencePrediction},
    model::SentenceInfo,
};
use crate::{
    baseline::{BagOfWords, Baselines},
    details::{ByLabel, Details},
    error::{Error, Result},
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    preset::Group,
    split::Splits,
    summary::LabelCount,
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind},
    texts::data::{EncodedSet, Example, TextColumns, TextData, TextTask, load_encoded},
};
use electra_scores::{
    Form, Label, LabelSpace, Scores, SentenceTask,
    metrics::by_class,
    sentence::{SentenceKind, check_classes, classes},
    table::Row,
    warn_look_alikes,
};
use std::path::Path;

impl TextTask for SentenceTask {
    type Space = LabelSpace;
    type Label = Label;

    fn form(&self) -> Form<'_> {
        SentenceTask::form(self)
    }

    fn space(&self, path: &Path, rows: &[Row]) -> Result<LabelSpace> {
        let column = &self.label;
        if self.kind == SentenceKind::Classification {
            let labels = self.labels.clone().unwrap_or_else(|| {
                let mut labels: Vec<String> =
                    rows.iter().filter_map(|row| row.fields.last().cloned()).collect();
                labels.sort();
                labels.dedup();
                labels
            });
            let found = rows.iter().filter_map(|row| Some((row.fields.last()?.as_str(), row.line)));
            warn_look_alikes(path, found);
            check_classes(&labels, self.metric).map_err(|why| {
                Error::file(path, format!("column {column:?} has the labels {labels:?}: {why}"))
            })?;
            return Ok(LabelSpace::Classes(labels));
        }
        if let Some([min, max]) = self.range {
            return Ok(LabelSpace::Range { min, max });
        }
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for row in rows {
            let value = self.number(path, row)?;
            (min, max) = (min.min(value), max.max(value));
        }
        match min < max {
            true => Ok(LabelSpace::Range { min, max }),
            false => Err(Error::file(path, format!("column {column:?} is {min} in every row"))),
        }
    }

    fn label(&self, path: &Path, row: &Row, space: &LabelSpace) -> Result<Label> {
        Ok(SentenceTask::label(self, path, row, space)?)
    }

    fn counts(&self, space: &LabelSpace, examples: &[Example<Label>]) -> Vec<LabelCount> {
        let LabelSpace::Classes(labels) = space else { return Vec::new() };
        let found: Vec<Label> = examples.iter().map(|example| example.label).collect();
        LabelCount::of(labels, classes(&found))
    }

    fn weights(&self, counts: &[LabelCount]) -> Result<Option<Vec<f64>>> {
        let (labels, numbers): (Vec<String>, Vec<usize>) =
            counts.iter().map(|label| (label.label.clone(), label.count)).unzip();
        let fail = |why| Error::value("class_weights", &self.class_weights, why);
        self.class_weights.of(&labels, &numbers).map_err(fail)
    }

    fn check_scored(&self, path: &Path, rows: &[Row], untrained: &[String]) -> Result<()> {
        let label = |row: &Row| row.fields.last().cloned().unwrap_or_default();
        let Some(row) = rows.iter().find(|row| untrained.contains(&label(row))) else {
            return Ok(());
        };
        let message = format!(
            "label {:?} in column {:?} is in the key labels and not in the training file: the model cannot learn to predict it",
            label(row),
            self.label
        );
        Err(Error::row(&path.display().to_string(), row.line, message))
    }
}

impl Task for SentenceTask {
    crate::described_by_keys!();

    /// RTE and STS-B, by their names here or in the reference, are trained for longer.
    fn group(&self) -> Group {
        match self.name.as_str() {
            "rte" | "sts" | "stsb" => Group::Long,
            _ => Group::Usual,
        }
    }

    fn validate(&self) -> Result<()> {
        Ok(SentenceTask::validate(self)?)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        load_encoded(self, site)
    }
}

type Examples = EncodedSet<Label>;

impl TaskKind for TextData<SentenceTask> {
    type Label = Label;
    type Examples = Examples;
    type Net = SentenceNet;
    type Prediction = SentencePrediction;

    fn head_name(&self) -> &'static str {
        match self.space {
            LabelSpace::Range { .. } => "regression",
            LabelSpace::Classes(_) => "classification",
        }
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<SentenceNet> {
        Ok(SentenceNet::new(site, &self.space)?.with_weights(self.weights.as_deref()))
    }

    fn label_json(&self, label: &Label) -> serde_json::Value {
        self.space.text(*label).into()
    }

    fn count(&self, set: &Examples) -> usize {
        set.labels.len()
    }

    fn predict(&self, network: &Network<'_, Self>, set: &Examples) -> Vec<SentencePrediction> {
        network.predict(&set.inputs)
    }

    fn score(&self, set: &Examples, predictions: &[SentencePrediction]) -> Scores {
        let predicted: Vec<Label> = predictions.iter().map(|p| p.label).collect();
        self.space.score(&predicted, &set.labels)
    }

    fn baselines(&self, labels: &[Label], splits: &Splits<Examples>) -> Baselines {
        let constant = self.space.majority(labels);
        let majority =
            splits.scores(|set| self.space.score(&vec![constant; set.labels.len()], &set.labels));
        let bag_of_words = match &self.space {
            LabelSpace::Classes(names) => {
                let train = self.train.iter().zip(classes(labels));
                let model = BagOfWords::train(train, names.len(), self.vocab_size, &self.special);
                Some(splits.scores(|set| {
                    let predicted = set.inputs.iter().map(|input| model.predict(input));
                    let predicted: Vec<Label> = predicted.map(Label::Class).collect();
                    self.space.score(&predicted, &set.labels)
                }))
            }
            LabelSpace::Range { .. } => None,
        };
        Baselines { majority, bag_of_words }
    }

    fn by_label(&self, set: &Examples, predictions: &[SentencePrediction]) -> Option<ByLabel> {
        let LabelSpace::Classes(labels) = &self.space else { return None };
        let predicted: Vec<Label> = predictions.iter().map(|p| p.label).collect();
        let counts = by_class(&classes(&predicted), &classes(&set.labels), labels.len());
        Some(ByLabel {
            title: "Classes",
            label: "class",
            file: "classes.tsv",
            counts: labels.iter().cloned().zip(counts).collect(),
        })
    }

    fn details(&self, set: &Examples, predictions: &[SentencePrediction]) -> Vec<Details> {
        details(&self.space, set, predictions)
    }

    /// `predictions.tsv`: the column `index` with the number of the row in the file, and the column `prediction`, as
    /// `electra predict` writes them.
    fn write(&self, set: &Examples, predictions: &[SentencePrediction], dir: &Path) -> Result<()> {
        set.write_predictions(predictions.iter().map(|p| self.space.text(p.label)), dir)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let (text_a, text_b) = (self.task.text_a.clone(), self.task.text_b.clone());
        SentenceInfo {
            header: header.of_kind(SentenceInfo::KIND),
            texts: TextColumns { text_a, text_b },
            label: self.task.label.clone(),
            space: self.space.clone(),
        }
        .files()
    }

    fn card(&self) -> TaskCard {
        self.text_card(match &self.space {
            LabelSpace::Classes(labels) => format!("classification: {}", labels.join(", ")),
            LabelSpace::Range { min, max } => format!("regression from {min} to {max}"),
        })
    }
}
