//! The two LayerNorms of a block, with their Hugging Face names.

use crate::{error::Result, init::LayerNorm, seam::Site};
use tch::nn;

/// Variables `attention.output.LayerNorm` and `output.LayerNorm`.
#[derive(Debug)]
pub(super) struct Norms {
    pub(super) attention: LayerNorm,
    pub(super) feed_forward: LayerNorm,
}

impl Norms {
    pub(super) fn new(site: &Site<'_>) -> Result<Self> {
        let (h, eps) = (site.config.hidden, site.config.layer_norm_eps);
        let norm = |path: nn::Path<'_>| LayerNorm::new(&(path / "LayerNorm"), h, eps);
        Ok(Self {
            attention: norm(site.path / "attention" / "output")?,
            feed_forward: norm(site.path / "output")?,
        })
    }
}
