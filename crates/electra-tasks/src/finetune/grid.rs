//! A grid search: every combination of the values of some keys, each over all seeds and in a folder of its own.

use super::{
    grid_report::{CellReport, GridReport},
    page,
    settings::{Completion, Event, Finetune, MODEL, RESULTS},
};
use crate::{
    config::{FinetuneConfig, Finished},
    error::{Error, Result},
};
use electra_files::{folder, if_there, read_json, write_json};
use electra_train::{Existing, StartFrom};
use std::{
    fs, os::unix::fs::symlink, path::Path, str::FromStr, sync::atomic::AtomicBool, time::Instant,
};

/// The report of a grid, which also marks its folder.
const GRID: &str = "grid.json";

/// A key of the config and the values to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The key, as in `--set`.
    pub key: String,
    /// Its values, as in `--set`.
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
            _ if axis.key == "train.seed" => fail("cannot be a key of the grid: use --seeds"),
            _ if axis.values.iter().any(String::is_empty) => fail("has an empty value"),
            true => fail("has a duplicate value"),
            false => Ok(axis),
        }
    }
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// `KEY=VALUE` of each axis, separated by commas; also the name of its folder.
    pub name: String,
    /// The config with these values.
    pub config: FinetuneConfig,
}

/// Every combination of the values of `axes`, the last axis changing fastest; `config` returns the config with
/// `KEY=VALUE` overrides.
///
/// # Errors
/// If an axis is a duplicate, or an error of `config`.
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
                "is a duplicate key: give all its values at once",
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
        // A value can be a path, but the name must be a single folder.
        let name = overrides.join(",").replace(['/', '\\'], "-");
        Ok(Cell { name, config: config(&overrides)? })
    };
    combinations.into_iter().map(cell).collect()
}

/// A task over the cells of a grid, each over several seeds.
///
/// Data is read and encoded again only if a cell's config reads it differently from the cell before
/// (`train.max_length`, for example). The output folder has a folder of fine-tuning for each cell, `grid.json` with the
/// scores, and `model`, a link to the model of the best cell.
#[derive(Clone, Debug)]
pub struct Grid<'a> {
    /// The settings that all cells share; its config is not used. With [`StartFrom::Checkpoint`], finished cells are
    /// skipped, and there may be more cells than before.
    pub finetune: Finetune<'a>,
    /// The combinations.
    pub cells: &'a [Cell],
}

impl Grid<'_> {
    /// Trains and scores every cell; see [`Grid`].
    ///
    /// # Errors
    /// As [`Finetune::run`]; if the folder has a grid of other seeds, or cells that were not requested.
    pub fn run(
        &self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion<GridReport>> {
        let clock = Instant::now();
        if self.cells.is_empty() {
            return Err(Error::value("grid", "empty", "must have at least one cell"));
        }
        let mut report = self.begin()?;
        let mut read = None;
        let is_done = |cell: &&Cell| self.cell(cell).out.join(RESULTS).exists();
        let all_done = self.cells.iter().all(|cell| is_done(&cell));
        // A cell without an update must be reported before the others are trained.
        if let Some(next) = self.cells.iter().find(|cell| !is_done(cell)) {
            let prepared = self.cell(next).prepare(None)?;
            self.cells.iter().try_for_each(|cell| self.cell(cell).steps(&prepared).map(drop))?;
            read = Some(prepared);
        }
        for (index, cell) in self.cells.iter().enumerate() {
            let finetune = self.cell(cell);
            let count = self.cells.len();
            on_event(Event::CellStarted { name: &cell.name, index, count });
            let cell = match if_there(read_json(&finetune.out.join(RESULTS)))? {
                Some(done) => {
                    // If all cells are finished, the data is not needed.
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
            let before = report.best.clone();
            self.add(&mut report, cell);
            report.seconds = clock.elapsed().as_secs_f64();
            // Before models are removed: a resumed grid removes them again.
            write_json(&self.finetune.out.join(GRID), &report)?;
            self.keep_best(&report, before.as_deref(), &finetune)?;
            page::write_grid(&self.finetune.out, &report)?;
        }
        Ok(Completion::Finished(Box::new(report)))
    }

    /// Creates the folder of the grid, or reads the report of the finished cells.
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
            // An invalid cell must be reported before a folder is replaced and the cells before it are trained.
            self.cells.iter().try_for_each(|cell| self.cell(cell).check())?;
            folder::whole(out, existing, GRID, |dir| write_json(&dir.join(GRID), &new))?;
            return Ok(new);
        }
        let known: Option<GridReport> = if_there(read_json(&path))?;
        let known = known.ok_or_else(|| {
            Error::file(&path, "does not exist: the folder has no grid to resume")
        })?;
        if (&known.task, &known.seeds) != (&new.task, &new.seeds) {
            let message = format!(
                "was started with task {:?} and seeds {:?}, not {:?} and {:?}: use the same, or another output folder",
                known.task, known.seeds, new.task, new.seeds
            );
            return Err(Error::file(&path, message));
        }
        let asked = |cell: &&CellReport| self.cells.iter().any(|asked| asked.name == cell.name);
        match known.cells.iter().find(|cell| !asked(cell)) {
            None => Ok(known),
            Some(cell) => {
                let message = "the cell is not one of those requested";
                Err(Error::file(out.join(&cell.name), message))
            }
        }
    }

    /// Fine-tuning of one cell, new or resumed.
    fn cell<'c>(&'c self, cell: &'c Cell) -> Finetune<'c> {
        let out = self.finetune.out.join(&cell.name);
        let from = match self.finetune.from {
            StartFrom::Checkpoint if out.exists() => StartFrom::Checkpoint,
            _ => StartFrom::Scratch(Existing::Refuse),
        };
        Finetune { config: &cell.config, out, from, ..self.finetune.clone() }
    }

    /// Adds a cell to the report, in order, and updates the best cell.
    fn add(&self, report: &mut GridReport, cell: CellReport) {
        report.cells.retain(|known| known.name != cell.name);
        report.cells.push(cell);
        let place = |cell: &CellReport| self.cells.iter().position(|c| c.name == cell.name);
        report.cells.sort_by_key(place);
        report.best = report.best_cell().map(|cell| cell.name.clone());
    }

    /// Links `model` to the best cell's model. The models of other cells are removed unless the config keeps them.
    fn keep_best(
        &self,
        report: &GridReport,
        before: Option<&str>,
        cell: &Finetune<'_>,
    ) -> Result<()> {
        let remove = |dir: &Path| match dir.exists() {
            true => fs::remove_dir_all(dir).map_err(Error::io(dir)),
            false => Ok(()),
        };
        let model_of = |name: &str| self.finetune.out.join(name).join(MODEL);
        let deletes = cell.config.checkpoint.finished == Finished::Delete;
        let best = report.best.as_deref().filter(|best| cell.out.ends_with(Path::new(best)));
        let Some(best) = best else {
            return if deletes { remove(&cell.model_dir()) } else { Ok(()) };
        };
        if let Some(before) = before.filter(|before| deletes && *before != best) {
            remove(&model_of(before))?;
        }
        // In grids of version 0.1 it is the model folder itself.
        let link = self.finetune.model_dir();
        if !model_of(best).exists() {
            return Ok(());
        }
        match fs::symlink_metadata(&link) {
            Ok(known) if known.is_dir() => remove(&link)?,
            Ok(_) => fs::remove_file(&link).map_err(Error::io(&link))?,
            Err(_) => {}
        }
        symlink(Path::new(best).join(MODEL), &link).map_err(Error::io(&link))
    }
}
