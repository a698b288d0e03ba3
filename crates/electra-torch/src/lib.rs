//! What `tch` lacks, and the only crate of the workspace with `unsafe` and C++.
//!
//! - [`set_grad`]: hands a parameter the tensor its gradient is accumulated into, so that all
//!   gradients can be views of one flat buffer;
//! - [`load_cuda`]: loads libtorch's CUDA half at run time, so that one binary serves CPU and GPU;
//! - [`device`]: `"auto"`, `"cpu"` and `"cuda:N"` to a [`tch::Device`].
//!
//! Nothing here knows ELECTRA.
#![doc = include_str!("../README.md")]

mod cuda;
mod error;
mod grad;

pub use cuda::{device, load_cuda};
pub use error::{Error, Result};
pub use grad::set_grad;
