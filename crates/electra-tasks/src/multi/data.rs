//! The data of several tasks, a head of heads, and the answers of all tasks.

use crate::{
    baseline::{Baselines, SplitScores},
    batch::InputGroups,
    body::Body,
    details::Details,
    error::{Error, Result},
    head::{HeadInput, HeadSite, RowLosses},
    model::{Header, MULTI, MemberModel, ModelFiles},
    split::Split,
    task::{Answers, Task, TaskCard, TaskData, TaskHead},
};
use electra_files::write_json;
use electra_scores::{MatchCounts, Metric, Scores};
use electra_torch::upload;
use std::{collections::BTreeMap, fs, ops::Range, path::Path, sync::Arc};
use tch::{Kind, Tensor};

/// The data of all tasks.
#[derive(Debug)]
pub(super) struct MultiData {
    pub(super) temperature: f64,
    pub(super) members: Vec<Member>,
    /// The training inputs of all tasks.
    pub(super) inputs: InputGroups,
}

/// The data of one task.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) task: Arc<dyn Task>,
    pub(super) data: Arc<dyn TaskData>,
    pub(super) splits: Vec<Split>,
    /// The factor of its losses.
    pub(super) weight: f64,
    /// The numbers of its groups of training inputs among those of all tasks.
    pub(super) examples: Range<usize>,
}

/// The name of the folder and the variables of a task's model: its name with letters, digits, `-` and `_` only.
pub(super) fn model_folder(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().map(plain).collect()
}

impl Member {
    /// The task's part of `split`, if it has one.
    fn own_split(&self, split: &Split) -> Option<Split> {
        let wanted = match split {
            Split::Dev | Split::Test => split.clone(),
            Split::MoreDev(name) => {
                let own = name.strip_prefix(self.task.name())?.strip_prefix('/')?;
                Split::MoreDev(own.to_owned())
            }
        };
        self.splits.contains(&wanted).then_some(wanted)
    }

    /// Scores with the task's contribution to the mean over tasks.
    fn with_mean(&self, mut scores: Scores) -> Scores {
        let metric = self.task.metric();
        let own = scores.get(&metric).copied().flatten().map(|score| metric.merit(Some(score)));
        scores.insert(Metric::TaskMean, own);
        scores
    }
}

/// The mean of the tasks' metrics; `None` if the metric of a task is not defined.
fn mean(scores: &[Scores]) -> Option<f64> {
    let all: Option<Vec<f64>> =
        scores.iter().map(|scores| scores.get(&Metric::TaskMean).copied().flatten()).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.iter().sum::<f64>() / all.len() as f64)
}

impl TaskData for MultiData {
    fn head(self: Arc<Self>, site: &HeadSite<'_>) -> electra_model::Result<Box<dyn TaskHead>> {
        let head = |member: &Member| {
            let path = site.path / model_folder(member.task.name());
            Arc::clone(&member.data).head(&HeadSite { path: &path, ..*site })
        };
        let heads = self.members.iter().map(head).collect::<electra_model::Result<_>>()?;
        Ok(Box::new(MultiHead { heads, data: self }))
    }

    fn label(&self, example: usize) -> serde_json::Value {
        let own = self.members.iter().find(|member| member.examples.contains(&example));
        own.map_or(serde_json::Value::Null, |member| {
            member.data.label(example - member.examples.start)
        })
    }

    /// The means over the tasks, where all have such a baseline.
    fn baselines(&self) -> Baselines {
        let of_member = |member: &Member| {
            let Baselines { majority, bag_of_words } = member.data.baselines();
            let with_mean = |SplitScores { dev, test }| SplitScores {
                dev: member.with_mean(dev),
                test: test.map(|test| member.with_mean(test)),
            };
            Baselines { majority: with_mean(majority), bag_of_words: bag_of_words.map(with_mean) }
        };
        let all: Vec<Baselines> = self.members.iter().map(of_member).collect();
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
        Baselines {
            majority: means(&|of| Some(&of.majority)).unwrap_or_default(),
            bag_of_words: means(&|of| of.bag_of_words.as_ref()),
        }
    }

    /// The encoder, and a subfolder for each task with a complete model of its kind.
    fn model_files(&self, header: Header) -> ModelFiles {
        let members = self.members.iter().map(|member| MemberModel {
            folder: model_folder(member.task.name()),
            files: member.data.model_files(Header {
                task: member.task.name().to_owned(),
                metric: member.task.metric(),
                ..header.clone()
            }),
        });
        let members: Vec<MemberModel> = members.collect();
        let folders: Vec<&str> = members.iter().map(|member| member.folder.as_str()).collect();
        let mut files = ModelFiles::own(header.clone().of_kind(MULTI));
        files.info["tasks"] = folders.into();
        ModelFiles { members, ..files }
    }

