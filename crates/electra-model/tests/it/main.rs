//! Tests of the public API of `electra-model`.
#![allow(clippy::unwrap_used, reason = "a panic fails the test and shows its location")]

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
mod likelihood;
mod networks;
mod parts;
mod traps;

use electra_model::{
    ElectraConfig, EncoderConfig, EncoderInput, EncoderSizes, PaddingMask, PartName,
};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// The folder of fixtures generated with other frameworks.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A tiny pair of networks: `e != h`, and a generator narrower than the discriminator.
fn tiny() -> ElectraConfig {
    pair(50, 6, 12, EncoderSizes::new(2, 12, 3), EncoderSizes::new(3, 4, 1))
}

/// A discriminator and a generator of these sizes.
fn pair(
    vocab_size: i64,
    embedding_size: i64,
    max_positions: i64,
    discriminator: EncoderSizes,
    generator: EncoderSizes,
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
    EncoderInput::new(ids_bs.shallow_clone(), segments_bs.shallow_clone(), mask.shallow_clone())
}
