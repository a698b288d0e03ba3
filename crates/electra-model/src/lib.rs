//! The ELECTRA networks: configs, embeddings, attention, encoder, heads, sharing, files.
//!
//! This crate computes logits. Losses, optimizers, datasets and weight decay are in other crates.
//!
//! # Dimensions
//!
//! A tensor's name ends in its shape, `x_bsh`:
//!
//! | letter | meaning | letter | meaning |
//! |---|---|---|---|
//! | `b` | batch (sequences) | `n` | attention heads |
//! | `s` | sequence (tokens) | `d` | size of one head |
//! | `h` | hidden size | `v` | vocabulary |
//! | `e` | embedding size | `p` | masked positions of a batch |
//!
//! # From config to logits
//!
//! ```
//! use electra_model::{ElectraConfig, EncoderInput, Parts, Pretraining, Row};
//! use tch::{Device, nn};
//!
//! let mut config = ElectraConfig::small(100);
//! for network in config.networks_mut() {
//!     network.layers = 1; // fewer than in the paper, to run fast
//! }
//! let vs = nn::VarStore::new(Device::Cpu);
//! let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped())?;
//!
//! let row = |ids| Row { ids, segment_b_start: 4 };
//! let rows = [row(&[2, 7, 9, 3]), row(&[2, 7, 3])];
//! let input = EncoderInput::from_rows(&rows, 0, Device::Cpu);
//! let logits_bs = networks.discriminator.forward_t(&input, false);
//! assert_eq!(logits_bs.size(), [2, 4]);
//! # Ok::<(), electra_model::Error>(())
//! ```

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod compare;
pub mod config;
pub mod cost;
pub mod encoder;
mod error;
pub mod flops;
pub mod formats;
pub mod heads;
pub mod hf;
pub mod init;
mod input;
mod kernels;
pub mod likelihood;
mod mask;
pub mod memory;
pub mod networks;
mod parts;
mod pretrained;
mod seam;
mod shared;
pub mod tensors;
pub mod tf;

/// The version of tch whose tensors are in this crate's functions: 0.24, for libtorch 2.11.
pub use tch;

pub use config::{
    Activations, ElectraConfig, EncoderConfig, EncoderSizes, Kernels, PartName, Precision,
    same_parts,
};
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use heads::{HeadKind, MaskedLmHead, NetworkSpec, PretrainingHead, ReplacedTokenHead};
pub use input::{EncoderInput, Row};
pub use kernels::Compute;
pub use mask::PaddingMask;
pub use networks::{Discriminator, Generator, Network, Pretraining};
pub use parts::*;
pub use pretrained::PretrainedNetwork;
pub use seam::{
    Block, BuildEmbeddings, EmbeddingPair, Embeddings, FeedForward, LayerContext, Offset,
    Positions, SelfAttention, ShareEmbeddings, Site, SubLayers,
};
