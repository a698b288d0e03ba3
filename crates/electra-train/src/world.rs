//! The processes that train one run together.
//!
//! They interact at five points: the examples of a batch, the counts that losses are divided by, the gradients, the
//! decision to stop, and the files of the run. A single process does nothing at these points.

use crate::objective::LossCounts;
use std::fmt::Debug;
use tch::Tensor;

/// The processes of a run, from the point of view of one of them.
pub trait World: Debug {
    /// The index of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// Sums the counts of all processes.
    fn sum_counts(&self, own: LossCounts) -> LossCounts;

    /// Sums a gradient buffer over all processes, in place.
    fn sum_gradients(&self, buffer: &mut Tensor);

    /// Whether `own` is true in any process.
    fn any(&self, own: bool) -> bool;

    /// Whether this process writes the run's files.
    fn writes(&self) -> bool {
        self.rank() == 0
    }
}

/// A single process.
#[derive(Clone, Copy, Debug)]
pub struct SingleProcess;

impl World for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum_counts(&self, own: LossCounts) -> LossCounts {
        own
    }

    fn sum_gradients(&self, _buffer: &mut Tensor) {}

    fn any(&self, own: bool) -> bool {
        own
    }
}
