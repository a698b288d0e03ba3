//! What a task is scored on: the dev file, further dev files and the test file, each read the same way.

use crate::{Result, problem::Split, task::Files};
use std::path::Path;

/// A set of examples for each split of a task.
#[derive(Debug)]
pub(crate) struct Scored<T> {
    pub(crate) dev: T,
    more_dev: Vec<(String, T)>,
    pub(crate) test: Option<T>,
}

impl<T> Scored<T> {
    /// Reads the files that are scored, which are below `data`.
    ///
    /// # Errors
    /// Whatever `read` says of the first file that it cannot read.
    pub(crate) fn read(
        files: &Files,
        data: &Path,
        read: impl Fn(&Path) -> Result<T>,
    ) -> Result<Self> {
        let read = |file: &Path| read(&data.join(file));
        let more_dev = files.more_dev.iter().map(|(name, file)| Ok((name.clone(), read(file)?)));
        Ok(Self {
            dev: read(&files.dev)?,
            more_dev: more_dev.collect::<Result<_>>()?,
            test: files.test.as_deref().map(read).transpose()?,
        })
    }

    /// The splits that there are.
    pub(crate) fn splits(&self) -> Vec<Split> {
        let more = self.more_dev.iter().map(|(name, _)| Split::MoreDev(name.clone()));
        let test = self.test.as_ref().map(|_| Split::Test);
        std::iter::once(Split::Dev).chain(more).chain(test).collect()
    }

    /// The examples of a split, if there is such a split.
    pub(crate) fn split(&self, split: &Split) -> Option<&T> {
        match split {
            Split::Dev => Some(&self.dev),
            Split::MoreDev(name) => {
                self.more_dev.iter().find(|(known, _)| known == name).map(|(_, set)| set)
            }
            Split::Test => self.test.as_ref(),
        }
    }
}
