//! Several tasks on one encoder: a head for each, examples of all of them mixed.

mod head;
mod member;
mod order;

use crate::{
    AnyTask, Error, FinetuneConfig, Result,
    baseline::{Baselines, SplitScores},
    batch::{Feature, grouped_order},
    config::Batches,
    details::Details,
    model::{Header, Kind},
    objective::Answering,
    problem::{
        HeadClass, LoadSite, Loaded, MemberModel, Order, Problem, Remembered, Split, TaskCard,
    },
    report::Examples,
    scores::{Metric, Scores},
};
use electra_model::EncoderConfig;
use electra_train::folder::write_file;
use member::{Member, MemberAnswers, Read, read};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tch::nn;

pub use head::{MultiHead, MultiTarget};
pub use order::Mixture;

/// Several tasks that are learned at once, of any kinds but WNLI by candidates: one encoder, a head for each.
///
/// Source: reference `finetune/run_finetuning.py` and `model_builder`: examples of all tasks are mixed, a row's loss is
/// that of its own task. Departures: weights and the temperature as a choice; a row runs through its own head alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiTask {
    /// What it is called in reports.
    pub name: String,
    /// The larger, the more alike the tasks' shares of an epoch: a task of `n` inputs has one of `n^(1/T)`. 1 takes
    /// each input once, as the reference.
    pub temperature: f64,
    /// The tasks; their names must differ.
    pub tasks: Vec<OneOf>,
}

/// One of several tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneOf {
    /// What is learned.
    pub task: AnyTask,
    /// The folder of its files.
    pub data: PathBuf,
    /// What its losses are multiplied by.
    pub weight: f64,
}

/// What the folder of a model of several tasks says of itself: its `task.json`. The model of each task is a folder in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiInfo {
    /// What every kind has.
    #[serde(flatten)]
    pub header: Header,
    /// The folders of the tasks' own models.
    pub tasks: Vec<String>,
}

/// The data of all tasks.
#[derive(Debug)]
pub struct MultiData {
    members: Vec<Arc<dyn Member>>,
}

/// The answers of the tasks that have the split, by the tasks' names.
#[derive(Debug)]
pub struct MultiAnswers(Vec<(String, Box<dyn MemberAnswers>)>);

/// The folder and the variables of a task's model: its name with letters, digits, `-` and `_` alone.
fn folder(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().map(plain).collect()
}

impl MultiTask {
    /// Checks that the tasks can be told from each other, and the numbers.
    ///
    /// # Errors
    /// Naming the first that cannot be used.
    pub fn validate(&self) -> Result<()> {
        if self.tasks.len() < 2 {
            return Err(Error::value("tasks", self.tasks.len(), "must be at least 2"));
        }
        let mut folders = BTreeMap::new();
        for OneOf { task, weight, .. } in &self.tasks {
            let name = task.name();
            if let Some(other) = folders.insert(folder(name), name) {
                let expected = format!("must have another name than {other:?}, as a folder has it");
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
        Ok(())
    }
}

/// Why a task is not learned with others.
fn alone(name: &str) -> Error {
    let expected = "is learned alone: it begins with the discriminator's own head";
    Error::value("task", format!("{name:?}"), expected)
}

/// The answers of `member` to its own split that `split` is or has.
fn own_split(member: &dyn Member, split: &Split) -> Option<Split> {
    let wanted = match split {
        Split::Dev | Split::Test => split.clone(),
        Split::MoreDev(name) => {
            let own = name.strip_prefix(member.name())?.strip_prefix('/')?;
            Split::MoreDev(own.to_owned())
        }
    };
    member.splits().contains(&wanted).then_some(wanted)
}

/// The mean over tasks of what each is judged by; `None` where one has no such score.
fn mean(scores: &[Scores]) -> Option<f64> {
    let all: Option<Vec<f64>> =
        scores.iter().map(|scores| scores.get(&Metric::TaskMean).copied().flatten()).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.iter().sum::<f64>() / all.len() as f64)
}

impl Problem for MultiTask {
    type Head = MultiHead;
    type Data = MultiData;
    type Answers = MultiAnswers;

