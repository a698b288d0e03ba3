//! `cargo xtask experiment`: reruns a comparison of the paper. Each row is a config, pre-trained with several seeds at equal
//! FLOPs or equal updates, exported and fine-tuned.

mod cell;
mod data;
mod definition;
mod estimate;
mod plot;
mod queue;
mod results;
mod statistics;

use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA},
    sh, tasks,
};
use anyhow::{Context, Result, bail};
use cell::{Cell, END, POINTS, Record, Setting, Step};
use data::{Data, Folders};
use definition::{Definition, Equal, Row, Scale};
use estimate::Rates;
use results::{Experiment, Results};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

const CONFIGS: &str = "configs";
/// Updates of the probe.
const PROBE: &str = "10";

/// Options of `cargo xtask experiment`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment: the name of a file in configs/experiments.
    name: String,
    /// The sizes: scale-NAME.toml in configs/experiments.
    #[arg(long, default_value = "tiny")]
    scale: String,
    /// Number of pre-training seeds of each row: 1, 2, ...
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Output folder, shared by all experiments.
    #[arg(long, default_value = "runs/experiments", value_parser = sh::path_arg)]
    out: PathBuf,
    /// Corpus file or folder, to build vocabulary and shards from.
    #[arg(long, conflicts_with = "shards", value_parser = sh::path_arg)]
    corpus: Option<PathBuf>,
    /// Shards from `electra shards build`. Default: those of the last call, or those that --corpus has built.
    #[arg(long, value_parser = sh::path_arg)]
    shards: Option<PathBuf>,
    /// The folder with GLUE's folders. Default: that of the last call.
    #[arg(long, value_parser = sh::path_arg)]
    glue: Option<PathBuf>,
    /// Number of cells to run at once, each with an equal part of the CPU cores.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    jobs: u64,
    /// Print the missing cells, their commands and the time they will take. Writes only the configs of the scale.
    #[arg(long)]
    dry_run: bool,
}

/// An experiment at a scale, with all paths.
#[derive(Debug)]
struct Plan<'a> {
    args: &'a Args,
    definition: Definition,
    setting: Setting,
    folders: Folders,
    /// OUT/SCALE.
    home: PathBuf,
    vocabulary: u64,
    length: u64,
    /// The cells of each row.
    rows: Vec<Vec<Cell>>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // Checks the names before a build of some minutes.
    Definition::read(Path::new(CONFIGS), &args.name)?;
    Scale::read(Path::new(CONFIGS), &args.scale)?;
    if !args.dry_run {
        pipeline::build(args.corpus.as_deref().unwrap_or(Path::new("data/sample/pretrain")))?;
    } else if !Path::new(ELECTRA).exists() {
        bail!("{ELECTRA} is missing: cargo xtask setup && cargo build --release -p electra-cli");
    }
    let plan = Plan::new(args, Path::new(CONFIGS), ELECTRA)?;
    if args.dry_run { plan.show() } else { plan.run() }
}

impl<'a> Plan<'a> {
    fn new(args: &'a Args, configs: &Path, electra: &str) -> Result<Self> {
        let definition = Definition::read(configs, &args.name)?;
        let scale = Scale::read(configs, &args.scale)?;
        let home = args.out.join(&args.scale);
        let scaled = home.join(CONFIGS);
        scale.write_configs(configs, &scaled)?;
        let base = definition::chain(&definition::ablation(&scaled, "electra"))?;
        let number = |section, key| definition::number_in(&base, section, key);
        let built = || home.join("data/shards");
        let shards = args.shards.clone().or_else(|| args.corpus.as_ref().map(|_| built()));
        let folders = Folders { shards, glue: args.glue.clone() }.or_last(&home)?;
        let epochs = &scale.finetune.epochs;
        let tasks =
            definition.tasks.iter().filter_map(|task| Some((task.clone(), *epochs.get(task)?)));
        let setting = Setting {
            electra: electra.to_owned(),
            configs: scaled,
            shards: folders.shards.clone().unwrap_or_else(built),
            glue: folders.glue.clone().unwrap_or_else(|| "GLUE".into()),
            finetune: cell::Finetune {
                config: configs.join(&scale.finetune.config),
                seeds: scale.finetune.seeds,
                set: scale.finetune.set,
                tasks: tasks.collect(),
            },
        };
        if setting.finetune.tasks.is_empty() {
            bail!("scale {} has none of the tasks of {}", args.scale, args.name);
        }
        let updates = number("train", "steps")?;
        let (vocabulary, length) =
            (number("model", "vocab_size")?, number("data", "sequence_length")?);
        let rows = Vec::new();
        let mut plan = Self { args, definition, setting, folders, home, vocabulary, length, rows };
        plan.rows = plan.cells(updates)?;
        Ok(plan)
    }

