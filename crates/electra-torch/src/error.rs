//! The crate's error type.

/// What can go wrong between Rust and libtorch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused a gradient tensor.
    #[error(
        "libtorch refused the gradient of shape {grad:?} for a parameter of shape {parameter:?}: shape, kind and device must be equal"
    )]
    Grad {
        /// Shape of the parameter.
        parameter: Vec<i64>,
        /// Shape of the gradient.
        grad: Vec<i64>,
    },
    /// A device name that is not known.
    #[error("unknown device {0:?}: use \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"")]
    UnknownDevice(String),
    /// A GPU was asked for, and libtorch sees none.
    #[error(
        "device {0:?} was asked for, but libtorch sees {1} CUDA devices here; use \"auto\" or \"cpu\", or set up libtorch with `cargo xtask setup --cuda`"
    )]
    NoCuda(String, i64),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
