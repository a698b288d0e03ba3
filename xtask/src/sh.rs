//! Starting commands, each printed first, so that a user can leave xtask at any step.

use anyhow::{Context, Result, bail};
use signal_hook::{consts::SIGINT, iterator::Signals};
use std::{
    convert::Infallible,
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// One line on standard error.
pub(crate) fn say(line: &str) {
    // Nowhere is left to report a failure of standard error to.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A command line as a shell would take it.
pub(crate) fn shown(command: &[String]) -> String {
    command.iter().fold(String::new(), |mut line, word| {
        let separator = if line.is_empty() { "" } else { " " };
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c))
            && !word.is_empty();
        let quoted =
            if plain { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) };
        // Writing to a string does not fail.
        let _ = write!(line, "{separator}{quoted}");
        line
    })
}

/// Words of a command.
pub(crate) fn words<const N: usize>(command: [&str; N]) -> Vec<String> {
    command.map(str::to_owned).to_vec()
}

/// Whether a command runs that takes Ctrl-C itself.
static CHILD: AtomicBool = AtomicBool::new(false);

/// Ctrl-C is for the command that runs, which ends in its own way: with a checkpoint, say. Without one it ends this
/// process.
///
/// # Errors
/// If the system has no such signals.
pub(crate) fn leave_interrupts_to_commands() -> Result<()> {
    let mut signals = Signals::new([SIGINT]).context("waiting for Ctrl-C")?;
    thread::spawn(move || {
        for _ in &mut signals {
            if !CHILD.load(Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(())
}

/// The exit code of what was interrupted.
const INTERRUPTED: i32 = 130;

/// Runs a command with this process' input and output; an error names it.
pub(crate) fn run(command: &[String]) -> Result<Duration> {
    run_with(command, &[])
}

/// [`run`] with environment variables.
pub(crate) fn run_with(command: &[String], env: &[(&str, &str)]) -> Result<Duration> {
    let Some((program, arguments)) = command.split_first() else { bail!("an empty command") };
    let prefix: String = env.iter().map(|(key, value)| format!("{key}='{value}' ")).collect();
    say(&format!("+ {prefix}{}", shown(command)));
    let start = Instant::now();
    CHILD.store(true, Ordering::Relaxed);
    let status = Command::new(program).args(arguments).envs(env.iter().copied()).status();
    CHILD.store(false, Ordering::Relaxed);
    let status = status.with_context(|| format!("starting {program}"))?;
    if status.code() == Some(INTERRUPTED) {
        bail!("`{}` was stopped; the same call goes on with it", shown(command));
    }
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(start.elapsed())
}

/// Runs a command silently and returns its output; an error carries what it said.
pub(crate) fn capture(command: &[String]) -> Result<String> {
    let Some((program, arguments)) = command.split_first() else { bail!("an empty command") };
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A path as it was typed, for use in the repository's root, where commands run: made absolute if it was typed
/// in another folder.
pub(crate) fn place(typed: &str) -> Result<PathBuf, Infallible> {
    let typed = PathBuf::from(typed);
    let here = std::env::current_dir().unwrap_or_default();
    Ok(if here == root() { typed } else { here.join(typed) })
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}
