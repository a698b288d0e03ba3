//! Measures the speed of training without data.

use crate::{Recipe, Result, objective::ObjectiveSettings, session::Metrics};
use electra_data::{
    Example, MaskedBatch, UniformMasking,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::SpecialTokens;
use std::time::{Duration, Instant};

/// Untimed updates at the start, which fill the allocator's cache.
const WARM_UP: u64 = 2;

/// Most tokens in a pass of the probe, unless one sequence has more.
const TOKENS: usize = 2048;

/// Special tokens of the probe's sequences. Their ids do not change the speed.
const SPECIAL: SpecialTokens = SpecialTokens { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };

impl Recipe {
    /// Tokens per second of training: of at most `updates` updates on random tokens, and fewer if they take longer than
    /// `limit`. Sequences have the full length; there are fewer of them if the config's batch is large. Writes nothing.
    ///
    /// # Errors
    /// If the config is invalid or a part cannot be built.
    pub fn probe(&self, updates: u64, limit: Duration) -> Result<f64> {
        let vocab_size = self.config().model.discriminator.vocab_size as usize;
        let built = self.build(&vec![1; vocab_size])?;
        let mut session = self.session(&built)?;
        let batch = self.random_batch(vocab_size);
        let mut start = Instant::now();
        let mut timed = 0;
        for done in 0..WARM_UP + updates.max(1) {
            match done {
                WARM_UP => start = Instant::now(),
                _ if timed > 0 && start.elapsed() > limit => break,
                _ => {}
            }
            session.update(batch.clone(), Metrics::Skipped)?;
            timed += usize::from(done >= WARM_UP);
        }
        // Waits for a GPU.
        session.fetch_losses()?;
        Ok((timed * batch.tokens) as f64 / start.elapsed().as_secs_f64())
    }

    /// A batch of random tokens in two segments.
    fn random_batch(&self, vocab_size: usize) -> MaskedBatch {
        let config = self.config();
        let length = config.data.sequence_length;
        let rows = config.train.batch_size.min((TOKENS / length).max(1)) * config.train.accumulate;
        let first = u64::from(SPECIAL.mask) + 1;
        let ordinary = (vocab_size as u64).saturating_sub(first).max(1);
        let example = |row: usize| {
            let mut rng = CounterRng::new(config.train.seed, Purpose::Sampling, 0, row as u64);
            let token = |_| (first + rng.below(ordinary)) as u32;
            let mut ids: Vec<u32> = (0..length).map(token).collect();
            (ids[0], ids[length / 2], ids[length - 1]) = (SPECIAL.cls, SPECIAL.sep, SPECIAL.sep);
            Example { ids, second: length / 2 + 1 }
        };
        let examples: Vec<Example> = (0..rows).map(example).collect();
        let rate = config.objective.masking().rate();
        let masking = UniformMasking { rate, mask_share: 0.85 };
        MaskedBatch::of(&examples, length, &SPECIAL, &masking, config.train.seed)
    }
}
