//! The requests of one connection that are not done: at most `max_concurrent_requests`, their bytes counted.

use crate::lock::lock;
use crate::protocol::Id;
use crate::server::serving::serve::Outcome;
use crate::server::serving::slot::RequestSlot;
use crate::server::{Server, Shared};
use mcpool_pools::Lease;
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// The requests that wait, each with where its answer goes: `A` is the transport's own mark.
pub(crate) struct InFlight<A> {
    requests: Vec<Waiting<A>>,
}

struct Waiting<A> {
    slot: Lease<RequestSlot>,
    answer_to: A,
    counted: Counted,
}

impl<A> Waiting<A> {
    /// Heap bytes, its frame included.
    fn bytes(&self) -> usize {
        self.counted.bytes as usize + self.slot.frame_bytes()
    }
}

/// Entries whose memory an idle connection may keep, so that a connection that has one request at a
/// time does not allocate for each.
const KEPT_ENTRIES: usize = 4;

impl<A> Default for InFlight<A> {
    fn default() -> Self {
        Self { requests: Vec::new() }
    }
}

impl<A> InFlight<A> {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Heap bytes of what waits, frames included.
    pub(crate) fn bytes(&self) -> usize {
        self.requests.iter().map(Waiting::bytes).sum()
    }

    /// Takes in a request that was polled once and is not done.
    pub(crate) fn park(&mut self, server: &Server, slot: Lease<RequestSlot>, answer_to: A) {
        let bytes = slot.bytes() + size_of::<Waiting<A>>();
        let counted = Counted::new(&server.shared, bytes);
        if self.requests.len() == self.requests.capacity() {
            // By a quarter: doubling would keep up to 48 bytes more for each request that waits.
            self.requests.reserve_exact((self.requests.len() / 4).max(KEPT_ENTRIES));
        }
        self.requests.push(Waiting { slot, answer_to, counted });
    }

    /// Polls those that can go on, and gives the first that is done.
    pub(crate) fn poll_next(&mut self, connection: &Waker) -> Poll<(Outcome, Lease<RequestSlot>, A)> {
        for index in 0..self.requests.len() {
            if let Poll::Ready(outcome) = self.requests[index].slot.poll(connection) {
                let (slot, answer_to) = self.remove(index);
                return Poll::Ready((outcome, slot, answer_to));
            }
        }
        Poll::Pending
    }

    /// Stops the request of that id (as JSON text) and tells where its answer would have gone.
    pub(crate) fn cancel(&mut self, id: &str) -> Option<A> {
        let is_meant = |waiting: &Waiting<A>| Id::same(&waiting.slot.call().names().id, id);
        let index = self.requests.iter().position(is_meant)?;
        let (mut slot, answer_to) = self.remove(index);
        slot.cancel();
        Some(answer_to)
    }

    /// Asks subscriptions to come to their end, which is an answer; other requests end by themselves.
    pub(crate) fn begin_closing(&self) {
        for waiting in &self.requests {
            waiting.slot.call().begin_closing();
        }
    }

    /// Stops all.
    pub(crate) fn cancel_all(&mut self) {
        for mut waiting in self.requests.drain(..) {
            waiting.slot.cancel();
        }
        self.shrink();
    }

    fn remove(&mut self, index: usize) -> (Lease<RequestSlot>, A) {
        let Waiting { slot, answer_to, counted } = self.requests.swap_remove(index);
        drop(counted);
        self.shrink();
        (slot, answer_to)
    }

    fn shrink(&mut self) {
        if self.requests.is_empty() && self.requests.capacity() > KEPT_ENTRIES {
            self.requests = Vec::new();
        }
    }
}

/// An id as a number that tells it from all others: two ids share one by chance alone, as nobody knows the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdKey(u64);

impl IdKey {
    /// The key of an id that is given as JSON text.
    pub(crate) fn of(id: &str) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(HASHER.hash_one(&*Id::value(id)))
    }
}

impl Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes a key as it is: it is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.is_empty(), "keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The ids of the requests of one connection, or of one session over HTTP, that have no answer yet: those that wait,
/// and all of a batch until its answer goes out. Of two requests with one id a client could not tell the answers
/// apart, nor which it cancels.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    ids: Mutex<Ids>,
}

type Keys = HashSet<IdKey, BuildHasherDefault<AsItIs>>;

#[derive(Debug, Default)]
struct Ids {
    claimed: Keys,
    /// Of these, those that their client does not want any more.
    cancelled: Keys,
}

impl RequestIds {
    /// Takes an id into use; `false` if it is in use already.
    #[must_use]
    pub(crate) fn claim(&self, key: IdKey) -> bool {
        self.ids().claimed.insert(key)
    }

    /// Gives an id back.
    pub(crate) fn release(&self, key: IdKey) {
        let mut ids = self.ids();
        ids.claimed.remove(&key);
        ids.cancelled.remove(&key);
        if ids.claimed.is_empty() {
            ids.shrink();
        }
    }

    /// Marks a request that has not begun as cancelled; `false` if there is none, or it is marked already.
    pub(crate) fn cancel(&self, key: IdKey) -> bool {
        let mut ids = self.ids();
        ids.claimed.contains(&key) && ids.cancelled.insert(key)
    }

    /// Whether a request was cancelled before it began.
    pub(crate) fn is_cancelled(&self, key: IdKey) -> bool {
        self.ids().cancelled.contains(&key)
    }

    /// Whether a request with that id, as JSON text, has no answer yet.
    pub(crate) fn contains(&self, id: &str) -> bool {
        let ids = self.ids();
        !ids.claimed.is_empty() && ids.claimed.contains(&IdKey::of(id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids().claimed.is_empty()
    }

    /// Gives all ids back.
    pub(crate) fn clear(&self) {
        let mut ids = self.ids();
        ids.claimed.clear();
        ids.cancelled.clear();
        ids.shrink();
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        lock(&self.ids)
    }
}

impl Ids {
    fn shrink(&mut self) {
        self.claimed.shrink_to(KEPT_ENTRIES);
        self.cancelled.shrink_to(0);
    }
}

/// A request's part of the gauges, for as long as it waits.
struct Counted {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Counted {
    fn new(shared: &Arc<Shared>, bytes: usize) -> Self {
        let bytes = bytes as u64;
        shared.metrics.parked_requests.add(1);
        shared.metrics.requests_in_flight.add(1);
        shared.metrics.in_flight_bytes.add(bytes);
        Self { shared: Arc::clone(shared), bytes }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.metrics.requests_in_flight.subtract(1);
        self.shared.metrics.in_flight_bytes.subtract(self.bytes);
    }
}
