//! Where a part is being built.

use crate::config::EncoderConfig;
use tch::nn;

/// Where a part is being built.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Site<'a> {
    /// Where its variables go; the parent has named it.
    pub path: &'a nn::Path<'a>,
    /// The network it belongs to.
    pub config: &'a EncoderConfig,
    /// The block, counted from 0; 0 outside of the blocks.
    pub layer: i64,
}

impl<'a> Site<'a> {
    /// A place outside of the blocks.
    pub fn new(path: &'a nn::Path<'a>, config: &'a EncoderConfig) -> Self {
        Self { path, config, layer: 0 }
    }

    /// A place in block `layer`, counted from 0.
    pub fn in_layer(path: &'a nn::Path<'a>, config: &'a EncoderConfig, layer: i64) -> Self {
        Self { path, config, layer }
    }

    /// The same place with another path.
    #[must_use]
    pub fn at<'b>(&self, path: &'b nn::Path<'b>) -> Site<'b>
    where
        'a: 'b,
    {
        Site { path, ..*self }
    }
}
