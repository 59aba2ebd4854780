//! The correlation table: requests of this server to clients, and who waits for which answer.
//!
//! Sharded by id, so that opening, answering and closing cost the same however many wait. Ids are given out in
//! turn and mean nothing to anybody but the session that was asked: an answer from another session is no
//! answer. Invariant: at most `max_client_requests` wait; a dropped [`Ticket`] leaves no entry behind.

use crate::protocol::OwnedMessage;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::wake_list::Guarded;
use mcpool_pools::Lease;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;

const SHARDS: usize = 16;

/// What a client answered.
#[derive(Debug)]
pub(crate) struct ClientAnswer {
    is_error: bool,
    body: Lease<OwnedMessage>,
}

impl ClientAnswer {
    /// The `result` or `error` of an answer, as its JSON text.
    pub(crate) fn new(is_error: bool, body: Lease<OwnedMessage>) -> Self {
        Self { is_error, body }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.is_error
    }

    pub(crate) fn body(&self) -> &str {
        self.body.arguments()
    }
}

/// As many requests wait for clients as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many requests wait for clients")]
pub(crate) struct CorrelationFull;

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unanswered {
    #[error("the client did not answer in time (setting client_request_timeout_ms)")]
    TimedOut,
    #[error("the client's session ended before it answered")]
    Closed,
}

/// All requests that wait for clients.
#[derive(Debug)]
pub(crate) struct Correlation {
    shards: [Guarded<HashMap<u64, Pending>>; SHARDS],
    next: AtomicU64,
    waiting: Sum,
    max: usize,
}

#[derive(Debug)]
struct Pending {
    owner: u64,
    answer: Option<Result<ClientAnswer, Unanswered>>,
    waker: Option<Waker>,
}

impl Correlation {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Guarded::default()),
            next: AtomicU64::new(1),
            waiting: Sum::default(),
            max,
        }
    }

    /// Takes in a request to the client of session `owner`.
    pub(crate) fn open(self: &Arc<Self>, owner: u64) -> Result<Ticket, CorrelationFull> {
        let place = self.waiting.try_charge(1, self.max).ok_or(CorrelationFull)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(id).with(|shard, _| shard.insert(id, Pending { owner, answer: None, waker: None }));
        Ok(Ticket { table: Arc::clone(self), id, _place: place })
    }

    /// Hands an answer to who waits for it; `false` if nobody of that session does.
    pub(crate) fn resolve(&self, owner: u64, id: u64, answer: ClientAnswer) -> bool {
        self.shard(id).with(|shard, after| {
            let Some(pending) = shard.get_mut(&id).filter(|pending| pending.owner == owner) else {
                return false;
            };
            if pending.answer.is_some() {
                return false;
            }
            pending.answer = Some(Ok(answer));
            after.wake(pending.waker.take());
            true
        })
    }

    /// Tells all who wait for the client of a session that it is gone.
    pub(crate) fn close_owner(&self, owner: u64) {
        if self.waiting() == 0 {
            return;
        }
        for shard in &self.shards {
            shard.with(|shard, after| {
                for pending in shard.values_mut().filter(|pending| pending.owner == owner) {
                    pending.answer.get_or_insert(Err(Unanswered::Closed));
                    after.wake(pending.waker.take());
                }
            });
        }
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    fn shard(&self, id: u64) -> &Guarded<HashMap<u64, Pending>> {
        &self.shards[id as usize % SHARDS]
    }
}

/// One request that waits. Dropping it is giving up.
#[derive(Debug)]
#[must_use = "dropping it gives the request up"]
pub(crate) struct Ticket {
    table: Arc<Correlation>,
    id: u64,
    /// Among those that may wait.
    _place: Charge,
}

impl Ticket {
    /// The id of the request.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the answer.
    pub(crate) async fn wait(self, timeout: Duration) -> Result<ClientAnswer, Unanswered> {
        let answered = std::future::poll_fn(|cx| self.poll(cx));
        tokio::time::timeout(timeout, answered).await.unwrap_or(Err(Unanswered::TimedOut))
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<ClientAnswer, Unanswered>> {
        let waker = cx.waker().clone();
        let (answer, _left) = self.table.shard(self.id).with(|shard, _| {
            let Some(pending) = shard.get_mut(&self.id) else {
                return (Poll::Ready(Err(Unanswered::Closed)), Some(waker));
            };
            match pending.answer.take() {
                Some(answer) => (Poll::Ready(answer), Some(waker)),
                None => (Poll::Pending, pending.waker.replace(waker)),
            }
        });
        answer
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let removed = self.table.shard(self.id).with(|shard, _| {
            let removed = shard.remove(&self.id);
            if shard.capacity() > 64 && shard.len() * 4 < shard.capacity() {
                shard.shrink_to_fit();
            }
            removed
        });
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RetainMessage;
    use mcpool_pools::ObjectPool;

    fn answer(text: &str) -> ClientAnswer {
        let pool = ObjectPool::new("test", 1, RetainMessage { retain_bytes: 1024 });
        let mut body = pool.acquire();
        body.copy_arguments(text);
        ClientAnswer::new(false, body)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_reaches_who_waits_for_it() {
        let table = Arc::new(Correlation::new(8));
        let (first, second) = (table.open(1).expect("room"), table.open(1).expect("room"));
        let id = second.id();
        assert!(!table.resolve(2, id, answer("{}")), "another session");
        assert!(!table.resolve(1, 999, answer("{}")), "never asked");
        let waiting = tokio::spawn(second.wait(Duration::from_secs(9)));
        tokio::task::yield_now().await;
        assert!(table.resolve(1, id, answer(r#"{"n":2}"#)));
        assert_eq!(waiting.await.expect("ended").expect("answered").body(), r#"{"n":2}"#);
        assert!(!table.resolve(1, id, answer("{}")), "answered already");
        assert_eq!(first.wait(Duration::from_secs(9)).await.err(), Some(Unanswered::TimedOut));
        assert_eq!(table.waiting(), 0);
    }

    #[tokio::test]
    async fn those_of_a_session_that_ends_are_told() {
        let table = Arc::new(Correlation::new(8));
        let (of_it, of_another) = (table.open(1).expect("room"), table.open(2).expect("room"));
        table.close_owner(1);
        assert_eq!(of_it.wait(Duration::from_secs(9)).await.err(), Some(Unanswered::Closed));
        assert_eq!(table.waiting(), 1);
        drop(of_another);
        assert_eq!(table.waiting(), 0);
    }

    #[test]
    fn the_table_is_bounded_and_leaves_nothing() {
        let table = Arc::new(Correlation::new(10_000));
        let tickets: Vec<_> = (0..10_000).map(|_| table.open(1).expect("room")).collect();
        assert!(table.open(1).is_err());
        drop(tickets);
        assert!(table.open(1).is_ok());
        assert!(table.shards.iter().all(|shard| shard.with(|shard, _| shard.capacity()) <= 64));
    }

    #[test]
    fn a_pending_request_is_small() {
        // The table's part, its load factor included; the rest is the request's own slot.
        assert!(2 * (size_of::<u64>() + size_of::<Pending>() + 1) <= 256, "{}", size_of::<Pending>());
    }
}
