//! Model folders that `transformers` wrote, and the models of kinds of tasks that they become.

use crate::{error::Result, model::Header};
use electra_model::hf;
use electra_scores::{Metric, squad::Version};
use serde_json::Value;
use std::path::Path;

/// A model folder without `task.json`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Foreign<'a> {
    /// The folder.
    pub dir: &'a Path,
    /// Its `config.json`.
    pub config: &'a hf::Config,
    /// The name of the task.
    pub task: &'a str,
    /// The columns of the texts, in order; at least one.
    pub texts: &'a [String],
    /// For questions: whether every question has an answer (1.1).
    pub squad: Version,
}

impl<'a> Foreign<'a> {
    pub(crate) fn new(
        dir: &'a Path,
        config: &'a hf::Config,
        task: &'a str,
        texts: &'a [String],
        squad: Version,
    ) -> Self {
        Self { dir, config, task, texts, squad }
    }

    /// The header of its `task.json`.
    pub fn header(&self, metric: Metric) -> Header {
        Header::foreign(self.task, metric, self.config)
    }
}

/// The `task.json` of a model folder, or `None` if the folder has another kind of model.
pub type Adopt = fn(&Foreign<'_>) -> Result<Option<Value>>;
