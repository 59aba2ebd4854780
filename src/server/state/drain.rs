//! The signal that tells all connections to accept no new request and to finish those that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Tells connections to drain. Clones share the signal.
///
/// ```
/// let drain = mcpool::Drain::default();
/// let connection = drain.clone();
/// assert!(!connection.has_begun());
/// drain.begin();
/// assert!(connection.has_begun());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Drain {
    signal: Arc<Signal>,
}

#[derive(Debug, Default)]
struct Signal {
    has_begun: AtomicBool,
    listeners: Arc<Notify>,
}

impl Drain {
    /// How long connections stay, new ones too, when the drain begins: a request that is on its way is still answered,
    /// and its answer says that the connection closes. Closing at once would lose it.
    pub(crate) const GRACE: Duration = Duration::from_millis(250);

    /// The same where nothing travels and no answer can say that the connection closes: on pipes and Unix sockets what a
    /// peer has sent is here, and only has to be noticed.
    pub(crate) const LOCAL_GRACE: Duration = Duration::from_millis(50);

    /// Begins the drain.
    pub fn begin(&self) {
        self.signal.has_begun.store(true, Ordering::Release);
        self.signal.listeners.notify_waiters();
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.signal.has_begun.load(Ordering::Acquire)
    }

    /// A future of the signal that is small and borrows nothing, for many connections. It misses a signal from before
    /// its first poll: check [`Drain::has_begun`] after that poll.
    pub(crate) fn listen(&self) -> OwnedNotified {
        Arc::clone(&self.signal.listeners).notified_owned()
    }

    /// Waits until the drain begins.
    pub async fn wait(&self) {
        // Registered before the check, so that a signal in between is not missed.
        let begun = self.signal.listeners.notified();
        if !self.has_begun() {
            begun.await;
        }
    }
}
