//! The session of one legacy client: the outcome of its handshake, its log level, its subscription, and its requests
//! that run without a connection.
//!
//! A modern client has no session. A session holds no queue: changes are flags of its [`Subscription`], a due
//! `roots/list` request is one bit, and `max_concurrent_requests` bounds the running requests.

use crate::lock::lock;
use crate::memory::lasting;
use crate::metrics::Moment;
use crate::protocol::{ClientCapabilities, LogLevel, Revision};
use crate::server::state::call_state::CallState;
use crate::server::state::changes::Subscription;
use crate::server::state::client_requests::{ClientAnswer, ClientRequests};
use crate::server::state::request_ids::{IdKey, RequestIds};
use crate::server::state::request_observer::ClientNumber;
use atomic_waker::AtomicWaker;
#[cfg(feature = "everything")]
use mcpool_pools::BufferLease;
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

/// The state of one peer.
#[derive(Debug)]
pub(crate) struct Session {
    /// The number of the session in this process. It is not secret.
    number: u64,
    opened: Moment,
    /// The principal that opened the session. In two halves: the alignment of a `u128` would cost each session 16
    /// bytes.
    principal: [u64; 2],
    /// Index into `Revision::ALL` plus one; 0 before a handshake.
    revision: AtomicU8,
    log_level: AtomicU8,
    /// [`ClientCapabilities::to_bits`].
    capabilities: AtomicU8,
    /// A [`ClientNumber`].
    client: AtomicU8,
    roots_requests: AtomicU64,
    is_roots_request_due: AtomicBool,
    is_closed: AtomicBool,
    /// Tasks of revision 2025-11-25 were made, which go with the session.
    has_tasks: AtomicBool,
    /// Tasks have another status than the client knows of.
    has_task_news: AtomicBool,
    /// Woken when a message that belongs to no request is due.
    writer: AtomicWaker,
    subscription: Mutex<Option<Arc<Subscription>>>,
    /// Made at the first request that runs without a connection or that waits for the client: most sessions have none.
    requests: OnceLock<Box<SessionRequests>>,
    values: SessionValues,
}

/// The requests of a session that no connection holds.
#[derive(Debug, Default)]
struct SessionRequests {
    /// The client's requests that run without a connection.
    running: Mutex<Vec<Arc<CallState>>>,
    /// Their ids.
    ids: Arc<RequestIds>,
    /// The server's requests that wait for the client.
    to_client: ClientRequests,
    /// A message that belongs to no request and waits to be sent.
    #[cfg(feature = "everything")]
    notice: Mutex<Option<Box<BufferLease>>>,
}

/// Why a request cannot run without its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CannotDetach {
    /// `max_concurrent_requests` run already.
    TooMany,
    /// A running request has the same id.
    Repeated,
}

impl Session {
    /// The session of a connection before its handshake.
    pub(crate) fn new(number: u64, principal: u128) -> Self {
        Self {
            number,
            opened: Moment::coarse(),
            principal: [(principal >> 64) as u64, principal as u64],
            revision: AtomicU8::new(0),
            log_level: AtomicU8::new(LogLevel::Info as u8),
            capabilities: AtomicU8::new(0),
            client: AtomicU8::new(0),
            roots_requests: AtomicU64::new(0),
            is_roots_request_due: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            has_tasks: AtomicBool::new(false),
            has_task_news: AtomicBool::new(false),
            writer: AtomicWaker::new(),
            subscription: Mutex::default(),
            requests: OnceLock::new(),
            values: SessionValues::default(),
        }
    }

