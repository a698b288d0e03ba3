//! The `electra` command as a library, for a program of one's own with the same commands and other parts, objectives and
//! kinds of tasks.
//!
//! ```no_run
//! use electra_cli::{Extensions, main_with};
//! use electra_model::{DirectionalAttention, Parts};
//!
//! fn main() -> std::process::ExitCode {
//!     let parts = Parts::shipped().with_attention("mine", DirectionalAttention::left_to_right);
//!     main_with(Extensions::default().with_parts(parts))
//! }
//! ```
//!
//! A config chooses them by name: `mine pretrain CONFIG --set model.attention.kind=mine --out RUN`.
//!
//! Each command is one file that parses arguments and calls a library crate.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

mod commands;
mod console;
mod extensions;
mod help;

pub use extensions::Extensions;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{ffi::OsString, panic::AssertUnwindSafe, process::ExitCode};

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
    Embed(commands::embed::Args),
    #[command(subcommand)]
    Score(commands::score::Command),
    Submit(commands::submit::Args),
    Flops(commands::flops::Args),
    GpuCheck(commands::gpu_check::Args),
    Profile(commands::profile::Args),
}

/// The `electra` command.
pub fn main() -> ExitCode {
    main_with(Extensions::default())
}

/// The `electra` command with custom parts, objectives and kinds of tasks, which configs and files name.
pub fn main_with(extensions: Extensions) -> ExitCode {
    console::init();
    electra_torch::keep_memory();
    run(std::env::args_os(), &extensions)
}

/// Runs the command of `arguments`, the first of which is the name of the program. Unlike [`main_with`], neither logs nor
/// changes process-wide settings, except for the threads of `--threads`.
pub fn run<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    extensions: &Extensions,
) -> ExitCode {
    let matches = help::grouped(Cli::command()).try_get_matches_from(arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed output cannot be reported anywhere.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    if let Some(threads) = cli.threads {
        use_threads(threads);
    }
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| cli.command.run(extensions)));
    match result {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => console::fail(&error),
        // The panic hook of `console::init` has printed the message.
        Err(_) => ExitCode::FAILURE,
    }
}

impl Command {
    fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        match self {
            Self::Train(args) => args.run(extensions),
            Self::Vocab(command) => command.run(),
            Self::Shards(command) => command.run(),
            Self::Presets(args) => args.run(),
            Self::Pretrain(args) => args.run(extensions),
            Self::Evaluate(args) => args.run(extensions),
            Self::Report(args) => args.run(extensions),
            Self::Runs(args) => args.run(),
            Self::Gradients(args) => args.run(extensions),
            Self::Export(args) => args.run(extensions),
            Self::Import(args) => args.run(extensions),
            Self::Compare(args) => args.run(),
            Self::Forward(args) => args.run(extensions),
            Self::FillMask(args) => args.run(extensions),
            Self::Rescore(args) => args.run(extensions),
            Self::Finetune(args) => args.run(extensions),
            Self::Predict(args) => args.run(extensions),
            Self::Embed(args) => args.run(extensions),
            Self::Score(command) => command.run(),
            Self::Submit(args) => args.run(extensions),
            Self::Flops(args) => args.run(extensions),
            Self::GpuCheck(args) => args.run(extensions),
            Self::Profile(args) => args.run(extensions),
        }
    }
}

/// Sets the number of threads of libtorch, which trains and predicts, and of rayon, which reads text.
fn use_threads(threads: u16) {
    tch::set_num_threads(threads.into());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
    pool.build_global().expect("the pool of rayon is not in use yet");
}
