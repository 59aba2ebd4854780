//! What a running request shares with the rest of the server: its names, where its messages go, and
//! whether it was cancelled.

use super::outgoing::Outgoing;
use crate::protocol::ClientCapabilities;
use atomic_waker::AtomicWaker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The shared state of one request. It lives in the request's slot and is reused with it.
#[derive(Debug, Default)]
pub(crate) struct CallState {
    cancelled: AtomicBool,
    closing: AtomicBool,
    legacy: AtomicBool,
    /// Woken when the request is cancelled from elsewhere, or is to come to its end.
    driver: AtomicWaker,
    names: Mutex<Names>,
}

/// The names of a request, as JSON text, empty where there is none; and what belongs to them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) id: String,
    pub(crate) progress_token: String,
    /// Where messages other than the answer go.
    pub(crate) outgoing: Option<Arc<Outgoing>>,
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) principal: u128,
    /// Who asks may see what concerns the operator.
    pub(crate) is_admin: bool,
    /// The task that the call runs as.
    pub(crate) task: Option<Box<str>>,
}

impl CallState {
    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Asks a request that lasts as long as its connection to come to its end.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Marks the request as one of the legacy era, which outlives its connection.
    pub(crate) fn mark_legacy(&self) {
        self.legacy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// Has `driver` woken by [`CallState::cancel`] and [`CallState::begin_closing`].
    pub(crate) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    pub(crate) fn reset(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
        self.closing.store(false, Ordering::Relaxed);
        self.legacy.store(false, Ordering::Relaxed);
        self.driver.take();
        let mut names = self.names();
        names.id.clear();
        names.progress_token.clear();
        names.outgoing = None;
        names.capabilities = ClientCapabilities::default();
        names.principal = 0;
        names.is_admin = false;
        names.task = None;
    }

    pub(crate) fn bytes(&self) -> usize {
        let names = self.names();
        size_of::<Self>() + names.id.capacity() + names.progress_token.capacity()
    }
}
