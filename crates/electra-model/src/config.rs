//! Network configs: plain structs without hidden defaults.

mod encoder;
mod pair;
mod part_name;
mod section;

pub use encoder::{
    Activations, EncoderConfig, EncoderSizes, Initializer, InitializerKind, Kernels, OF_SHARDS,
    OutputBiasInit, PositionsInit, Precision,
};
pub use pair::{ElectraConfig, same_parts};
pub use part_name::PartName;
