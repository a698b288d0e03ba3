//! One binary for CPU and GPU: libtorch's CUDA library is loaded at run time if it is installed.

use crate::{Error, Result};
use std::sync::LazyLock;
use tch::{Cuda, Device};

/// Loads `libtorch_cuda.so` with global symbols if the loader finds it. Returns the loader's message if the library is
/// installed and cannot be loaded.
///
/// The linker's `--as-needed` links only the CPU libraries, so without this call `tch::Cuda::is_available()` is false
/// even with a CUDA build of libtorch. [`device`] calls it. libtorch remembers that there is no GPU once it was asked, for
/// example by a random number: a program that uses libtorch before it calls [`device`] must call this first.
pub fn load_cuda() -> Option<&'static str> {
    static FAILURE: LazyLock<Option<String>> = LazyLock::new(load);
    FAILURE.as_deref()
}

#[allow(unsafe_code)]
#[cfg(all(target_os = "linux", not(feature = "doc-only")))]
fn load() -> Option<String> {
    const LIBRARY: &std::ffi::CStr = c"libtorch_cuda.so";
    // SAFETY: the name is NUL-terminated; loading the library runs its static initializers, as linking to it would.
    let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if library.is_null() {
        // SAFETY: after a failure `dlerror` returns a NUL-terminated string, valid until the thread's next call.
        let message = unsafe { std::ffi::CStr::from_ptr(libc::dlerror()) };
        let message = message.to_string_lossy().into_owned();
        let is_missing = message.starts_with(&*LIBRARY.to_string_lossy());
        return (!is_missing).then_some(message);
    }
    // SAFETY: sets a flag of libtorch.
    unsafe { ffi::electra_disable_cudnn_attention() };
    None
}

#[cfg(not(all(target_os = "linux", not(feature = "doc-only"))))]
fn load() -> Option<String> {
    None
}

#[cfg(all(target_os = "linux", not(feature = "doc-only")))]
#[allow(unsafe_code)]
mod ffi {
    unsafe extern "C" {
        pub(super) fn electra_disable_cudnn_attention();
    }
}

/// Parses a device name: `"auto"` (the first GPU, or the CPU if there is none), `"cpu"`, `"cuda"`, `"cuda:N"`.
///
/// # Errors
/// [`Error::UnknownDevice`] for other names, [`Error::NoCuda`] if there is no such GPU, [`Error::CudaLibrary`] if libtorch's
/// CUDA library cannot be loaded.
pub fn device(name: &str) -> Result<Device> {
    let index = match name {
        "auto" | "cuda" | "cpu" => 0,
        _ => name
            .strip_prefix("cuda:")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| Error::UnknownDevice(name.to_owned()))?,
    };
    // Also for a CPU: a later call may name a GPU.
    let failure = load_cuda();
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let available = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    match (name, failure, (index as i64) < available) {
        (.., true) => Ok(Device::Cuda(index)),
        ("auto", Some(failure), _) => {
            tracing::warn!("using the CPU: libtorch's CUDA library cannot be loaded: {failure}");
            Ok(Device::Cpu)
        }
        ("auto", None, _) => Ok(Device::Cpu),
        (_, Some(failure), _) => Err(Error::CudaLibrary(failure.to_owned())),
        _ => Err(Error::NoCuda(name.to_owned(), available)),
    }
}

/// The name of a device that [`device`] parses: `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
