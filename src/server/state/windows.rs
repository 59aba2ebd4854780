//! The memory of answers that are sent while they are written: a window of two segments each.
//!
//! Windows are a part of the large messages, shared among the clients by bytes ([`FairBytes`]). Who finds none waits in one
//! queue ([`FairQueue`]), for a call as for an answer that was promised, and a window is given to whose turn it is as soon
//! as there is room. While room is collected for another call ([`MemoryTurns`]), those who wait leave it half of the budget.

use crate::limits::price;
use crate::lock::lock;
use crate::server::state::fair_bytes::{FairBytes, Share};
use crate::server::state::fair_queue::{FairQueue, QueueEntry, SessionKey};
use crate::server::state::memory_turns::MemoryTurns;
use crate::server::state::room_news::Looking;
use mcpool_pools::{BudgetSpent, MemoryBudget, Reservation};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Bytes of a segment where memory is short.
pub(crate) const SHORT_STEP_BYTES: usize = 16 * 1024;

/// The windows of all answers. Clones share them.
#[derive(Clone)]
pub(crate) struct WindowBudget {
    shared: Arc<Shared>,
}

struct Shared {
    memory: MemoryBudget,
    shares: FairBytes,
    turns: MemoryTurns,
    queue: Mutex<FairQueue<Request>>,
    /// How often windows were to be given out since somebody began to do so. Only one does.
    granting: AtomicUsize,
}

/// Somebody who waits.
struct Request {
    /// Bytes of a segment, where they cannot be others.
    step_bytes: Option<usize>,
    sender: oneshot::Sender<Window>,
}

/// The memory of an answer: two segments.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) step_bytes: usize,
    pub(crate) memory: Reservation,
    pub(crate) share: Share,
}

/// Waits for a window. Dropping it leaves the queue; a window that came meanwhile is for the next.
#[must_use = "dropping it leaves the queue"]
pub(crate) struct WindowWaiter {
    receiver: oneshot::Receiver<Window>,
    /// `None` once the window has come, as the waiter has left the queue then.
    entry: Option<QueueEntry>,
    shared: Arc<Shared>,
    _looking: Looking,
}

impl WindowBudget {
    /// Windows within `memory`, of which one client may have `share_percent` of what the others leave. Those who lack
    /// other memory of it have their turns among `turns`.
    pub(crate) fn new(memory: MemoryBudget, turns: MemoryTurns, share_percent: usize) -> Self {
        let shares = FairBytes::with_news(memory.limit_bytes(), share_percent, Arc::clone(turns.news()));
        let news = Arc::clone(turns.news());
        let (queue, granting) = (Mutex::default(), AtomicUsize::new(0));
        let all = Arc::new(Shared { memory, shares, turns, queue, granting });
        let granted = Arc::downgrade(&all);
        news.grant_with(Box::new(move || {
            if let Some(all) = granted.upgrade() {
                all.grant();
            }
        }));
        Self { shared: all }
    }

    /// A window for a client, with smaller segments where a quarter of the budget is spent.
    ///
    /// # Errors
    /// When there is no room for those either, or when the client holds its share.
    pub(crate) fn try_reserve(&self, client: u128) -> Result<Window, BudgetSpent> {
        self.shared.try_reserve(client, None)
    }

    /// As [`WindowBudget::try_reserve`], with segments of that size if it is given.
    ///
    /// # Errors
    /// Those of [`WindowBudget::try_reserve`].
    pub(crate) fn try_reserve_now(
        &self,
        client: u128,
        step_bytes: Option<usize>,
    ) -> Result<Window, BudgetSpent> {
        self.shared.try_reserve(client, step_bytes)
    }

    /// Waits for a window, with segments of that size if it is given.
    pub(crate) fn wait(&self, key: SessionKey, step_bytes: Option<usize>) -> WindowWaiter {
        let looking = self.shared.turns.news().begin();
        let (sender, receiver) = oneshot::channel();
        let entry = Some(lock(&self.shared.queue).push(key, Request { step_bytes, sender }));
        self.shared.grant();
        WindowWaiter { receiver, entry, shared: Arc::clone(&self.shared), _looking: looking }
    }

