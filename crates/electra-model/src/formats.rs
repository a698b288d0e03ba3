//! Weight file formats of other frameworks. They read and write named tensors and do not interpret the names.

pub mod bundle;
pub mod pickle;
