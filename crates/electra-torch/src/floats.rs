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

/// What tensors hold.
pub(crate) trait Element: Copy {
    /// As libtorch calls it.
    const KIND: Kind;
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;
}

/// bfloat16, as bits.
impl Element for u16 {
    const KIND: Kind = Kind::BFloat16;
}

/// The floats of a tensor that [`contiguous`] or [`empty`] made.
pub(crate) fn floats(tensor: &Tensor) -> &[f32] {
    elements(tensor)
}

/// The floats of a tensor that nobody else looks at meanwhile.
pub(crate) fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    elements_mut(tensor)
}

/// The elements of a contiguous tensor of a CPU.
#[allow(unsafe_code)]
pub(crate) fn elements<T: Element>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    // libtorch gives an empty tensor no address.
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: a contiguous CPU tensor of the kind has `numel` elements from `data_ptr` on, and lives as long as the
    // borrow; nothing writes to it meanwhile, since kernels only write to tensors that they have made.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), tensor.numel()) }
}

/// The elements of a contiguous tensor of a CPU that nobody else looks at meanwhile.
#[allow(unsafe_code)]
pub(crate) fn elements_mut<T: Element>(tensor: &mut Tensor) -> &mut [T] {
    check::<T>(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as above; the borrow is exclusive, and where other handles view the memory (Adam's weights) their
    // holders do not look while a kernel writes.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<T>(), tensor.numel()) }
}

fn check<T: Element>(tensor: &Tensor) {
    assert!(
        tensor.is_contiguous() && tensor.device() == Device::Cpu && tensor.kind() == T::KIND,
        "kernels work on contiguous tensors of a CPU, of the kind they ask for"
    );
}
