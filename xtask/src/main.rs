//! `cargo xtask`: setup, pipelines, checks. Depends on no crate of the workspace, so that it builds in seconds and
//! without libtorch.

mod bench;
mod ci;
mod dependers;
mod experiment;
mod files;
mod gpu_check;
mod learning_curves;
mod pipeline;
mod pretend_gpu;
mod python;
mod quickstart;
mod setup;
mod sh;
mod svg;
mod tasks;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Setup, pipelines and checks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install libtorch into .libtorch/, so that plain cargo commands work.
    #[command(
        after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup --libtorch /opt/libtorch"
    )]
    Setup(setup::Args),
    /// Run everything on the sample data in minutes: vocabulary, pre-training, fine-tuning.
    Quickstart,
    /// Pre-train ELECTRA-Small: from raw text to exported models.
    #[command(
        after_help = "Examples:\n  cargo xtask pretrain-small --corpus books/ --out runs/small\n  cargo xtask pretrain-small --corpus books/ -- --field body --cased --lossy"
    )]
    PretrainSmall(pipeline::Args),
    /// Pre-train ELECTRA-Base: from raw text to exported models.
    PretrainBase(pipeline::Args),
    /// Pre-train ELECTRA-Large: from raw text to exported models.
    PretrainLarge(pipeline::Args),
    /// Fine-tune on GLUE and SQuAD, from a pre-trained model and from random weights, and print a table of dev scores.
    #[command(
        after_help = "Examples:\n  cargo xtask tasks --model runs/small/discriminator --glue GLUE --squad SQUAD --seeds 5\n  cargo xtask tasks --model runs/small/discriminator --glue GLUE --only rte,mrpc --set train.precision=bf16"
    )]
    Tasks(tasks::Args),
    /// Rerun a comparison of the paper: pre-train and fine-tune its configs with several seeds, at equal FLOPs or updates.
    #[command(
        after_help = "Examples:\n  cargo xtask experiment objectives --corpus books/ --glue GLUE --jobs 2\n  cargo xtask experiment sharing --seeds 5 --glue GLUE --dry-run"
    )]
    Experiment(experiment::Args),
    /// Regenerate the golden fixtures, with Python packages in a virtual environment under target/.
    Fixtures(python::Fixtures),
    /// Compare with transformers, the official scorers and optionally TensorFlow, on random models and real text.
    #[command(
        after_help = "Examples:\n  cargo xtask parity\n  cargo xtask parity --text books/ --lines 100000 --tensorflow\n  cargo xtask parity --models 0 --runs 0 --lines 0 --squad dev-v1.1.json half-dev-v2.0.json\n  cargo xtask parity --models 0 --runs 0 --lines 0 --curves 3"
    )]
    Parity(python::Parity),
    /// Benchmarks: hot paths, comparison with Python, scaling of a training step, learning curves of both precisions.
    #[command(
        after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --peer pretrain-small --json small.json\n  cargo xtask bench --scaling\n  cargo xtask bench --curves"
    )]
    Bench(bench::Args),
    /// Check and time pre-training on a GPU, on this machine or from a bundle for another.
    #[command(
        after_help = "Examples:\n  cargo xtask gpu-check\n  cargo xtask gpu-check --kind run -- --device cpu --size tiny --steps 2 --batch-size 4"
    )]
    GpuCheck(gpu_check::Args),
    /// Run tests and a command on a CUDA device that is a CPU: device rules, host waits and races, on machines without a GPU.
    #[command(
        after_help = "Examples:\n  cargo xtask pretend-gpu\n  cargo xtask pretend-gpu -- target/debug/electra gpu-check --size tiny --shards shards"
    )]
    PretendGpu(pretend_gpu::Args),
    /// Run all checks (format, tidy, lints, tests, doc tests, docs), or those of single crates.
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test -p electra-tokenize -p electra-data"
    )]
    Test(ci::Args),
    /// Check the rules of the repository: dependency direction, module docs, file lengths, unsafe, sample data.
    Tidy,
}

fn main() -> ExitCode {
    let run = || -> Result<()> {
        // Parse paths relative to the current folder, then run everything in the root.
        let cli = Cli::parse();
        std::env::set_current_dir(sh::root())?;
        sh::leave_interrupts_to_commands()?;
        match cli.command {
            Command::Setup(args) => setup::run(&args),
            Command::Quickstart => quickstart::run(),
            Command::PretrainSmall(args) => pipeline::pretrain(&args, "small"),
            Command::PretrainBase(args) => pipeline::pretrain(&args, "base"),
            Command::PretrainLarge(args) => pipeline::pretrain(&args, "large"),
            Command::Tasks(args) => tasks::run(&args),
            Command::Experiment(args) => experiment::run(&args),
            Command::Fixtures(args) => python::fixtures(&args),
            Command::Parity(args) => python::parity(&args),
            Command::Bench(args) => bench::run(&args),
            Command::GpuCheck(args) => gpu_check::run(&args),
            Command::PretendGpu(args) => pretend_gpu::run(&args, ci::cargo_test()),
            Command::Test(args) => ci::run(&args),
            Command::Tidy => tidy::run(),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Ctrl-C is not an error.
        Err(error) if sh::interrupted() => {
            sh::say(&format!("{error:#}"));
            ExitCode::from(sh::INTERRUPTED)
        }
        Err(error) => {
            sh::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
