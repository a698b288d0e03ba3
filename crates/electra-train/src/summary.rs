//! What a run will do: its networks, its data and its work, for the first lines of a log.

use crate::host;
use electra_model::Precision;
use std::fmt;

/// With more passes over the data, a model mostly memorizes it.
pub const MOST_EPOCHS: f64 = 40.0;

/// With fewer tokens for each parameter, a smaller model usually learns more in the same time (Hoffmann et al. 2022,
/// arXiv:2203.15556, for language models).
pub const TOKENS_PER_PARAMETER: f64 = 20.0;

/// A run before its first update.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunSummary {
    /// The device.
    pub device: String,
    /// The precision of matrix products.
    pub precision: Precision,
    /// libtorch's threads.
    pub threads: i32,
    /// The role and the number of parameters of each network, with shared ones; the one to fine-tune first.
    pub networks: Vec<(&'static str, u64)>,
    /// Number of trained parameters; shared ones count once.
    pub parameters: u64,
    /// Number of updates.
    pub updates: u64,
    /// Sequences per update.
    pub batch: u64,
    /// Tokens per sequence.
    pub sequence_length: u64,
    /// Tokens of the training data.
    pub tokens: u64,
    /// Passes over the training data.
    pub epochs: f64,
    /// FLOPs of all updates, by the reference's conventions.
    pub flops: f64,
    /// Bytes of memory for an update, beside what the process uses at the start.
    pub memory: f64,
}

impl RunSummary {
    /// Tokens of all updates, with repetitions.
    pub fn tokens_of_run(&self) -> f64 {
        self.epochs * self.tokens as f64
    }

    /// [`Self::tokens_of_run`] divided by the parameters of the network to fine-tune.
    pub fn tokens_per_parameter(&self) -> f64 {
        self.tokens_of_run() / self.kept_parameters()
    }

    /// Parameters of the network to fine-tune.
    pub fn kept_parameters(&self) -> f64 {
        self.networks.first().map_or(f64::NAN, |(_, count)| *count as f64)
    }

    /// What is unusual about the amount of training, with advice.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.epochs > MOST_EPOCHS {
            let most = MOST_EPOCHS * self.updates as f64 / self.epochs;
            warnings.push(format!(
                "{:.0} epochs: after about {MOST_EPOCHS} passes over the same text a model mostly memorizes it. Use more text, or \
                 train.steps = {:.0}",
                self.epochs,
                most.floor().max(1.0)
            ));
        }
        let ratio = self.tokens_per_parameter();
        if ratio < TOKENS_PER_PARAMETER {
            warnings.push(format!(
                "{} tokens for {} parameters: below {TOKENS_PER_PARAMETER} tokens per parameter, train longer, or use a smaller \
                 network, which usually learns more in the same time",
                short(self.tokens_of_run()),
                short(self.kept_parameters())
            ));
        }
        warnings
    }
}

impl fmt::Display for RunSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, precision, threads, updates, batch, sequence_length, .. } = self;
        let precision = precision.name();
        writeln!(f, "device      {device}, {precision}, {threads} threads")?;
        let networks: Vec<_> = self
            .networks
            .iter()
            .map(|(role, count)| format!("{role} {}", short(*count as f64)))
            .collect();
        let (networks, all) = (networks.join(", "), short(self.parameters as f64));
        writeln!(f, "parameters  {networks}; {all} in all, shared ones once")?;
        let tokens = short(self.tokens as f64);
        writeln!(f, "text        {tokens} tokens, {:.2} epochs", self.epochs)?;
        writeln!(f, "batch       {batch} sequences of {sequence_length} tokens")?;
        let (all, flops) = (short(self.tokens_of_run()), self.flops);
        writeln!(f, "updates     {updates}: {all} tokens, {flops:.1e} FLOPs")?;
        write!(f, "memory      about {} for an update", bytes(self.memory))?;
        match host::memory() {
            Some(all) if device == "cpu" => write!(f, ", of {}", bytes(all as f64)),
            _ => Ok(()),
        }
    }
}

/// A count with three digits and a unit: `34.4 M`.
pub fn short(count: f64) -> String {
    let (value, unit) = match count {
        x if x < 1e3 => return format!("{x:.0}"),
        x if x < 1e6 => (x / 1e3, "k"),
        x if x < 1e9 => (x / 1e6, "M"),
        x => (x / 1e9, "G"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// A number of bytes with a unit.
pub fn bytes(count: f64) -> String {
    format!("{}B", short(count).replace('k', "K"))
}

/// A duration in its two largest units: `1 h 20 min`.
pub fn time(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{seconds:.0} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bytes_and_times_are_short() {
        let counts = [999.0, 4_570_000.0, 34_400_000.0, 152e6, 16.4e9].map(short);
        assert_eq!(counts, ["999", "4.57 M", "34.4 M", "152 M", "16.4 G"]);
        assert_eq!([512.0, 8_100.0, 1.59e9].map(bytes), ["512B", "8.10 KB", "1.59 GB"]);
        let times = [20.0, 90.0, 3600.0, 4800.0, 90_000.0].map(time);
        assert_eq!(times, ["20 s", "2 min", "1 h 0 min", "1 h 20 min", "1 d 1 h"]);
    }
}
