//! What the benches have in common: options, the folder, precisions.

use crate::sh;
use std::path::PathBuf;

/// Where benches keep what they make.
pub(super) const HOME: &str = "target/bench";

/// Options of every bench but those of hot paths.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Runs of each side, in turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) pairs: u16,
    /// Leave out the peer under torch.compile, which takes minutes to start.
    #[arg(long)]
    pub(super) eager_only: bool,
    /// Updates of each run of --curves; those of the config by default.
    #[arg(long, requires = "curves", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) steps: Option<u64>,
    /// Where the figures go as JSON.
    #[arg(long, value_parser = sh::place)]
    pub(super) json: Option<PathBuf>,
    /// Text that is trained on or encoded.
    #[arg(long, default_value = "data/sample/pretrain", value_parser = sh::place)]
    pub(super) corpus: PathBuf,
    /// GLUE's folder, with SST-2 and MRPC in it, or SQuAD's, for the tasks.
    #[arg(long, value_parser = sh::place)]
    pub(super) data: Option<PathBuf>,
}

/// Of this project's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    F32,
    Bf16,
}

impl Precision {
    /// The value of a config's `precision`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}
