//! Runs commands. Each is printed first, so that users can run any step themselves.

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

/// Prints a line to standard error.
pub(crate) fn say(line: &str) {
    // A failure of standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Formats a command for a shell.
pub(crate) fn shown(command: &[String]) -> String {
    command.iter().fold(String::new(), |mut line, word| {
        let separator = if line.is_empty() { "" } else { " " };
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c))
            && !word.is_empty();
        let quoted =
            if plain { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) };
        // Writing to a string cannot fail.
        let _ = write!(line, "{separator}{quoted}");
        line
    })
}

/// The words of a command, as owned strings.
pub(crate) fn words<const N: usize>(command: [&str; N]) -> Vec<String> {
    command.map(str::to_owned).to_vec()
}

/// Whether a child process is running, which handles Ctrl-C itself.
static CHILD: AtomicBool = AtomicBool::new(false);

/// Leaves Ctrl-C to the running child process, which may first write a checkpoint. Without a child, Ctrl-C ends this
/// process.
///
/// # Errors
/// If the signal handler cannot be installed.
pub(crate) fn leave_interrupts_to_commands() -> Result<()> {
    let mut signals = Signals::new([SIGINT]).context("installing the Ctrl-C handler")?;
    thread::spawn(move || {
        for _ in &mut signals {
            if !CHILD.load(Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(())
}

/// Exit code of an interrupted process.
const INTERRUPTED: i32 = 130;

/// Runs a command with inherited input and output. The error names the command.
pub(crate) fn run(command: &[String]) -> Result<Duration> {
    run_with(command, &[])
}

/// [`run`] with extra environment variables.
pub(crate) fn run_with(command: &[String], env: &[(&str, &str)]) -> Result<Duration> {
    let Some((program, arguments)) = command.split_first() else { bail!("empty command") };
    let prefix: String = env.iter().map(|(key, value)| format!("{key}='{value}' ")).collect();
    say(&format!("+ {prefix}{}", shown(command)));
    let start = Instant::now();
    CHILD.store(true, Ordering::Relaxed);
    let status = Command::new(program).args(arguments).envs(env.iter().copied()).status();
    CHILD.store(false, Ordering::Relaxed);
    let status = status.with_context(|| format!("starting {program}"))?;
    if status.code() == Some(INTERRUPTED) {
        bail!("`{}` was interrupted; run the same xtask command again to resume", shown(command));
    }
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(start.elapsed())
}

/// Runs a command silently and returns its standard output. The error has its standard error.
pub(crate) fn capture(command: &[String]) -> Result<String> {
    let Some((program, arguments)) = command.split_first() else { bail!("empty command") };
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Parses a path argument. Commands run in the root of the repository, so a path typed in another folder is made
/// absolute.
pub(crate) fn path_arg(typed: &str) -> Result<PathBuf, Infallible> {
    let typed = PathBuf::from(typed);
    let current = std::env::current_dir().unwrap_or_default();
    Ok(if current == root() { typed } else { current.join(typed) })
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}
