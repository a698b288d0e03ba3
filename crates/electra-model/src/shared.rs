//! A part with several owners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A shared handle; the lock is needed because parts are `Send` but not `Sync`.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(part: T) -> Self {
        Self(Arc::new(Mutex::new(part)))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, T> {
        // A panic in a forward pass leaves the tensors intact, so a poisoned lock is usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
