//! Several tasks as one.

use super::{
    data::{Member, MultiData, model_folder},
    mixture::Mixture,
};
use crate::{
    batch::InputGroups,
    config::{Batches, FinetuneConfig},
    error::{Error, Result},
    order::{Order, grouped_order},
    report::Examples,
    split::Split,
    summary::SplitSummary,
    task::{LoadSite, LoadedTask, Task},
};
use electra_scores::Metric;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Several tasks trained at once, of any kinds whose heads have fresh weights: one encoder, a head for each task.
///
/// Source: reference `finetune/run_finetuning.py` and `model_builder`: examples of all tasks are mixed, the loss of a
/// row is that of its task. Departures: optional weights and temperature; a row runs through the head of its task
/// alone.
#[derive(Clone, Debug)]
pub struct MultiTask {
    /// What it is called in reports.
    pub name: String,
    /// The temperature `T` of sampling: a task with `n` inputs has a share of an epoch proportional to `n^(1/T)`, so a
    /// larger temperature makes the shares more equal. With 1 every input is used once, as in the reference.
    pub temperature: f64,
    /// The tasks; their names must differ.
    pub tasks: Vec<OneOf>,
}

/// One of several tasks.
#[derive(Clone, Debug)]
pub struct OneOf {
    /// The task.
    pub task: Arc<dyn Task>,
    /// The folder of its files.
    pub data: PathBuf,
    /// The factor of its losses.
    pub weight: f64,
}

impl Task for MultiTask {
    fn name(&self) -> &str {
        &self.name
    }

    /// The mean of the tasks' metrics; a metric for which lower is better counts with its sign changed.
    fn metric(&self) -> Metric {
        Metric::TaskMean
    }

    fn description(&self) -> Value {
        let one = |OneOf { task, data, weight }: &OneOf| json!({ "task": task.description(), "data": data, "weight": weight });
        let tasks: Vec<Value> = self.tasks.iter().map(one).collect();
        json!({ "name": self.name, "temperature": self.temperature, "tasks": tasks })
    }

    fn validate(&self) -> Result<()> {
        if self.tasks.len() < 2 {
            return Err(Error::value("tasks", self.tasks.len(), "must be at least 2"));
        }
        let mut folders = BTreeMap::new();
        for OneOf { task, weight, .. } in &self.tasks {
            let name = task.name();
            if let Some(other) = folders.insert(model_folder(name), name) {
                let expected =
                    format!("must differ from {other:?} in letters, digits or `-`, for its folder");
                return Err(Error::value("task", format!("{name:?}"), expected));
            }
            if !(*weight > 0.0 && weight.is_finite()) {
                let expected = format!("the weight of {name:?} must be above 0 and finite");
                return Err(Error::value("weight", weight, expected));
            }
        }
        if !(self.temperature >= 1.0 && self.temperature.is_finite()) {
            return Err(Error::value("temperature", self.temperature, "must be 1 or above"));
        }
        self.tasks.iter().try_for_each(|OneOf { task, .. }| task.validate())
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        self.tasks.iter().try_for_each(|OneOf { task, .. }| {
            if task.pretrained_head().is_some() {
                let expected =
                    "cannot be trained with other tasks: it starts from the discriminator's head";
                return Err(Error::value("task", format!("{:?}", task.name()), expected));
            }
            task.check(config)
        })
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        let (mut inputs, mut left_out, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        let mut summaries = Vec::new();
        let mut total = 0;
        let (mut examples, mut more) = (Examples { train: 0, dev: 0, test: 0 }, Vec::new());
        let (mut members, mut has_test) = (Vec::new(), false);
        for OneOf { task, data, weight } in &self.tasks {
            let loaded = task.load(&site.with_data(data))?;
            let first = total;
            total += loaded.inputs.len();
            sizes.push(loaded.inputs.len());
            inputs.push(loaded.inputs);
            examples.train += loaded.examples.train;
            examples.dev += loaded.examples.dev;
            examples.test += loaded.examples.test;
            left_out.extend(loaded.left_out);
            summaries.extend(loaded.summaries.into_iter().map(|summary| SplitSummary {
                split: format!("{}/{}", task.name(), summary.split),
                ..summary
            }));
            for split in &loaded.splits {
                match split {
                    Split::Dev => {}
                    Split::MoreDev(name) => {
                        more.push(Split::MoreDev(format!("{}/{name}", task.name())));
                    }
                    Split::Test => has_test = true,
                }
            }
            members.push(Member {
                task: Arc::clone(task),
                data: loaded.data,
                splits: loaded.splits,
                weight: *weight,
                examples: first..total,
            });
        }
        let mixture = Mixture::new(sizes, self.temperature);
        for (member, count) in members.iter().zip(mixture.counts()) {
            tracing::info!("{}: {count} of {total} inputs of an epoch", member.task.name());
        }
        let batches = site.config.train.batches;
        let batch_size = site.config.train.batch_size * site.config.train.accumulate;
        let inputs = InputGroups::concat(&inputs);
        let lengths = inputs.lengths();
        let order = Order::new(move |seed, epoch| {
            let mixed = mixture.order(seed, epoch);
            match batches {
                Batches::Shuffled => mixed,
                Batches::ByLength => {
                    let lengths: Vec<usize> = mixed.iter().map(|&input| lengths[input]).collect();
                    let grouped = grouped_order(&lengths, batch_size, seed, epoch);
                    grouped.into_iter().map(|place| mixed[place]).collect()
                }
            }
        });
        let test = has_test.then_some(Split::Test);
        let splits = std::iter::once(Split::Dev).chain(more).chain(test).collect();
        let data = MultiData { temperature: self.temperature, members, inputs: inputs.clone() };
        let data = Arc::new(data);
        Ok(LoadedTask { inputs, order, examples, splits, left_out, summaries, data })
    }
}
