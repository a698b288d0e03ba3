//! The processes that train one run together.
//!
//! The session meets them at five places: the examples of a batch, the counts that losses are divided by, the sums of
//! gradients, the wish to stop, and the files of the run. A process alone has nothing to do at any of them.

use crate::objective::Normaliser;
use std::fmt::Debug;
use tch::Tensor;

/// The processes of a run, as one of them sees them.
pub trait World: Debug {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// The counts of all processes' batches.
    fn sum_counts(&self, own: Normaliser) -> Normaliser;

    /// Adds up a buffer of gradients over all processes, in place.
    fn sum_gradients(&self, buffer: &mut Tensor);

    /// Whether any process wishes it.
    fn any(&self, own: bool) -> bool;

    /// Whether this process writes the run's files.
    fn writes(&self) -> bool {
        self.rank() == 0
    }
}

/// One process.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum_counts(&self, own: Normaliser) -> Normaliser {
        own
    }

    fn sum_gradients(&self, _buffer: &mut Tensor) {}

    fn any(&self, own: bool) -> bool {
        own
    }
}
