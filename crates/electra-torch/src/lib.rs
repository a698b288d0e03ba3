//! Extensions to `tch`, and the only crate of the workspace with `unsafe` and C++.
//!
//! - [`set_grad`]: sets the tensor that a parameter's gradient accumulates into, so that all gradients can be views
//!   of one flat buffer;
//! - [`attach`]: custom autograd functions in Rust;
//! - [`recompute`]: activation checkpointing;
//! - [`ops`]: fused layers, compiled for several instruction sets and selected at run time;
//! - [`parallel_for`]: a parallel loop on libtorch's threads;
//! - [`device`]: parses `"auto"`, `"cpu"` and `"cuda:N"` to a [`tch::Device`];
//! - [`load_cuda`]: loads libtorch's CUDA library at run time, so that one binary serves CPU and GPU;
//! - [`upload`], [`adam_on_device`]: GPU training steps without host synchronization;
//! - [`keep_memory`], [`allocated`], [`peak_device_memory`]: settings and statistics of the allocators.
//!
//! Nothing here is specific to ELECTRA.
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
#[doc(hidden)]
pub mod testing;

pub use autograd::{attach, requires_grad};
pub use cuda::{device, device_name, load_cuda};
pub use error::{Error, Result};
pub use floats::is_cpu_f32;
pub use gpu::{Clipping, Peak, adam_on_device, peak_device_memory, upload};
pub use grad::set_grad;
pub use memory::{allocated, keep_memory};
pub use parallel::parallel_for;
pub use recompute::recompute;
pub use simd::{Instructions, instructions, limit_instructions};