    fn name(&self) -> &str {
        &self.name
    }

    /// The mean over the tasks of the metric of each; one of which less is better counts with its sign turned.
    fn metric(&self) -> Metric {
        Metric::TaskMean
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        self.validate()?;
        self.tasks.iter().try_for_each(|one| match &one.task {
            AnyTask::Sentence(task) => task.check(config),
            AnyTask::MultiLabel(task) => task.check(config),
            AnyTask::Squad(task) => task.check(config),
            AnyTask::Tagging(task) => task.check(config),
            AnyTask::Winograd(task) => Err(alone(&task.name)),
        })
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>> {
        let members = self.tasks.iter().map(|one| {
            let site = site.of(&one.data);
            match &one.task {
                AnyTask::Sentence(task) => read(task, &site),
                AnyTask::MultiLabel(task) => read(task, &site),
                AnyTask::Squad(task) => read(task, &site),
                AnyTask::Tagging(task) => read(task, &site),
                AnyTask::Winograd(task) => Err(alone(&task.name)),
            }
        });
        let read: Vec<Read> = members.collect::<Result<_>>()?;
        let (mut train, mut lengths, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let (mut examples, mut more) = (Examples { train: 0, dev: 0, test: 0 }, Vec::new());
        let (mut members, mut sizes, mut has_test) = (Vec::new(), Vec::new(), false);
        for (number, one) in read.into_iter().enumerate() {
            sizes.push(one.inputs.len());
            for (example, (ids, segment_b_start)) in one.inputs.into_iter().enumerate() {
                lengths.push(ids.len());
                let target = MultiTarget { task: number, example };
                train.push(Arc::new(Feature { ids, segment_b_start, target }));
            }
            examples.train += one.examples.train;
            examples.dev += one.examples.dev;
            examples.test += one.examples.test;
            left_out.extend(one.left_out);
            for split in one.member.splits() {
                match split {
                    Split::Dev => {}
                    Split::MoreDev(name) => {
                        more.push(Split::MoreDev(format!("{}/{name}", one.member.name())));
                    }
                    Split::Test => has_test = true,
                }
            }
            members.push(one.member);
        }
        let mixture = Mixture::new(sizes, self.temperature);
        for (member, count) in members.iter().zip(mixture.counts()) {
            tracing::info!("{}: {count} of {} inputs of an epoch", member.name(), train.len());
        }
        let batches = site.config.train.batches;
        let batch_size = site.config.train.batch_size * site.config.train.accumulate;
        let order = Order::new(move |seed, epoch| {
            let mixed = mixture.places(seed, epoch);
            match batches {
                Batches::Shuffled => mixed,
                Batches::ByLength => {
                    let lengths: Vec<usize> = mixed.iter().map(|&place| lengths[place]).collect();
                    let grouped = grouped_order(&lengths, batch_size, seed, epoch);
                    grouped.into_iter().map(|place| mixed[place]).collect()
                }
            }
        });
        let test = has_test.then_some(Split::Test);
        let splits = std::iter::once(Split::Dev).chain(more).chain(test).collect();
        let data = MultiData { members };
        Ok(Loaded { train: train.into(), order, examples, splits, left_out, data })
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        data: &MultiData,
    ) -> electra_model::Result<MultiHead> {
        let heads = data.members.iter().zip(&self.tasks).map(|(member, one)| {
            Ok((member.head(&(path / folder(member.name())), encoder, config)?, one.weight))
        });
        Ok(MultiHead::new(heads.collect::<electra_model::Result<_>>()?))
    }

    fn answers(
        &self,
        network: Answering<'_, MultiHead>,
        data: &MultiData,
        split: &Split,
        batch_size: usize,
    ) -> MultiAnswers {
        let answers = data.members.iter().zip(network.head.heads()).filter_map(|(member, head)| {
            let own = own_split(&**member, split)?;
            let answers = head.answers(network.body, &own, batch_size);
            Some((member.name().to_owned(), answers))
        });
        MultiAnswers(answers.collect())
    }

    fn score(&self, _data: &MultiData, split: &Split, answers: &MultiAnswers) -> Scores {
        let mut scores: Vec<Scores> =
            answers.0.iter().map(|(_, answers)| answers.score()).collect();
        match (split, scores.pop()) {
            (Split::MoreDev(_), Some(own)) => own,
            (_, last) => {
                scores.extend(last);
                Scores::from([(Metric::TaskMean, mean(&scores))])
            }
        }
    }

    fn parts(
        &self,
        _data: &MultiData,
        split: &Split,
        answers: &MultiAnswers,
    ) -> BTreeMap<String, Scores> {
        match split {
            Split::MoreDev(_) => BTreeMap::new(),
            _ => answers.0.iter().map(|(name, own)| (name.clone(), own.score())).collect(),
        }
    }

    /// A section for each task.
    fn details(&self, _data: &MultiData, _split: &Split, answers: &MultiAnswers) -> Vec<Details> {
        let section = |(name, own): &(String, Box<dyn MemberAnswers>)| Details::Task {
            name: name.clone(),
            details: own.details(),
        };
        answers.0.iter().map(section).collect()
    }

    /// A folder for each task with what it writes of itself, and `scores.json`.
    fn write(
        &self,
        _data: &MultiData,
        _split: &Split,
        answers: &MultiAnswers,
        dir: &Path,
    ) -> Result<()> {
        for (name, answers) in &answers.0 {
            let dir = dir.join(folder(name));
            fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
            answers.write(&dir)?;
            let scores = serde_json::to_string_pretty(&answers.score());
            let scores = scores.expect("plain values serialise") + "\n";
            write_file(&dir.join("scores.json"), &scores)?;
        }
        Ok(())
    }

    /// The means over the tasks, where all have such a baseline.
    fn baselines(&self, data: &MultiData) -> Baselines {
        let all: Vec<Baselines> = data.members.iter().map(|member| member.baselines()).collect();
        let means = |pick: &dyn Fn(&Baselines) -> Option<&SplitScores>| {
            let picked: Option<Vec<&SplitScores>> = all.iter().map(pick).collect();
            picked.map(|picked| {
                let of = |scores: Vec<Scores>| Scores::from([(Metric::TaskMean, mean(&scores))]);
                let tests: Vec<Scores> = picked.iter().filter_map(|s| s.test.clone()).collect();
                SplitScores {
                    dev: of(picked.iter().map(|s| s.dev.clone()).collect()),
                    test: (!tests.is_empty()).then(|| of(tests)),
                }
            })
        };
        let none = SplitScores { dev: Scores::new(), test: None };
        Baselines {
            majority: means(&|of| Some(&of.majority)).unwrap_or(none),
            bag_of_words: means(&|of| of.bag_of_words.as_ref()),
        }
    }

    /// The encoder, and a folder in it for each task: a model of its own kind, the encoder included.
    fn remember(&self, data: &MultiData, config: &FinetuneConfig, seed: u64) -> Remembered {
        let members = data.members.iter().map(|member| MemberModel {
            folder: folder(member.name()),
            variables: folder(member.name()),
            remembered: member.remember(config, seed),
        });
        let members: Vec<MemberModel> = members.collect();
        let info = MultiInfo {
            header: Header::new(Kind::Multi, self, config, seed),
            tasks: members.iter().map(|member| member.folder.clone()).collect(),
        };
        let info = serde_json::to_value(info).expect("plain values serialise");
        Remembered { info, class: HeadClass::none(), members }
    }

    fn card(&self, data: &MultiData) -> TaskCard {
        let mut rows = vec![("temperature", self.temperature.to_string())];
        for (member, one) in data.members.iter().zip(&self.tasks) {
            let about: Vec<String> = member.card().rows.into_iter().map(|(_, what)| what).collect();
            rows.push((
                "task",
                format!(
                    "{} (folder {}, weight {}): {}",
                    member.name(),
                    folder(member.name()),
                    one.weight,
                    about.join("; ")
                ),
            ));
        }
        TaskCard {
            pipeline: "feature-extraction",
            rows,
            predict: "electra predict --model FOLDER/TASK --input new.tsv --output predictions.tsv",
        }
    }
}
