//! Fused layers: one pass over memory forward and one backward, in place of a chain of elementwise operations.
//!
//! All functions work on `f32` CPU tensors ([`crate::is_cpu_f32`]), or bfloat16 where documented. They panic on other
//! tensors and on mismatched shapes, which are bugs in the caller. Each call draws one random number from libtorch's
//! generator, so `tch::manual_seed` controls it. The number of threads (`tch::get_num_threads()`) changes results only
//! by rounding.

mod activation;
mod adam;
mod attention;
mod norm;
mod pieces;
mod vocabulary;

pub use activation::{bias_gelu, dropout};
pub use adam::{AdamStep, adam};
pub use attention::{Sequences, attention};
pub use norm::add_norm;
pub use vocabulary::{Prediction, predict_tokens};
