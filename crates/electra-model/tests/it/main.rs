//! Public behaviour of `electra-model`.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod compare;
mod config;
mod corpus;
mod files;
mod foreign;
mod forge;
mod fuzz;
mod golden;
mod heads;
mod init;
mod kernels;
mod networks;
mod traps;

use electra_model::{ElectraConfig, Tower};
use std::path::{Path, PathBuf};

/// Numbers from outside.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A tiny pair of networks with odd sizes: `e != h`, generator narrower than the discriminator.
fn tiny() -> ElectraConfig {
    let mut config = ElectraConfig::small(50);
    config.embedding_size = 6;
    config.max_positions = 12;
    config.discriminator = Tower::new(2, 12, 3);
    config.generator = Tower::new(3, 4, 1);
    config
}
