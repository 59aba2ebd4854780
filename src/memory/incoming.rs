//! Large messages on their way in, by client: what was announced, what has come, and whose go where another client lacks
//! the room.
//!
//! An announcement costs a client nothing, so it keeps nobody else waiting: each client is let in as if it were alone with
//! what is in memory. What has come is in memory until the rest comes, and a client may have as many halves of messages as
//! it likes. While it is alone it may fill all the room with them. Where another one that has less than an equal share
//! finds none, the slow messages of who has more than that end, as many as are needed, and it waits for their room
//! meanwhile. A message of a second is slow: those that come fast make room by themselves, so who lacks it waits for them
//! to come whole or to become slow. Until a message that has waited is whole, who has more than a share brings nothing
//! more in, so that halves which are sent anew again and again do not take what becomes free. Both are bounded by
//! [`WAIT`].
//!
//! Invariants: a message has an entry as long as its [`IncomingMessage`] lives; who waits is woken by the end of any
//! other; `waiting` is the number of entries that have waited.

use crate::lock::lock;
use mcpool_pools::MemoryBudget;
use slab::Slab;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

/// How long a message may be on its way before it can end for another client: the longest one, 10 MiB, at 84 Mbit/s.
const SLOW: Duration = Duration::from_secs(1);
/// How long a message may wait for the room of others, from the first time that it lacked some: until those that have
/// just begun are slow, several times over.
const WAIT: Duration = Duration::from_secs(5);
/// Room for so many entries is kept, so that one message at a time allocates nothing.
const KEPT_ENTRIES: usize = 64;

/// The messages of all clients.
#[derive(Debug, Clone)]
pub(crate) struct IncomingMessages {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What the messages are in.
    memory: MemoryBudget,
    entries: Mutex<Slab<Entry>>,
    /// Entries that have waited, changed with the entries locked: as long as there are none, nobody looks for them.
    waiting: AtomicUsize,
}

/// One message.
#[derive(Debug)]
struct Entry {
    client: u128,
    announced_bytes: usize,
    held_bytes: usize,
    began: Instant,
    /// It was told to end, and its memory is about to be free.
    is_ending: bool,
    /// When it first waited for the room of others.
    waited: Option<Instant>,
    /// Of its connection, while that sleeps.
    connection: Option<Waker>,
}

/// A message that is to come, until this is dropped. Its bytes are to be freed first.
#[must_use = "dropping it says that nothing more comes"]
pub(crate) struct IncomingMessage {
    shared: Arc<Shared>,
    key: usize,
    is_expected: bool,
}

impl IncomingMessages {
    /// The messages that are in `memory`.
    pub(crate) fn new(memory: MemoryBudget) -> Self {
        Self { shared: Arc::new(Shared { memory, entries: Mutex::default(), waiting: AtomicUsize::new(0) }) }
    }

    /// Notes that a client will send `bytes`, unless all that it has announced would be more than `room_bytes`.
    pub(crate) fn announce(&self, client: u128, bytes: usize, room_bytes: usize) -> Option<IncomingMessage> {
        let mut entries = lock(&self.shared.entries);
        let own = entries.iter().filter(|(_, entry)| entry.client == client);
        let announced_bytes: usize = own.map(|(_, entry)| entry.announced_bytes).sum();
        (announced_bytes.saturating_add(bytes) <= room_bytes)
            .then(|| self.shared.enter(&mut entries, client, bytes))
    }

    /// A message of a client that was not announced.
    pub(crate) fn begin(&self, client: u128) -> IncomingMessage {
        self.shared.enter(&mut lock(&self.shared.entries), client, 0)
    }

    /// Bytes of messages that may end for one of this client, now or when they are slow.
    pub(crate) fn displaceable_bytes(&self, client: u128) -> usize {
        let entries = lock(&self.shared.entries);
        let shares = Shares::of(&entries, client, self.shared.memory.limit_bytes());
        let may_end = |entry: &Entry| shares.makes_way(entry);
        entries.iter().filter(|(_, entry)| may_end(entry)).map(|(_, entry)| entry.held_bytes).sum()
    }
}

impl Shared {
    fn enter(self: &Arc<Self>, entries: &mut Slab<Entry>, client: u128, bytes: usize) -> IncomingMessage {
        let key = entries.insert(Entry {
            client,
            announced_bytes: bytes,
            held_bytes: 0,
            began: Instant::now(),
            is_ending: false,
            waited: None,
            connection: None,
        });
        IncomingMessage { shared: Arc::clone(self), key, is_expected: bytes > 0 }
    }
}

impl IncomingMessage {
    /// Whether memory is set aside for what was announced.
    pub(crate) fn is_expected(&self) -> bool {
        self.is_expected
    }

    /// Takes the announcement back: from here on, the message counts as it comes.
    pub(crate) fn expect_no_more(&mut self) {
        self.is_expected = false;
        if let Some(entry) = lock(&self.shared.entries).get_mut(self.key) {
            entry.announced_bytes = 0;
        }
    }

