//! `cargo xtask`: set-up, pipelines, checks. One file per concern; nothing of the workspace is linked, so
//! that this builds in seconds and without libtorch.

mod bench;
mod ci;
mod figures;
mod gpu_check;
mod pipeline;
mod python;
mod quickstart;
mod setup;
mod sh;
mod tasks;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Set-up, pipelines and checks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put libtorch into .libtorch/, so that plain cargo commands work afterwards.
    #[command(
        after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup --libtorch /opt/libtorch"
    )]
    Setup(setup::Args),
    /// The whole line on the committed text, in minutes: vocabulary to fine-tuned model.
    Quickstart,
    /// ELECTRA-Small from raw text to exported networks.
    #[command(
        after_help = "Examples:\n  cargo xtask pretrain-small --corpus books/ --out runs/small\n  cargo xtask pretrain-small --corpus books/ -- --field body --cased --lossy"
    )]
    PretrainSmall(pipeline::Args),
    /// ELECTRA-Base from raw text to exported networks.
    PretrainBase(pipeline::Args),
    /// ELECTRA-Large from raw text to exported networks.
    PretrainLarge(pipeline::Args),
    /// GLUE and SQuAD from a pre-trained encoder and from random weights, with a table of dev scores.
    #[command(
        after_help = "Examples:\n  cargo xtask tasks --model runs/small/discriminator --glue GLUE --squad SQUAD --seeds 5\n  cargo xtask tasks --model runs/small/discriminator --glue GLUE --only rte,mrpc --set train.precision=bf16"
    )]
    Tasks(tasks::Args),
    /// Make the golden fixtures anew, with Python packages in an environment under target/.
    Fixtures(python::Fixtures),
    /// Compare with transformers, the official scorers (and TensorFlow) on random models and real text.
    #[command(
        after_help = "Examples:\n  cargo xtask parity\n  cargo xtask parity --text books/ --lines 100000 --tensorflow\n  cargo xtask parity --models 0 --runs 0 --lines 0 --squad dev-v1.1.json half-dev-v2.0.json"
    )]
    Parity(python::Parity),
    /// Benches of the hot paths, this project beside a peer in Python, how a step scales, curves of both precisions.
    #[command(
        after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --peer pretrain-small --json small.json\n  cargo xtask bench --scaling\n  cargo xtask bench --curves"
    )]
    Bench(bench::Args),
    /// Pre-training checked and timed on a GPU, here or from a folder that is carried to one.
    #[command(
        after_help = "Examples:\n  cargo xtask gpu-check\n  cargo xtask gpu-check --kind run -- --device cpu --size tiny --steps 2 --batch-size 4"
    )]
    GpuCheck(gpu_check::Args),
    /// Every check there is: format, lints, tidy, tests, docs.
    Test,
    /// The repository's own rules: dependency direction, file heads and lengths, unsafe, sample data.
    Tidy,
}

fn main() -> ExitCode {
    let run = || -> Result<()> {
        // Paths are read where they were typed; everything runs in the root.
        let cli = Cli::parse();
        std::env::set_current_dir(sh::root())?;
        sh::leave_interrupts_to_commands()?;
        match cli.command {
            Command::Setup(args) => setup::run(&args),
            Command::Quickstart => quickstart::run(),
            Command::PretrainSmall(args) => pipeline::pretrain(&args, "small", 128),
            Command::PretrainBase(args) => pipeline::pretrain(&args, "base", 512),
            Command::PretrainLarge(args) => pipeline::pretrain(&args, "large", 512),
            Command::Tasks(args) => tasks::run(&args),
            Command::Fixtures(args) => python::fixtures(&args),
            Command::Parity(args) => python::parity(&args),
            Command::Bench(args) => bench::run(&args),
            Command::GpuCheck(args) => gpu_check::run(&args),
            Command::Test => ci::run(),
            Command::Tidy => tidy::run(),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sh::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
