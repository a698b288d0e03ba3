//! What a task is scored on: the dev file, further dev files and the test file, each read the same way.

use crate::{Result, problem::Split, task::Files};
use std::{collections::BTreeMap, path::Path};

/// A set of examples for each split of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored<T> {
    /// What seeds are compared on.
    pub dev: T,
    /// What is scored beside it, by name.
    pub more_dev: BTreeMap<String, T>,
    /// What is scored at the end.
    pub test: Option<T>,
}

impl<T> Scored<T> {
    /// Reads the files that are scored, which are below `data`.
    ///
    /// # Errors
    /// Whatever `read` says of the first file that it cannot read.
    pub(crate) fn read(
        files: &Files,
        data: &Path,
        mut read: impl FnMut(&Path) -> Result<T>,
    ) -> Result<Self> {
        let mut read = |file: &Path| read(&data.join(file));
        let dev = read(&files.dev)?;
        let more_dev = files.more_dev.iter().map(|(name, file)| Ok((name.clone(), read(file)?)));
        let more_dev = more_dev.collect::<Result<_>>()?;
        Ok(Self { dev, more_dev, test: files.test.as_deref().map(read).transpose()? })
    }

    /// What `to` makes of each set.
    ///
    /// # Errors
    /// The first of `to`.
    pub(crate) fn map<U>(&self, to: impl Fn(&T) -> Result<U>) -> Result<Scored<U>> {
        let more_dev = self.more_dev.iter().map(|(name, set)| Ok((name.clone(), to(set)?)));
        Ok(Scored {
            dev: to(&self.dev)?,
            more_dev: more_dev.collect::<Result<_>>()?,
            test: self.test.as_ref().map(to).transpose()?,
        })
    }

    /// The splits that there are.
    pub(crate) fn splits(&self) -> Vec<Split> {
        let more = self.more_dev.keys().cloned().map(Split::MoreDev);
        let test = self.test.as_ref().map(|_| Split::Test);
        std::iter::once(Split::Dev).chain(more).chain(test).collect()
    }

    /// The examples of a split, if there is such a split.
    pub(crate) fn split(&self, split: &Split) -> Option<&T> {
        match split {
            Split::Dev => Some(&self.dev),
            Split::MoreDev(name) => self.more_dev.get(name),
            Split::Test => self.test.as_ref(),
        }
    }
}
