//! The order of the training inputs in an epoch.

use crate::config::{Batches, TrainConfig};
use electra_data::rng::{CounterRng, Purpose};
use std::{fmt, sync::Arc};

/// The number of batches whose inputs are sorted together: more of them give less padding and a less random order.
const GROUPED_BATCHES: usize = 64;

/// The training inputs of an epoch, in order: a pure function of (seed, epoch), so that a run can be resumed from its
/// position alone. Every epoch has as many entries as there are training inputs; where several tasks are sampled, some
/// inputs appear more than once and others not at all.
#[derive(Clone)]
pub struct Order(Arc<dyn Fn(u64, u64) -> Vec<usize> + Send + Sync>);

impl Order {
    /// The order that `of(seed, epoch)` returns.
    pub fn new(of: impl Fn(u64, u64) -> Vec<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    /// Every input once per epoch, ordered by `train.batches`; `lengths` are the inputs' lengths in tokens.
    pub(crate) fn each_once(config: &TrainConfig, lengths: Vec<usize>) -> Self {
        let batch_size = config.batch_size * config.accumulate;
        match config.batches {
            Batches::Shuffled => {
                Self::new(move |seed, epoch| epoch_order(lengths.len(), seed, epoch))
            }
            Batches::ByLength => {
                Self::new(move |seed, epoch| grouped_order(&lengths, batch_size, seed, epoch))
            }
        }
    }

    /// The numbers of the inputs of an epoch.
    pub fn of(&self, seed: u64, epoch: u64) -> Vec<usize> {
        (self.0)(seed, epoch)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order")
    }
}

/// The order of an epoch in batches of inputs with similar length: every 64 batches of [`epoch_order`] are sorted by
/// length and cut into batches, and all batches are shuffled. The last batch, which may be smaller, stays last.
///
/// Departs from the reference, which pads every input to the maximum length.
pub fn grouped_order(lengths: &[usize], batch_size: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = epoch_order(lengths.len(), seed, epoch);
    for pool in order.chunks_mut(GROUPED_BATCHES * batch_size) {
        pool.sort_by_key(|&input| lengths[input]);
    }
    let full_batches = lengths.len() / batch_size;
    // A random stream of its own: its epochs count down from the largest number.
    let batches = epoch_order(full_batches, seed, u64::MAX - epoch);
    let (full, rest) = order.split_at(full_batches * batch_size);
    let cut = |&batch: &usize| &full[batch * batch_size..][..batch_size];
    batches.iter().flat_map(cut).chain(rest).copied().collect()
}

/// The order of `inputs` in an epoch: a uniform permutation (Fisher-Yates).
pub fn epoch_order(inputs: usize, seed: u64, epoch: u64) -> Vec<usize> {
    permutation(inputs, CounterRng::new(seed, Purpose::Order, epoch, 0))
}

/// The numbers below `n` in the random order that `rng` gives.
pub(crate) fn permutation(n: usize, mut rng: CounterRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    order
}
