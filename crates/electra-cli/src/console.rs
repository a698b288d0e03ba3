//! Console output: log lines, errors, and progress, which is a bar on a terminal and plain lines otherwise.

use electra_train::summary;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs,
    io::{self, IsTerminal, Write},
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
        error(&match out_of_memory(message) {
            Some(advice) => advice,
            None => format!("internal error, please report it: {} ({location})", first(message)),
        });
    }));
}

/// A message of libtorch without the C++ stack trace.
fn first(message: &str) -> &str {
    let message = message.split("\\nException raised").next().unwrap_or(message);
    message.split("\nException raised").next().unwrap_or(message)
}

/// If a message is an out-of-memory error of libtorch, on CPU or GPU, returns it with advice.
pub(crate) fn out_of_memory(message: &str) -> Option<String> {
    let texts = ["out of memory", "can't allocate memory"];
    texts.iter().any(|text| message.contains(text)).then(|| {
        format!(
            "out of memory: {}; reduce train.batch_size and increase train.accumulate by the same factor (with the same result), or reduce --batch-size",
            first(message).trim_end()
        )
    })
}

/// Prints an error to standard error.
pub(crate) fn error(message: &str) {
    // A failure of standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "error: {message}");
}

/// Prints a line to standard output.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn print(line: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
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
                    error(
                        "stopping after this step with a checkpoint (press again to exit at once)",
                    );
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
