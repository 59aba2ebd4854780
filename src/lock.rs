//! Locks a mutex whatever happened to its last holder.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, and ignores whether a thread panicked while it held the lock.
///
/// A panic does not leave the value half changed: each critical section of this crate changes it in one step, or in
/// steps that are valid one by one. So a panic costs the request that it came from, and not every later one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
