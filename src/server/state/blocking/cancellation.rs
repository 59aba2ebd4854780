//! The token by which work on a blocking thread learns that its request was cancelled.
//!
//! The future of a cancelled request is dropped elsewhere, by `RequestSlot::cancel` (`serving/slot.rs`). On a connection
//! that speaks lines `InFlight::cancel` finds the request and calls it. Over HTTP `Session::cancel` finds and marks the
//! request, and the POST that owns its slot calls it (`transport/http/post.rs`).
//!
//! A thread cannot be stopped from outside. So work on a thread checks a token at least once for each bounded piece of
//! work: a chunk of a file, an entry of a directory, a thousand compared lines. The token reads one flag in the state
//! of the request. The flag is set when the client cancels the request, when its connection or its session closes, and
//! when a drain has taken as long as it may: in each case the future that waits for the thread is dropped.

use crate::server::state::call_state::CallState;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// The request was cancelled, and nobody waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the call was cancelled")]
pub(crate) struct Cancelled;

/// Tells whether one request was cancelled. Clones share the state of the request.
#[derive(Debug, Clone)]
pub(crate) struct CancellationToken {
    call: Arc<CallState>,
    /// In tests: the number of checks after which the token is cancelled, and the number of checks so far.
    #[cfg(test)]
    test_limit: Option<Arc<TestLimit>>,
}

#[cfg(test)]
#[derive(Debug)]
struct TestLimit {
    max_checks: u64,
    checked: AtomicU64,
}

impl CancellationToken {
    pub(crate) fn new(call: Arc<CallState>) -> Self {
        Self {
            call,
            #[cfg(test)]
            test_limit: None,
        }
    }

    /// Fails once the request was cancelled. Costs one atomic load.
    ///
    /// # Errors
    /// [`Cancelled`]: return as soon as possible, as the answer is dropped.
    pub(crate) fn check(&self) -> Result<(), Cancelled> {
        #[cfg(test)]
        if let Some(test_limit) = &self.test_limit
            && test_limit.checked.fetch_add(1, Ordering::Relaxed) >= test_limit.max_checks
        {
            return Err(Cancelled);
        }
        if self.call.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// A token that is cancelled after so many checks.
    #[cfg(test)]
    pub(crate) fn after(max_checks: u64) -> Self {
        let test_limit = TestLimit { max_checks, checked: AtomicU64::new(0) };
        Self { call: Arc::default(), test_limit: Some(Arc::new(test_limit)) }
    }

    /// How often a token of [`CancellationToken::after`] was checked.
    #[cfg(test)]
    pub(crate) fn checked(&self) -> u64 {
        self.test_limit.as_ref().map_or(0, |test_limit| test_limit.checked.load(Ordering::Relaxed))
    }
}
