//! The report of a grid: `grid.json`.

use crate::{error::Error, report::Report};
use electra_scores::{Metric, metrics::Summary};
use serde::{Deserialize, Serialize};

/// The scores of a grid: `grid.json`, written after each cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridReport {
    /// The task's name.
    pub task: String,
    /// The metric that cells are compared by.
    pub metric: Metric,
    /// The seeds of each cell.
    pub seeds: Vec<u64>,
    /// The finished cells, in order.
    pub cells: Vec<CellReport>,
    /// The name of the cell with the best median on dev (among equals the best mean, then the first). The grid's
    /// `model` is a link to the `model` in its folder. None if all cells diverged.
    pub best: Option<String>,
    /// The duration in seconds, of this process.
    pub seconds: f64,
}

/// The scores of one cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellReport {
    /// Its name, which is also the folder's.
    pub name: String,
    /// The metric on the dev set, over seeds; `None` if it is not defined for any seed.
    pub dev: Option<Summary>,
    /// The metric on the test set, over seeds.
    pub test: Option<Summary>,
    /// The seed with the best dev score.
    pub best_seed: u64,
    /// Its dev score.
    pub best_dev: Option<f64>,
    /// Its test score.
    pub best_test: Option<f64>,
    /// The error, if the loss of a seed became NaN or infinite. Such a cell is never the best, and is run again when
    /// the grid is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
}

impl CellReport {
    pub(super) fn of(name: &str, report: &Report) -> Self {
        Self {
            name: name.to_owned(),
            dev: report.dev,
            test: report.test,
            best_seed: report.best_seed,
            best_dev: report.best(|seed| seed.dev_score(report.metric)),
            best_test: report.best_seed_test,
            diverged: None,
        }
    }

    pub(super) fn diverged(name: &str, seed: u64, why: &Error) -> Self {
        Self {
            name: name.to_owned(),
            best_seed: seed,
            diverged: Some(why.to_string()),
            ..Self::default()
        }
    }
}

impl GridReport {
    /// The best cell, see [`GridReport::best`]; among equals the one that was the best before, whose model is kept.
    pub(super) fn best_cell(&self) -> Option<&CellReport> {
        let Self { metric, cells, best, .. } = self;
        let merit = |cell: &CellReport| {
            let of = |figure: fn(&Summary) -> f64| metric.merit(cell.dev.as_ref().map(figure));
            [of(|dev| dev.median), of(|dev| dev.mean)]
        };
        let is_best = |cell: &CellReport| best.as_ref() == Some(&cell.name);
        let order = |a: &&CellReport, b: &&CellReport| {
            let ([a_median, a_mean], [b_median, b_mean]) = (merit(a), merit(b));
            let by_score = a_median.total_cmp(&b_median).then(a_mean.total_cmp(&b_mean));
            by_score.then(is_best(a).cmp(&is_best(b)))
        };
        cells.iter().filter(|cell| cell.diverged.is_none()).rev().max_by(order)
    }
}
