//! A grid: every combination of some keys' values, each over all seeds, in a folder of its own.

use super::{
    Completion, Event, Finetune, MODEL, RESULTS,
    folder::{read_json, write_json},
    page,
};
use crate::{
    Error, FinetuneConfig, Report, Result, Task,
    config::Finished,
    problem::Problem,
    scores::{Metric, Summary},
};
use electra_train::{Existing, StartFrom, folder};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, str::FromStr, sync::atomic::AtomicBool, time::Instant};

/// What is tried, of the grid in a folder; it marks the folder as one.
const GRID: &str = "grid.json";

/// A key of the config and the values to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The key, as `--set` takes it.
    pub key: String,
    /// Its values, as `--set` takes them.
    pub values: Vec<String>,
}

impl FromStr for Axis {
    type Err = Error;

    /// `KEY=VALUE,VALUE`.
    fn from_str(text: &str) -> Result<Self> {
        let fail = |expected: &str| Err(Error::value("grid", text, expected));
        let Some((key, values)) = text.split_once('=') else {
            return fail("must be KEY=VALUE,VALUE, such as train.epochs=3,10");
        };
        let axis = Self {
            key: key.trim().to_owned(),
            values: values.split(',').map(|value| value.trim().to_owned()).collect(),
        };
        let mut sorted = axis.values.clone();
        sorted.sort();
        match sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            _ if axis.key == "train.seed" => fail("seeds are no part of a grid: ask for several"),
            _ if axis.values.iter().any(String::is_empty) => fail("has an empty value"),
            true => fail("has a value twice"),
            false => Ok(axis),
        }
    }
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// `KEY=VALUE` of each axis, with commas between; its folder's name too.
    pub name: String,
    /// The config that they give.
    pub config: FinetuneConfig,
}

/// Every combination of the values of `axes`, the last changing fastest; `config` makes one from `KEY=VALUE`
/// overrides.
///
/// # Errors
/// If an axis stands twice, or whatever `config` says of a key or value.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use electra_tasks::{finetune::grid::cells, preset::{Group, Preset, Size}};
///
/// let paper = Preset::Paper.config(Size::Small, Group::Usual);
/// let axes = ["train.epochs=3,10".parse()?, "optimizer.learning_rate=1e-4,2e-4".parse()?];
/// let cells = cells(&axes, |overrides| paper.with_overrides("paper", overrides))?;
/// assert_eq!(cells[1].name, "train.epochs=3,optimizer.learning_rate=2e-4");
/// assert_eq!(cells.len(), 4);
/// # Ok(())
/// # }
/// ```
pub fn cells(
    axes: &[Axis],
    config: impl Fn(&[String]) -> Result<FinetuneConfig>,
) -> Result<Vec<Cell>> {
    for (i, axis) in axes.iter().enumerate() {
        if axes[..i].iter().any(|other| other.key == axis.key) {
            return Err(Error::value(
                "grid",
                &axis.key,
                "stands twice: give all its values at once",
            ));
        }
    }
    let mut combinations: Vec<Vec<String>> = vec![Vec::new()];
    for axis in axes {
        let longer = |before: &Vec<String>| {
            let with = |value| [&before[..], &[format!("{}={value}", axis.key)]].concat();
            axis.values.iter().map(with).collect::<Vec<_>>()
        };
        combinations = combinations.iter().flat_map(longer).collect();
    }
    let cell = |overrides: Vec<String>| {
        // A value may be a path.
        let name = overrides.join(",").replace(['/', '\\'], "-");
        Ok(Cell { name, config: config(&overrides)? })
    };
    combinations.into_iter().map(cell).collect()
}

/// A task over the cells of a grid, each over several seeds.
///
/// Data is read and encoded once, or once for each set of cells that differ in how it is read (`train.max_length`,
/// say). The folder has one of fine-tuning for each cell, `grid.json` with the table, and `model/`: the best seed's of
/// the best cell.
#[derive(Clone, Debug)]
pub struct Grid<'a, P = Task> {
    /// What all cells have in common; its config is not looked at. With [`StartFrom::Checkpoint`] cells that are done are
    /// skipped, and there may be more cells than before.
    pub finetune: Finetune<'a, P>,
    /// The combinations.
    pub cells: &'a [Cell],
}

