//! GPU training steps without host synchronization: asynchronous copies, and an Adam update that decides clipping on
//! the device. Also the allocator's statistics.

use crate::ops::AdamStep;
use tch::{Device, Kind, Tensor, no_grad};

#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
mod ffi {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        pub(super) fn electra_adam(
            vectors: *const *mut c_void,
            update: *mut c_void,
            divisor: *mut c_void,
            skip: *mut c_void,
            numbers: *const f64,
        ) -> c_int;
        pub(super) fn electra_pinned(tensor: *mut c_void) -> *mut c_void;
        pub(super) fn electra_peak_memory(device: c_int, reset: c_int) -> i64;
    }
}

/// Moves a host tensor to `device`. A copy to a GPU goes through pinned memory and is asynchronous. A tensor that is
/// already on the device is not copied.
pub fn upload(tensor: &Tensor, device: Device) -> Tensor {
    match (tensor.device(), device) {
        (Device::Cpu, Device::Cuda(_)) => {
            pinned(tensor).to_device_(device, tensor.kind(), true, false)
        }
        _ => tensor.to_device(device),
    }
}

/// A copy of a host tensor in pinned memory. [`Tensor::pin_memory`] takes a device, which libtorch warns about at each call.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
fn pinned(tensor: &Tensor) -> Tensor {
    #[cfg(not(feature = "doc-only"))]
    // SAFETY: the handle is of a live tensor; the result is null or a new `at::Tensor`, which is ours.
    unsafe {
        let pinned = ffi::electra_pinned(tensor.as_ptr().cast_mut().cast());
        assert!(!pinned.is_null(), "libtorch could not allocate pinned memory");
        Tensor::from_ptr(pinned.cast())
    }
    #[cfg(feature = "doc-only")]
    tensor.shallow_clone()
}

/// Gradient clipping by global norm, computed on the device of the gradients.
#[derive(Debug)]
pub struct Clipping {
    /// Divisor of the gradients: `max(norm, limit) / limit`.
    divisor: Tensor,
    /// 1 if the norm is NaN or infinite, else 0.
    skip: Tensor,
}

impl Clipping {
    /// From the global norm, a scalar tensor, and the maximum norm.
    pub fn new(norm: &Tensor, limit: f64) -> Self {
        no_grad(|| Self {
            divisor: norm.clamp_min(limit).to_kind(Kind::Float) / limit,
            skip: norm.isfinite().logical_not().to_kind(Kind::Float),
        })
    }
}

/// [`crate::ops::adam`] as one libtorch kernel. The gradients are scaled by `clipping`; [`AdamStep::scale`] is ignored.
/// If the norm is not finite, nothing changes.
///
/// # Shapes
/// - all of one length and on one device, `f32`. `gradients` are scaled in place.
///
/// # Panics
/// If libtorch rejects the tensors, which is a bug in the caller.
///
/// Source: `torch._fused_adamw_`, with a step count so high that its bias correction is 1.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn adam_on_device(
    [weights, gradients, first, second]: [&Tensor; 4],
    clipping: &Clipping,
    step: &AdamStep,
) {
    // 0.999 to this power is 0 in any precision.
    const UPDATES: f64 = 1e9;
    let updates = Tensor::full([], UPDATES, (Kind::Float, weights.device()));
    let numbers = [step.rate, step.beta1, step.beta2, step.decay, step.epsilon];
    #[cfg(not(feature = "doc-only"))]
    {
        let raw = |tensor: &Tensor| tensor.as_ptr().cast_mut().cast();
        let vectors = [weights, gradients, first, second].map(raw);
        // SAFETY: all handles are of live tensors; the shim reads four `vectors` and five `numbers`, and catches every
        // C++ exception.
        let code = unsafe {
            ffi::electra_adam(
                vectors.as_ptr(),
                raw(&updates),
                raw(&clipping.divisor),
                raw(&clipping.skip),
                numbers.as_ptr(),
            )
        };
        assert!(code == 0, "libtorch rejected the Adam update");
    }
    #[cfg(feature = "doc-only")]
    let _ = (gradients, first, second, clipping, updates, numbers);
}

/// Whether reading the peak also resets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peak {
    /// Keep the peak.
    Keep,
    /// Restart from the current allocation.
    Reset,
}

/// Peak bytes allocated for tensors on a GPU, from libtorch's allocator. `None` for a CPU, or if the GPU was never used.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn peak_device_memory(device: Device, peak: Peak) -> Option<u64> {
    let Device::Cuda(index) = device else { return None };
    #[cfg(not(feature = "doc-only"))]
    {
        let index = i32::try_from(index).ok()?;
        // SAFETY: plain numbers; the shim catches every C++ exception and then returns -1.
        let bytes = unsafe { ffi::electra_peak_memory(index, (peak == Peak::Reset).into()) };
        u64::try_from(bytes).ok()
    }
    #[cfg(feature = "doc-only")]
    {
        let _ = (index, peak);
        None
    }
}
