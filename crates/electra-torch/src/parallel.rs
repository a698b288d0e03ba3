//! Parallel loops on libtorch's threads. A second thread pool would compete with them for the CPU, because idle OpenMP
//! workers spin.

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

/// Splits `0..count` into one range for each of libtorch's threads, and calls `body` on them in parallel.
///
/// The ranges depend only on `count` and `tch::get_num_threads()`.
///
/// # Panics
/// If `body` panics; the panic is resumed after all ranges are done.
#[cfg_attr(not(feature = "doc-only"), allow(unsafe_code))]
pub fn parallel_for(count: usize, body: impl Fn(Range<usize>) + Sync) {
    #[cfg(not(feature = "doc-only"))]
    {
        struct Context<'a> {
            body: &'a (dyn Fn(Range<usize>) + Sync),
            panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
        }
        /// Runs one range.
        unsafe extern "C" fn piece(context: *mut std::ffi::c_void, begin: i64, end: i64) {
            // SAFETY: the context outlives the call of `electra_parallel_for`, and is only read.
            let context = unsafe { &*context.cast::<Context<'_>>() };
            let call = || (context.body)(begin as usize..end as usize);
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
                && let Ok(mut first) = context.panic.lock()
            {
                first.get_or_insert(panic);
            }
        }
        let mut context = Context { body: &body, panic: Mutex::new(None) };
        // SAFETY: `piece` receives this context; the call returns after the last range is done.
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

/// A slice whose disjoint parts are written by several threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

#[allow(unsafe_code)]
// SAFETY: it is a pointer and a length; callers of `part` guarantee exclusive access.
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
    /// No overlapping part may be in use at the same time.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn part(self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "the part exceeds the slice");
        // SAFETY: inside the slice, and not aliased, as the caller guarantees.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
