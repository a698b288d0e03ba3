//! Selection of the best step: the weights with the best dev score, kept next to the checkpoints during training.

use crate::error::{Error, Result};
use electra_files::{folder, if_there, read_json, write_file};
use electra_model::tensors;
use electra_scores::Metric;
use electra_train::Existing;
use serde::{Deserialize, Serialize};
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};
use tch::Tensor;

/// The folder of the best weights in a seed's folder.
const BEST: &str = "best";
const SCORE: &str = "score.json";
const MODEL: &str = "model.safetensors";

/// The best step of a seed so far. It is kept in files, so that a resumed run has it.
#[derive(Debug)]
pub(super) struct BestStep {
    dir: PathBuf,
    metric: Metric,
    known: Cell<Option<Chosen>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Chosen {
    /// The number of updates.
    step: u64,
    /// The score on the dev set.
    score: f64,
}

impl BestStep {
    /// The best step of the seed in `seed_dir`, if it has one yet.
    pub(super) fn of(seed_dir: &Path, metric: Metric) -> Result<Self> {
        let dir = seed_dir.join(BEST);
        let known = Cell::new(if_there(read_json(&dir.join(SCORE)))?);
        Ok(Self { dir, metric, known })
    }

    /// Keeps the weights of `step` if its score is higher than at every step before. An undefined score is never the
    /// best.
    pub(super) fn offer(
        &self,
        step: u64,
        score: Option<f64>,
        variables: &[(String, Tensor)],
    ) -> electra_train::Result<()> {
        let Some(score) = score else { return Ok(()) };
        let merit = |score| self.metric.merit(Some(score));
        if self.known.get().is_some_and(|known| merit(score) <= merit(known.score)) {
            return Ok(());
        }
        let chosen = Chosen { step, score };
        folder::whole(&self.dir, Existing::Replace, SCORE, |dir| -> electra_train::Result<()> {
            tensors::write(&dir.join(MODEL), variables)?;
            let json = serde_json::to_string(&chosen).expect("plain values serialize");
            Ok(write_file(&dir.join(SCORE), &json)?)
        })?;
        self.known.set(Some(chosen));
        Ok(())
    }

    /// Copies the best weights into `variables` and returns their step; `None` if no score was defined.
    pub(super) fn load(&self, variables: &[(String, Tensor)]) -> Result<Option<u64>> {
        let Some(Chosen { step, .. }) = self.known.get() else { return Ok(None) };
        let path = self.dir.join(MODEL);
        tensors::load(&path, &tensors::read(&path)?, variables, |_| false, |_| false)?;
        Ok(Some(step))
    }

    /// Removes the files, once the weights are scored.
    pub(super) fn remove(self) -> Result<()> {
        match self.known.get() {
            Some(_) => fs::remove_dir_all(&self.dir).map_err(Error::io(&self.dir)),
            None => Ok(()),
        }
    }
}
