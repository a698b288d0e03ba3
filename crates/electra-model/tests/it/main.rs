//! Public behaviour of `electra-model`.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod config;
mod files;
mod init;
mod networks;

use electra_model::{ElectraConfig, Tower};

/// A tiny pair of networks with odd sizes: `e != h`, generator narrower than the discriminator.
fn tiny() -> ElectraConfig {
    let mut config = ElectraConfig::small(50);
    config.embedding_size = 6;
    config.max_positions = 12;
    config.discriminator = Tower::new(2, 12, 3);
    config.generator = Tower::new(3, 4, 1);
    config
}
