//! Slices of tensors' memory.

use tch::{Device, Kind, Tensor};

/// Whether kernels can work on the tensor: 32-bit floats of a CPU.
pub fn is_plain(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

/// The tensor with its elements one after the other.
pub(crate) fn contiguous(tensor: &Tensor) -> Tensor {
    assert!(is_plain(tensor), "kernels work on 32-bit floats of a CPU");
    tensor.detach().contiguous()
}

/// A tensor of zeros, or of whatever stands there where all of it will be written.
pub(crate) fn empty(size: &[i64]) -> Tensor {
    Tensor::empty(size, (Kind::Float, Device::Cpu))
}

/// The elements of a tensor that [`contiguous`] or [`empty`] made.
#[allow(unsafe_code)]
pub(crate) fn floats(tensor: &Tensor) -> &[f32] {
    debug_assert!(tensor.is_contiguous() && is_plain(tensor));
    // libtorch gives an empty tensor no address.
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: a contiguous CPU tensor of floats has `numel` of them from `data_ptr` on, and lives as long as the
    // borrow; nothing writes to it meanwhile, since kernels only write to tensors that they have made.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}

/// The elements of a tensor that nobody else looks at meanwhile.
#[allow(unsafe_code)]
pub(crate) fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    debug_assert!(tensor.is_contiguous() && is_plain(tensor));
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as above; the borrow is exclusive, and where other handles view the memory (Adam's weights) their
    // holders do not look while a kernel writes.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}
