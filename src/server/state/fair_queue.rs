//! Those who wait for something that is given to one after the other, and whose turn is next.
//!
//! Principals, and the sessions of each, are served in a round robin in the order of their keys, and the waiters of one
//! session in order.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

/// The session for which something is waited for or held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) principal: u128,
    /// The number of the session. Callers without a session share a number.
    pub(crate) session: u64,
}

/// The waiters, each with a `T` by which it is told.
pub(crate) struct FairQueue<T> {
    principals: BTreeMap<u128, PrincipalQueue<T>>,
    last_served: u128,
    len: usize,
    /// Number of the next waiter.
    next_number: u64,
}

/// What finds a waiter in the queue.
pub(crate) struct QueueEntry {
    key: SessionKey,
    number: u64,
}

struct PrincipalQueue<T> {
    /// The waiters of each session, by ascending number.
    sessions: BTreeMap<u64, VecDeque<(u64, T)>>,
    last_served: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { principals: BTreeMap::new(), last_served: 0, len: 0, next_number: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a waiter at the end of its session's queue.
    pub(crate) fn push(&mut self, key: SessionKey, waiter: T) -> QueueEntry {
        let number = self.next_number;
        self.next_number += 1;
        let empty = || PrincipalQueue { sessions: BTreeMap::new(), last_served: 0 };
        let principal = self.principals.entry(key.principal).or_insert_with(empty);
        principal.sessions.entry(key.session).or_default().push_back((number, waiter));
        self.len += 1;
        QueueEntry { key, number }
    }

    /// Whether somebody waits for whom that holds.
    pub(crate) fn any(&self, holds: impl Fn(SessionKey) -> bool) -> bool {
        self.principals.iter().any(|(principal, queue)| {
            let mut keys =
                queue.sessions.keys().map(|session| SessionKey { principal: *principal, session: *session });
            keys.any(&holds)
        })
    }

    /// The next waiter among those whose session may be served.
    pub(crate) fn next(&self, may_be_served: impl Fn(SessionKey) -> bool) -> Option<(SessionKey, &T)> {
        let after_last = self.principals.range((Excluded(self.last_served), Unbounded));
        let key = after_last.chain(&self.principals).find_map(|(principal, queue)| {
            let key = |session| SessionKey { principal: *principal, session };
            queue.next(|session| may_be_served(key(session))).map(key)
        })?;
        let (_, waiter) = self.principals.get(&key.principal)?.sessions.get(&key.session)?.front()?;
        Some((key, waiter))
    }

    /// Removes the next waiter among those whose session may be served.
    pub(crate) fn pop(&mut self, may_be_served: impl Fn(SessionKey) -> bool) -> Option<(SessionKey, T)> {
        let (key, _) = self.next(may_be_served)?;
        Some((key, self.serve(key)?))
    }

    /// Removes the first waiter of a session, whose turn it was.
    pub(crate) fn serve(&mut self, key: SessionKey) -> Option<T> {
        let waiter = self.principals.get_mut(&key.principal)?.pop(key.session)?;
        self.note_left(key.principal);
        self.last_served = key.principal;
        Some(waiter)
    }

    /// Removes a waiter; `None` if it has left the queue already.
    pub(crate) fn remove(&mut self, entry: &QueueEntry) -> Option<T> {
        let SessionKey { principal, session } = entry.key;
        let waiter = self.principals.get_mut(&principal)?.remove(session, entry.number)?;
        self.note_left(principal);
        Some(waiter)
    }

    fn note_left(&mut self, principal: u128) {
        self.len -= 1;
        if self.principals.get(&principal).is_some_and(|queue| queue.sessions.is_empty()) {
            self.principals.remove(&principal);
        }
    }
}

impl<T> PrincipalQueue<T> {
    fn next(&self, may_be_served: impl Fn(u64) -> bool) -> Option<u64> {
        let after_last = self.sessions.range((Excluded(self.last_served), Unbounded));
        let mut sessions = after_last.chain(&self.sessions).map(|(session, _)| *session);
        sessions.find(|session| may_be_served(*session))
    }

    fn pop(&mut self, session: u64) -> Option<T> {
        let number = self.sessions.get(&session)?.front()?.0;
        self.last_served = session;
        self.remove(session, number)
    }

    fn remove(&mut self, session: u64, number: u64) -> Option<T> {
        let queue = self.sessions.get_mut(&session)?;
        let index = queue.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, waiter) = queue.remove(index)?;
        if queue.is_empty() {
            self.sessions.remove(&session);
        }
        Some(waiter)
    }
}
