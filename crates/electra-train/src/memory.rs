//! The memory of training, compared with what is available before it starts.

use crate::{
    error::{Error, Result},
    host,
};
use electra_model::{NetworkSpec, Parts, flops::Work, memory::Memory};
use tch::Device;

/// What a training step needs memory for.
#[derive(Clone, Copy, Debug)]
pub struct StepMemory<'a> {
    /// The parts of the networks.
    pub parts: &'a Parts,
    /// The networks in training.
    pub networks: &'a [NetworkSpec<'a>],
    /// Their number of parameters.
    pub parameters: u64,
    /// The work of the longest sequence.
    pub sequence: Work,
    /// Sequences per forward and backward pass.
    pub batch_size: usize,
    /// Passes per update.
    pub accumulate: usize,
}

impl StepMemory<'_> {
    /// The memory of a step with the batch size.
    pub fn of_step(&self) -> Memory {
        let Self { parts, networks, parameters, sequence, batch_size, .. } = self;
        Memory::new(parts, networks, *parameters, &sequence.times(*batch_size as f64))
    }

    /// The largest batch size whose step fits in `bytes`; 0 if none fits.
    pub fn largest_batch(&self, bytes: u64) -> u64 {
        let Self { parts, networks, parameters, sequence, .. } = self;
        Memory::largest_batch(parts, networks, *parameters, sequence, bytes as f64)
    }

    /// Compares the memory of a step with what is available, when the weights are already in memory.
    ///
    /// If it exceeds the memory of the machine, this is an error. If it exceeds only what is available now, or the memory of
    /// a GPU, for which it is an estimate, it is a warning in the log. Both have a batch size that fits.
    ///
    /// # Errors
    /// [`Error::Value`] for `train.batch_size`.
    pub fn check(&self, device: Device) -> Result<()> {
        let weights = self.of_step().parameters as u64;
        match device {
            Device::Cpu => {
                let own = host::resident_memory().unwrap_or(0).max(weights) - weights;
                if let Some(all) = host::memory() {
                    self.fits(own, all, "this machine has").map_err(|expected| {
                        Error::value("train.batch_size", self.batch_size, expected)
                    })?;
                }
                if let Some(available) = host::available_memory() {
                    self.warn(0, available + weights, "are available");
                }
            }
            Device::Cuda(index) => {
                if let Some(all) = host::cuda_memory(index) {
                    self.warn(0, all, "are on the GPU");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn warn(&self, own: u64, limit: u64, has: &str) {
        if let Err(message) = self.fits(own, limit, has) {
            tracing::warn!("train.batch_size = {}: {message}", self.batch_size);
        }
    }

    /// Whether the step fits in `limit` bytes beside `own` bytes; if not, a message with the batch size that does.
    fn fits(&self, own: u64, limit: u64, has: &str) -> std::result::Result<(), String> {
        let need = own + self.of_step().step() as u64;
        if need <= limit {
            return Ok(());
        }
        let gb = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
        let (need, limited) = (gb(need), gb(limit));
        let memory = match has {
            "this machine has" => format!("a step needs about {need}, but {has} {limited}"),
            _ => format!("a step needs about {need}, but {limited} {has}"),
        };
        Err(match self.split(self.largest_batch(limit.saturating_sub(own)) as usize) {
            None => format!(
                "{memory}: not even one sequence fits; use a smaller model or shorter sequences, or model.activations = \
                 \"recompute\""
            ),
            Some((batch_size, accumulate)) => format!(
                "{memory}: set train.batch_size = {batch_size} and train.accumulate = {accumulate}, which gives the same updates \
                 (`electra flops CONFIG` prints the memory)"
            ),
        })
    }

    /// The batch of an update as the fewest passes of at most `largest` sequences: their size and number. `None` if no
    /// sequence fits.
    fn split(&self, largest: usize) -> Option<(usize, usize)> {
        let whole = self.batch_size * self.accumulate;
        let batch_size = (1..=largest).rev().find(|size| whole.is_multiple_of(*size))?;
        Some((batch_size, whole / batch_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use electra_model::{ElectraConfig, HeadKind};

    #[test]
    fn a_batch_that_does_not_fit_gets_one_that_does() {
        let (config, parts) = (ElectraConfig::small(1000), Parts::shipped());
        let networks = [NetworkSpec::new("encoder", &config.discriminator, HeadKind::None)];
        let memory = |batch_size, accumulate| StepMemory {
            parts: &parts,
            networks: &networks,
            parameters: 10_000_000,
            sequence: Work::of_token(128, 0.15).times(128.0),
            batch_size,
            accumulate,
        };
        let of_32 = memory(32, 1).of_step().step() as u64;
        assert_eq!(memory(32, 1).fits(0, of_32 + 1, "are available"), Ok(()));
        // 32 of 96 sequences fit, in 3 passes; 32 of 80 do not divide it, so 20 in 4 passes.
        let message =
            memory(96, 1).fits(1_000_000, of_32 + 1_000_001, "are available").unwrap_err();
        let expected = "train.batch_size = 32 and train.accumulate = 3";
        assert!(message.contains(expected) && message.contains("GB are available"), "{message}");
        assert_eq!(memory(40, 2).split(32), Some((20, 4)));
        assert_eq!(memory(7, 1).split(4), Some((1, 7)));
        assert_eq!(memory(7, 1).split(0), None);
        // The weights alone exceed it.
        let message = memory(32, 1).fits(0, 40_000_000, "this machine has").unwrap_err();
        assert!(message.contains("this machine has 0.0 GB: not even one sequence"), "{message}");
    }
}
