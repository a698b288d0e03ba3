//! One of several tasks with its data: what is the same whatever its kind. Behind these traits each task keeps its own
//! types, so that no target or answer can reach the head of another.

use crate::{
    FinetuneConfig, Result,
    baseline::{Baselines, SplitScores},
    batch::Inputs,
    details::Details,
    heads::{Head, RowLosses},
    objective::{Answering, Body},
    problem::{Features, LoadSite, Loaded, Problem, Remembered, Split, Target, TaskCard},
    report::{Examples, LeftOut},
    scores::{Metric, Scores},
};
use electra_model::EncoderConfig;
use std::{
    fmt::{self, Debug},
    path::Path,
    sync::Arc,
};
use tch::{Tensor, nn};

/// A task with its data.
pub(super) trait Member: Debug + Send + Sync {
    fn name(&self) -> &str;
    fn splits(&self) -> &[Split];
    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn MemberHead>>;
    fn baselines(&self) -> Baselines;
    fn remember(&self, config: &FinetuneConfig, seed: u64) -> Remembered;
    fn card(&self) -> TaskCard;
}

/// A task's head, which knows its examples.
pub(crate) trait MemberHead: Debug + Send {
    /// The losses of rows that are these examples of the task's training inputs.
    fn losses(
        &self,
        hidden_bsh: &Tensor,
        inputs: &Inputs,
        examples: &[usize],
        train: bool,
    ) -> RowLosses;

    /// The answers to a split of the task.
    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn MemberAnswers>;
}

/// A task's answers to a split.
pub(super) trait MemberAnswers: Debug {
    /// Every score, and as the mean over tasks the one that the task is judged by.
    fn score(&self) -> Scores;
    fn details(&self) -> Vec<Details>;
    fn write(&self, dir: &Path) -> Result<()>;
}

/// A task, read.
pub(super) struct Read {
    pub(super) member: Arc<dyn Member>,
    /// The training inputs: ids, and where segment 1 begins.
    pub(super) inputs: Vec<(Vec<u32>, usize)>,
    pub(super) examples: Examples,
    pub(super) left_out: Vec<LeftOut>,
}

/// Reads the data of a task.
pub(super) fn read<P>(task: &P, site: &LoadSite<'_>) -> Result<Read>
where
    P: Problem + Send + Sync + 'static,
    P::Data: Send + Sync + 'static,
    P::Head: 'static,
    P::Answers: 'static,
    Target<P>: Send + Sync + 'static,
{
    let Loaded { train, examples, splits, left_out, data, .. } = task.load(site)?;
    let inputs =
        train.iter().map(|feature| (feature.ids.clone(), feature.segment_b_start)).collect();
    let member = Arc::new(Typed(Arc::new(Known { task: task.clone(), train, splits, data })));
    Ok(Read { member, inputs, examples, left_out })
}

/// What is known of a task.
struct Known<P: Problem> {
    task: P,
    train: Features<Target<P>>,
    splits: Vec<Split>,
    data: P::Data,
}

impl<P: Problem> Known<P> {
    fn judged(&self, scores: Scores) -> Scores {
        judged(scores, self.task.metric())
    }
}

/// Scores with the one that the task is judged by as its part of the mean over tasks.
fn judged(mut scores: Scores, metric: Metric) -> Scores {
    let own = scores.get(&metric).copied().flatten().map(|score| metric.merit(Some(score)));
    scores.insert(Metric::TaskMean, own);
    scores
}

impl<P: Problem> Debug for Known<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("task", &self.task).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Typed<P: Problem>(Arc<Known<P>>);

impl<P> Member for Typed<P>
where
    P: Problem + Send + Sync + 'static,
    P::Data: Send + Sync + 'static,
    P::Head: 'static,
    P::Answers: 'static,
    Target<P>: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        self.0.task.name()
    }

    fn splits(&self) -> &[Split] {
        &self.0.splits
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn MemberHead>> {
        let head = self.0.task.head(path, encoder, config, &self.0.data)?;
        Ok(Box::new(TypedHead { known: Arc::clone(&self.0), head }))
    }

    fn baselines(&self) -> Baselines {
        let Baselines { majority, bag_of_words } = self.0.task.baselines(&self.0.data);
        let judged = |SplitScores { dev, test }| SplitScores {
            dev: self.0.judged(dev),
            test: test.map(|test| self.0.judged(test)),
        };
        Baselines { majority: judged(majority), bag_of_words: bag_of_words.map(judged) }
    }

    fn remember(&self, config: &FinetuneConfig, seed: u64) -> Remembered {
        self.0.task.remember(&self.0.data, config, seed)
    }

    fn card(&self) -> TaskCard {
        self.0.task.card(&self.0.data)
    }
}

#[derive(Debug)]
struct TypedHead<P: Problem> {
    known: Arc<Known<P>>,
    head: P::Head,
}

impl<P> MemberHead for TypedHead<P>
where
    P: Problem + Send + Sync + 'static,
    P::Data: Send + Sync + 'static,
    P::Answers: 'static,
    Target<P>: Send + Sync,
{
    fn losses(
        &self,
        hidden_bsh: &Tensor,
        inputs: &Inputs,
        examples: &[usize],
        train: bool,
    ) -> RowLosses {
        let targets: Vec<&Target<P>> =
            examples.iter().map(|&example| &self.known.train[example].target).collect();
        self.head.losses(hidden_bsh, inputs, &targets, train)
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn MemberAnswers> {
        let network = Answering { body, head: &self.head };
        let answers = self.known.task.answers(network, &self.known.data, split, batch_size);
        let (known, split) = (Arc::clone(&self.known), split.clone());
        Box::new(TypedAnswers { known, split, answers })
    }
}

struct TypedAnswers<P: Problem> {
    known: Arc<Known<P>>,
    split: Split,
    answers: P::Answers,
}

impl<P: Problem> Debug for TypedAnswers<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedAnswers").field("split", &self.split).finish_non_exhaustive()
    }
}

impl<P: Problem> MemberAnswers for TypedAnswers<P> {
    fn score(&self) -> Scores {
        let Known { task, data, .. } = &*self.known;
        self.known.judged(task.score(data, &self.split, &self.answers))
    }

    fn details(&self) -> Vec<Details> {
        let Known { task, data, .. } = &*self.known;
        task.details(data, &self.split, &self.answers)
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let Known { task, data, .. } = &*self.known;
        task.write(data, &self.split, &self.answers, dir)
    }
}
