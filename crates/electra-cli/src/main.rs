//! The binary `electra`. Each command is one file that parses arguments and calls a library crate.

mod commands;
mod console;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Pre-train, evaluate, export and fine-tune ELECTRA models, and predict with them.
#[derive(Debug, Parser)]
#[command(name = "electra", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// CPU threads. Default: one for each core, or OMP_NUM_THREADS.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(commands::train::Args),
    /// Train or check a WordPiece vocabulary.
    #[command(subcommand)]
    Vocab(commands::vocab::Command),
    /// Build, inspect or verify shards of a corpus.
    #[command(subcommand)]
    Shards(commands::shards::Command),
    Presets(commands::presets::Args),
    /// Pre-train with replaced token detection.
    Pretrain(commands::pretrain::Args),
    /// Compute held-out metrics of a run.
    Evaluate(commands::evaluate::Args),
    /// Write a page with curves, metrics and config of runs, at any time.
    Report(commands::report::Args),
    /// List the runs in a folder.
    Runs(commands::runs::Args),
    Gradients(commands::gradients::Args),
    /// Export a network of a run to Hugging Face's format, or both networks to TensorFlow's.
    Export(commands::export::Args),
    /// Import weights of other programs, or hyperparameters of the original.
    Import(commands::import::Args),
    /// Compare two sets of weights.
    Compare(commands::compare::Args),
    /// Run a network on ids, or detect replaced tokens in a text.
    Forward(commands::forward::Args),
    // The help of these two is that of their arguments.
    FillMask(commands::fill_mask::Args),
    Rescore(commands::rescore::Args),
    /// Fine-tune on a labeled task.
    Finetune(commands::finetune::Args),
    /// Predict with a fine-tuned model.
    Predict(commands::predict::Args),
    /// Score predictions like the official scripts.
    #[command(subcommand)]
    Score(commands::score::Command),
    /// Write predictions for the GLUE leaderboard.
    Submit(commands::submit::Args),
    /// Print parameters, FLOPs and memory of a config.
    Flops(commands::flops::Args),
    /// Check and time pre-training on a GPU.
    GpuCheck(commands::gpu_check::Args),
    /// Profile the parts of a pre-training step.
    Profile(commands::profile::Args),
}

fn main() -> ExitCode {
    console::init();
    electra_torch::keep_memory();
    let cli = Cli::parse();
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
