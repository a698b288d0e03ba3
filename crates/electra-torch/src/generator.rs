//! The state of libtorch's random number generator. `tch` can only seed it.

use tch::Tensor;

#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
mod ffi {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        pub(super) fn electra_generator_state(like: *mut c_void) -> *mut c_void;
        pub(super) fn electra_set_generator_state(like: *mut c_void, state: *mut c_void) -> c_int;
    }
}

/// A saved state of a device's default generator.
#[derive(Debug)]
pub(crate) struct GeneratorState {
    /// A tensor on the generator's device.
    like: Tensor,
    #[cfg_attr(feature = "doc-only", allow(dead_code))]
    state: Tensor,
}

impl GeneratorState {
    /// Saves the state of the generator of `x`'s device.
    ///
    /// # Panics
    /// If the device has no generator.
    pub(crate) fn of(x: &Tensor) -> Self {
        let like = x.detach();
        let state = state(&like);
        Self { like, state }
    }

    /// Runs `work` with the saved state, so that it draws the same numbers again, then restores the current state.
    pub(crate) fn replay<T>(&self, work: impl FnOnce() -> T) -> T {
        let now = Self::of(&self.like);
        self.restore();
        let result = work();
        now.restore();
        result
    }

    #[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
    fn restore(&self) {
        #[cfg(not(feature = "doc-only"))]
        {
            // SAFETY: both handles are of live tensors; the shim copies the state and catches every C++ exception.
            let code = unsafe {
                ffi::electra_set_generator_state(
                    self.like.as_ptr().cast_mut().cast(),
                    self.state.as_ptr().cast_mut().cast(),
                )
            };
            assert!(code == 0, "libtorch rejected its own generator state");
        }
    }
}

#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
fn state(like: &Tensor) -> Tensor {
    #[cfg(not(feature = "doc-only"))]
    {
        // SAFETY: the handle is of a live tensor; the result is null or an `at::Tensor` that we own.
        unsafe {
            let state = ffi::electra_generator_state(like.as_ptr().cast_mut().cast());
            assert!(!state.is_null(), "the tensor's device has no generator");
            Tensor::from_ptr(state.cast())
        }
    }
    #[cfg(feature = "doc-only")]
    like.shallow_clone()
}
