//! What the server knows of one peer of the legacy era: the outcome of its handshake, the level of its log,
//! what it subscribed to, and its requests that run on without a connection.
//!
//! A modern peer leaves nothing here. Nothing in a session is a queue: changes are flags of its
//! [`Subscription`], a due `roots/list` request is one bit, and running requests are bounded by
//! `max_concurrent_requests`.

use crate::lock::lock;
use crate::metrics::Moment;
use crate::protocol::{ClientCapabilities, LogLevel, Revision};
use crate::server::state::call_state::CallState;
use crate::server::state::changes::Subscription;
use crate::server::state::request_ids::{IdKey, RequestIds};
use atomic_waker::AtomicWaker;
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

/// The state of one peer.
#[derive(Debug)]
pub(crate) struct Session {
    /// Names the session among those of this process; not secret.
    number: u64,
    opened: Moment,
    /// Who opened it.
    /// In halves: the alignment of the whole would cost each session 16 bytes.
    principal: [u64; 2],
    /// Index into `Revision::ALL` plus one; 0 before a handshake.
    revision: AtomicU8,
    log_level: AtomicU8,
    /// [`ClientCapabilities::to_bits`].
    capabilities: AtomicU8,
    roots_requests: AtomicU64,
    is_roots_request_due: AtomicBool,
    is_closed: AtomicBool,
    /// Woken when a message that belongs to no request is due.
    writer: AtomicWaker,
    subscription: Mutex<Option<Arc<Subscription>>>,
    /// Made at the first request that runs without its connection, as most sessions have none.
    running: OnceLock<Box<Running>>,
    values: SessionValues,
}

/// The requests of a session that run without a connection.
#[derive(Debug, Default)]
struct Running {
    calls: Mutex<Vec<Arc<CallState>>>,
    ids: Arc<RequestIds>,
}

/// Why a request cannot run without its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// As many run as may.
    TooMany,
    /// Another one has the same id.
    Repeated,
}

impl Session {
    /// The session of a connection before its handshake.
    pub(crate) fn new(number: u64, principal: u128) -> Self {
        Self {
            number,
            opened: Moment::now(),
            principal: [(principal >> 64) as u64, principal as u64],
            revision: AtomicU8::new(0),
            log_level: AtomicU8::new(LogLevel::Info as u8),
            capabilities: AtomicU8::new(0),
            roots_requests: AtomicU64::new(0),
            is_roots_request_due: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            writer: AtomicWaker::new(),
            subscription: Mutex::default(),
            running: OnceLock::new(),
            values: SessionValues::default(),
        }
    }

    /// Marks the session as that of the peer that this process was started for.
    #[must_use]
    pub(crate) fn of_owner(mut self) -> Self {
        self.values.owns_process = true;
        self
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// For how long there has been a session, in nanoseconds.
    pub(crate) fn age_ns(&self) -> u64 {
        Moment::now().ns_since(self.opened)
    }

    pub(crate) fn principal(&self) -> u128 {
        u128::from(self.principal[0]) << 64 | u128::from(self.principal[1])
    }

    /// The revision that the handshake agreed on.
    pub(crate) fn revision(&self) -> Option<Revision> {
        let index = usize::from(self.revision.load(Ordering::Relaxed)).checked_sub(1)?;
        Revision::ALL.get(index).copied()
    }

    /// Records the outcome of a handshake.
    pub(crate) fn agree(&self, revision: Revision, capabilities: ClientCapabilities) {
        self.capabilities.store(capabilities.to_bits(), Ordering::Release);
        self.revision.store(revision as u8 + 1, Ordering::Release);
    }

    /// Log messages below this level are not sent to a legacy peer.
    pub(crate) fn log_level(&self) -> LogLevel {
        LogLevel::ALL[usize::from(self.log_level.load(Ordering::Relaxed)) % LogLevel::ALL.len()]
    }

    pub(crate) fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(level as u8, Ordering::Relaxed);
    }

    pub(crate) fn capabilities(&self) -> ClientCapabilities {
        ClientCapabilities::from_bits(self.capabilities.load(Ordering::Acquire))
    }

    /// Has the client asked for its roots as soon as a message that belongs to no request can be sent.
    pub(crate) fn ask_for_roots(&self) {
        self.is_roots_request_due.store(true, Ordering::Release);
        self.writer.wake();
    }