    /// The budget that the windows are of.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.shared.memory
    }
}

impl Shared {
    fn try_reserve(&self, client: u128, step_bytes: Option<usize>) -> Result<Window, BudgetSpent> {
        if let Some(step_bytes) = step_bytes {
            return self.try_reserve_steps(client, step_bytes);
        }
        if self.memory.used_bytes() < self.memory.limit_bytes() / 4
            && self.may_hold(client, price::SEGMENT_BYTES)
            && let Ok(window) = self.try_reserve_steps(client, price::SEGMENT_BYTES)
        {
            return Ok(window);
        }
        self.try_reserve_steps(client, SHORT_STEP_BYTES)
    }

    fn try_reserve_steps(&self, client: u128, step_bytes: usize) -> Result<Window, BudgetSpent> {
        let bytes = price::window_bytes(step_bytes);
        if !self.may_hold(client, step_bytes) {
            let (used_bytes, limit_bytes) = (self.memory.used_bytes(), self.memory.limit_bytes());
            return Err(BudgetSpent { requested_bytes: bytes, used_bytes, limit_bytes });
        }
        // Before the share: where it fails, nothing was taken, and nobody is told that something was given back.
        let memory = self.memory.try_reserve(bytes)?;
        let share = self.shares.try_hold(client, bytes)?;
        Ok(Window { step_bytes, memory, share })
    }

    /// Whether one more window is within a client's share, and leaves enough to a call for which room is collected.
    fn may_hold(&self, client: u128, step_bytes: usize) -> bool {
        let bytes = price::window_bytes(step_bytes);
        let leaves_half = || self.shares.held_bytes() + bytes <= self.memory.limit_bytes() / 2;
        self.shares.may_hold(client, bytes) && (!self.turns.has_collector() || leaves_half())
    }

    /// Gives out windows as long as there is room. News that come while somebody does so are for whoever does: waiters that
    /// are gone give theirs back.
    fn grant(&self) {
        if self.granting.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        loop {
            let seen = self.granting.load(Ordering::Acquire);
            while self.grant_one() {}
            if self.granting.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// Gives a window to whose turn it is. Wakers run, and windows are given back, without the lock.
    fn grant_one(&self) -> bool {
        let next = {
            let queue = lock(&self.queue);
            let next = queue.next(|key| self.may_hold(key.principal, SHORT_STEP_BYTES));
            next.map(|(key, request)| (key, request.step_bytes))
        };
        let Some((key, step_bytes)) = next else { return false };
        let Ok(window) = self.try_reserve(key.principal, step_bytes) else { return false };
        let request = {
            let mut queue = lock(&self.queue);
            // Another one of the session is the first where this one has left.
            let is_there =
                queue.next(|first| first == key).is_some_and(|(_, first)| first.step_bytes == step_bytes);
            if is_there { queue.serve(key) } else { None }
        };
        if let Some(request) = request {
            drop(request.sender.send(window));
        }
        true
    }
}

impl Future for WindowWaiter {
    /// `None` only if the server was dropped.
    type Output = Option<Window>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Window>> {
        let window = ready!(Pin::new(&mut self.receiver).poll(cx));
        self.entry = None;
        Poll::Ready(window.ok())
    }
}

impl Drop for WindowWaiter {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        // From here on no window can be sent; one that was sent before is dropped with the receiver.
        self.receiver.close();
        let removed = lock(&self.shared.queue).remove(&entry);
        // Dropped without the lock: the sender holds a waker.
        drop(removed);
        // It may have stood before one that needs less.
        self.shared.grant();
    }
}

impl fmt::Debug for WindowBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = lock(&self.shared.queue).len();
        f.debug_struct("WindowBudget")
            .field("memory", &self.shared.memory)
            .field("waiting", &waiting)
            .finish()
    }
}

impl fmt::Debug for WindowWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowWaiter").field("waits", &self.entry.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
