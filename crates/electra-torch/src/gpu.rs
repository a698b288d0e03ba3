//! What a step on a GPU needs so that the host never waits for it: copies that are queued, Adam's update with clipping
//! decided on the device, the allocator's figures.

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
        pub(super) fn electra_peak_memory(device: c_int, reset: c_int) -> i64;
    }
}

/// A tensor of the host on `device`. A copy to a GPU goes through pinned memory and is queued behind what the GPU has
/// to do already: the host goes on at once. Nothing is copied where the tensor is there already.
pub fn upload(tensor: &Tensor, device: Device) -> Tensor {
    match (tensor.device(), device) {
        (Device::Cpu, Device::Cuda(_)) => {
            tensor.pin_memory(device).to_device_(device, tensor.kind(), true, false)
        }
        _ => tensor.to_device(device),
    }
}

/// A global norm and the largest that gradients may have, kept where the gradients are.
#[derive(Debug)]
pub struct Clipping {
    /// What gradients are divided by: `max(norm, limit) / limit`.
    divisor: Tensor,
    /// 1 where the norm is not a number or infinite, else 0.
    skip: Tensor,
}

impl Clipping {
    /// From a scalar `norm`.
    pub fn new(norm: &Tensor, limit: f64) -> Self {
        no_grad(|| Self {
            divisor: norm.clamp_min(limit).to_kind(Kind::Float) / limit,
            skip: norm.isfinite().logical_not().to_kind(Kind::Float),
        })
    }
}

/// [`crate::ops::adam`] in one kernel of libtorch's, with the factor on the gradients ([`AdamStep::scale`] is not
/// looked at) from `clipping`. Nothing changes where the norm was not finite.
///
/// # Shapes
/// - all of one length and on one device, 32-bit floats. `gradients` are scaled in place.
///
/// # Panics
/// If libtorch refuses them: a bug of the caller.
///
/// Source: `torch._fused_adamw_`; its correction of the moments' bias is 1 after so many updates as it is told.
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
        // SAFETY: all handles are of live tensors, `vectors` has four and `numbers` five places, which is what the
        // shim reads; it catches every C++ exception.
        let code = unsafe {
            ffi::electra_adam(
                vectors.as_ptr(),
                raw(&updates),
                raw(&clipping.divisor),
                raw(&clipping.skip),
                numbers.as_ptr(),
            )
        };
        assert!(code == 0, "libtorch refuses an update");
    }
    #[cfg(feature = "doc-only")]
    let _ = (gradients, first, second, clipping, updates, numbers);
}

/// Whether a peak is begun anew once it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peak {
    /// It goes on.
    Keep,
    /// It starts again from what is taken now.
    Reset,
}

/// The most bytes that tensors took on a GPU at a time, by libtorch's allocator; `None` of a CPU, or where nothing was
/// ever put on the GPU.
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
