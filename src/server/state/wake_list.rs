//! A lock that wakes tasks only after it was released.
//!
//! Waking a task runs code of its executor, and dropping a waker may drop the task. Either may call back into the
//! value under the lock, and would wait for ever if its caller still held the lock. So [`Guarded`] lends its value to
//! a closure together with a [`WakeList`]: the closure puts wakers on the list, and they are woken once the lock is
//! free. Values whose destructor runs foreign code are returned by the closure, and dropped by its caller.

use crate::lock::lock;
use std::sync::Mutex;
use std::task::Waker;

/// A value under a lock.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T> {
    value: Mutex<T>,
}

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value) }
    }

    /// Calls `work` with the value, then releases the lock and wakes what `work` put on the list.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T, &mut WakeList) -> R) -> R {
        let mut wakes = WakeList::default();
        let mut value = lock(&self.value);
        let result = work(&mut value, &mut wakes);
        drop(value);
        drop(wakes);
        result
    }
}

/// Tasks to be woken once a lock is free. The first one needs no heap memory.
#[derive(Debug, Default)]
pub(crate) struct WakeList {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl WakeList {
    /// Adds a waker, if there is one.
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        if self.first.is_none() {
            self.first = waker;
        } else {
            self.others.extend(waker);
        }
    }
}

impl Drop for WakeList {
    fn drop(&mut self) {
        self.first.take().into_iter().chain(self.others.drain(..)).for_each(Waker::wake);
    }
}
