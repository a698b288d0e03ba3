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
mod parts;
mod traps;

use electra_model::{ElectraConfig, EncoderConfig, EncoderInput, PaddingMask, PartName, Tower};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Numbers from outside.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A tiny pair of networks with odd sizes: `e != h`, generator narrower than the discriminator.
fn tiny() -> ElectraConfig {
    pair(50, 6, 12, Tower::new(2, 12, 3), Tower::new(3, 4, 1))
}

/// A discriminator and a generator of these sizes.
fn pair(
    vocab_size: i64,
    embedding_size: i64,
    max_positions: i64,
    discriminator: Tower,
    generator: Tower,
) -> ElectraConfig {
    let network = |sizes| EncoderConfig {
        max_positions,
        ..EncoderConfig::electra(vocab_size, embedding_size, sizes)
    };
    ElectraConfig {
        discriminator: network(discriminator),
        generator: Some(network(generator)),
        sharing: PartName::new("tied"),
    }
}

/// A batch of tensors.
fn input(ids_bs: &Tensor, segments_bs: &Tensor, mask: &PaddingMask) -> EncoderInput {
    EncoderInput::new(ids_bs.shallow_clone(), segments_bs.shallow_clone(), mask.share())
}
