//! Network configs: plain structs without hidden defaults.

mod encoder;
mod pair;
mod part_name;
mod section;

pub use encoder::{
    Activations, EncoderConfig, EncoderSizes, Initializer, InitializerKind, Kernels,
    OutputBiasInit, PositionsInit, Precision,
};
pub use pair::{ElectraConfig, same_parts};
pub use part_name::PartName;

/// The value of a number in a config that is read from the training data: `vocab_size = "shards"`.
pub const OF_SHARDS: &str = "shards";
