//! One binary for CPU and GPU: libtorch's CUDA library is loaded at run time if it is installed.

use crate::{Error, Result};
use std::sync::Once;
use tch::{Cuda, Device};

/// Loads `libtorch_cuda.so` with global symbols if the loader finds it; does nothing otherwise.
///
/// The linker's `--as-needed` links only the CPU libraries, so without this call `tch::Cuda::is_available()` is false
/// even with a CUDA build of libtorch. [`device`] calls it.
#[allow(unsafe_code)]
pub fn load_cuda() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(target_os = "linux")]
        // SAFETY: the name is a NUL-terminated literal; loading the library runs its static initializers, as linking
        // to it would. A null result means that it is not installed.
        unsafe {
            libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        }
    });
}

/// Parses a device name: `"auto"` (the first GPU, or the CPU if there is none), `"cpu"`, `"cuda"`, `"cuda:N"`.
///
/// # Errors
/// [`Error::UnknownDevice`] for other names, [`Error::NoCuda`] if there is no such GPU.
pub fn device(name: &str) -> Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index = match name {
        "auto" | "cuda" => 0,
        _ => name
            .strip_prefix("cuda:")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| Error::UnknownDevice(name.to_owned()))?,
    };
    load_cuda();
    let available = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    match (name, (index as i64) < available) {
        (_, true) => Ok(Device::Cuda(index)),
        ("auto", false) => Ok(Device::Cpu),
        _ => Err(Error::NoCuda(name.to_owned(), available)),
    }
}
