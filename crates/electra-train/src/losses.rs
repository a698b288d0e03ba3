//! Losses and gradient norms of the updates, looked at together, so that a GPU is not waited for at each.

use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

/// Updates whose figures are kept at most before they are looked at.
const MOST: usize = 1024;

/// When the losses and norms of updates are fetched from the device and looked at. Always before a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// At each update, before the weights change: on a CPU, where there is nothing to wait for.
    Each,
    /// With each row of metrics and before each checkpoint.
    Together,
}

impl Fetch {
    /// What suits a device.
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Each,
            _ => Self::Together,
        }
    }
}

/// Losses and norms since the last look, where they were computed.
#[derive(Debug)]
pub(crate) struct Losses {
    fetch: Fetch,
    waiting: Vec<(u64, Tensor)>,
    norm: f64,
}

impl Losses {
    /// None yet.
    pub(crate) fn new(fetch: Fetch) -> Self {
        Self { fetch, waiting: Vec::new(), norm: f64::NAN }
    }

    /// Adds those of update `step`, both scalars; nothing is waited for.
    pub(crate) fn push(&mut self, step: u64, loss: &Tensor, norm: &Tensor) {
        let both = [loss, norm].map(|x| x.detach().to_kind(Kind::Double));
        self.waiting.push((step, Tensor::stack(&both, 0)));
    }

    /// Whether it is time for a look, whatever else asks for one.
    pub(crate) fn are_due(&self) -> bool {
        self.fetch == Fetch::Each || self.waiting.len() >= MOST
    }

    /// Looks at all that wait, by one fetch; how many there were.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the first update whose loss or norm is not a number.
    pub(crate) fn look(&mut self) -> Result<usize> {
        let (steps, pairs): (Vec<u64>, Vec<Tensor>) = self.waiting.drain(..).unzip();
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

    /// The norm of the last update that was looked at.
    pub(crate) fn norm(&self) -> f64 {
        self.norm
    }
}
