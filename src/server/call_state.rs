//! What a running request shares with the rest of the server: its names and whether it was cancelled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The shared state of one request. It lives in the request's slot and is reused with it.
#[derive(Debug, Default)]
pub(crate) struct CallState {
    cancelled: AtomicBool,
    names: Mutex<Names>,
}

/// The names of a request, as JSON text; empty where there is none.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) id: String,
    pub(crate) progress_token: String,
}

impl CallState {
    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
        let mut names = self.names();
        names.id.clear();
        names.progress_token.clear();
    }

    pub(crate) fn bytes(&self) -> usize {
        let names = self.names();
        size_of::<Self>() + names.id.capacity() + names.progress_token.capacity()
    }
}