    /// Notes that so many bytes are in memory. Returns whether the message may go on: if not, another client lacks them.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let mut entries = lock(&self.shared.entries);
        let Some(entry) = entries.get_mut(self.key) else { return true };
        let grows = bytes > std::mem::replace(&mut entry.held_bytes, bytes);
        let (client, is_ending) = (entry.client, entry.is_ending);
        // What somebody waits for is not for who has more.
        let is_needed = grows && self.shared.waiting.load(Ordering::Relaxed) > 0 && {
            let now = Instant::now();
            let waits = |(_, entry): (usize, &Entry)| entry.client != client && entry.has_first_right(now);
            entries.iter().any(waits) && {
                let shares = Shares::of(&entries, client, self.shared.memory.limit_bytes());
                shares.held_by(client) > shares.share_bytes
            }
        };
        !is_ending && !is_needed
    }

    /// Says how to wake the connection of the message while that sleeps. Returns whether the message may go on: if not,
    /// another client lacks its memory.
    pub(crate) fn sleep(&self, connection: &Waker) -> bool {
        // Dropped without the lock: a waker may hold the last handle of its task.
        let mut _replaced = None;
        let mut entries = lock(&self.shared.entries);
        let Some(entry) = entries.get_mut(self.key) else { return true };
        if entry.connection.as_ref().is_none_or(|known| !known.will_wake(connection)) {
            _replaced = entry.connection.replace(connection.clone());
        }
        !entry.is_ending
    }

    /// Has messages of others end until there are `missing_bytes` for this one. Returns whether it may wait for them, or
    /// for those that can end as soon as they are slow: its connection is woken when one ends, and looks again by itself.
    pub(crate) fn await_room(&self, missing_bytes: usize, connection: &Waker, now: Instant) -> bool {
        if !self.sleep(connection) {
            return false;
        }
        let mut entries = lock(&self.shared.entries);
        let Some(own) = entries.get_mut(self.key) else { return false };
        let client = own.client;
        if own.waited.is_some_and(|waited| now.saturating_duration_since(waited) >= WAIT) {
            return false;
        }
        let mut told = Vec::new();
        let ending = entries.iter().filter(|(_, entry)| entry.is_ending);
        let mut ending_bytes: usize = ending.map(|(_, entry)| entry.held_bytes).sum();
        while ending_bytes < missing_bytes {
            let shares = Shares::of(&entries, client, self.shared.memory.limit_bytes());
            let first = entries
                .iter_mut()
                .map(|(_, entry)| entry)
                .filter(|entry| shares.may_displace(entry, now))
                .min_by_key(|entry| (std::cmp::Reverse(shares.held_by(entry.client)), entry.began));
            let Some(entry) = first else { break };
            entry.is_ending = true;
            ending_bytes += entry.held_bytes;
            told.extend(entry.connection.take());
        }
        let may_wait = ending_bytes > 0 || {
            let shares = Shares::of(&entries, client, self.shared.memory.limit_bytes());
            entries.iter().any(|(_, entry)| shares.makes_way(entry))
        };
        if let Some(own) = entries.get_mut(self.key)
            && may_wait
            && own.waited.is_none()
        {
            own.waited = Some(now);
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        }
        drop(entries);
        told.into_iter().for_each(Waker::wake);
        may_wait
    }
}

impl Drop for IncomingMessage {
    fn drop(&mut self) {
        let mut entries = lock(&self.shared.entries);
        let removed = entries.try_remove(self.key);
        if removed.as_ref().is_some_and(|entry| entry.waited.is_some()) {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let mut told = Vec::new();
        if self.shared.waiting.load(Ordering::Relaxed) > 0 {
            let waiting = entries.iter_mut().filter(|(_, entry)| entry.waited.is_some());
            told.extend(waiting.filter_map(|(_, entry)| entry.connection.take()));
        }
        if entries.is_empty() && entries.capacity() > KEPT_ENTRIES {
            *entries = Slab::new();
        }
        drop(entries);
        drop(removed);
        told.into_iter().for_each(Waker::wake);
    }
}

impl Entry {
    /// Whether it has waited and may still wait: what becomes free is for it first.
    fn has_first_right(&self, now: Instant) -> bool {
        self.waited.is_some_and(|waited| now.saturating_duration_since(waited) < WAIT)
    }
}

impl fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingMessage").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What each client has in memory of messages that go on or wait, and an equal share of it.
struct Shares {
    client: u128,
    share_bytes: usize,
    held: BTreeMap<u128, usize>,
}

impl Shares {
    fn of(entries: &Slab<Entry>, client: u128, limit_bytes: usize) -> Self {
        let mut held = BTreeMap::from([(client, 0)]);
        let counts = |entry: &Entry| !entry.is_ending && (entry.held_bytes > 0 || entry.waited.is_some());
        for (_, entry) in entries.iter().filter(|(_, entry)| counts(entry)) {
            *held.entry(entry.client).or_default() += entry.held_bytes;
        }
        Self { client, share_bytes: limit_bytes / held.len(), held }
    }

    fn held_by(&self, client: u128) -> usize {
        self.held.get(&client).copied().unwrap_or_default()
    }

    /// Whether a message may end for one of [`Self::client`] now.
    fn may_displace(&self, entry: &Entry, now: Instant) -> bool {
        now.saturating_duration_since(entry.began) >= SLOW && self.makes_way(entry)
    }

    /// Whether a message may end for one of [`Self::client`] as soon as it is slow.
    fn makes_way(&self, entry: &Entry) -> bool {
        let holds = entry.client != self.client && entry.held_bytes > 0 && !entry.is_ending;
        holds && self.held_by(self.client) < self.share_bytes && self.held_by(entry.client) > self.share_bytes
    }
}

#[cfg(test)]
mod tests;