    fn card(&self) -> TaskCard {
        let mut rows = vec![("temperature", self.temperature.to_string())];
        for member in &self.members {
            let about: Vec<String> =
                member.data.card().rows.into_iter().map(|(_, what)| what).collect();
            let name = member.task.name();
            let (folder, weight, about) = (model_folder(name), member.weight, about.join("; "));
            rows.push(("task", format!("{name} (folder {folder}, weight {weight}): {about}")));
        }
        TaskCard {
            pipeline: "feature-extraction",
            rows,
            predict: "electra predict --model FOLDER/TASK --input new.tsv --output predictions.tsv",
        }
    }
}

/// The heads of several tasks: each group of rows goes to the head of its task. The variables of a head have the prefix
/// [`model_folder`].
#[derive(Debug)]
struct MultiHead {
    heads: Vec<Box<dyn TaskHead>>,
    data: Arc<MultiData>,
}

impl TaskHead for MultiHead {
    fn name(&self) -> &'static str {
        "several-tasks"
    }

    fn losses(&self, x: &HeadInput<'_>, examples: &[usize]) -> RowLosses {
        let device = x.hidden_bsh.device();
        let mut losses_b = Tensor::zeros([examples.len() as i64], (Kind::Float, device));
        let index = |numbers: &[usize]| {
            let numbers: Vec<i64> = numbers.iter().map(|&number| number as i64).collect();
            upload(&Tensor::from_slice(&numbers), device)
        };
        let sizes = examples.iter().map(|&example| self.data.inputs.group(example).len());
        let ranges = sizes.scan(0, |end, size| {
            *end += size;
            Some(*end - size..*end)
        });
        let rows_of: Vec<Range<usize>> = ranges.collect();
        for (head, member) in self.heads.iter().zip(&self.data.members) {
            let is_own = |place: &usize| member.examples.contains(&examples[*place]);
            let places: Vec<usize> = (0..examples.len()).filter(is_own).collect();
            if places.is_empty() {
                continue;
            }
            let rows: Vec<usize> =
                places.iter().flat_map(|&place| rows_of[place].clone()).collect();
            let examples: Vec<usize> =
                places.iter().map(|&place| examples[place] - member.examples.start).collect();
            let hidden_rsh = x.hidden_bsh.index_select(0, &index(&rows));
            let own = HeadInput { hidden_bsh: &hidden_rsh, batch: &x.batch.select(&rows), ..*x };
            let own = head.losses(&own, &examples);
            let losses_p = own.losses_b.to_kind(Kind::Float) * member.weight;
            losses_b = losses_b.index_add(0, &index(&places), &losses_p);
        }
        RowLosses { losses_b, outputs: Vec::new() }
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        let own = self.heads.iter().zip(&self.data.members).enumerate();
        let answers = own.filter_map(|(number, (head, member))| {
            let own = member.own_split(split)?;
            Some((number, head.answers(body, &own, batch_size)))
        });
        let (data, answers) = (Arc::clone(&self.data), answers.collect());
        Box::new(MultiAnswers { data, split: split.clone(), answers })
    }
}

/// The answers of the tasks with the split.
#[derive(Debug)]
struct MultiAnswers {
    data: Arc<MultiData>,
    split: Split,
    /// Each with the number of its task.
    answers: Vec<(usize, Box<dyn Answers>)>,
}

impl MultiAnswers {
    /// Each task with its answers.
    fn by_task(&self) -> impl Iterator<Item = (&Member, &dyn Answers)> {
        self.answers.iter().map(|(number, answers)| (&self.data.members[*number], &**answers))
    }
}

impl Answers for MultiAnswers {
    fn score(&self) -> Scores {
        let mut scores: Vec<Scores> =
            self.by_task().map(|(member, own)| member.with_mean(own.score())).collect();
        match (&self.split, scores.pop()) {
            (Split::MoreDev(_), Some(own)) => own,
            (_, last) => {
                scores.extend(last);
                Scores::from([(Metric::TaskMean, mean(&scores))])
            }
        }
    }

    fn parts(&self) -> BTreeMap<String, Scores> {
        let part = |(member, own): (&Member, &dyn Answers)| {
            (member.task.name().to_owned(), member.with_mean(own.score()))
        };
        match self.split {
            Split::MoreDev(_) => BTreeMap::new(),
            Split::Dev | Split::Test => self.by_task().map(part).collect(),
        }
    }

    fn by_label(&self) -> Vec<(String, MatchCounts)> {
        let of_task = |(member, own): (&Member, &dyn Answers)| {
            let name = member.task.name().to_owned();
            own.by_label()
                .into_iter()
                .map(move |(label, counts)| (format!("{name}/{label}"), counts))
        };
        self.by_task().flat_map(of_task).collect()
    }

    /// A section for each task.
    fn details(&self) -> Vec<Details> {
        let section = |(member, own): (&Member, &dyn Answers)| Details::Task {
            name: member.task.name().to_owned(),
            details: own.details(),
        };
        self.by_task().map(section).collect()
    }

    /// A folder for each task with its files and `scores.json`.
    fn write(&self, dir: &Path) -> Result<()> {
        for (member, own) in self.by_task() {
            let dir = dir.join(model_folder(member.task.name()));
            fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
            own.write(&dir)?;
            write_json(&dir.join("scores.json"), &member.with_mean(own.score()))?;
        }
        Ok(())
    }
}
