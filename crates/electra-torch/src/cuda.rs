//! One binary for CPU and GPU: libtorch's CUDA half is loaded at run time where it exists.

use crate::{Error, Result};
use std::sync::Once;
use tch::{Cuda, Device};

/// Loads `libtorch_cuda.so` with global symbols if the loader finds it; does nothing otherwise.
///
/// The linker's `--as-needed` leaves only the CPU libraries in a binary, so without this call
/// `tch::Cuda::is_available()` is false even beside a CUDA libtorch. Called by [`device`].
#[allow(unsafe_code)]
pub fn load_cuda() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(target_os = "linux")]
        // SAFETY: the name is a NUL-terminated literal; loading libtorch's own library runs its
        // static initialisers, as linking it would have done. A null result means "not there".
        unsafe {
            libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        }
    });
}

/// The device that a config names: `"auto"` (the first GPU, else the CPU), `"cpu"`, `"cuda"`,
/// `"cuda:N"`.
///
/// # Errors
/// [`Error::UnknownDevice`] for other names, [`Error::NoCuda`] where the GPU is not there.
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
