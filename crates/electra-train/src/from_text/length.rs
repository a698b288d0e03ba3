//! The number of updates that the time and the text allow.

use super::Request;
use crate::{
    RunConfig,
    summary::{MOST_EPOCHS, short, time},
};
use electra_data::SplitIndex;
use std::fmt;

/// Why a run has its number of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the number of the size's config, or of an override.
    Config,
    /// More updates would repeat the text too often.
    Epochs,
    /// More updates would take too long.
    Time,
}

/// A number of updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Length {
    /// The number of updates.
    pub updates: u64,
    /// What limits it.
    pub reason: Reason,
    /// Passes over the training text.
    pub epochs: f64,
    /// Measured tokens per second.
    pub rate: Option<f64>,
    /// Seconds of training at this rate.
    pub seconds: Option<f64>,
}

impl Length {
    /// The length of a run of `config` on training data. `time` has the measured tokens per second and the seconds left.
    pub(super) fn new(
        config: &RunConfig,
        data: &SplitIndex,
        time: Option<(f64, f64)>,
        request: &Request,
    ) -> Self {
        let examples = (config.train.batch_size * config.train.accumulate) as f64;
        let updates_per_epoch = data.examples.max(1) as f64 / examples;
        let tokens = examples * data.tokens as f64 / data.examples.max(1) as f64;
        let own = (config.train.steps as f64, Reason::Config);
        let (updates, reason) = match time {
            _ if request.sets("train.steps") => own,
            None => least(own, (MOST_EPOCHS * updates_per_epoch, Reason::Epochs)),
            // The run uses the time, whatever the number of the size's config.
            Some((rate, seconds)) => least(
                (rate * seconds / tokens, Reason::Time),
                (MOST_EPOCHS * updates_per_epoch, Reason::Epochs),
            ),
        };
        let updates = updates.max(1.0).floor();
        Self {
            updates: updates as u64,
            reason,
            epochs: updates / updates_per_epoch,
            rate: time.map(|(rate, _)| rate),
            seconds: time.map(|(rate, _)| updates * tokens / rate),
        }
    }

    /// Sets the number of updates, and the intervals that depend on it, unless an override has them.
    pub(super) fn apply(&self, config: &mut RunConfig, request: &Request) {
        if request.sets("train.steps") {
            return;
        }
        let updates = self.updates;
        let limit = |key: &str, value: &mut u64, most: u64| {
            if *value > most && !request.sets(key) {
                *value = most.max(1);
            }
        };
        limit("optimizer.warmup_steps", &mut config.optimizer.warmup_steps, updates / 10);
        limit("train.log_every", &mut config.train.log_every, updates / 50);
        limit("evaluate.every", &mut config.evaluate.every, updates / 5);
        config.train.steps = updates;
    }
}

/// The limit with fewer updates.
fn least(a: (f64, Reason), b: (f64, Reason)) -> (f64, Reason) {
    if b.0 < a.0 { b } else { a }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} updates, {:.1} epochs", self.updates, self.epochs)?;
        if let (Some(rate), Some(seconds)) = (self.rate, self.seconds) {
            write!(f, ", about {} at {} tokens/s", time(seconds), short(rate))?;
        }
        match self.reason {
            Reason::Config => Ok(()),
            Reason::Epochs => {
                write!(f, ": more would only repeat the text (at most {MOST_EPOCHS} epochs)")
            }
            Reason::Time => write!(f, ": as many as the time allows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Preset;
    use electra_data::CorpusConfig;
    use electra_tokenize::TokenizerOptions;

    /// 1,000,000 examples of 30 tokens; updates of 64 examples: 1,920 tokens, 15,625 updates an epoch.
    fn data() -> SplitIndex {
        SplitIndex { examples: 1_000_000, tokens: 30_000_000, ..SplitIndex::default() }
    }

    fn request(overrides: &[String]) -> Request {
        Request {
            corpus: "books".into(),
            reading: CorpusConfig::default(),
            tokenizer: TokenizerOptions::default(),
            vocab: None,
            size: None,
            hours: None,
            overrides: overrides.to_vec(),
        }
    }

    #[test]
    fn the_length_is_the_least_of_config_text_and_time() {
        let config = Preset::Hour.config(&[]).expect("it is valid");
        let length = Length::new(&config, &data(), None, &request(&[]));
        assert_eq!((length.updates, length.reason), (12_000, Reason::Config));
        // 19,200 tokens a second for an hour: 36,000 updates, more than the config's 12,000.
        let length = Length::new(&config, &data(), Some((19_200.0, 3600.0)), &request(&[]));
        assert_eq!((length.updates, length.reason), (36_000, Reason::Time));
        assert_eq!((length.epochs, length.seconds), (2.304, Some(3600.0)));
        let small = SplitIndex { examples: 6400, tokens: 192_000, ..SplitIndex::default() };
        let length = Length::new(&config, &small, Some((19_200.0, 3600.0)), &request(&[]));
        // 100 updates an epoch.
        assert_eq!((length.updates, length.reason), (4000, Reason::Epochs));
    }

    #[test]
    fn a_short_run_warms_up_and_evaluates_in_proportion() {
        let overrides = ["evaluate.every=7000".to_owned()];
        let mut config = Preset::Small.config(&overrides).expect("it is valid");
        let length = Length::new(&config, &data(), Some((2048.0, 7680.0)), &request(&overrides));
        // 3,840 tokens an update.
        assert_eq!(length.updates, 4096);
        length.apply(&mut config, &request(&overrides));
        let found = [
            config.train.steps,
            config.optimizer.warmup_steps,
            config.train.log_every,
            config.evaluate.every,
        ];
        assert_eq!(found, [4096, 409, 81, 7000]);
        let fixed = ["train.steps=50".to_owned()];
        let config = Preset::Small.config(&fixed).expect("it is valid");
        let length = Length::new(&config, &data(), Some((2048.0, 7680.0)), &request(&fixed));
        assert_eq!((length.updates, length.reason), (50, Reason::Config));
    }
}
