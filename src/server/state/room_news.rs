//! Tells those who wait for memory when to look again: something was given back, or who comes first has changed.
//!
//! Nobody looks at intervals. **Invariant:** whoever looks says so first ([`RoomNews::begin`]), and takes what it will be
//! told by ([`Looking::told`]) before it looks. So what is given back after the look is told, and what was given back
//! before is seen.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What gives room to others when there is news.
type Grant = Box<dyn Fn() + Send + Sync>;

/// The news of one budget.
#[derive(Default)]
pub(crate) struct RoomNews {
    /// How many look. While nobody does, news cost a fence and a load.
    looking: AtomicUsize,
    changed: Notify,
    grant: OnceLock<Grant>,
}

/// Somebody looks, until this is dropped.
pub(crate) struct Looking {
    news: Arc<RoomNews>,
}

impl RoomNews {
    /// Has those look again who do. Wakes them, so it is not to be called under a lock that they need.
    pub(crate) fn tell(&self) {
        // Pairs with the one in `begin`: this sees who looks, or whoever looks sees what was given back before.
        fence(Ordering::SeqCst);
        if self.looking.load(Ordering::Relaxed) > 0 {
            self.changed.notify_waiters();
            if let Some(grant) = self.grant.get() {
                grant();
            }
        }
    }

    /// Has `grant` called with all news. Only the first is.
    pub(crate) fn grant_with(&self, grant: Grant) {
        let _ = self.grant.set(grant);
    }

    /// Begins to look.
    pub(crate) fn begin(self: &Arc<Self>) -> Looking {
        self.looking.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Looking { news: Arc::clone(self) }
    }
}

impl Looking {
    /// Ends with the next news, from now on.
    pub(crate) fn told(&self) -> Notified<'_> {
        self.news.changed.notified()
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.news.looking.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for RoomNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomNews").field("looking", &self.looking).finish_non_exhaustive()
    }
}
