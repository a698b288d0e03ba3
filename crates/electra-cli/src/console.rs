//! What a person sees: log lines, progress, errors; bars on terminals, plain lines in pipes.

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

/// Exit code of what a signal broke off: 128 and SIGINT's number, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Log lines on standard error (`RUST_LOG` chooses which), and panics as one line without a trace.
pub(crate) fn init() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(io::stderr().is_terminal())
        // A log that cannot be written (its reader is gone, the disk is full) ends no run.
        .log_internal_errors(false)
        .init();
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        error(&match out_of_memory(message) {
            Some(advice) => advice,
            None => format!("internal error, please report it: {} ({place})", first(message)),
        });
    }));
}

/// libtorch's message without the C++ frames that it appends.
fn first(message: &str) -> &str {
    let message = message.split("\\nException raised").next().unwrap_or(message);
    message.split("\nException raised").next().unwrap_or(message)
}

/// What to do about a message of libtorch's allocators, on a GPU or not, if it is one.
pub(crate) fn out_of_memory(message: &str) -> Option<String> {
    let texts = ["out of memory", "can't allocate memory"];
    texts.iter().any(|text| message.contains(text)).then(|| {
        format!(
            "out of memory: {}; lower train.batch_size and raise train.accumulate by as much (the update stays the same), or lower --batch-size",
            first(message).trim_end()
        )
    })
}

/// One error on standard error.
pub(crate) fn error(message: &str) {
    // Nowhere is left to report a failure of standard error to.
    let _ = writeln!(io::stderr(), "error: {message}");
}

/// One line of a result on standard output.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn print(line: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// Set by Ctrl-C, SIGTERM and SIGHUP; a second one of the first two ends the process at once. What whoever started the
/// process had it ignore stays ignored: `nohup` and jobs in the background.
///
/// # Errors
/// If the handler cannot be installed.
pub(crate) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    // Linux alone says so.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = Signals::new(not_ignored(&status))?;
    thread::spawn(move || {
        for signal in &mut signals {
            match seen.swap(true, Ordering::Relaxed) {
                // A terminal that is closed says it twice.
                true if signal == SIGHUP => {}
                true => std::process::exit(INTERRUPTED.into()),
                false => {
                    error(
                        "stopping after this step, with a checkpoint (once more to stop at once)",
                    );
                }
            }
        }
    });
    Ok(flag)
}

/// The signals that end a process in good order, but for those that the text of `/proc/self/status` says are ignored.
fn not_ignored(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| mask >> (signal - 1) & 1 == 0).collect()
}

/// Progress of long work: a bar on a terminal, a line every few seconds otherwise.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    last_line: Instant,
    what: &'static str,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(10);

    /// Progress towards `total`; 0 where the total is not known.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = match total {
                0 => "{msg} {spinner} {human_pos} [{elapsed}] {per_sec}",
                _ => "{wide_bar} {human_pos}/{human_len} [{elapsed} < {eta}] {msg}",
            };
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self { bar, start: Instant::now(), last_line: Instant::now(), what }
    }

    /// Moves to `position` of `total`; 0 where that is not known.
    pub(crate) fn set(&mut self, position: u64, total: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(position);
            }
            None if self.last_line.elapsed() >= Self::EVERY => {
                self.last_line = Instant::now();
                let rate = position as f64 / self.start.elapsed().as_secs_f64();
                match total {
                    0 => tracing::info!("{}: {position}, {rate:.0} a second", self.what),
                    _ => tracing::info!("{}: {position} of {total}", self.what),
                }
            }
            None => {}
        }
    }

    /// The figures shown beside the bar, or a line of their own in a pipe.
    pub(crate) fn note(&mut self, text: String) {
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                self.last_line = Instant::now();
                tracing::info!("{text}");
            }
        }
    }

    /// A line that stays.
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

    /// `nohup` has SIGHUP (1) ignored, a job in the background of a script SIGINT (2).
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
