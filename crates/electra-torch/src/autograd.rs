//! Custom autograd functions in Rust, recorded in libtorch's graph.

use tch::Tensor;

#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
mod ffi {
    use std::ffi::{c_int, c_void};
    pub(super) type Backward =
        unsafe extern "C" fn(*mut c_void, *mut c_void, *mut *mut c_void, usize) -> c_int;
    pub(super) type Drop = unsafe extern "C" fn(*mut c_void);
    unsafe extern "C" {
        pub(super) fn electra_records(inputs: *const *mut c_void, count: usize) -> c_int;
        pub(super) fn electra_attach(
            output: *mut c_void,
            inputs: *const *mut c_void,
            count: usize,
            state: *mut c_void,
            backward: Backward,
            drop: Drop,
        ) -> c_int;
    }
}

/// Maps the gradient of the output to those of the inputs, in their order; `None` for an input without a gradient.
type Backward = Box<dyn FnOnce(&Tensor) -> Vec<Option<Tensor>> + Send>;

/// Whether a function of `inputs` needs a backward pass: gradients are enabled, and an input requires one.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn requires_grad(inputs: &[&Tensor]) -> bool {
    #[cfg(not(feature = "doc-only"))]
    {
        let raw = handles(inputs);
        // SAFETY: the handles are of live tensors, and are only read.
        unsafe { ffi::electra_records(raw.as_ptr(), raw.len()) != 0 }
    }
    #[cfg(feature = "doc-only")]
    !inputs.is_empty()
}

/// Adds a node to the autograd graph that computes `output` from `inputs`. `output` must have no history yet.
///
/// `backward` runs once, with gradients disabled, on the gradient of `output`; it returns one entry per input. What it
/// captures lives as long as the graph. It must not capture a tensor whose history has this node (a reference cycle):
/// capture inputs, buffers or `output.detach()`.
///
/// Source: `torch::autograd::Node`, on which PyTorch's custom functions are built.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn attach(
    output: &Tensor,
    inputs: &[&Tensor],
    backward: impl FnOnce(&Tensor) -> Vec<Option<Tensor>> + Send + 'static,
) {
    #[cfg(not(feature = "doc-only"))]
    {
        let state: Box<Option<Backward>> = Box::new(Some(Box::new(backward)));
        let raw = handles(inputs);
        // SAFETY: all handles are of live tensors; the node takes ownership of `state`, whose type `run` and `free`
        // know, and the shim catches every C++ exception.
        let code = unsafe {
            ffi::electra_attach(
                output.as_ptr().cast_mut().cast(),
                raw.as_ptr(),
                raw.len(),
                Box::into_raw(state).cast(),
                run,
                free,
            )
        };
        assert!(code == 0, "libtorch rejected the autograd node");
    }
    #[cfg(feature = "doc-only")]
    let _ = (output, inputs, Box::new(backward) as Backward);
}

#[cfg(not(feature = "doc-only"))]
fn handles(tensors: &[&Tensor]) -> Vec<*mut std::ffi::c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast_mut().cast()).collect()
}

/// Calls the closure in `state`, and passes ownership of its results to C++.
#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
unsafe extern "C" fn run(
    state: *mut std::ffi::c_void,
    gradient: *mut std::ffi::c_void,
    results: *mut *mut std::ffi::c_void,
    count: usize,
) -> std::ffi::c_int {
    let call = || {
        // SAFETY: `state` is the box from `attach`, and a node runs on one thread.
        let backward = unsafe { &mut *state.cast::<Option<Backward>>() }.take();
        let backward = backward.expect("a node runs its closure once");
        // SAFETY: `gradient` is a live `at::Tensor`; the clone owns its handle.
        let gradient = unsafe { Tensor::clone_from_ptr(gradient.cast()) };
        let gradients = backward(&gradient);
        assert_eq!(gradients.len(), count, "backward must return one entry per input");
        gradients
    };
    // A panic must not unwind into C++. The shim turns the code into an exception, and tch turns that into a panic.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(gradients) => {
            for (i, gradient) in gradients.into_iter().enumerate() {
                if let Some(mut gradient) = gradient {
                    // SAFETY: `results` has `count` entries; the node deletes the tensors.
                    unsafe { *results.add(i) = gradient.as_mut_ptr().cast() };
                    std::mem::forget(gradient);
                }
            }
            0
        }
        Err(_) => 1,
    }
}

#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
unsafe extern "C" fn free(state: *mut std::ffi::c_void) {
    // SAFETY: `state` is the box from `attach`; the node frees it once.
    drop(unsafe { Box::from_raw(state.cast::<Option<Backward>>()) });
}
