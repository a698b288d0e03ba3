//! A handle on a part that several owners use in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of parts, which may be sent to another thread and not be used by two.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(part: T) -> Self {
        Self(Arc::new(Mutex::new(part)))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, T> {
        // A panic in a forward pass leaves the tensors whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
