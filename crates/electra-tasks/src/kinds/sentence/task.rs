//! Sentence tasks as fine-tuning sees them.

use super::{
    details::details,
    head::{SentenceNet, SentencePrediction},
    model::{KIND, SentenceInfo},
};
use crate::{
    baseline::{BagOfWords, Baselines},
    batch::BatchTensors,
    body::Body,
    config::FinetuneConfig,
    details::Details,
    error::{Error, Result},
    model::{Header, ModelFiles},
    preset::Group,
    split::Split,
    task::{Answers, LoadSite, LoadedTask, RowLosses, Task, TaskCard, TaskData, TaskHead},
    texts::data::{Dataset, Example, TextData, TextTask, dataset, loaded},
};
use electra_model::EncoderConfig;
use electra_scores::{
    Form, Label, LabelSpace, Metric, Scores, SentenceTask,
    sentence::{SentenceKind, check_classes, classes},
    table::Row,
};
use electra_train::metrics::Observations;
use std::{path::Path, sync::Arc};
use tch::{Tensor, nn};

/// The data of a sentence task, encoded.
pub type SentenceData = TextData<SentenceTask>;

/// Reads every file of the task below `data`.
///
/// # Errors
/// Naming file, line and column of the first row that cannot be used, or the file that is empty.
pub fn load(task: &SentenceTask, data: &Path) -> Result<Dataset<LabelSpace, Label>> {
    let dataset = dataset(task, data)?;
    let untrained = untrained(&dataset.space, &dataset.train);
    if !untrained.is_empty() {
        tracing::warn!(
            "{}: no row has {untrained:?} of the key labels: the model cannot learn it",
            data.join(&task.files.train).display()
        );
    }
    Ok(dataset)
}

/// Classes without an example.
fn untrained<'a>(space: &'a LabelSpace, examples: &[Example<Label>]) -> Vec<&'a str> {
    let LabelSpace::Classes(labels) = space else { return Vec::new() };
    let is_of = |class| examples.iter().any(|e| e.label == Label::Class(class));
    let lacking = labels.iter().enumerate().filter(|(class, _)| !is_of(*class));
    lacking.map(|(_, label)| label.as_str()).collect()
}

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

    /// Checks that no row has a class that the training file lacks.
    fn check_scored(
        &self,
        path: &Path,
        rows: &[Row],
        space: &LabelSpace,
        train: &[Example<Label>],
    ) -> Result<()> {
        let untrained = untrained(space, train);
        let label = |row: &Row| row.fields.last().cloned().unwrap_or_default();
        let Some(row) = rows.iter().find(|row| untrained.contains(&label(row).as_str())) else {
            return Ok(());
        };
        let message = format!(
            "label {:?} in column {:?} is in the key labels and not in the training file: the model cannot learn it",
            label(row),
            self.label
        );
        Err(Error::row(&path.display().to_string(), row.line, message))
    }
}

impl Task for SentenceTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn description(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain values serialise")
    }

    /// RTE and STS-B, which are known by their names here or in the reference, are learned for longer.
    fn group(&self) -> Group {
        match self.name.as_str() {
            "rte" | "sts" | "stsb" => Group::Long,
            _ => Group::Usual,
        }
    }

    fn check(&self, _config: &FinetuneConfig) -> Result<()> {
        Ok(self.validate()?)
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        loaded(self, site, load(self, site.data)?)
    }
}

impl TaskData for SentenceData {
    fn head(
        self: Arc<Self>,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn TaskHead>> {
        let net = SentenceNet::new(path, encoder, &config.head, &self.space)?;
        Ok(Box::new(SentenceHead { net, data: self }))
    }

    fn label(&self, example: usize) -> serde_json::Value {
        self.space.text(self.train_labels[example]).into()
    }

    fn baselines(&self) -> Baselines {
        let constant = self.space.majority(&self.train_labels);
        let majority = self
            .split_scores(|set| self.space.score(&vec![constant; set.labels.len()], &set.labels));
        let bag_of_words = match &self.space {
            LabelSpace::Classes(labels) => {
                let train = self.train.iter().zip(classes(&self.train_labels));
                let model = BagOfWords::train(train, labels.len(), self.vocab_size, &self.special);
                Some(self.split_scores(|set| {
                    let predicted = set.inputs.iter().map(|input| model.predict(input));
                    let predicted: Vec<Label> = predicted.map(Label::Class).collect();
                    self.space.score(&predicted, &set.labels)
                }))
            }
            LabelSpace::Range { .. } => None,
        };
        Baselines { majority, bag_of_words }
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let info = SentenceInfo {
            header: header.of_kind(KIND),
            text_a: self.task.text_a.clone(),
            text_b: self.task.text_b.clone(),
            label: self.task.label.clone(),
            space: self.space.clone(),
        };
        ModelFiles::new(&info, info.class())
    }

    fn card(&self) -> TaskCard {
        let kind = match &self.space {
            LabelSpace::Classes(labels) => format!("classification: {}", labels.join(", ")),
            LabelSpace::Range { min, max } => format!("regression from {min} to {max}"),
        };
        TaskCard {
            pipeline: "text-classification",
            rows: vec![("task", kind), ("text columns", self.task.text_columns().join(", "))],
            predict: "electra predict --model FOLDER --input new.tsv --output predictions.tsv",
        }
    }
}

#[derive(Debug)]
struct SentenceHead {
    net: SentenceNet,
    data: Arc<SentenceData>,
}

impl SentenceHead {
    fn labels(&self, examples: &[usize]) -> Vec<Label> {
        examples.iter().map(|&example| self.data.train_labels[example]).collect()
    }
}

impl TaskHead for SentenceHead {
    fn name(&self) -> &'static str {
        self.net.name()
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
        let inputs = &self.data.scored.of(split).inputs;
        let predictions = body
            .predict(inputs, batch_size, |hidden_bsh, batch| self.net.predict(hidden_bsh, batch));
        let data = Arc::clone(&self.data);
        Box::new(SentenceAnswers { data, split: split.clone(), predictions })
    }
}

#[derive(Debug)]
struct SentenceAnswers {
    data: Arc<SentenceData>,
    split: Split,
    predictions: Vec<SentencePrediction>,
}

impl Answers for SentenceAnswers {
    fn score(&self) -> Scores {
        let predicted: Vec<Label> = self.predictions.iter().map(|p| p.label).collect();
        self.data.space.score(&predicted, &self.data.scored.of(&self.split).labels)
    }

    fn details(&self) -> Vec<Details> {
        let data = &self.data;
        match self.split {
            Split::Dev => {
                details(&data.space, &data.dev_texts, &data.scored.dev.labels, &self.predictions)
            }
            Split::MoreDev(_) | Split::Test => Vec::new(),
        }
    }

    /// `predictions.tsv`: `index`, the number of the row in the file, and `prediction`, as `electra predict` writes them.
    fn write(&self, dir: &Path) -> Result<()> {
        let texts = self.predictions.iter().map(|p| self.data.space.text(p.label));
        self.data.write_predictions(&self.split, texts, dir)
    }
}
