//! Gradient views: `parameter.grad = view`, which tch does not offer.

use crate::{Error, Result};
use tch::Tensor;

#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
mod ffi {
    use std::ffi::c_void;
    unsafe extern "C" {
        pub(super) fn electra_set_grad(parameter: *mut c_void, grad: *mut c_void) -> i32;
    }
}

/// Sets `parameter.grad`: backward passes then accumulate into `grad`'s memory.
///
/// PyTorch accumulates in place into an existing gradient, so a view of a flat buffer stays a view as long as it is
/// zeroed in place and never replaced.
///
/// # Errors
/// [`Error::Grad`] if shape, kind or device differ from the parameter's.
///
/// Source: `at::Tensor::mutable_grad`.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn set_grad(parameter: &Tensor, grad: &Tensor) -> Result<()> {
    let mismatch = || Error::Grad { parameter: parameter.size(), grad: grad.size() };
    if parameter.size() != grad.size()
        || parameter.kind() != grad.kind()
        || parameter.device() != grad.device()
    {
        return Err(mismatch());
    }
    #[cfg(not(feature = "doc-only"))]
    {
        // SAFETY: both pointers come from live tch tensors, which each hold an `at::Tensor*`; the shim only copies the
        // second handle and catches every C++ exception.
        let code = unsafe {
            ffi::electra_set_grad(
                parameter.as_ptr().cast_mut().cast(),
                grad.as_ptr().cast_mut().cast(),
            )
        };
        if code != 0 {
            return Err(mismatch());
        }
    }
    Ok(())
}
