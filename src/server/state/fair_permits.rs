//! A number of permits for which calls wait, and whose turn is next.
//!
//! A call needs one to use a thread that may block, of which there are `max_blocking_threads`: work on files cannot be
//! interrupted, so it is held until the work ends. A call that found no memory needs the only one of its kind
//! ([`MemoryTurns`](super::memory_turns::MemoryTurns)).
//!
//! One principal gets at most all permits but one, so that the next principal never waits for a whole flood. One session
//! gets at most all but one of these, as clients without a token may share a principal. Waiting calls are served in a
//! round robin over principals, then over the sessions of a principal, and in order within a session. So a client that
//! asks for a hundred searches delays its own hundredth search, and no other client's read.
//!
//! `max_concurrent_requests` bounds how many calls wait. A waiter that is dropped leaves the queue at once.

use crate::lock::lock;
use crate::server::state::fair_queue::{FairQueue, QueueEntry, SessionKey};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// The permits of one server. Clones share them.
#[derive(Clone)]
pub(crate) struct FairPermits {
    inner: Arc<Inner>,
}

struct Inner {
    permits: usize,
    /// Permits that one principal may hold.
    max_of_principal: usize,
    /// Permits that one session may hold.
    max_of_session: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// How many permits each session holds.
    holders: Holders,
    queue: FairQueue<oneshot::Sender<FairPermit>>,
}

/// The right to use a thread, or to go on, until it is dropped.
pub(crate) struct FairPermit {
    /// `None` once it was released.
    inner: Option<Arc<Inner>>,
    /// Index of the session in [`Holders`].
    holder: usize,
}

/// A future of a permit. Waiters are boxed, because every pooled request has room for the largest of its futures.
pub(crate) enum AcquirePermit {
    /// A permit was free. `None` once it was polled.
    Ready(Option<FairPermit>),
    /// No permit was free.
    Waiting(Box<Waiter>),
}

/// Waits for a permit. Dropping it leaves the queue.
pub(crate) struct Waiter {
    receiver: oneshot::Receiver<FairPermit>,
    inner: Arc<Inner>,
    /// `None` once the permit has come, as the waiter has left the queue then.
    entry: Option<QueueEntry>,
}

impl FairPermits {
    pub(crate) fn new(permits: usize) -> Self {
        let max_of_principal = permits.saturating_sub(1).max(1);
        Self::shared(permits, max_of_principal, max_of_principal.saturating_sub(1).max(1))
    }

    /// Permits of which one session may hold as many as its principal: where there are few, and most principals have one
    /// session.
    #[cfg(feature = "fetch")]
    pub(crate) fn of_principals(permits: usize) -> Self {
        let max_of_one = permits.saturating_sub(1).max(1);
        Self::shared(permits, max_of_one, max_of_one)
    }

    fn shared(permits: usize, max_of_principal: usize, max_of_session: usize) -> Self {
        let state = State { holders: Holders(Vec::with_capacity(permits)), ..State::default() };
        Self {
            inner: Arc::new(Inner { permits, max_of_principal, max_of_session, state: Mutex::new(state) }),
        }
    }

    /// A permit, as soon as one is free.
    pub(crate) fn acquire(&self, key: SessionKey) -> AcquirePermit {
        match self.try_acquire(key) {
            Ok(permit) => AcquirePermit::Ready(Some(permit)),
            Err(waiter) => AcquirePermit::Waiting(Box::new(waiter)),
        }
    }

    /// A permit if one is free, else a waiter at the end of the session's queue.
    fn try_acquire(&self, key: SessionKey) -> Result<FairPermit, Waiter> {
        let mut state = self.inner.lock();
        if state.running < self.inner.permits && self.inner.may_hold_one_more(&state.holders, key) {
            let holder = state.begin(key);
            return Ok(self.inner.permit(holder));
        }
        let (sender, receiver) = oneshot::channel();
        let entry = Some(state.queue.push(key, sender));
        Err(Waiter { receiver, inner: Arc::clone(&self.inner), entry })
    }

    /// Whether somebody waits for whom that holds. It is asked under the lock.
    pub(crate) fn any_waits(&self, holds: impl Fn(SessionKey) -> bool) -> bool {
        self.inner.lock().queue.any(holds)
    }

    /// How many permits are held, and how many callers wait for one.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let state = self.inner.lock();
        (state.running, state.queue.len())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn permit(self: &Arc<Self>, holder: usize) -> FairPermit {
        FairPermit { inner: Some(Arc::clone(self)), holder }
    }

