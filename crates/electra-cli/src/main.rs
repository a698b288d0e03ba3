//! The binary `electra`. Each command is one file that parses arguments and calls a library crate.

mod commands;
mod console;
mod help;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Train ELECTRA models on your text, fine-tune them on your tasks, and predict with them.
#[derive(Debug, Parser)]
#[command(name = "electra", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// CPU threads. Default: one for each core, or OMP_NUM_THREADS.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

// The help of a command is that of its arguments. `help.rs` lists the commands by purpose.
#[derive(Debug, Subcommand)]
enum Command {
    Train(commands::train::Args),
    #[command(subcommand)]
    Vocab(commands::vocab::Command),
    #[command(subcommand)]
    Shards(commands::shards::Command),
    Presets(commands::presets::Args),
    Pretrain(commands::pretrain::Args),
    Evaluate(commands::evaluate::Args),
    Report(commands::report::Args),
    Runs(commands::runs::Args),
    Gradients(commands::gradients::Args),
    Export(commands::export::Args),
    Import(commands::import::Args),
    Compare(commands::compare::Args),
    Forward(commands::forward::Args),
    FillMask(commands::fill_mask::Args),
    Rescore(commands::rescore::Args),
    Finetune(commands::finetune::Args),
    Predict(commands::predict::Args),
    #[command(subcommand)]
    Score(commands::score::Command),
    Submit(commands::submit::Args),
    Flops(commands::flops::Args),
    GpuCheck(commands::gpu_check::Args),
    Profile(commands::profile::Args),
}

fn main() -> ExitCode {
    console::init();
    electra_torch::keep_memory();
    let matches = help::grouped(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Some(threads) = cli.threads {
        use_threads(threads);
    }
    let result = std::panic::catch_unwind(|| match cli.command {
        Command::Train(args) => args.run(),
        Command::Vocab(command) => command.run(),
        Command::Shards(command) => command.run(),
        Command::Presets(args) => args.run(),
        Command::Pretrain(args) => args.run(),
        Command::Evaluate(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Runs(args) => args.run(),
        Command::Gradients(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Import(args) => args.run(),
        Command::Compare(args) => args.run(),
        Command::Forward(args) => args.run(),
        Command::FillMask(args) => args.run(),
        Command::Rescore(args) => args.run(),
        Command::Finetune(args) => args.run(),
        Command::Predict(args) => args.run(),
        Command::Score(command) => command.run(),
        Command::Submit(args) => args.run(),
        Command::Flops(args) => args.run(),
        Command::GpuCheck(args) => args.run(),
        Command::Profile(args) => args.run(),
    });
    match result {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => console::fail(&error),
        // The panic hook of `console::init` has printed the message.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Sets the number of threads of libtorch, which trains and predicts, and of rayon, which reads text.
fn use_threads(threads: u16) {
    tch::set_num_threads(threads.into());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
    pool.build_global().expect("the pool of rayon is not in use yet");
}
