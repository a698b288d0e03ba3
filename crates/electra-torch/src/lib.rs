//! What `tch` lacks, and the only crate of the workspace with `unsafe` and C++.
//!
//! - [`set_grad`]: hands a parameter the tensor its gradient is accumulated into, so that all
//!   gradients can be views of one flat buffer;
//! - [`load_cuda`]: loads libtorch's CUDA half at run time, so that one binary serves CPU and GPU;
//! - [`device`]: `"auto"`, `"cpu"` and `"cuda:N"` to a [`tch::Device`];
//! - [`attach`]: functions with a backward pass written in Rust;
//! - [`recompute`]: a function that keeps nothing for its backward pass but its input;
//! - [`keep_memory`]: an allocator that does not pay for the same pages again;
//! - [`upload`], [`adam_on_device`]: a step on a GPU that the host does not wait for;
//! - [`allocated`]: what that allocator has given out;
//! - [`parallel_for`]: work on libtorch's own threads;
//! - [`ops`]: layers in one pass each, for instruction sets chosen at run time.
//!
//! Nothing here knows ELECTRA.
#![doc = include_str!("../README.md")]

mod autograd;
mod cuda;
mod dropout;
mod error;
mod floats;
mod gemm;
mod generator;
mod gpu;
mod grad;
mod half;
mod memory;
pub mod ops;
mod parallel;
mod recompute;
mod simd;

pub use autograd::{attach, records};
pub use cuda::{device, load_cuda};
pub use error::{Error, Result};
pub use floats::is_plain;
pub use gpu::{Clipping, Peak, adam_on_device, peak_device_memory, upload};
pub use grad::set_grad;
pub use memory::{allocated, keep_memory};
pub use parallel::parallel_for;
pub use recompute::recompute;
pub use simd::{Instructions, instructions, limit_instructions};