    fn may_hold_one_more(&self, holders: &Holders, key: SessionKey) -> bool {
        holders.of_principal(key.principal) < self.max_of_principal
            && holders.of_session(key) < self.max_of_session
    }

    /// Gives the free permits to waiters. Their wakers run without the lock.
    fn grant_free(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.running >= self.permits {
                    return;
                }
                let State { queue, holders, .. } = &mut *state;
                let Some((key, sender)) = queue.pop(|key| self.may_hold_one_more(holders, key)) else {
                    return;
                };
                (self.permit(state.begin(key)), sender)
            };
            let (permit, sender) = next;
            // The waiter may be gone by now. `release` does not call this function again, the loop goes on instead.
            if let Err(permit) = sender.send(permit) {
                permit.release();
            }
        }
    }
}

impl State {
    /// Counts one more permit of a session, and returns the index of its holder.
    fn begin(&mut self, key: SessionKey) -> usize {
        self.running += 1;
        self.holders.begin(key)
    }

    fn end(&mut self, holder: usize) {
        self.running -= 1;
        self.holders.end(holder);
    }
}

/// How many permits each session holds. An entry stays at its index while its session holds a permit, so there are
/// never more entries than permits.
#[derive(Default)]
struct Holders(Vec<(SessionKey, usize)>);

impl Holders {
    fn of_principal(&self, principal: u128) -> usize {
        self.0.iter().filter(|(key, _)| key.principal == principal).map(|(_, permits)| permits).sum()
    }

    fn of_session(&self, key: SessionKey) -> usize {
        self.0.iter().filter(|(holder, _)| *holder == key).map(|(_, permits)| permits).sum()
    }

    fn begin(&mut self, key: SessionKey) -> usize {
        let known = self.0.iter().position(|(holder, permits)| *holder == key && *permits > 0);
        let index = known.or_else(|| self.0.iter().position(|(_, permits)| *permits == 0));
        let index = index.unwrap_or_else(|| {
            self.0.push((key, 0));
            self.0.len() - 1
        });
        let (holder, permits) = &mut self.0[index];
        *holder = key;
        *permits += 1;
        index
    }

    fn end(&mut self, index: usize) {
        self.0[index].1 -= 1;
    }
}

impl FairPermit {
    /// Gives the permit back without granting it to a waiter.
    fn release(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.lock().end(self.holder);
        }
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.lock().end(self.holder);
            inner.grant_free();
        }
    }
}

impl Future for Waiter {
    /// `None` only if the server was dropped.
    type Output = Option<FairPermit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<FairPermit>> {
        let permit = ready!(Pin::new(&mut self.receiver).poll(cx));
        self.entry = None;
        Poll::Ready(permit.ok())
    }
}

impl Future for AcquirePermit {
    /// `None` only if the server was dropped.
    type Output = Option<FairPermit>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<FairPermit>> {
        match self.get_mut() {
            Self::Ready(permit) => Poll::Ready(permit.take()),
            Self::Waiting(waiter) => Pin::new(waiter).poll(cx),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        // From here on no permit can be sent; one that was sent before is dropped with the receiver.
        self.receiver.close();
        let removed = self.inner.lock().queue.remove(&entry);
        // Dropped without the lock: the sender holds a waker.
        drop(removed);
    }
}

impl fmt::Debug for FairPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.lock();
        f.debug_struct("FairPermits")
            .field("permits", &self.inner.permits)
            .field("running", &state.running)
            .field("waiting", &state.queue.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(principal: u128, session: u64) -> SessionKey {
        SessionKey { principal, session }
    }

    /// The permit of a waiter, if it has come.
    fn permit_of(waiter: &mut Waiter) -> Option<FairPermit> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(waiter).poll(&mut cx) {
            Poll::Ready(permit) => permit,
            Poll::Pending => None,
        }
    }

