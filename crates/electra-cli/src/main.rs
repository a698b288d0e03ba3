//! The binary `electra`: one file per command, each a parsed struct and one call into a crate.

mod commands;
mod console;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// ELECTRA for people who train encoders: pre-train, evaluate, export, fine-tune, predict.
#[derive(Debug, Parser)]
#[command(name = "electra", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn or check a WordPiece vocabulary.
    #[command(subcommand)]
    Vocab(commands::vocab::Command),
    /// Turn a corpus into shards, or look at them.
    #[command(subcommand)]
    Shards(commands::shards::Command),
    /// Pre-train by replaced token detection.
    Pretrain(commands::pretrain::Args),
    /// Held-out metrics of a run.
    Evaluate(commands::evaluate::Args),
    /// Write a network of a run in Hugging Face's format, or both in TensorFlow's.
    Export(commands::export::Args),
    /// Read other programs' weights, or the original's hyper-parameters.
    Import(commands::import::Args),
    /// Compare two sets of weights.
    Compare(commands::compare::Args),
    /// Run a network on ids, or have it judge a text.
    Forward(commands::forward::Args),
    /// Fill the masked positions of a text.
    FillMask(commands::fill_mask::Args),
    /// Fine-tune on a labelled task.
    Finetune(commands::finetune::Args),
    /// Predict with a fine-tuned model.
    Predict(commands::predict::Args),
    /// Score predictions by the official rules.
    #[command(subcommand)]
    Score(commands::score::Command),
    /// Write GLUE's predictions as its leaderboard takes them.
    Submit(commands::submit::Args),
    /// Parameters and FLOPs of a config.
    Flops(commands::flops::Args),
    /// Check and time pre-training on a GPU.
    GpuCheck(commands::gpu_check::Args),
    /// Where the time of a pre-training step goes.
    Profile(commands::profile::Args),
}

fn main() -> ExitCode {
    console::init();
    electra_torch::keep_memory();
    let cli = Cli::parse();
    let result = std::panic::catch_unwind(|| match cli.command {
        Command::Vocab(command) => command.run(),
        Command::Shards(command) => command.run(),
        Command::Pretrain(args) => args.run(),
        Command::Evaluate(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Import(args) => args.run(),
        Command::Compare(args) => args.run(),
        Command::Forward(args) => args.run(),
        Command::FillMask(args) => args.run(),
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
        Ok(Err(error)) => {
            let message = format!("{error:#}");
            console::error(&console::out_of_memory(&message).unwrap_or(message));
            ExitCode::FAILURE
        }
        // The hook of `console::init` has said what happened.
        Err(_) => ExitCode::FAILURE,
    }
}