    fn cells(&self, updates: u64) -> Result<Vec<Vec<Cell>>> {
        let rows = &self.definition.rows;
        let flops = rows.iter().map(|row| self.flops_per_update(row));
        let flops = flops.collect::<Result<Vec<f64>>>()?;
        let baseline = rows.iter().position(|row| row.config == self.definition.baseline);
        let baseline = flops[baseline.context("no baseline")?];
        let cells = rows.iter().zip(flops).map(|(row, flops)| {
            let updates = match self.definition.equal {
                Equal::Steps => updates,
                Equal::Flops => equal_flops(updates, baseline, flops),
            };
            if updates < POINTS.len() as u64 {
                bail!(
                    "row {:?} has only {updates} updates: raise train.steps of the scale",
                    row.label
                );
            }
            let cell = |seed: u64| Cell {
                config: row.config.clone(),
                seed,
                updates,
                flops_per_update: flops,
                points: self.points(row),
                folder: self.home.join(format!("runs/{}/seed-{seed}", row.config)),
            };
            Ok((1..=self.args.seeds).map(cell).collect())
        });
        cells.collect()
    }

    /// The points at which a row is scored.
    fn points(&self, row: &Row) -> Vec<u64> {
        let curve = self.definition.curve;
        let scored = |point: &u64| *point == END || curve && *point > row.scored_after;
        POINTS.into_iter().filter(scored).collect()
    }

    fn flops_per_update(&self, row: &Row) -> Result<f64> {
        let config = definition::ablation(&self.setting.configs, &row.config).display().to_string();
        let json = sh::capture(&sh::words([&self.setting.electra, "flops", &config, "--json"]))?;
        let json = serde_json::from_str(&json).with_context(|| format!("flops of {config}"))?;
        number(&json, "flops_per_step")
    }

    /// The cells with missing steps, seed by seed, so that there are early results for all rows.
    fn missing(&self) -> Result<Vec<(&Cell, Vec<Step>)>> {
        let mut cells: Vec<&Cell> = self.rows.iter().flatten().collect();
        cells.sort_by_key(|cell| cell.seed);
        let missing = cells.into_iter().map(|cell| Ok((cell, cell.missing(&self.setting)?)));
        let missing = missing.collect::<Result<Vec<_>>>()?;
        Ok(missing.into_iter().filter(|(_, steps)| !steps.is_empty()).collect())
    }

