//! Locking of the state that the handles share with the server thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, ignoring poisoning: the protected data is consistent between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