    #[test]
    fn nobody_has_all_turns_while_others_wait() {
        for threads in 2..6 {
            let permits = FairPermits::new(threads);
            let mut of_one = Vec::new();
            let mut queued = Vec::new();
            for session in 0..10 {
                match permits.try_acquire(key(1, session)) {
                    Ok(permit) => of_one.push(permit),
                    Err(waiter) => queued.push(waiter),
                }
            }
            assert_eq!(of_one.len(), threads - 1);
            assert!(permits.try_acquire(key(2, 2)).is_ok(), "there is one for the next");
            assert!(queued.iter_mut().all(|waiter| permit_of(waiter).is_none()));
        }
        for threads in 3..6 {
            let permits = FairPermits::new(threads);
            let taken: Vec<_> = (0..10).map(|_| permits.try_acquire(key(1, 1))).collect();
            assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), threads - 2);
            assert!(
                permits.try_acquire(key(1, 2)).is_ok(),
                "there is one for another session of the same principal"
            );
        }
        let only = FairPermits::new(1);
        let permit = only.try_acquire(key(1, 1)).ok().expect("the only one");
        let mut waits = only.try_acquire(key(2, 2)).err().expect("there is none");
        drop(permit);
        assert!(permit_of(&mut waits).is_some());
    }

    #[test]
    fn principals_and_their_sessions_take_turns() {
        let permits = FairPermits::new(2);
        let _held = permits.try_acquire(key(9, 9)).ok().expect("free");
        let mut running = permits.try_acquire(key(8, 8)).ok();
        let rows = [(1, 1), (1, 1), (1, 2), (1, 2), (2, 3), (2, 3)];
        let mut waiters: Vec<(usize, Waiter)> = rows
            .iter()
            .enumerate()
            .map(|(at, (principal, session))| {
                (at, permits.try_acquire(key(*principal, *session)).err().expect("both are taken"))
            })
            .collect();
        let mut order = Vec::new();
        while !waiters.is_empty() {
            running = None;
            let index = (0..waiters.len())
                .find(|index| {
                    running = permit_of(&mut waiters[*index].1);
                    running.is_some()
                })
                .expect("somebody is next");
            order.push(waiters.remove(index).0);
        }
        drop(running);
        assert_eq!(order, [0, 4, 2, 5, 1, 3]);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Take(u128, u64),
        End(usize),
        GiveUp(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            3 => (0..4_u128, 0..3_u64).prop_map(|(principal, session)| Act::Take(principal, session)),
            2 => any::<usize>().prop_map(Act::End),
            1 => any::<usize>().prop_map(Act::GiveUp),
        ];
        prop::collection::vec(act, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_turns_are_bounded_and_none_is_lost(threads in 1..5_usize, acts in acts()) {
            let permits = FairPermits::new(threads);
            let max_of_principal = threads.saturating_sub(1).max(1);
            let max_of_session = max_of_principal.saturating_sub(1).max(1);
            let mut running: Vec<(SessionKey, FairPermit)> = Vec::new();
            let mut waiting: Vec<(SessionKey, Waiter)> = Vec::new();
            for act in acts {
                match act {
                    Act::Take(principal, session) => match permits.try_acquire(key(principal, session)) {
                        Ok(permit) => running.push((key(principal, session), permit)),
                        Err(waiter) => waiting.push((key(principal, session), waiter)),
                    },
                    Act::End(at) if !running.is_empty() => {
                        drop(running.swap_remove(at % running.len()));
                    }
                    Act::GiveUp(at) if !waiting.is_empty() => {
                        drop(waiting.swap_remove(at % waiting.len()));
                    }
                    Act::End(_) | Act::GiveUp(_) => {}
                }
                let mut still = Vec::new();
                for (waits, mut waiter) in waiting {
                    match permit_of(&mut waiter) {
                        Some(permit) => running.push((waits, permit)),
                        None => still.push((waits, waiter)),
                    }
                }
                waiting = still;
                prop_assert!(running.len() <= threads);
                for principal in 0..4 {
                    let held = running.iter().filter(|(holder, _)| holder.principal == principal).count();
                    prop_assert!(held <= max_of_principal);
                    for session in 0..3 {
                        let one = key(principal, session);
                        let of_one = running.iter().filter(|(holder, _)| *holder == one).count();
                        prop_assert!(of_one <= max_of_session);
                        // Nobody waits who could go on.
                        let waits = waiting.iter().any(|(other, _)| *other == one);
                        let is_full = running.len() == threads || held == max_of_principal || of_one == max_of_session;
                        prop_assert!(!waits || is_full);
                    }
                }
                let (counted, queued) = permits.counts();
                prop_assert_eq!(counted, running.len());
                prop_assert_eq!(queued, waiting.len());
            }
            drop(running);
            drop(waiting);
            prop_assert_eq!(permits.counts(), (0, 0));
        }
    }
}
