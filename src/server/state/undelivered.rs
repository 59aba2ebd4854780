//! Answers that wait for their peers to read them: whose end first where others lack the memory that they hold.
//!
//! Clients have equal shares of the large messages: principals first, then the sessions of a principal. A principal is a
//! token, a subject, a user or, without any of these, an address: what a client cannot have as many of as it likes, as it
//! can have connections and sessions. A client alone may hold all there is. [`Shares::may_displace`] is the whole rule: an
//! answer ends only for a call whose client holds less than its share, and only where its own client holds more. So
//! nobody within its share loses an answer, however much others want.
//!
//! A connection has an entry while it sleeps with a large answer, and none otherwise: small answers take no lock.

use crate::server::state::fair_queue::SessionKey;
use crate::server::state::room_news::RoomNews;
use crate::server::state::wake_list::Guarded;
use mcpool_pools::lasting;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// An answer is safe for so long after its peer took some of it: readers that go on, however slowly, make room by
/// themselves. Far longer than the pauses of a reader that goes on, as seen from here: the kernel asks for more only when
/// a third of the socket's buffer is free.
const PATIENCE: Duration = Duration::from_secs(10);

/// The large answers of all connections that sleep.
#[derive(Debug, Default)]
pub(crate) struct Undelivered {
    entries: Guarded<BTreeMap<u64, Entry>>,
    numbers: AtomicU64,
    /// Who is told that somebody holds more, or less.
    news: Arc<RoomNews>,
}

/// What one connection holds.
#[derive(Debug)]
struct Entry {
    owner: SessionKey,
    bytes: usize,
    /// When its peer last took something.
    taken: Instant,
    /// It was told to end, and its memory is about to be free.
    is_ending: bool,
    connection: Waker,
}

/// What a connection holds for a peer that has to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldAnswers {
    pub(crate) owner: SessionKey,
    /// Bytes of the budget of large messages.
    pub(crate) bytes: usize,
    /// Whether the peer took something since the connection said this last.
    pub(crate) has_taken: bool,
}

/// The entry of one connection.
#[derive(Debug)]
pub(crate) struct UndeliveredAnswers {
    table: Arc<Undelivered>,
    number: u64,
    is_entered: bool,
}

/// What a call lacks whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shortage {
    pub(crate) waiting: SessionKey,
    pub(crate) limit_bytes: usize,
    pub(crate) missing_bytes: usize,
}

impl Undelivered {
    pub(crate) fn new(news: Arc<RoomNews>) -> Self {
        Self { news, ..Self::default() }
    }

    /// An entry for one connection, which holds nothing yet.
    pub(crate) fn open(self: &Arc<Self>) -> UndeliveredAnswers {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        UndeliveredAnswers { table: Arc::clone(self), number, is_entered: false }
    }

    /// What everybody holds of `limit_bytes`, but for what is ending.
    pub(crate) fn shares(&self, limit_bytes: usize) -> Shares {
        self.entries.with(|entries, _| Shares::of(entries, limit_bytes))
    }

    /// When the next answer may end for a call of `waiting`, of those that may not yet.
    pub(crate) fn next_end(&self, waiting: SessionKey, limit_bytes: usize, now: Instant) -> Option<Instant> {
        self.entries.with(|entries, _| {
            let shares = Shares::of(entries, limit_bytes);
            let may_end = |entry: &&Entry| !entry.is_ending && shares.may_displace(waiting, entry.owner);
            let ends = entries.values().filter(may_end).map(|entry| entry.taken + PATIENCE);
            ends.filter(|end| *end > now).min()
        })
    }

    /// Ends the answer that is to end first for a call, unless what is ending is enough for it. Returns whether one ends.
    pub(crate) fn end_one(&self, shortage: &Shortage, now: Instant) -> bool {
        self.entries.with(|entries, wakes| {
            let ending: usize =
                entries.values().filter(|entry| entry.is_ending).map(|entry| entry.bytes).sum();
            if ending >= shortage.missing_bytes {
                return false;
            }
            let shares = Shares::of(entries, shortage.limit_bytes);
            let has_stalled = |entry: &Entry| now.saturating_duration_since(entry.taken) >= PATIENCE;
            let first = entries
                .iter_mut()
                .filter(|(_, entry)| !entry.is_ending && has_stalled(entry))
                .filter(|(_, entry)| shares.may_displace(shortage.waiting, entry.owner))
                .max_by_key(|(number, entry)| {
                    (shares.held_by(shortage.waiting, entry.owner), Reverse((entry.taken, **number)))
                });
            let Some((_, entry)) = first else { return false };
            entry.is_ending = true;
            wakes.push(Some(entry.connection.clone()));
            true
        })
    }
}

