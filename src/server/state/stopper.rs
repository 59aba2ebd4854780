//! How work on a thread learns that nobody wants it any more.
//!
//! A thread cannot be stopped from outside: whoever works there asks, at least once for each bounded piece of
//! work (a chunk of a file, an entry of a directory, a thousand compared lines). The answer comes from one
//! flag in the request's state, which is set when the request is cancelled, when its connection or its session
//! closes, and when a drain has lasted as long as it may: in each case the future that waits for the thread is
//! dropped.

use crate::server::state::call_state::CallState;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Nobody waits for the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the call was cancelled")]
pub(crate) struct Stopped;

/// Tells the work of one request when to stop. Cloning makes another handle to the same word.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    call: Arc<CallState>,
    /// In tests: how often it is asked before it says stop, and how often it was asked.
    #[cfg(test)]
    patience: Option<Arc<Patience>>,
}

#[cfg(test)]
#[derive(Debug)]
struct Patience {
    checks: u64,
    asked: AtomicU64,
}

impl Stopper {
    pub(crate) fn new(call: Arc<CallState>) -> Self {
        Self {
            call,
            #[cfg(test)]
            patience: None,
        }
    }

    /// Whether to go on. Costs one load: ask once for each piece of work.
    ///
    /// # Errors
    /// [`Stopped`]: end as soon as possible; what is answered is thrown away.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        #[cfg(test)]
        if let Some(patience) = &self.patience
            && patience.asked.fetch_add(1, Ordering::Relaxed) >= patience.checks
        {
            return Err(Stopped);
        }
        if self.call.is_cancelled() { Err(Stopped) } else { Ok(()) }
    }

    /// One that says stop after so many checks.
    #[cfg(test)]
    pub(crate) fn after(checks: u64) -> Self {
        let patience = Patience { checks, asked: AtomicU64::new(0) };
        Self { call: Arc::default(), patience: Some(Arc::new(patience)) }
    }

    /// How often one of [`Stopper::after`] was asked.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> u64 {
        self.patience.as_ref().map_or(0, |patience| patience.asked.load(Ordering::Relaxed))
    }
}
