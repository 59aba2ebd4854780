//! The requests of this server that wait for the client of one session.
//!
//! They stand in a slab that belongs to the session, so an answer reaches only requests of its own session, and the
//! end of a session touches no other. An id names the slot and how many requests the session had removed before, so a
//! late answer does not reach the next request in the same slot. Invariants: at most `max_client_requests` of all
//! sessions wait; a dropped [`ClientRequest`] leaves no entry.

use crate::protocol::OwnedMessage;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::wake_list::Guarded;
use mcpool_pools::Lease;
use slab::Slab;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;

/// Bits of an id that name the slot: `max_client_requests` is at most a million. With the 32 bits of [`Table::removed`]
/// above them, ids are integers that every JSON parser reads exactly.
const SLOT_BITS: u32 = 20;
/// Entries whose memory stays when none is in use, so that a session that asks again does not allocate again.
const KEPT_ENTRIES: usize = 4;

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

/// `max_client_requests` requests wait for clients already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many requests wait for clients")]
pub(crate) struct TooManyClientRequests;

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unanswered {
    #[error("the client did not answer in time (setting client_request_timeout_ms)")]
    TimedOut,
    #[error("the client's session ended before it answered")]
    Closed,
}

/// The number of requests of all sessions that wait for their clients, and its limit.
#[derive(Debug)]
pub(crate) struct ClientRequestLimit {
    waiting: Sum,
    max: usize,
}

impl ClientRequestLimit {
    pub(crate) fn new(max: usize) -> Self {
        Self { waiting: Sum::default(), max }
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }
}

/// The requests of one session that wait for its client.
#[derive(Debug, Default)]
pub(crate) struct ClientRequests {
    table: Guarded<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: Slab<Entry>,
    /// How many entries were removed so far, modulo 2^32.
    removed: u32,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    answer: Option<Result<ClientAnswer, Unanswered>>,
    waker: Option<Waker>,
}

impl Table {
    fn insert(&mut self) -> u64 {
        let slot = self.entries.vacant_entry();
        // Ids begin at 1.
        let id = (u64::from(self.removed) << SLOT_BITS) + slot.key() as u64 + 1;
        slot.insert(Entry { id, answer: None, waker: None });
        id
    }

    fn slot(id: u64) -> Option<usize> {
        Some((id.checked_sub(1)? & ((1 << SLOT_BITS) - 1)) as usize)
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.get_mut(Self::slot(id)?).filter(|entry| entry.id == id)
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let removed = self.entries.try_remove(Self::slot(id)?);
        self.removed = self.removed.wrapping_add(1);
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES {
            self.entries = Slab::new();
        }
        removed
    }
}

impl ClientRequests {
    /// Adds a request.
    ///
    /// # Errors
    /// When as many requests of all sessions wait as `limit` allows.
    pub(crate) fn open(
        &self,
        limit: &ClientRequestLimit,
    ) -> Result<ClientRequest<'_>, TooManyClientRequests> {
        let charge = limit.waiting.try_charge(1, limit.max).ok_or(TooManyClientRequests)?;
        let id = self.table.with(|table, _| table.insert());
        Ok(ClientRequest { requests: self, id, _charge: charge })
    }

    /// Hands the client's answer to the request `id`; `false` if no such request waits for one.
    pub(crate) fn answer(&self, id: u64, answer: ClientAnswer) -> bool {
        self.table.with(|table, wakes| {
            let Some(entry) = table.entry(id).filter(|entry| entry.answer.is_none()) else { return false };
            entry.answer = Some(Ok(answer));
            wakes.push(entry.waker.take());
            true
        })
    }

    /// Ends all waits with [`Unanswered::Closed`], because the session ends.
    pub(crate) fn close(&self) {
        self.table.with(|table, wakes| {
            for (_, entry) in &mut table.entries {
                entry.answer.get_or_insert(Err(Unanswered::Closed));
                wakes.push(entry.waker.take());
            }
        });
    }
}

/// One request that waits for its client. Dropping it gives the request up.
#[derive(Debug)]
#[must_use = "dropping it gives the request up"]
pub(crate) struct ClientRequest<'s> {
    requests: &'s ClientRequests,
    id: u64,
    _charge: Charge,
}

impl ClientRequest<'_> {
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
        // The waker that is not needed any more is dropped after the lock.
        let (answer, _unused) = self.requests.table.with(|table, _| {
            let Some(entry) = table.entry(self.id) else {
                return (Poll::Ready(Err(Unanswered::Closed)), Some(waker));
            };
            match entry.answer.take() {
                Some(answer) => (Poll::Ready(answer), Some(waker)),
                None => (Poll::Pending, entry.waker.replace(waker)),
            }
        });
        answer
    }
}

