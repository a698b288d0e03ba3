//! How a step of ELECTRA-Small scales with threads, batch size and sequence length; and how much faster the data loader is.

use super::{
    criterion::{self, CRITERION},
    options::Options,
    page,
    pretrain::{self, SMALL, SPEED, Threads, Work},
    report::report,
};
use crate::{
    files::{self, median, number},
    pipeline, python, sh,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The benchmark of the data loader, and where criterion writes its results.
const LOADER: &str = "loader/one thread";
const LOADER_FIGURES: &str = "target/criterion/loader/one thread/new";

/// The step that the others are compared with.
const ALL: Work = SMALL;
const ONE_THREAD: Work = SMALL.on(Threads::One);
/// Other batch sizes, at length 128. The first steps of large batches allocate memory; the median excludes them.
const BATCHES: [Work; 4] =
    [SMALL.of(8, 128, 12), SMALL.of(16, 128, 12), SMALL.of(64, 128, 5), SMALL.of(128, 128, 7)];
/// Other sequence lengths, with the same number of tokens per step.
const LENGTHS: [Work; 2] = [SMALL.of(16, 256, 6), SMALL.of(8, 512, 6)];

/// A step, the shards of its length, and its speed in each round.
struct Measured {
    work: Work,
    shards: String,
    speeds: Vec<f64>,
}

impl Measured {
    /// The median over rounds of this speed divided by another's.
    fn ratio_to(&self, other: &Self) -> f64 {
        median(self.speeds.iter().zip(&other.speeds).map(|(a, b)| a / b).collect())
    }

    /// Its name in the page.
    fn name(&self) -> String {
        format!("{} x {}", self.work.batch, self.work.length)
    }
}

pub(super) fn run(args: &Options) -> Result<()> {
    pipeline::build(&args.corpus)?;
    // Build before anything is timed.
    sh::run(&criterion::command(&loader_bench()?, &["--no-run"]))?;
    let interpreter = python::torch()?;
    let mut steps = [ALL, ONE_THREAD]
        .into_iter()
        .chain(BATCHES)
        .chain(LENGTHS)
        .map(|work| {
            let shards = pretrain::prepared_shards(args, work.length, &interpreter)?;
            Ok(Measured { work, shards, speeds: Vec::new() })
        })
        .collect::<Result<Vec<_>>>()?;
    let (mut threads, mut loader) = (0.0, Vec::new());
    for round in 1..=args.pairs {
        for step in &mut steps {
            let result = pretrain::project(&step.work, &step.shards)?;
            let (speed, used) = (number(&result, SPEED)?, number(&result, "threads")?);
            match step.work.threads {
                Threads::All => threads = used,
                Threads::One if used == 1.0 => {}
                Threads::One => bail!("OMP_NUM_THREADS=1 was ignored: the run used {used} threads"),
            }
            if threads < 2.0 {
                bail!(
                    "libtorch uses {threads} thread on this machine: --scaling needs at least 2 cores"
                );
            }
            sh::say(&format!(
                "round {round}, {}, {used} threads: {speed:.0} tokens/s",
                step.name()
            ));
            step.speeds.push(speed);
        }
        loader.push(loader_speed()?);
    }
    let (results, rows) = summarize(&steps, &loader, threads, args.pairs);
    report(args, &results, &rows)
}

/// The results as JSON, and as rows of the page.
fn summarize(
    steps: &[Measured],
    loader: &[f64],
    threads: f64,
    rounds: u16,
) -> (Value, Vec<String>) {
    let (all, one) = (&steps[0], &steps[1]);
    let (batches, lengths) = steps[2..].split_at(BATCHES.len());
    let row = |name: &str, measured: String, target: String| {
        page::line(name, &[measured, target, rounds.to_string()])
    };
    let threads_ratio = all.ratio_to(one);
    let loader_ratio = median(loader.iter().zip(&all.speeds).map(|(a, b)| a / b).collect());
    let mut results = json!({
        "work": "scaling",
        "rounds": rounds,
        "threads": threads,
        "ratio_threads": threads_ratio,
        "ratio_loader": loader_ratio,
        "loader_tokens_per_second": median(loader.to_vec()),
        SPEED: {},
        "batch_over_32": {},
        "cost_of_length_over_128": {},
    });
    let mut rows = vec![row(
        "all threads / one thread",
        format!("{threads_ratio:.2} ({threads} threads)"),
        "at least 1.8 with 2 threads".to_owned(),
    )];
    for step in steps {
        let threads = if step.work.threads == Threads::One { ", one thread" } else { "" };
        results[SPEED][step.name() + threads] = json!(median(step.speeds.clone()));
    }
    for step in batches {
        let ratio = step.ratio_to(all);
        results["batch_over_32"][step.work.batch.to_string()] = json!(ratio);
        let target = if step.work.batch > all.work.batch { "0.90 to 1.10" } else { "-" };
        let name = format!("{} / {}", step.name(), all.name());
        rows.push(row(&name, format!("{ratio:.2}"), target.to_owned()));
    }
    for step in lengths {
        let cost = all.ratio_to(step);
        let arithmetic = step.work.flops_per_token() / all.work.flops_per_token();
        results["cost_of_length_over_128"][step.work.length.to_string()] =
            json!({"measured": cost, "arithmetic": arithmetic});
        let name = format!("cost per token, {} / {}", step.name(), all.name());
        rows.push(row(&name, format!("{cost:.2}"), format!("{arithmetic:.2} expected from FLOPs")));
    }
    rows.push(row(
        "data loader on one thread / trainer",
        format!("{loader_ratio:.0}"),
        "at least 10".to_owned(),
    ));
    (results, rows)
}

fn loader_bench() -> Result<(&'static str, &'static str)> {
    CRITERION
        .into_iter()
        .find(|(package, _)| *package == "electra-data")
        .context("CRITERION has no electra-data")
}

/// Tokens per second of the data loader, from its criterion benchmark.
fn loader_speed() -> Result<f64> {
    sh::run(&criterion::command(&loader_bench()?, &["--", LOADER]))?;
    let work = files::json(format!("{LOADER_FIGURES}/benchmark.json"))?;
    let time = files::json(format!("{LOADER_FIGURES}/estimates.json"))?;
    let tokens = number(&work["throughput"], "Elements")?;
    Ok(tokens / (number(&time["median"], "point_estimate")? * 1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(work: Work, speeds: [f64; 3]) -> Measured {
        Measured { work, shards: String::new(), speeds: speeds.to_vec() }
    }

    #[test]
    fn results_are_medians_over_rounds_and_have_rows_in_the_page() {
        // Rounds on a machine that speeds up.
        let mut steps =
            vec![measured(ALL, [100.0, 200.0, 400.0]), measured(ONE_THREAD, [50.0, 125.0, 200.0])];
        steps.extend(BATCHES.map(|work| measured(work, [90.0, 180.0, 400.0])));
        steps.extend(LENGTHS.map(|work| measured(work, [80.0, 160.0, 200.0])));
        let (results, rows) = summarize(&steps, &[1e4, 2e4, 8e4], 2.0, 3);
        assert_eq!(results["ratio_threads"], 2.0);
        assert_eq!(results["batch_over_32"]["64"], 0.9);
        assert_eq!(results["cost_of_length_over_128"]["512"]["measured"], 1.25);
        assert_eq!(results["ratio_loader"], 100.0);
        // Attention takes 2 x length x hidden multiplications per token and layer: with 12 layers of 256 and of 64, a
        // token at 512 needs 6 x 12 x 2 x (512 - 128) x 320 FLOPs more than the 70.2 million at 128.
        let arithmetic = results["cost_of_length_over_128"]["512"]["arithmetic"].as_f64().unwrap();
        assert!((arithmetic - (1.0 + 17.7 / 70.2)).abs() < 1e-3, "{arithmetic}");
        let page = files::read(sh::root().join(page::PAGE)).unwrap();
        for row in rows {
            assert!(page::with_row(&page, &row).is_ok(), "{row}");
        }
    }
}
