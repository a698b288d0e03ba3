//! Runs commands. Each is printed first, so that users can run any step themselves.

use anyhow::{Context, Result, bail};
use signal_hook::{consts::SIGINT, iterator::Signals};
use std::{
    convert::Infallible,
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
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

/// The number of running child processes, which handle Ctrl-C themselves.
static CHILDREN: AtomicUsize = AtomicUsize::new(0);

/// Whether Ctrl-C was pressed, or a child process was interrupted.
static STOP: AtomicBool = AtomicBool::new(false);

/// Leaves Ctrl-C to the running child processes, which may first write a checkpoint. Without a child, Ctrl-C ends this
/// process.
///
/// # Errors
/// If the signal handler cannot be installed.
pub(crate) fn leave_interrupts_to_commands() -> Result<()> {
    let mut signals = Signals::new([SIGINT]).context("installing the Ctrl-C handler")?;
    thread::spawn(move || {
        for _ in &mut signals {
            STOP.store(true, Ordering::Relaxed);
            if CHILDREN.load(Ordering::Relaxed) == 0 {
                std::process::exit(INTERRUPTED.into());
            }
        }
    });
    Ok(())
}

/// Exit code of an interrupted process.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed, or a child process was interrupted.
pub(crate) fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Runs a command with inherited input and output. The error names the command.
pub(crate) fn run(command: &[String]) -> Result<Duration> {
    run_with(command, &[], None)
}

/// [`run`] with extra environment variables. With `log`, output is appended to that file.
pub(crate) fn run_with(
    command: &[String],
    env: &[(&str, &str)],
    log: Option<&Path>,
) -> Result<Duration> {
    let Some((program, arguments)) = command.split_first() else { bail!("empty command") };
    let prefix: String = env.iter().map(|(key, value)| format!("{key}='{value}' ")).collect();
    say(&format!("+ {prefix}{}", shown(command)));
    let mut child = Command::new(program);
    child.args(arguments).envs(env.iter().copied());
    if let Some(log) = log {
        let open = || File::options().create(true).append(true).open(log);
        let file = open().with_context(|| log.display().to_string())?;
        child.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    }
    let start = Instant::now();
    CHILDREN.fetch_add(1, Ordering::Relaxed);
    let status = child.status();
    CHILDREN.fetch_sub(1, Ordering::Relaxed);
    let status = status.with_context(|| format!("starting {program}"))?;
    if was_interrupted(status) || (!status.success() && interrupted()) {
        STOP.store(true, Ordering::Relaxed);
        bail!("`{}` was interrupted; run the same xtask command again to resume", shown(command));
    }
    if !status.success() {
        let log = log.map(|log| format!("; its output is in {}", log.display()));
        bail!("`{}` failed: {status}{}", shown(command), log.unwrap_or_default());
    }
    Ok(start.elapsed())
}

/// Whether Ctrl-C ended a command: by the exit code, after it wrote a checkpoint, or by the signal itself.
fn was_interrupted(status: ExitStatus) -> bool {
    status.code() == Some(INTERRUPTED.into()) || status.signal() == Some(SIGINT)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_told_from_a_failure() {
        let status = |script: &str| Command::new("sh").args(["-c", script]).status().unwrap();
        for (script, expected) in [
            ("exit 130", true),
            ("kill -INT $$", true),
            ("exit 1", false),
            ("kill -TERM $$", false),
        ] {
            assert_eq!(was_interrupted(status(script)), expected, "{script}");
        }
    }
}
