//! The ELECTRA networks: configs, embeddings, attention, encoder, heads, sharing, files.
//!
//! This crate computes logits. It knows no loss, optimizer, data set or weight decay.
//!
//! # Dimensions
//!
//! Tensors carry their shape as a lower-case suffix, `x_bsh`:
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
//! use electra_model::{ElectraConfig, PaddingMask, Parts, Pretraining};
//! use tch::{Device, Kind, Tensor, nn};
//!
//! let mut config = ElectraConfig::small(100);
//! config.discriminator.layers = 1; // smaller than the paper's, to be quick here
//! config.generator.layers = 1;
//! let vs = nn::VarStore::new(Device::Cpu);
//! let parts = Parts::from_config(&config);
//! let networks = Pretraining::new(&vs.root(), &config, &parts)?;
//!
//! let ids_bs = Tensor::randint(100, [2, 8], (Kind::Int64, Device::Cpu));
//! let segments_bs = ids_bs.zeros_like();
//! let mask = PaddingMask::all_kept(2, 8, Device::Cpu);
//! let logits_bs = networks.discriminator.forward_t(&ids_bs, &segments_bs, &mask, false);
//! assert_eq!(logits_bs.size(), [2, 8]);
//! # Ok::<(), electra_model::Error>(())
//! ```

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod attention;
pub mod compare;
pub mod config;
pub mod embeddings;
pub mod encoder;
mod error;
pub mod feed_forward;
pub mod flops;
pub mod formats;
pub mod heads;
pub mod hf;
pub mod init;
mod kernels;
mod mask;
pub mod memory;
pub mod networks;
pub mod parts;
mod shared;
pub mod sharing;
pub mod tensors;
pub mod tf;

pub use attention::{SelfAttention, SoftmaxAttention};
pub use config::{Activations, ElectraConfig, EncoderConfig, Tower};
pub use embeddings::{Embeddings, TokenEmbeddings};
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use feed_forward::{FeedForward, GeluMlp};
pub use heads::{MaskedLmHead, ReplacedTokenHead};
pub use kernels::{Compute, Kernels, Precision};
pub use mask::PaddingMask;
pub use networks::{Discriminator, Generator, PretrainedNetwork, Pretraining};
pub use parts::{Parts, Site};
pub use sharing::{EmbeddingPair, ShareEmbeddings};