    fn data(&self) -> Data<'_> {
        Data {
            electra: &self.setting.electra,
            folder: self.home.join("data"),
            vocabulary: self.vocabulary,
            length: self.length,
        }
    }

    /// Prints what [`Self::run`] would do.
    fn show(&self) -> Result<()> {
        let built = self.setting.shards.join("index.json").exists();
        if let (Some(corpus), false) = (&self.args.corpus, built) {
            for step in self.data().steps(corpus) {
                sh::say(&format!("+ {}", sh::shown(&step.command)));
            }
        }
        let missing = self.missing()?;
        for (cell, steps) in &missing {
            sh::say(&format!("\n# {}, seed {}: {} updates", cell.config, cell.seed, cell.updates));
            for step in steps {
                sh::say(&format!("+ {}", sh::shown(&step.command)));
            }
        }
        let all = self.rows.iter().map(Vec::len).sum::<usize>();
        sh::say(&format!("\n{} of {all} cells are missing", missing.len()));
        if missing.is_empty() {
            return Ok(());
        }
        let mut rates = Rates::of(&Record::all(&self.home.join("runs"))?);
        if rates.is_empty() {
            if !built {
                sh::say("their time can be measured when the shards exist");
                return Ok(());
            }
            let (seconds, flops) = self.probe()?;
            rates.add_probe(seconds, flops);
        }
        let jobs = self.jobs(missing.len());
        sh::say(&format!("time with --jobs {jobs}: {}", rates.estimate(&missing).words(jobs)));
        Ok(())
    }

    /// The seconds and FLOPs of an update of the baseline.
    fn probe(&self) -> Result<(f64, f64)> {
        let config = definition::ablation(&self.setting.configs, &self.definition.baseline);
        let shards = format!("data.shards={}", self.setting.shards.display());
        let program = &self.setting.electra;
        let (config, threads) = (config.display().to_string(), self.threads());
        // `env` sets the threads of a cell.
        let mut command = sh::words(["env"]);
        command.extend(threads.map(|threads| format!("OMP_NUM_THREADS={threads}")));
        let options = ["profile", &config, "--set", &shards, "--steps", PROBE, "--json"];
        command.extend(sh::words([program]));
        command.extend(sh::words(options));
        sh::say(&format!("+ {}", sh::shown(&command)));
        let profile = serde_json::from_str(&sh::capture(&command)?)?;
        let flops = sh::capture(&sh::words([program, "flops", &config, "--json"]))?;
        let flops = serde_json::from_str(&flops)?;
        let seconds = number(&flops, "tokens_per_step")? / number(&profile, "tokens_per_second")?;
        Ok((seconds, number(&flops, "flops_per_step")?))
    }

    fn jobs(&self, cells: usize) -> usize {
        (self.args.jobs as usize).min(cells.max(1))
    }

    /// Threads of each job; `None` for libtorch's default.
    fn threads(&self) -> Option<usize> {
        let jobs = self.args.jobs as usize;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (jobs > 1).then_some((cores / jobs).max(1))
    }

    fn run(&self) -> Result<()> {
        let missing = self.missing()?;
        if !missing.is_empty() {
            self.check_data()?;
        }
        let before = missing.len();
        let finished = Mutex::new(0);
        let threads = self.threads().map(|threads| threads.to_string());
        let env: Vec<(&str, &str)> =
            threads.iter().map(|threads| ("OMP_NUM_THREADS", threads.as_str())).collect();
        let errors = queue::run(&missing, self.args.jobs as usize, |(cell, _)| {
            let log = (self.args.jobs > 1).then(|| cell.folder.join("log.txt"));
            cell.run(&self.setting, &env, log.as_deref())?;
            let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
            *finished += 1;
            self.report_progress(before, *finished)
        });
        let written = self.write_results()?;
        if sh::interrupted() {
            bail!("interrupted; run the same command again to resume");
        }
        if !errors.is_empty() {
            let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
            bail!("{} cells failed:\n  {}", errors.len(), errors.join("\n  "));
        }
        sh::say(&format!("\n{}", files::read(written.join("table.md"))?));
        sh::say(&format!("results: {}", written.display()));
        Ok(())
    }

    fn report_progress(&self, of: usize, done: usize) -> Result<()> {
        let rates = Rates::of(&Record::all(&self.home.join("runs"))?);
        let missing = self.missing()?;
        let jobs = self.jobs(missing.len());
        let left = rates.estimate(&missing).words(jobs);
        sh::say(&format!("{done} of {of} cells are finished; time left: {left}"));
        self.write_results().map(drop)
    }

    /// Builds the shards and checks the data of the tasks.
    fn check_data(&self) -> Result<()> {
        let names = self.setting.finetune.tasks.iter().map(|(name, _)| name);
        let folders: BTreeMap<&str, &str> =
            names.filter_map(|name| Some((name.as_str(), tasks::glue_folder(name)?))).collect();
        let Some(glue) = &self.folders.glue else {
            let folders: Vec<&str> = folders.into_values().collect();
            bail!("add --glue DIR, a folder with {} (docs/guide/glue.md)", folders.join(", "));
        };
        for (name, folder) in folders {
            let path = glue.join(folder);
            if !path.is_dir() {
                bail!("{name} needs {}, which does not exist (docs/guide/glue.md)", path.display());
            }
        }
        if let Some(corpus) = &self.args.corpus {
            self.data().build(corpus)?;
        }
        let shards = &self.setting.shards;
        if !shards.join("index.json").exists() {
            let length = self.length;
            bail!(
                "there are no shards in {}: add --corpus PATH, or --shards DIR with the output of `electra shards build \
                 --seq-len {length}` and a vocabulary of {} tokens",
                shards.display(),
                self.vocabulary
            );
        }
        self.folders.write(&self.home)
    }

    /// Writes the table, the JSON file and the plot. Returns their folder.
    fn write_results(&self) -> Result<PathBuf> {
        let tasks = self.setting.finetune.tasks.iter().map(|(name, _)| name.clone()).collect();
        let (definition, scale) = (&self.definition, self.args.scale.as_str());
        let results = Results::read(&Experiment { definition, scale, tasks }, &self.rows)?;
        let folder = self.home.join(&self.args.name);
        files::make_folder(&folder)?;
        files::write(folder.join("table.md"), &results.table()?)?;
        files::write(folder.join("results.json"), &serde_json::to_string_pretty(&results)?)?;
        if let Some(svg) = plot::draw(&results)? {
            files::write(folder.join("plot.svg"), &svg)?;
        }
        Ok(folder)
    }
}

/// The updates of a row with as many FLOPs as the baseline.
fn equal_flops(updates: u64, baseline: f64, row: f64) -> u64 {
    (updates as f64 * baseline / row).round() as u64
}

#[cfg(test)]
mod tests;
