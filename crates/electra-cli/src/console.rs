//! Console output: log lines, errors, and progress, which is a bar on a terminal and plain lines otherwise.

use electra_torch::Error;
use electra_train::summary;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Exit code after a signal: 128 plus the number of SIGINT, as in shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// Sets up logging to standard error (filtered with `RUST_LOG`), and prints panics as one line without a backtrace.
pub(crate) fn init() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(io::stderr().is_terminal())
        // Failing to write a log line (closed pipe, full disk) must not stop a run.
        .log_internal_errors(false)
        .init();
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        error(&match Error::libtorch(message) {
            error @ Error::OutOfMemory(_) => advised(&error),
            Error::Libtorch(message) => {
                format!("internal error, please report it: {message} ({location})")
            }
            other => other.to_string(),
        });
    }));
}

/// An out-of-memory error of libtorch, with what to do.
fn advised(error: &Error) -> String {
    format!(
        "{error}; reduce train.batch_size and increase train.accumulate by the same factor, which gives the same updates \
         (`electra flops CONFIG` prints the largest batch size), or reduce --batch-size"
    )
}

/// Prints the error that ended a command, and returns the exit code. If standard output was closed, as by `head`, there is
/// nothing to report.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    if CLOSED.load(Ordering::Relaxed) {
        return ExitCode::SUCCESS;
    }
    self::error(&match Error::libtorch(&format!("{error:#}")) {
        error @ Error::OutOfMemory(_) => advised(&error),
        Error::Libtorch(message) => message,
        other => other.to_string(),
    });
    ExitCode::FAILURE
}

/// Prints an error to standard error.
fn error(message: &str) {
    say(&format!("error: {message}"));
}

/// Prints a line to standard error.
fn say(line: &str) {
    // A failure of standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether the reader of standard output has closed it.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Standard output.
pub(crate) struct Output;

impl Output {
    fn noted<T>(result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            CLOSED.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::noted(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::noted(io::stdout().flush())
    }
}

/// Prints a line to standard output.
///
/// # Errors
/// If standard output is closed; [`fail`] then reports nothing.
pub(crate) fn print(line: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(Output, "{line}")?)
}

/// The name that the program was started with, for messages with a command to type.
pub(crate) fn program() -> String {
    let path = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    path.file_name().map_or("electra".into(), |name| name.to_string_lossy().into_owned())
}

/// A flag that is set by Ctrl-C, SIGTERM and SIGHUP. A second Ctrl-C or SIGTERM exits at once. Signals that were ignored
/// when the process started, as with `nohup` or in background jobs, stay ignored.
///
/// # Errors
/// If the handler cannot be installed.
pub(crate) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    // Only available on Linux.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = Signals::new(not_ignored(&status))?;
    thread::spawn(move || {
        for signal in &mut signals {
            match seen.swap(true, Ordering::Relaxed) {
                // Closing a terminal can send SIGHUP twice.
                true if signal == SIGHUP => {}
                true => std::process::exit(INTERRUPTED.into()),
                false => {
                    say("stopping after this step with a checkpoint; press again to exit at once")
                }
            }
        }
    });
    Ok(flag)
}

/// The signals that stop a run, except those that are ignored according to the text of `/proc/self/status`.
fn not_ignored(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| mask >> (signal - 1) & 1 == 0).collect()
}

/// Progress of a long operation: a bar on a terminal, else a line every few seconds.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    /// The first position, of a resumed run, with its time.
    first: Option<(u64, Instant)>,
    /// The position and the total.
    at: (u64, u64),
    last_line: Instant,
    what: &'static str,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(10);

    /// Creates a progress display; `total` is 0 if unknown.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = match total {
                0 => "{msg} {spinner} {human_pos} [{elapsed}] {per_sec}",
                // The message has a line of its own, which is cut to the width of the terminal.
                _ => "{wide_bar} {human_pos}/{human_len} [{elapsed} < {eta}]\n{wide_msg}",
            };
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self {
            bar,
            start: Instant::now(),
            first: None,
            at: (0, total),
            last_line: Instant::now(),
            what,
        }
    }

    /// Sets the position; `total` is 0 if unknown.
    pub(crate) fn set(&mut self, position: u64, total: u64) {
        self.at = (position, total);
        self.first.get_or_insert_with(|| (position, Instant::now()));
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(position);
            }
            None if self.last_line.elapsed() >= Self::EVERY => {
                self.last_line = Instant::now();
                let rate = position as f64 / self.start.elapsed().as_secs_f64();
                match total {
                    0 => tracing::info!("{}: {position}, {rate:.0}/s", self.what),
                    _ => tracing::info!("{}: {position} of {total}", self.what),
                }
            }
            None => {}
        }
    }

    /// Shows metrics next to the bar, or prints them as a line.
    pub(crate) fn note(&mut self, text: String) {
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                self.last_line = Instant::now();
                match self.remaining() {
                    Some(seconds) => tracing::info!("{text}  left {}", summary::time(seconds)),
                    None => tracing::info!("{text}"),
                }
            }
        }
    }

    /// The remaining seconds at the rate so far, if the total is known.
    fn remaining(&self) -> Option<f64> {
        let (position, total) = self.at;
        let (first, since) = self.first?;
        let rate = position.checked_sub(first)? as f64 / since.elapsed().as_secs_f64();
        let left = total.checked_sub(position).filter(|left| *left > 0)? as f64;
        (rate > 0.0).then(|| left / rate)
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tracing::info!("{text}")),
            None => tracing::info!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nohup` ignores SIGHUP (1), a background job of a script SIGINT (2).
    #[test]
    fn ignored_signals_stay_ignored() {
        let status =
            |mask: &str| not_ignored(&format!("Name:\telectra\nSigIgn:\t{mask}\nSigCgt:\t0\n"));
        assert_eq!(status("0000000000000000"), [SIGINT, SIGTERM, SIGHUP]);
        assert_eq!(status("0000000000001001"), [SIGINT, SIGTERM]);
        assert_eq!(status("0000000000000002"), [SIGTERM, SIGHUP]);
        assert_eq!(not_ignored(""), [SIGINT, SIGTERM, SIGHUP]);
    }
}
