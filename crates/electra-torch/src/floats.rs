//! Slices of tensor memory.

use tch::{Device, Kind, Tensor};

/// Whether this crate's kernels support the tensor: `f32` on the CPU.
pub fn is_cpu_f32(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

/// A contiguous `f32` tensor with the same values, detached.
pub(crate) fn contiguous(tensor: &Tensor) -> Tensor {
    assert!(is_cpu_f32(tensor), "kernels support only f32 tensors on the CPU");
    tensor.detach().contiguous()
}

/// An uninitialized tensor.
pub(crate) fn empty(size: &[i64]) -> Tensor {
    Tensor::empty(size, (Kind::Float, Device::Cpu))
}

/// Element types of tensors.
pub(crate) trait Element: Copy {
    /// libtorch's name for the type.
    const KIND: Kind;
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;
}

/// bfloat16, as raw bits.
impl Element for u16 {
    const KIND: Kind = Kind::BFloat16;
}

/// The elements of a tensor from [`contiguous`] or [`empty`].
pub(crate) fn floats(tensor: &Tensor) -> &[f32] {
    elements(tensor)
}

/// The same, mutable. Nothing else may access the tensor during the borrow.
pub(crate) fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    elements_mut(tensor)
}

/// The elements of a contiguous CPU tensor.
#[allow(unsafe_code)]
pub(crate) fn elements<T: Element>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    // An empty tensor has a null pointer.
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: a contiguous CPU tensor of this kind has `numel` elements at `data_ptr`, and outlives the borrow; nothing
    // writes to it meanwhile, since kernels write only to tensors that they allocated.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), tensor.numel()) }
}

/// The elements of a contiguous CPU tensor, mutable. Nothing else may access the tensor during the borrow.
#[allow(unsafe_code)]
pub(crate) fn elements_mut<T: Element>(tensor: &mut Tensor) -> &mut [T] {
    check::<T>(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as above; the borrow is exclusive, and other views of the memory (of Adam's weights) are not read while a
    // kernel writes.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<T>(), tensor.numel()) }
}

fn check<T: Element>(tensor: &Tensor) {
    assert!(
        tensor.is_contiguous() && tensor.device() == Device::Cpu && tensor.kind() == T::KIND,
        "kernels support only contiguous CPU tensors of the expected kind"
    );
}
