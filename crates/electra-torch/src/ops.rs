//! Layers whose chain of elementwise passes is one pass forward and one backward.
//!
//! Every function takes and gives 32-bit floats of a CPU ([`crate::is_plain`]), or bfloat16 where it says so, and panics
//! on others, and on shapes that do not fit: a bug of the caller. Randomness is drawn from libtorch's generator, one number a call, so that
//! `tch::manual_seed` decides it; results depend on `tch::get_num_threads()` by rounding alone.

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