impl Drop for ClientRequest<'_> {
    fn drop(&mut self) {
        let removed = self.requests.table.with(|table, _| table.remove(self.id));
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RetainMessage;
    use mcpool_pools::ObjectPool;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SECONDS: Duration = Duration::from_secs(9);

    fn answer(text: &str) -> ClientAnswer {
        let pool = ObjectPool::new("test", 1, RetainMessage { retain_bytes: 1024 });
        let mut body = pool.acquire();
        body.copy_arguments(text);
        ClientAnswer::new(false, body)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_reaches_the_request_that_waits_for_it() {
        let (requests, other, limit) =
            (ClientRequests::default(), ClientRequests::default(), ClientRequestLimit::new(8));
        let (first, second) = (requests.open(&limit).expect("room"), requests.open(&limit).expect("room"));
        let id = second.id();
        assert!(!other.answer(id, answer("{}")), "another session");
        assert!(!requests.answer(999, answer("{}")), "never asked");
        assert!(!requests.answer(0, answer("{}")), "never asked");
        let (answered, ()) = tokio::join!(second.wait(SECONDS), async {
            tokio::task::yield_now().await;
            assert!(requests.answer(id, answer(r#"{"n":2}"#)));
            assert!(!requests.answer(id, answer("{}")), "answered already");
        });
        assert_eq!(answered.expect("answered").body(), r#"{"n":2}"#);
        assert!(!requests.answer(id, answer("{}")), "forgotten");
        assert_eq!(first.wait(SECONDS).await.err(), Some(Unanswered::TimedOut));
        assert_eq!(limit.waiting(), 0);
    }

    #[tokio::test]
    async fn the_end_of_a_session_ends_its_waits() {
        let (requests, other, limit) =
            (ClientRequests::default(), ClientRequests::default(), ClientRequestLimit::new(8));
        let (of_it, of_another) = (requests.open(&limit).expect("room"), other.open(&limit).expect("room"));
        requests.close();
        assert_eq!(of_it.wait(SECONDS).await.err(), Some(Unanswered::Closed));
        assert_eq!(limit.waiting(), 1);
        drop(of_another);
        assert_eq!(limit.waiting(), 0);
    }

    #[test]
    fn the_requests_of_all_sessions_are_bounded_and_leave_nothing() {
        let (sessions, limit) =
            ([(); 2].map(|()| ClientRequests::default()), ClientRequestLimit::new(10_000));
        let open = |n: usize| sessions[n % 2].open(&limit);
        let opened: Vec<_> = (0..10_000).map(|n| open(n).expect("room")).collect();
        assert!(open(0).is_err() && open(1).is_err());
        drop(opened);
        assert!(open(0).is_ok());
        for requests in &sessions {
            assert!(requests.table.with(|table, _| table.entries.capacity()) <= KEPT_ENTRIES);
        }
    }

    #[test]
    fn an_entry_is_small() {
        // Twice, as the table may have grown to twice its entries; the rest is the request's own slot.
        assert!(2 * size_of::<Entry>() <= 256, "{}", size_of::<Entry>());
    }

    #[test]
    fn ids_are_exact_in_every_json_parser() {
        let mut table = Table { removed: u32::MAX, ..Table::default() };
        let id = (0..3).map(|_| table.insert()).last().expect("three");
        assert!(id < 1 << 53);
        assert_eq!(table.remove(id).map(|entry| entry.id), Some(id));
        assert_eq!(table.insert(), 3, "the count of removals begins anew");
    }

    proptest! {
        /// Any order of opening, answering, closing and giving up, against a map that knows every id.
        #[test]
        fn requests_agree_with_a_map(steps in vec((0..6_u8, any::<prop::sample::Index>()), 0..200)) {
            const MAX: usize = 8;
            let (requests, limit) = (ClientRequests::default(), ClientRequestLimit::new(MAX));
            let cx = &mut Context::from_waker(Waker::noop());
            // Whether each request that waits has its answer, and the ids of all that do not wait any more.
            let mut waiting: BTreeMap<u64, (ClientRequest<'_>, bool)> = BTreeMap::new();
            let mut forgotten: Vec<u64> = Vec::new();
            for (step, which) in steps {
                let id = (!waiting.is_empty())
                    .then(|| *waiting.keys().nth(which.index(waiting.len())).expect("in range"));
                match (step, id) {
                    (0 | 1, _) => {
                        let opened = requests.open(&limit);
                        prop_assert_eq!(opened.is_ok(), waiting.len() < MAX);
                        if let Ok(request) = opened {
                            prop_assert!(!forgotten.contains(&request.id()), "an id is used once");
                            prop_assert!(waiting.insert(request.id(), (request, false)).is_none());
                        }
                    }
                    (2, Some(id)) => {
                        let (_, is_answered) = waiting.get_mut(&id).expect("waits");
                        prop_assert_eq!(requests.answer(id, answer("{}")), !std::mem::replace(is_answered, true));
                    }
                    (3, Some(id)) => {
                        let (request, is_answered) = waiting.remove(&id).expect("waits");
                        prop_assert_eq!(request.poll(cx).is_ready(), is_answered);
                        drop(request);
                        forgotten.push(id);
                    }
                    (4, _) if which.index(10) == 0 => {
                        requests.close();
                        for (_, is_answered) in waiting.values_mut() {
                            *is_answered = true;
                        }
                    }
                    _ if !forgotten.is_empty() => {
                        let late = forgotten[which.index(forgotten.len())];
                        prop_assert!(!requests.answer(late, answer("{}")), "a late answer reaches nobody");
                    }
                    _ => {}
                }
                prop_assert_eq!(limit.waiting(), waiting.len());
            }
            drop(waiting);
            prop_assert_eq!((limit.waiting(), requests.table.with(|table, _| table.entries.len())), (0, 0));
        }
    }
}
