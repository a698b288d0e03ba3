//! The time that the missing commands will take, from finished cells or a probe.

use super::cell::{Cell, Kind, Record, Step};
use std::collections::HashMap;

/// Measured times.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Seconds of pre-training per update, by config.
    per_update: HashMap<String, Mean>,
    /// Seconds of pre-training per FLOP, over all configs.
    per_flop: Mean,
    /// Seconds of fine-tuning, by task.
    finetune: HashMap<String, Mean>,
    export: Mean,
}

/// A sum of seconds, and of what they are spent on.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    seconds: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, seconds: f64, count: f64) {
        self.seconds += seconds;
        self.count += count;
    }

    fn get(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.seconds / self.count)
    }
}

/// Seconds of one job; `None` where nothing has been measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) pretrain: Option<f64>,
    pub(super) finetune: Option<f64>,
}

impl Rates {
    /// The times of finished commands.
    pub(super) fn of(records: &[Record]) -> Self {
        let mut rates = Self::default();
        for record in records {
            for (name, entry) in record.steps.iter().filter(|(_, entry)| entry.finished) {
                let kind = name.split_once('-').map_or(name.as_str(), |(kind, _)| kind);
                let updates = entry.updates as f64;
                match kind {
                    "pretrain" => {
                        let own = rates.per_update.entry(record.config.clone()).or_default();
                        own.add(entry.seconds, updates);
                        rates.per_flop.add(entry.seconds, updates * record.flops_per_update);
                    }
                    "export" => rates.export.add(entry.seconds, 1.0),
                    task => {
                        let own = rates.finetune.entry(task.to_owned()).or_default();
                        own.add(entry.seconds, 1.0);
                    }
                }
            }
        }
        rates
    }

    /// Whether no pre-training has been measured.
    pub(super) fn is_empty(&self) -> bool {
        self.per_flop.get().is_none()
    }

    /// Adds a measured speed.
    pub(super) fn add_probe(&mut self, seconds: f64, flops: f64) {
        self.per_flop.add(seconds, flops);
    }

    /// The time of the missing steps of cells, one after the other.
    pub(super) fn estimate(&self, missing: &[(&Cell, Vec<Step>)]) -> Estimate {
        let (mut pretrain, mut finetune) = (Some(0.0), Some(0.0));
        let add = |sum: &mut Option<f64>, seconds: Option<f64>| {
            *sum = sum.zip(seconds).map(|(sum, seconds)| sum + seconds);
        };
        for (cell, steps) in missing {
            for step in steps {
                match &step.kind {
                    Kind::Pretrain { from, to } => {
                        let own = self.per_update.get(&cell.config).and_then(|own| own.get());
                        let by_flops = || Some(self.per_flop.get()? * cell.flops_per_update);
                        let seconds = own.or_else(by_flops);
                        add(&mut pretrain, seconds.map(|it| it * (to - from) as f64));
                    }
                    // Short, compared with the others.
                    Kind::Export => add(&mut pretrain, Some(self.export.get().unwrap_or(0.0))),
                    Kind::Finetune { task } => {
                        add(&mut finetune, self.finetune.get(task).and_then(|own| own.get()));
                    }
                }
            }
        }
        Estimate { pretrain, finetune }
    }
}

impl Estimate {
    /// The time with several jobs at once, in words.
    pub(super) fn words(self, jobs: usize) -> String {
        let part = |name: &str, seconds: Option<f64>| {
            let time = seconds.map_or("unknown".to_owned(), |it| duration(it / jobs as f64));
            format!("{name} {time}")
        };
        let parts = [part("pre-training", self.pretrain), part("fine-tuning", self.finetune)];
        match self.pretrain.zip(self.finetune) {
            Some((a, b)) => format!("{} ({})", duration((a + b) / jobs as f64), parts.join(", ")),
            None => format!("{}; the rest is known after the first cell", parts.join(", ")),
        }
    }
}

/// A duration such as `3 h 20 min`.
pub(super) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    match minutes {
        0..60 => format!("{minutes} min"),
        60..2880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let of = |minutes: f64| duration(60.0 * minutes);
        assert_eq!([of(0.5), of(59.0), of(125.0)], ["1 min", "59 min", "2 h 5 min"]);
        assert_eq!(of(60.0 * 24.0 * 2.5), "2.5 days");
    }

    /// 100 updates of 2 FLOPs took 50 s: 0.5 s per update, 0.25 s per FLOP. A known task took 30 s.
    #[test]
    fn times_come_from_finished_commands() {
        let text = r#"{"config": "a", "flops_per_update": 2.0, "steps": {
            "pretrain-25": {"command": "", "config": "", "finished": true, "seconds": 50.0, "updates": 100},
            "pretrain-50": {"command": "", "config": "", "finished": false, "seconds": 9.0, "updates": 100},
            "cola-100": {"command": "", "config": "", "finished": true, "seconds": 30.0, "updates": 0}}}"#;
        let rates = Rates::of(&[serde_json::from_str(text).unwrap()]);
        let cell = |config: &str, flops: f64| Cell {
            config: config.to_owned(),
            seed: 1,
            updates: 400,
            flops_per_update: flops,
            points: vec![100],
            folder: "f".into(),
        };
        let step = |kind: Kind| Step::new_for_test(kind);
        let steps = || vec![step(Kind::Pretrain { from: 0, to: 100 })];
        let (same, other) = (cell("a", 2.0), cell("b", 6.0));
        let of = |missing: &[(&Cell, Vec<Step>)]| rates.estimate(missing);
        assert_eq!(of(&[(&same, steps())]).pretrain, Some(50.0));
        assert_eq!(of(&[(&same, steps()), (&other, steps())]).pretrain, Some(50.0 + 150.0));
        let finetune = |task: &str| vec![step(Kind::Finetune { task: task.to_owned() })];
        assert_eq!(of(&[(&same, finetune("cola"))]).finetune, Some(30.0));
        let unknown = of(&[(&same, finetune("cola")), (&same, finetune("rte"))]);
        assert_eq!(unknown.finetune, None);
        assert!(unknown.words(2).contains("fine-tuning unknown"), "{}", unknown.words(2));
        let known = Estimate { pretrain: Some(7200.0), finetune: Some(3600.0) };
        assert_eq!(known.words(2), "1 h 30 min (pre-training 1 h 0 min, fine-tuning 30 min)");
    }
}