    /// Marks the session as that of the owner.
    #[must_use]
    pub(crate) fn of_owner(mut self) -> Self {
        self.values.owns_process = true;
        self
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The age of the session in nanoseconds.
    pub(crate) fn age_ns(&self) -> u64 {
        Moment::coarse().ns_since(self.opened)
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
    pub(crate) fn record_handshake(&self, revision: Revision, capabilities: ClientCapabilities) {
        self.capabilities.store(capabilities.to_bits(), Ordering::Release);
        self.revision.store(revision as u8 + 1, Ordering::Release);
    }

    /// Notes what the client calls itself.
    pub(crate) fn note_client(&self, client: ClientNumber) {
        self.client.store(client.to_u8(), Ordering::Relaxed);
    }

    /// What the client calls itself, where somebody is given the requests.
    pub(crate) fn client(&self) -> ClientNumber {
        ClientNumber::of_u8(self.client.load(Ordering::Relaxed))
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

    /// Requests the client's roots as soon as a message that belongs to no request can be sent.
    pub(crate) fn ask_for_roots(&self) {
        self.is_roots_request_due.store(true, Ordering::Release);
        self.writer.wake();
    }

    /// The number of the `roots/list` request that is due, if any. Only the answer to the latest one counts.
    pub(crate) fn take_roots_request(&self) -> Option<u64> {
        // Each poll of a connection checks this and it is rarely set: most checks are a load and no swap.
        let is_due = self.is_roots_request_due.load(Ordering::Acquire)
            && self.is_roots_request_due.swap(false, Ordering::AcqRel);
        is_due.then(|| self.roots_requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn latest_roots_request(&self) -> u64 {
        self.roots_requests.load(Ordering::Relaxed)
    }

    /// Notifies the client of tasks whose status it does not know, as soon as a message that belongs to no request can be
    /// sent.
    pub(crate) fn note_task_news(&self) {
        self.has_task_news.store(true, Ordering::Release);
        self.writer.wake();
    }

    /// Whether there are tasks whose status the client does not know. They are looked for once.
    pub(crate) fn take_task_news(&self) -> bool {
        self.has_task_news.load(Ordering::Acquire) && self.has_task_news.swap(false, Ordering::AcqRel)
    }

    /// Registers the waker of the task that sends messages that belong to no request.
    pub(crate) fn register(&self, writer: &Waker) {
        self.writer.register(writer);
    }

    /// Forgets the waker of a task that sends no more, and wakes it, as it may be another one's by now, which registers
    /// again. A waker keeps the memory of its task, half a kilobyte, however long ago that ended.
    pub(crate) fn forget_writer(&self) {
        self.writer.wake();
        if let Some(subscription) = self.subscription() {
            subscription.forget_owner();
        }
    }

    /// The subscription of the client, if it has one.
    pub(crate) fn subscription(&self) -> Option<Arc<Subscription>> {
        lock(&self.subscription).clone()
    }

    /// Sets the subscription, unless the client has one.
    pub(crate) fn subscribe(&self, subscription: Arc<Subscription>) {
        let mut subscription = Some(subscription);
        lock(&self.subscription).get_or_insert_with(|| {
            // invariant: taken once.
            subscription.take().expect("a subscription")
        });
        // Dropped without the lock if it was not needed: its destructor takes other locks.
        drop(subscription);
        self.writer.wake();
    }

    /// The values that toolsets store for the client.
    pub(crate) fn values(&self) -> &SessionValues {
        &self.values
    }

    /// The requests of this server that wait for the client.
    pub(crate) fn client_requests(&self) -> &ClientRequests {
        &self.requests().to_client
    }

    /// Sends a message that belongs to no request, once the client reads. It takes the place of one that still waits,
    /// so that a slow reader costs no more memory.
    #[cfg(feature = "everything")]
    pub(crate) fn post(&self, notice: BufferLease) {
        let older = lock(&self.requests().notice).replace(Box::new(notice));
        // Dropped without the lock: its buffer goes back to a pool.
        drop(older);
        self.writer.wake();
    }

    /// The message that waits, if one does.
    #[cfg(feature = "everything")]
    pub(crate) fn take_notice(&self) -> Option<BufferLease> {
        let requests = self.requests.get()?;
        lock(&requests.notice).take().map(|notice| *notice)
    }

    /// Hands the client's answer to the request that waits for it; `false` if none does.
    pub(crate) fn take_answer(&self, id: u64, answer: ClientAnswer) -> bool {
        self.requests.get().is_some_and(|requests| requests.to_client.answer(id, answer))
    }

    fn requests(&self) -> &SessionRequests {
        self.requests.get_or_init(|| lasting(Box::default))
    }

    /// The ids of the requests that run without a connection.
    pub(crate) fn ids(&self) -> &Arc<RequestIds> {
        &self.requests().ids
    }

    /// Whether a request with that id, as JSON text, runs without a connection.
    pub(crate) fn has_in_flight(&self, id: &str) -> bool {
        self.requests.get().is_some_and(|requests| requests.ids.contains(id))
    }

    /// Adds a request that runs without its connection, or a batch, whose ids are claimed already.
    ///
    /// # Errors
    /// When `max` requests run already, or one with the same id.
    pub(crate) fn begin(
        &self,
        call: &Arc<CallState>,
        is_batch: bool,
        max: usize,
    ) -> Result<(), CannotDetach> {
        let key = (!is_batch).then(|| IdKey::of(&call.details().id));
        let SessionRequests { running, ids, .. } = self.requests();
        let mut running = lock(running);
        if running.len() >= max {
            return Err(CannotDetach::TooMany);
        }
        if key.is_some_and(|key| !ids.claim(key)) {
            return Err(CannotDetach::Repeated);
        }
        running.push(Arc::clone(call));
        Ok(())
    }

    /// Removes a request or batch that was added with [`Session::begin`].
    pub(crate) fn end(&self, call: &Arc<CallState>, is_batch: bool) {
        if !is_batch {
            self.ids().release(IdKey::of(&call.details().id));
        }
        let Some(requests) = self.requests.get() else { return };
        let mut running = lock(&requests.running);
        running.retain(|other| !Arc::ptr_eq(other, call));
        if running.is_empty() {
            *running = Vec::new();
        }
    }

    /// How many requests run without a connection.
    pub(crate) fn running(&self) -> usize {
        self.requests.get().map_or(0, |requests| lock(&requests.running).len())
    }

    /// Whether requests run without a connection.
    pub(crate) fn is_busy(&self) -> bool {
        self.running() > 0
    }

    /// Whether the session was ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Notes that a task was made that goes with the session; `false` if the session has ended, perhaps just now.
    ///
    /// Who makes a task notes it and looks whether the session has ended, who ends the session looks the other way round:
    /// one of them sees the other, as both are in one order with all of these.
    pub(crate) fn note_task(&self) -> bool {
        self.has_tasks.store(true, Ordering::SeqCst);
        !self.is_closed.load(Ordering::SeqCst)
    }

    /// Whether there may be tasks that go with the session.
    pub(crate) fn has_tasks(&self) -> bool {
        self.has_tasks.load(Ordering::SeqCst)
    }

    /// Cancels the request whose id `asker` has in its details, whether it runs or waits in a batch; `false` if there
    /// is none. A running one is marked and woken, and the POST that owns it drops it.
    pub(crate) fn cancel(&self, asker: &Arc<CallState>) -> bool {
        // A copy: `asker` may be among the running requests, and its lock must not be held while theirs are taken.
        let id = asker.details().id.clone();
        // `mark_cancelled` checks and marks under one lock, so that the mark cannot reach the next request of a batch.
        let is_meant = |other: &&Arc<CallState>| !Arc::ptr_eq(other, asker) && other.mark_cancelled(&id);
        let meant =
            self.requests.get().and_then(|requests| lock(&requests.running).iter().find(is_meant).cloned());
        match meant {
            Some(call) => {
                call.wake();
                true
            }
            None => self.requests.get().is_some_and(|requests| requests.ids.cancel(IdKey::of(&id))),
        }
    }

    /// Ends the session, and cancels its requests.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Separate statements, so that nothing is woken or dropped under these locks.
        let requests = self.requests.get();
        let running = requests.map(|requests| std::mem::take(&mut *lock(&requests.running)));
        let subscription = lock(&self.subscription).take();
        for call in running.iter().flatten() {
            call.cancel();
        }
        if let Some(requests) = requests {
            requests.to_client.close();
        }
        drop((running, subscription));
        self.writer.wake();
    }
}

/// The values that toolsets store for one session: one of each type.
///
/// Values live as long as the session. A modern client has no session: a value that is stored for one is found by
/// nobody.
///
/// ```
/// use mcpool::SessionValues;
/// use std::sync::Arc;
///
/// struct Roots(Vec<String>);
///
/// fn remember(uris: &[&str], session: &SessionValues) {
///     let roots: Vec<String> = uris.iter().map(|uri| uri.to_string()).collect();
///     let heap_bytes = roots.iter().map(|uri| uri.capacity() + size_of::<String>()).sum();
///     session.put(Arc::new(Roots(roots)), heap_bytes);
/// }
///
/// let session = SessionValues::default();
/// remember(&["file:///home"], &session);
/// assert_eq!(session.find::<Roots>().map(|roots| roots.0.len()), Some(1));
/// ```
#[derive(Debug, Default)]
pub struct SessionValues {
    owns_process: bool,
    values: Mutex<Vec<StoredValue>>,
}

/// A value and its heap bytes.
type StoredValue = (Arc<dyn Any + Send + Sync>, usize);

impl SessionValues {
    /// Whether the client is the owner of this process: it came without an address, over standard input and output or a
    /// stream given to [`serve_lines`](crate::transport::serve_lines). The owner could have started the process with
    /// any other arguments, too.
    pub fn owns_process(&self) -> bool {
        self.owns_process
    }

    /// Stores `value`, and drops an older one of its type. `heap_bytes` is what the value holds beyond its own size;
    /// the memory report shows it.
    pub fn put<V: Any + Send + Sync>(&self, value: Arc<V>, heap_bytes: usize) {
        let mut values = lock(&self.values);
        let older = values.iter().position(|(kept, _)| kept.is::<V>()).map(|index| values.swap_remove(index));
        values.push((value, heap_bytes + size_of::<V>()));
        drop(values);
        // Dropped without the lock: its destructor is code of a toolset.
        drop(older);
    }

    /// Heap bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.values).iter().map(|(_, bytes)| size_of::<StoredValue>() + bytes).sum()
    }

    /// The value of type `V`, if one was stored.
    pub fn find<V: Any + Send + Sync>(&self) -> Option<Arc<V>> {
        let values = lock(&self.values);
        values.iter().find_map(|(kept, _)| Arc::clone(kept).downcast().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::server::state::changes::{Changes, Filter};
    use crate::server::state::lasting::LastingBudget;
    use mcpool_pools::MemoryBudget;
    use std::task::Context;

    #[test]
    fn a_stream_that_ended_leaves_no_waker() {
        struct Task;
        impl std::task::Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let changes = Changes::new(&Limits::default(), LastingBudget::new(MemoryBudget::new(1 << 20), 75));
        let session = Session::new(1, 1);
        session.subscribe(changes.subscribe(1, &Filter::default()).expect("room"));
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        session.register(&waker);
        let subscription = session.subscription().expect("it has one");
        assert!(subscription.poll_changed(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&task), 3);
        session.forget_writer();
        assert_eq!(Arc::strong_count(&task), 1);
    }

    #[test]
    fn values_are_counted_with_their_bytes_one_of_each_type() {
        let values = SessionValues::default();
        assert_eq!(values.bytes(), 0);
        values.put(Arc::new([0_u8; 100]), 1_000);
        let one = values.bytes();
        assert_eq!(one, size_of::<StoredValue>() + 1_100);
        values.put(Arc::new([1_u8; 100]), 2_000);
        assert_eq!(values.bytes(), one + 1_000, "the older one is gone");
        assert_eq!(values.find::<[u8; 100]>().as_deref(), Some(&[1; 100]));
    }
}
