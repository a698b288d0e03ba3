//! The shares of several tasks in an epoch.

use crate::order::permutation;
use electra_data::rng::{CounterRng, Purpose};

/// Tasks with these numbers of inputs; the share of each in an epoch is proportional to `size^(1/T)`. An epoch has as
/// many inputs as all tasks together.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    sizes: Vec<usize>,
    temperature: f64,
}

impl Mixture {
    /// The mixture for a temperature of 1 or above.
    pub fn new(sizes: Vec<usize>, temperature: f64) -> Self {
        Self { sizes, temperature }
    }

    /// The number of inputs of each task in an epoch: its share, rounded by largest remainders so that the sum is
    /// exact.
    pub fn counts(&self) -> Vec<usize> {
        let total: usize = self.sizes.iter().sum();
        let power = |&size: &usize| (size as f64).powf(1.0 / self.temperature);
        let sum: f64 = self.sizes.iter().map(power).sum();
        let exact: Vec<f64> =
            self.sizes.iter().map(|size| total as f64 * power(size) / sum).collect();
        let mut counts: Vec<usize> = exact.iter().map(|share| *share as usize).collect();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
        let lacking = total.saturating_sub(counts.iter().sum());
        for &task in order.iter().cycle().take(lacking) {
            counts[task] += 1;
        }
        counts
    }

    /// The numbers of the inputs of an epoch, in order; inputs are numbered task after task. If a task's count is below
    /// its number of inputs, they are a random subset; if it is above, inputs are repeated equally often, up to one.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let tasks = self.sizes.len() as u64;
        let (mut places, mut first) = (Vec::new(), 0);
        for (task, (&size, count)) in (0u64..).zip(self.sizes.iter().zip(self.counts())) {
            // Stream 0 is for the mixing below; each pass over a task has its own stream.
            let stream =
                |pass: u64| CounterRng::new(seed, Purpose::Order, epoch, 1 + task + tasks * pass);
            let passes = (0u64..).flat_map(|pass| permutation(size, stream(pass)));
            places.extend(passes.take(count).map(|place| first + place));
            first += size;
        }
        let mixed = permutation(places.len(), CounterRng::new(seed, Purpose::Order, epoch, 0));
        mixed.into_iter().map(|place| places[place]).collect()
    }
}
