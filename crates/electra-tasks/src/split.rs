//! The splits that a task is scored on: the dev set, further dev sets and the test set.

use crate::{baseline::SplitScores, error::Result};
use electra_scores::{Files, Scores};
use std::{collections::BTreeMap, path::Path};

/// A split that is scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// The split that seeds are compared on.
    Dev,
    /// A further dev set with a name: it is scored as the dev set, but nothing is selected by its scores.
    MoreDev(String),
    /// Scored at the end; nothing is selected by its scores.
    Test,
}

impl Split {
    /// The name, which is also the folder's.
    pub fn name(&self) -> String {
        match self {
            Self::Dev => "dev".to_owned(),
            Self::MoreDev(name) => format!("dev-{}", name.replace(['/', '\\'], "-")),
            Self::Test => "test".to_owned(),
        }
    }
}

/// One value for each split of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits<T> {
    /// Of the dev set.
    pub dev: T,
    /// Of the further dev sets, by name.
    pub more_dev: BTreeMap<String, T>,
    /// Of the test set.
    pub test: Option<T>,
}

impl<T> Splits<T> {
    /// Reads the files of all splits, which are below `data`, in the order of [`Splits::names`].
    ///
    /// # Errors
    /// The first error of `read`.
    pub fn read(
        files: &Files,
        data: &Path,
        mut read: impl FnMut(&Split, &Path) -> Result<T>,
    ) -> Result<Self> {
        let mut read = |split: Split, file: &Path| read(&split, &data.join(file));
        let dev = read(Split::Dev, &files.dev)?;
        let more_dev = files
            .more_dev
            .iter()
            .map(|(name, file)| Ok((name.clone(), read(Split::MoreDev(name.clone()), file)?)));
        let more_dev = more_dev.collect::<Result<_>>()?;
        let test = files.test.as_deref().map(|file| read(Split::Test, file)).transpose()?;
        Ok(Self { dev, more_dev, test })
    }

    /// `to` applied to each value, in the order of [`Splits::names`].
    ///
    /// # Errors
    /// The first error of `to`.
    pub fn map<U>(self, mut to: impl FnMut(T) -> Result<U>) -> Result<Splits<U>> {
        let dev = to(self.dev)?;
        let more_dev = self.more_dev.into_iter().map(|(name, value)| Ok((name, to(value)?)));
        let more_dev = more_dev.collect::<Result<_>>()?;
        Ok(Splits { dev, more_dev, test: self.test.map(to).transpose()? })
    }

    /// `score` of the dev set and of the test set.
    pub fn scores(&self, score: impl Fn(&T) -> Scores) -> SplitScores {
        SplitScores { dev: score(&self.dev), test: self.test.as_ref().map(score) }
    }

    /// The splits of the task.
    pub fn names(&self) -> Vec<Split> {
        let more = self.more_dev.keys().cloned().map(Split::MoreDev);
        let test = self.test.as_ref().map(|_| Split::Test);
        std::iter::once(Split::Dev).chain(more).chain(test).collect()
    }

    /// The value of a split, one of [`Splits::names`].
    ///
    /// # Panics
    /// If the task does not have the split.
    pub fn of(&self, split: &Split) -> &T {
        let value = match split {
            Split::Dev => Some(&self.dev),
            Split::MoreDev(name) => self.more_dev.get(name),
            Split::Test => self.test.as_ref(),
        };
        value.expect("the split is one of the task's")
    }
}
