//! What networks are made of: plain structs, no hidden defaults.

mod encoder;
mod kinds;
mod pair;
mod section;

pub use encoder::{
    Activations, EncoderConfig, Initializer, InitializerKind, Kernels, OutputBiasInit,
    PositionsInit, Precision, Tower,
};
pub use kinds::{
    AttentionKind, BlockKind, EmbeddingsKind, FeedForwardKind, PositionsKind, SharingKind,
};
pub use pair::{ElectraConfig, same_parts};