impl UndeliveredAnswers {
    /// Says what the connection holds while it sleeps, and how to wake it. Returns whether it may go on: if not, it is to
    /// end, as others lack the memory.
    pub(crate) fn update(&mut self, held: HeldAnswers, connection: &Waker) -> bool {
        if held.bytes == 0 {
            self.clear();
            return true;
        }
        let is_entered = std::mem::replace(&mut self.is_entered, true);
        // Dropped without the lock: a waker may hold the last handle of its task.
        let (goes_on, _replaced) = self.table.entries.with(|entries, _| {
            let HeldAnswers { owner, bytes, has_taken } = held;
            if let Some(entry) = entries.get_mut(&self.number).filter(|_| is_entered) {
                (entry.owner, entry.bytes) = (owner, bytes);
                if has_taken {
                    entry.taken = Instant::now();
                }
                let is_same = entry.connection.will_wake(connection);
                let replaced =
                    (!is_same).then(|| std::mem::replace(&mut entry.connection, connection.clone()));
                return (!entry.is_ending, replaced);
            }
            let (taken, connection) = (Instant::now(), connection.clone());
            let entry = Entry { owner, bytes, taken, is_ending: false, connection };
            lasting(|| entries.insert(self.number, entry));
            (true, None)
        });
        self.table.news.tell();
        goes_on
    }

    /// Removes the entry: the connection holds nothing large any more, or has ended.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_entered) {
            let removed = self.table.entries.with(|entries, _| entries.remove(&self.number));
            drop(removed);
            self.table.news.tell();
        }
    }
}

impl Drop for UndeliveredAnswers {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What each principal and each of its sessions holds, at one moment.
#[derive(Debug)]
pub(crate) struct Shares {
    limit_bytes: usize,
    principals: BTreeMap<u128, BTreeMap<u64, usize>>,
}

impl Shares {
    fn of(entries: &BTreeMap<u64, Entry>, limit_bytes: usize) -> Self {
        let mut principals: BTreeMap<u128, BTreeMap<u64, usize>> = BTreeMap::new();
        for Entry { owner, bytes, .. } in entries.values().filter(|entry| !entry.is_ending) {
            *principals.entry(owner.principal).or_default().entry(owner.session).or_default() += bytes;
        }
        Self { limit_bytes, principals }
    }

    /// Whether a call of `waiting` comes before `holding`: it holds less than its share, which is that of one among all
    /// that hold something and itself, and `holding` holds more. Sessions are compared within one principal.
    pub(crate) fn may_displace(&self, waiting: SessionKey, holding: SessionKey) -> bool {
        let holds_one = usize::from(self.principals.contains_key(&waiting.principal));
        let of_principal = self.limit_bytes / (self.principals.len() + 1 - holds_one);
        if waiting.principal != holding.principal {
            return self.of_principal(waiting.principal) < of_principal
                && self.of_principal(holding.principal) > of_principal;
        }
        let Some(sessions) = self.principals.get(&waiting.principal) else { return false };
        let holds_one = usize::from(sessions.contains_key(&waiting.session));
        let of_session = of_principal / (sessions.len() + 1 - holds_one);
        self.of_session(waiting) < of_session && self.of_session(holding) > of_session
    }

    /// What is compared to find who holds most: other principals come before sessions of the same one.
    fn held_by(&self, waiting: SessionKey, holding: SessionKey) -> (bool, usize, usize) {
        let is_other = waiting.principal != holding.principal;
        (is_other, self.of_principal(holding.principal), self.of_session(holding))
    }

    fn of_principal(&self, principal: u128) -> usize {
        self.principals.get(&principal).map_or(0, |sessions| sessions.values().sum())
    }

    fn of_session(&self, key: SessionKey) -> usize {
        let sessions = self.principals.get(&key.principal);
        sessions.and_then(|sessions| sessions.get(&key.session)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