/// The scores of a grid: `grid.json`, written after each cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridReport {
    /// The task's name.
    pub task: String,
    /// What cells are compared by.
    pub metric: Metric,
    /// Seeds of each cell.
    pub seeds: Vec<u64>,
    /// The cells in their order; while the grid runs, those that are done.
    pub cells: Vec<CellReport>,
    /// The cell with the highest median on dev (of equals, the highest mean; then the first that was tried). The model of
    /// its best seed is in `model/`. None where all have diverged.
    pub best: Option<String>,
    /// Seconds of all of it, of this process.
    pub seconds: f64,
}

/// The scores of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellReport {
    /// Its name, which is its folder's.
    pub name: String,
    /// The metric on the dev set, over seeds; `None` if it is not defined for any.
    pub dev: Option<Summary>,
    /// The metric on the test set, over seeds.
    pub test: Option<Summary>,
    /// The seed with the best dev score.
    pub best_seed: u64,
    /// Its dev score.
    pub best_dev: Option<f64>,
    /// Its test score.
    pub best_test: Option<f64>,
    /// Why it came to no end, where the loss of a seed became no number. Such a cell is never the best, and is tried
    /// again when the grid is gone on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
}

impl CellReport {
    fn of(name: &str, report: &Report) -> Self {
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

    fn diverged(name: &str, seed: u64, why: &Error) -> Self {
        Self {
            name: name.to_owned(),
            dev: None,
            test: None,
            best_seed: seed,
            best_dev: None,
            best_test: None,
            diverged: Some(why.to_string()),
        }
    }
}

/// The best of the cells, see [`GridReport::best`]: of equals that which was the best before, whose model is kept.
fn best(report: &GridReport) -> Option<&CellReport> {
    let GridReport { metric, cells, best, .. } = report;
    let merit = |cell: &CellReport| {
        let of = |figure: fn(&Summary) -> f64| metric.merit(cell.dev.as_ref().map(figure));
        [of(|dev| dev.median), of(|dev| dev.mean)]
    };
    let held = |cell: &CellReport| best.as_ref() == Some(&cell.name);
    let order = |a: &&CellReport, b: &&CellReport| {
        let ([a_median, a_mean], [b_median, b_mean]) = (merit(a), merit(b));
        let by_score = a_median.total_cmp(&b_median).then(a_mean.total_cmp(&b_mean));
        by_score.then(held(a).cmp(&held(b)))
    };
    cells.iter().filter(|cell| cell.diverged.is_none()).rev().max_by(order)
}

impl<P: Problem> Grid<'_, P> {
    /// Trains and scores every cell; see [`Grid`].
    ///
    /// # Errors
    /// As [`Finetune::run`]; if the folder is of a grid of other seeds, or has cells that are not asked for.
    pub fn run(
        &self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion<GridReport>> {
        let clock = Instant::now();
        if self.cells.is_empty() {
            return Err(Error::value("grid", "no cells", "must have at least one"));
        }
        let mut report = self.begin()?;
        let mut read = None;
        let all_done = self.cells.iter().all(|cell| self.cell(cell).out.join(RESULTS).exists());
        for (index, cell) in self.cells.iter().enumerate() {
            let finetune = self.cell(cell);
            let count = self.cells.len();
            on_event(Event::CellStarted { name: &cell.name, index, count });
            let cell = match read_json(&finetune.out.join(RESULTS))? {
                Some(done) => {
                    // Data is looked at where some of it is still learned from.
                    if !all_done {
                        read = Some(finetune.prepare(read.take())?);
                    }
                    finetune.check_done(read.as_ref())?;
                    CellReport::of(&cell.name, &done)
                }
                None => match finetune.run_after(&mut read, stop, on_event) {
                    Ok(Completion::Finished(done)) => CellReport::of(&cell.name, &done),
                    Ok(Completion::Stopped) => return Ok(Completion::Stopped),
                    Err(why @ Error::Diverged { seed, .. }) => {
                        tracing::warn!("{}: {why}", cell.name);
                        CellReport::diverged(&cell.name, seed, &why)
                    }
                    Err(error) => return Err(error),
                },
            };
            on_event(Event::CellFinished(&cell));
            let (before, diverged) = (report.best.clone(), cell.diverged.is_some());
            self.add(&mut report, cell);
            report.seconds = clock.elapsed().as_secs_f64();
            // Before the model is moved: whoever goes on moves it there.
            write_json(&self.finetune.out.join(GRID), &report)?;
            if !diverged {
                self.keep_best(&report, before.as_deref(), &finetune)?;
            }
            page::write_grid(&self.finetune.out, &report)?;
        }
        Ok(Completion::Finished(Box::new(report)))
    }

    /// Makes the folder of the grid, or finds what is done in it.
    fn begin(&self) -> Result<GridReport> {
        let (out, task) = (&self.finetune.out, self.finetune.task);
        let path = out.join(GRID);
        let new = GridReport {
            task: task.name().to_owned(),
            metric: task.metric(),
            seeds: self.finetune.seeds.clone(),
            cells: Vec::new(),
            best: None,
            seconds: 0.0,
        };
        if let StartFrom::Scratch(existing) = self.finetune.from {
            // What the first cell cannot be made with is said before a folder is replaced.
            self.cell(&self.cells[0]).check()?;
            folder::whole(out, existing, GRID, |dir| write_json(&dir.join(GRID), &new))?;
            return Ok(new);
        }
        let known: Option<GridReport> = read_json(&path)?;
        let known =
            known.ok_or_else(|| Error::file(&path, "not there: this is no grid to go on with"))?;
        if (&known.task, &known.seeds) != (&new.task, &new.seeds) {
            let message = format!(
                "was begun for task {:?} and the seeds {:?}, not {:?} and {:?}: name another folder",
                known.task, known.seeds, new.task, new.seeds
            );
            return Err(Error::file(&path, message));
        }
        let asked = |cell: &&CellReport| self.cells.iter().any(|asked| asked.name == cell.name);
        match known.cells.iter().find(|cell| !asked(cell)) {
            None => Ok(known),
            Some(cell) => {
                let message = "the cell is not among those asked for";
                Err(Error::file(out.join(&cell.name), message))
            }
        }
    }

    /// Fine-tuning of one cell, new or gone on with.
    fn cell<'c>(&'c self, cell: &'c Cell) -> Finetune<'c, P> {
        let out = self.finetune.out.join(&cell.name);
        let from = match self.finetune.from {
            StartFrom::Checkpoint if out.exists() => StartFrom::Checkpoint,
            _ => StartFrom::Scratch(Existing::Refuse),
        };
        Finetune { config: &cell.config, out, from, ..self.finetune.clone() }
    }

    /// Puts a cell into its place in the report, and says which is the best.
    fn add(&self, report: &mut GridReport, cell: CellReport) {
        report.cells.retain(|known| known.name != cell.name);
        report.cells.push(cell);
        let place = |cell: &CellReport| self.cells.iter().position(|c| c.name == cell.name);
        report.cells.sort_by_key(place);
        report.best = best(report).map(|cell| cell.name.clone());
    }

    /// Moves the model of a cell that is the best of all to the grid's, and removes the one of `before`, the best so
    /// far, or one that is not the best; where the config keeps what is finished they are with their cells. A cell whose
    /// model is gone was here before.
    fn keep_best(
        &self,
        report: &GridReport,
        before: Option<&str>,
        cell: &Finetune<'_, P>,
    ) -> Result<()> {
        let (from, to) = (cell.out.join(MODEL), self.finetune.out.join(MODEL));
        let is_best = report.best.as_ref().is_some_and(|best| cell.out.ends_with(Path::new(best)));
        let keeps = cell.config.checkpoint.finished == Finished::Keep;
        let remove = |dir: &Path| fs::remove_dir_all(dir).map_err(Error::io(dir));
        let rename = |a: &Path, b: &Path| fs::rename(a, b).map_err(Error::io(b));
        match (from.exists(), is_best) {
            (false, _) => return Ok(()),
            (true, false) if keeps => return Ok(()),
            (true, false) => return remove(&from),
            (true, true) => {}
        }
        if to.exists() {
            let own = before.filter(|_| keeps).map(|before| self.finetune.out.join(before));
            match own.map(|cell| cell.join(MODEL)).filter(|own| !own.exists()) {
                Some(own) => rename(&to, &own)?,
                None => remove(&to)?,
            }
        }
        rename(&from, &to)
    }
}
