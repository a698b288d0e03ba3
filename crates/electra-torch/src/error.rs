//! The crate's error type.

/// Errors of gradients and devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A gradient tensor does not fit its parameter.
    #[error(
        "gradient of shape {grad:?} does not fit a parameter of shape {parameter:?}: shape, kind and device must be equal"
    )]
    Grad {
        /// Shape of the parameter.
        parameter: Vec<i64>,
        /// Shape of the gradient.
        grad: Vec<i64>,
    },
    /// An unknown device name.
    #[error("unknown device {0:?}: use \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"")]
    UnknownDevice(String),
    /// The requested GPU is not available.
    #[error(
        "device {0:?} is not available: libtorch found {1} CUDA devices; use \"auto\" or \"cpu\", or install a CUDA build of libtorch with `cargo xtask setup --cuda`"
    )]
    NoCuda(String, i64),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
