//! Weight file formats of other frameworks. They read and write named tensors and do not interpret the names.

pub mod bundle;
pub mod pickle;

use electra_files::wrong_contents;

/// Bytes at the start of a file that are enough for [`instead`].
pub(crate) const START: usize = 512;

/// The beginning of a ZIP file.
const ZIP: &[u8] = b"PK\x03\x04";
/// The opcode that begins a pickle.
const PROTO: u8 = 0x80;
/// The beginning of an HDF5 file.
const HDF5: &[u8] = b"\x89HDF";

/// What a file is that a reader of weights rejects, by the start of its contents, to complete "FILE: ...".
pub(crate) fn instead(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(ZIP) || start.first() == Some(&PROTO) {
        return Some("a PyTorch file: rename it to pytorch_model.bin");
    }
    if start.get(8) == Some(&b'{') {
        return Some("a safetensors file: rename it to model.safetensors");
    }
    if start.starts_with(HDF5) {
        return Some(
            "weights of TensorFlow 2 (HDF5) are not supported, only PyTorch, safetensors and TensorFlow checkpoints",
        );
    }
    wrong_contents(start)
}
