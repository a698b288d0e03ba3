//! What networks are made of: plain structs, no hidden defaults.

mod encoder;
mod pair;
mod part_name;
mod section;

pub use encoder::{
    Activations, EncoderConfig, Initializer, InitializerKind, Kernels, OutputBiasInit,
    PositionsInit, Precision, Tower,
};
pub use pair::{ElectraConfig, same_parts};
pub use part_name::PartName;
