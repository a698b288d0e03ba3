//! The crate's error type, and the errors of libtorch without their C++ stack traces.

use tch::TchError;

/// Errors of gradients, devices and libtorch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A gradient tensor does not fit its parameter.
    #[error(
        "gradient of shape {grad:?} does not fit a parameter of shape {parameter:?}: shape, kind and device must be equal"
    )]
    Grad {
        /// Shape of the parameter.
        parameter: Vec<i64>,
        /// Shape of the gradient.
        grad: Vec<i64>,
    },
    /// An unknown device name.
    #[error("unknown device {0:?}: use \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"")]
    UnknownDevice(String),
    /// The requested GPU is not available.
    #[error(
        "device {0:?} is not available: libtorch found {1} CUDA devices; use \"auto\" or \"cpu\", or install a CUDA build of libtorch with `cargo xtask setup --cuda`"
    )]
    NoCuda(String, i64),
    /// libtorch's CUDA library is installed, but not what it needs.
    #[error(
        "libtorch's CUDA library cannot be loaded: {0}; install that library, or reinstall libtorch with `cargo xtask setup --cuda`"
    )]
    CudaLibrary(String),
    /// libtorch could not allocate memory, on the CPU or a GPU.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Another operation of libtorch failed.
    #[error("libtorch: {0}")]
    Libtorch(String),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The error of a message of libtorch, which may be within the message of a panic.
    pub fn libtorch(message: &str) -> Self {
        let message = without_trace(message);
        let texts = ["out of memory", "can't allocate memory"];
        match texts.iter().any(|text| message.contains(text)) {
            true => Self::OutOfMemory(allocation(message)),
            false => Self::Libtorch(message.to_owned()),
        }
    }
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        match error {
            TchError::Torch(message) => Self::libtorch(&message),
            other => Self::libtorch(&other.to_string()),
        }
    }
}

/// A message of libtorch up to the C++ stack trace. In the message of a panic, line breaks are escaped.
fn without_trace(message: &str) -> &str {
    let ends = ["Exception raised from", "frame #0"].map(|start| message.find(start));
    let end = ends.into_iter().flatten().min().unwrap_or(message.len());
    let message = message[..end].trim_end().trim_end_matches("\\n");
    // As `Result::unwrap` and `Result::expect` print it.
    message.split_once("Torch(\"").map_or(message, |(_, inner)| inner.trim_end_matches("\")"))
}

/// The first sentence about memory in a message: the size that could not be allocated.
fn allocation(message: &str) -> String {
    const SIZE: &str = "ried to allocate ";
    let size = message.split_once(SIZE).and_then(|(_, rest)| match rest.split_once(" bytes") {
        Some((bytes, _)) => bytes.parse::<f64>().ok().map(|bytes| format!("{:.1} GB", bytes / 1e9)),
        // A GPU: "Tried to allocate 2.00 GiB. GPU 0 has …".
        None => Some(rest.split(". ").next()?.to_owned()),
    });
    match size {
        Some(size) => format!("{size} could not be allocated"),
        // Already without its details.
        None => message.strip_prefix("out of memory: ").unwrap_or(message).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of libtorch 2.9 on a CPU and a GPU.
    #[test]
    fn a_message_has_no_stack_trace() {
        let cpu = "[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory: you tried to \
                   allocate 409600000000 bytes. Error code 12 (Cannot allocate memory)\nException raised from alloc_cpu at \
                   alloc_cpu.cpp:127 (most recent call first):\nframe #0: c10::Error::Error";
        let panic = format!(
            "called `Result::unwrap()` on an `Err` value: {:?}",
            TchError::Torch(cpu.to_owned())
        );
        let gpu = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB";
        let shapes =
            "shape '[2, 3]' is invalid for input of size 5\nException raised from infer_size_impl";
        for (message, expected) in [
            (cpu, "out of memory: 409.6 GB could not be allocated"),
            (panic.as_str(), "out of memory: 409.6 GB could not be allocated"),
            (gpu, "out of memory: 2.00 GiB could not be allocated"),
            (shapes, "libtorch: shape '[2, 3]' is invalid for input of size 5"),
            ("in", "libtorch: in"),
            (
                "out of memory: 409.6 GB could not be allocated",
                "out of memory: 409.6 GB could not be allocated",
            ),
        ] {
            assert_eq!(Error::libtorch(message).to_string(), expected);
        }
    }
}
