//! Options and settings that the benchmarks share.

use crate::sh;
use std::path::PathBuf;

/// Folder for the files of benchmarks.
pub(super) const HOME: &str = "target/bench";

/// Options of all benchmarks except the criterion ones.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Number of alternating runs of each side.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) pairs: u16,
    /// Skip the peer with torch.compile, which takes minutes to start.
    #[arg(long)]
    pub(super) eager_only: bool,
    /// Training steps of each run of --curves. Default: those of the config.
    #[arg(long, requires = "curves", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) steps: Option<u64>,
    /// Write the results to a JSON file.
    #[arg(long, value_parser = sh::path_arg)]
    pub(super) json: Option<PathBuf>,
    /// Text to train on or encode.
    #[arg(long, default_value = "data/sample/pretrain", value_parser = sh::path_arg)]
    pub(super) corpus: PathBuf,
    /// GLUE's folder (with SST-2 and MRPC) or SQuAD's, for fine-tuning and prediction.
    #[arg(long, value_parser = sh::path_arg)]
    pub(super) data: Option<PathBuf>,
}

/// The precision of this project's matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    F32,
    Bf16,
}

impl Precision {
    /// The value of `precision` in a config.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}