    /// The number of the `roots/list` request that is due, if any; only the answer to the latest one counts.
    pub(crate) fn take_roots_request(&self) -> Option<u64> {
        // Looked at on each turn of a connection and seldom set: most looks are a load and no swap.
        let is_due = self.is_roots_request_due.load(Ordering::Acquire)
            && self.is_roots_request_due.swap(false, Ordering::AcqRel);
        is_due.then(|| self.roots_requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn latest_roots_request(&self) -> u64 {
        self.roots_requests.load(Ordering::Relaxed)
    }

    /// Has `writer` woken when a message that belongs to no request is due.
    pub(crate) fn register(&self, writer: &Waker) {
        self.writer.register(writer);
    }

    /// The changes that this peer is told of.
    pub(crate) fn subscription(&self) -> Option<Arc<Subscription>> {
        lock(&self.subscription).clone()
    }

    /// Begins to tell the peer of changes; a subscription that is there already stays.
    pub(crate) fn subscribe(&self, subscription: Arc<Subscription>) {
        let mut subscription = Some(subscription);
        lock(&self.subscription).get_or_insert_with(|| {
            // invariant: taken once.
            subscription.take().expect("a subscription")
        });
        // The one that was not needed, if any, ends here: its end takes other locks.
        drop(subscription);
        self.writer.wake();
    }

    /// What toolsets keep for this peer.
    pub(crate) fn values(&self) -> &SessionValues {
        &self.values
    }

    /// The ids of the requests that run without a connection.
    pub(crate) fn ids(&self) -> &Arc<RequestIds> {
        &self.running.get_or_init(Box::default).ids
    }

    /// Whether a request with that id, as JSON text, runs without a connection.
    pub(crate) fn has_in_flight(&self, id: &str) -> bool {
        self.running.get().is_some_and(|running| running.ids.contains(id))
    }

    /// Takes in a request that runs without its connection, or a batch: its ids are claimed already.
    ///
    /// # Errors
    /// When there are `max` already, or one with the same id.
    pub(crate) fn begin(&self, call: &Arc<CallState>, is_batch: bool, max: usize) -> Result<(), NotBegun> {
        let key = (!is_batch).then(|| IdKey::of(&call.names().id));
        let Running { calls, ids } = &**self.running.get_or_init(Box::default);
        let mut running = lock(calls);
        if running.len() >= max {
            return Err(NotBegun::TooMany);
        }
        if key.is_some_and(|key| !ids.claim(key)) {
            return Err(NotBegun::Repeated);
        }
        running.push(Arc::clone(call));
        Ok(())
    }

    /// Forgets what was taken in.
    pub(crate) fn end(&self, call: &Arc<CallState>, is_batch: bool) {
        if !is_batch {
            self.ids().release(IdKey::of(&call.names().id));
        }
        let Some(running) = self.running.get() else { return };
        let mut running = lock(&running.calls);
        running.retain(|other| !Arc::ptr_eq(other, call));
        if running.is_empty() {
            *running = Vec::new();
        }
    }

    /// How many requests run without a connection.
    pub(crate) fn running(&self) -> usize {
        self.running.get().map_or(0, |running| lock(&running.calls).len())
    }

    /// Whether requests run without a connection.
    pub(crate) fn is_busy(&self) -> bool {
        self.running() > 0
    }

    /// Whether the session was ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Stops the request that `asker` names, running or waiting for its turn in a batch; `false` if there is none.
    pub(crate) fn cancel(&self, asker: &Arc<CallState>) -> bool {
        // A copy: the names of the asker must not be locked while those of others are, it may be one of them.
        let id = asker.names().id.clone();
        // The names are locked from the look to the mark, so that the mark never falls on the next of a batch.
        let is_meant = |other: &&Arc<CallState>| !Arc::ptr_eq(other, asker) && other.mark_cancelled(&id);
        let meant =
            self.running.get().and_then(|running| lock(&running.calls).iter().find(is_meant).cloned());
        match meant {
            Some(call) => {
                call.wake();
                true
            }
            None => self.running.get().is_some_and(|running| running.ids.cancel(IdKey::of(&id))),
        }
    }

    /// Stops all running requests: the session is at its end.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // Statements of their own, so that nothing is woken and nothing ends under these locks.
        let running = self.running.get().map(|running| std::mem::take(&mut *lock(&running.calls)));
        let subscription = lock(&self.subscription).take();
        for call in running.iter().flatten() {
            call.cancel();
        }
        drop((running, subscription));
        self.writer.wake();
    }
}

/// What toolsets keep for one session: one value of each type.
///
/// Values live as long as the session. A modern peer has no session: what is put there is kept for nobody.
#[derive(Debug, Default)]
pub struct SessionValues {
    owns_process: bool,
    values: Mutex<Vec<Kept>>,
}

/// A value and the heap bytes that go with it.
type Kept = (Arc<dyn Any + Send + Sync>, usize);

impl SessionValues {
    /// Whether the peer is the one that this process was started for, over standard input and output: it
    /// could have started it in any other way too.
    pub fn owns_process(&self) -> bool {
        self.owns_process
    }

    /// Keeps `value`, in the place of an older one of its type. `heap_bytes` is what it holds beyond itself, for the
    /// memory report.
    pub fn put<V: Any + Send + Sync>(&self, value: Arc<V>, heap_bytes: usize) {
        let mut values = lock(&self.values);
        let older = values.iter().position(|(kept, _)| kept.is::<V>()).map(|index| values.swap_remove(index));
        values.push((value, heap_bytes + size_of::<V>()));
        drop(values);
        // A toolset's own code runs when it goes.
        drop(older);
    }

    /// Heap bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.values).iter().map(|(_, bytes)| size_of::<Kept>() + bytes).sum()
    }

    /// The value of that type.
    pub fn find<V: Any + Send + Sync>(&self) -> Option<Arc<V>> {
        let values = lock(&self.values);
        values.iter().find_map(|(kept, _)| Arc::clone(kept).downcast().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_with_their_bytes_one_of_each_type() {
        let values = SessionValues::default();
        assert_eq!(values.bytes(), 0);
        values.put(Arc::new([0_u8; 100]), 1_000);
        let one = values.bytes();
        assert_eq!(one, size_of::<Kept>() + 1_100);
        values.put(Arc::new([1_u8; 100]), 2_000);
        assert_eq!(values.bytes(), one + 1_000, "the older one is gone");
        assert_eq!(values.find::<[u8; 100]>().as_deref(), Some(&[1; 100]));
    }
}
