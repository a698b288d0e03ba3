//! Losses and gradient norms of updates, fetched together to avoid synchronizing with a GPU in each update.

use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

/// Maximum number of updates whose losses are pending.
const MAX_PENDING: usize = 1024;

/// When the losses and norms of updates are fetched from the device and checked. Always before a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// In each update, before the weights change: for CPUs, where fetching is free.
    Each,
    /// With each row of metrics and before each checkpoint: for GPUs.
    Together,
}

impl Fetch {
    /// The setting suited to a device.
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Each,
            _ => Self::Together,
        }
    }
}

/// Pending losses and norms, on their device.
#[derive(Debug)]
pub(crate) struct Losses {
    when: Fetch,
    pending: Vec<(u64, Tensor)>,
    norm: f64,
}

impl Losses {
    pub(crate) fn new(when: Fetch) -> Self {
        Self { when, pending: Vec::new(), norm: f64::NAN }
    }

    /// Adds loss and norm of update `step`, both scalars, without synchronization.
    pub(crate) fn push(&mut self, step: u64, loss: &Tensor, norm: &Tensor) {
        let both = [loss, norm].map(|x| x.detach().to_kind(Kind::Double));
        self.pending.push((step, Tensor::stack(&both, 0)));
    }

    /// Whether it is time to fetch, also without metrics or a checkpoint.
    pub(crate) fn are_due(&self) -> bool {
        self.when == Fetch::Each || self.pending.len() >= MAX_PENDING
    }

    /// Fetches all pending losses and norms at once and checks them; returns their number.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the first update whose loss or norm is NaN or infinite.
    pub(crate) fn fetch(&mut self) -> Result<usize> {
        let (steps, pairs): (Vec<u64>, Vec<Tensor>) = self.pending.drain(..).unzip();
        if pairs.is_empty() {
            return Ok(0);
        }
        let fetched = Tensor::stack(&pairs, 0).to_device(Device::Cpu).contiguous();
        let mut figures = vec![0f64; 2 * pairs.len()];
        fetched.copy_data(&mut figures, 2 * pairs.len());
        for (&step, pair) in steps.iter().zip(figures.chunks_exact(2)) {
            let (loss, norm) = (pair[0], pair[1]);
            if !loss.is_finite() || !norm.is_finite() {
                return Err(Error::NonFinite { step, loss, norm });
            }
            self.norm = norm;
        }
        Ok(steps.len())
    }

    /// The norm of the last update that was fetched.
    pub(crate) fn norm(&self) -> f64 {
        self.norm
    }
}
