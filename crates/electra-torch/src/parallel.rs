//! Work on libtorch's own threads. A second pool would compete with it for the processor: OpenMP's workers wait
//! spinning.

use std::{marker::PhantomData, ops::Range, sync::Mutex};

#[cfg(not(feature = "doc-only"))]
#[allow(unsafe_code)]
mod ffi {
    use std::ffi::c_void;
    unsafe extern "C" {
        pub(super) fn electra_parallel_for(
            count: i64,
            context: *mut c_void,
            body: unsafe extern "C" fn(*mut c_void, i64, i64),
        );
    }
}

/// Calls `body` with pieces that make up `0..count`, one on each of libtorch's threads.
///
/// The pieces are a function of `count` and `tch::get_num_threads()` alone.
///
/// # Panics
/// If `body` does, after all pieces have ended.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn parallel_for(count: usize, body: impl Fn(Range<usize>) + Sync) {
    #[cfg(not(feature = "doc-only"))]
    {
        struct Context<'a> {
            body: &'a (dyn Fn(Range<usize>) + Sync),
            panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
        }
        /// Runs one piece.
        unsafe extern "C" fn piece(context: *mut std::ffi::c_void, begin: i64, end: i64) {
            // SAFETY: the context outlives the call of `electra_parallel_for`, and is only shared.
            let context = unsafe { &*context.cast::<Context<'_>>() };
            let call = || (context.body)(begin as usize..end as usize);
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
                && let Ok(mut first) = context.panic.lock()
            {
                first.get_or_insert(panic);
            }
        }
        let mut context = Context { body: &body, panic: Mutex::new(None) };
        // SAFETY: `piece` gets the context back as it is given here; the call returns after the last piece.
        unsafe {
            ffi::electra_parallel_for(count as i64, (&raw mut context).cast(), piece);
        }
        if let Ok(Some(panic)) = context.panic.into_inner() {
            std::panic::resume_unwind(panic);
        }
    }
    #[cfg(feature = "doc-only")]
    body(0..count);
}

/// A slice that several threads write disjoint parts of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

#[allow(unsafe_code)]
// SAFETY: it is a pointer with a length; `part` says what its users promise.
unsafe impl<T: Send> Send for Shared<'_, T> {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// While it is used, no other part that overlaps is.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn part(self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part is inside the slice");
        // SAFETY: inside the slice, and not aliased as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
