//! Who has what of the messages on their way in: a sum for each client, and the messages that it has in the order in
//! which they came.
//!
//! Invariants: the sums of a [`Client`] are those of its entries that go on, and one without entries has none;
//! `ending_bytes` is held by entries that were told to end; an entry is in the list of its client from the first byte
//! that it holds until it is told to end.

use slab::Slab;
use std::collections::HashMap;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// How long a message may be on its way before it can end for another client: the longest one, 10 MiB, at 84 Mbit/s.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// How long a message may wait for the room of others, from the first time that it lacked some: until those that have
/// just begun are slow, several times over.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// Room for so many entries is kept, so that one message at a time allocates nothing.
const KEPT_ENTRIES: usize = 64;
/// So many messages of one client may wait for others of it in the middle: each keeps what it has meanwhile.
const OWN_WAITING: usize = 8;
/// No entry.
pub(super) const NONE: usize = usize::MAX;

/// One message.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) client: u128,
    announced_bytes: usize,
    /// What it will have when it is whole, as far as that is known.
    expected_bytes: usize,
    pub(super) held_bytes: usize,
    pub(super) began: Instant,
    /// When its first bytes were in memory.
    came: Option<Instant>,
    /// It was told to end, and its memory is about to be free.
    pub(super) is_ending: bool,
    /// Since when what becomes free is for it first.
    pub(super) right: Option<Instant>,
    /// It waits for messages of its own client.
    awaits_own: bool,
    /// When it first waited.
    pub(super) waited: Option<Instant>,
    /// Of its connection, while that sleeps.
    pub(super) connection: Option<Waker>,
    /// Neighbours in the list of its client.
    before: usize,
    pub(super) after: usize,
}

impl Entry {
    /// What its client is still to send of it.
    fn owed_bytes(&self) -> usize {
        self.expected_bytes.saturating_sub(self.held_bytes)
    }

    /// Whether it has waited as long as it may.
    pub(super) fn has_waited(&self, now: Instant) -> bool {
        self.waited.is_some_and(|waited| now.saturating_duration_since(waited) >= WAIT)
    }

    pub(super) fn is_slow(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= SLOW
    }

    /// Bytes that came each second on average.
    pub(super) fn pace(&self, until: Instant) -> usize {
        let Some(came) = self.came else { return 0 };
        let ms = until.saturating_duration_since(came).as_millis().max(1);
        usize::try_from(self.held_bytes as u128 * 1_000 / ms).unwrap_or(usize::MAX)
    }

    /// Whether it is slow, and comes more slowly than it has to.
    pub(super) fn lags(&self, until: Instant, least_bytes_per_s: usize) -> bool {
        let is_slow = self.came.is_some_and(|came| until.saturating_duration_since(came) >= SLOW);
        is_slow && self.pace(until) < least_bytes_per_s
    }

    /// Whether what becomes free is for it first.
    pub(super) fn goes_first(&self, now: Instant) -> bool {
        self.right.is_some() && !self.has_waited(now)
    }
}

/// What one client has.
#[derive(Debug)]
pub(super) struct Client {
    entries: usize,
    pub(super) announced_bytes: usize,
    pub(super) owed_bytes: usize,
    pub(super) held_bytes: usize,
    pub(super) first: usize,
    last: usize,
    /// Entries that have a right to what becomes free.
    rights: usize,
    /// Entries that wait for others of the same client.
    own_waiting: usize,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            entries: 0,
            announced_bytes: 0,
            owed_bytes: 0,
            held_bytes: 0,
            first: NONE,
            last: NONE,
            rights: 0,
            own_waiting: 0,
        }
    }
}

impl Client {
    pub(super) fn shares(&self) -> bool {
        self.held_bytes > 0 || self.rights > 0
    }
}

/// All messages and their clients.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Slab<Entry>,
    pub(super) clients: HashMap<u128, Client>,
    /// What all clients have together.
    pub(super) held_bytes: usize,
    pub(super) ending_bytes: usize,
    /// Entries with a right, those that wait longest first.
    pub(super) rights: Vec<usize>,
}

impl Table {
    pub(super) fn enter(&mut self, client: u128, announced_bytes: usize, now: Instant) -> usize {
        let of = self.clients.entry(client).or_default();
        of.entries += 1;
        of.announced_bytes += announced_bytes;
        of.owed_bytes += announced_bytes;
        self.entries.insert(Entry {
            client,
            announced_bytes,
            expected_bytes: announced_bytes,
            held_bytes: 0,
            began: now,
            came: None,
            is_ending: false,
            right: None,
            awaits_own: false,
            waited: None,
            connection: None,
            before: NONE,
            after: NONE,
        })
    }

    pub(super) fn entry(&mut self, key: usize) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    pub(super) fn client(&self, client: u128) -> Option<&Client> {
        self.clients.get(&client)
    }

    /// Bytes of the table itself.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.clients.capacity() * size_of::<(u128, Client)>()
            + self.rights.capacity() * size_of::<usize>()
    }

    /// Whether nothing is there; room beyond what is kept is freed then.
    pub(super) fn is_reset(&mut self) -> bool {
        let is_large = self.entries.capacity() > KEPT_ENTRIES || self.clients.capacity() > KEPT_ENTRIES;
        let is_reset = self.entries.is_empty() && is_large;
        if is_reset {
            *self = Self::default();
        }
        is_reset
    }

    /// Takes an announcement: `bytes` of a message that was entered without one.
    pub(super) fn announce(&mut self, key: usize, bytes: usize) {
        self.set_announced(key, bytes);
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.is_ending) else { return };
        let before = entry.owed_bytes();
        entry.expected_bytes = bytes;
        let after = entry.owed_bytes();
        if let Some(of) = self.clients.get_mut(&entry.client) {
            of.owed_bytes = of.owed_bytes - before + after;
        }
    }

    pub(super) fn set_announced(&mut self, key: usize, bytes: usize) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.is_ending) else { return };
        let before = std::mem::replace(&mut entry.announced_bytes, bytes);
        if let Some(of) = self.clients.get_mut(&entry.client) {
            of.announced_bytes = of.announced_bytes - before + bytes;
        }
    }

    /// Notes what a message has.
    pub(super) fn hold(&mut self, key: usize, bytes: usize, now: Instant) {
        let Self { entries, clients, held_bytes, ending_bytes, .. } = self;
        let Some(entry) = entries.get_mut(key) else { return };
        let Some(of) = clients.get_mut(&entry.client) else { return };
        let owed_before = entry.owed_bytes();
        let before = std::mem::replace(&mut entry.held_bytes, bytes);
        if bytes > 0 {
            entry.came.get_or_insert(now);
        }
        if entry.is_ending {
            *ending_bytes = *ending_bytes - before + bytes;
            return;
        }
        of.owed_bytes = of.owed_bytes - owed_before + entry.owed_bytes();
        of.held_bytes = of.held_bytes - before + bytes;
        *held_bytes = *held_bytes - before + bytes;
        if before == 0 && bytes > 0 {
            self.link(key);
        } else if before > 0 && bytes == 0 {
            self.unlink(key);
        }
    }

    fn link(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Some(of) = self.clients.get_mut(&entry.client) else { return };
        let last = std::mem::replace(&mut of.last, key);
        (entry.before, entry.after) = (last, NONE);
        match self.entries.get_mut(last) {
            Some(last) => last.after = key,
            None => of.first = key,
        }
    }

    fn unlink(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let (client, before, after) = (entry.client, entry.before, entry.after);
        (entry.before, entry.after) = (NONE, NONE);
        let Some(of) = self.clients.get_mut(&client) else { return };
        match self.entries.get_mut(before) {
            Some(entry) => entry.after = after,
            None => of.first = after,
        }
        match self.entries.get_mut(after) {
            Some(entry) => entry.before = before,
            None => of.last = before,
        }
    }

    /// Takes a message out of what its client has.
    fn take_out(&mut self, key: usize) {
        let Some(entry) = self.entries.get(key) else { return };
        let (client, held, owed, announced) =
            (entry.client, entry.held_bytes, entry.owed_bytes(), entry.announced_bytes);
        if entry.is_ending {
            return;
        }
        if held > 0 {
            self.unlink(key);
        }
        self.held_bytes -= held;
        if let Some(of) = self.clients.get_mut(&client) {
            of.held_bytes -= held;
            of.owed_bytes -= owed;
            of.announced_bytes -= announced;
        }
    }

    /// Tells a message to end. Gives how to wake its connection.
    pub(super) fn end(&mut self, key: usize) -> Option<Waker> {
        self.take_out(key);
        let entry = self.entries.get_mut(key)?;
        entry.is_ending = true;
        self.ending_bytes += entry.held_bytes;
        entry.connection.take()
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Entry> {
        self.take_out(key);
        self.give_up_right(key);
        let entry = self.entries.try_remove(key)?;
        if entry.is_ending {
            self.ending_bytes -= entry.held_bytes;
        }
        if let Some(of) = self.clients.get_mut(&entry.client) {
            of.entries -= 1;
            of.own_waiting -= usize::from(entry.awaits_own);
            if of.entries == 0 {
                self.clients.remove(&entry.client);
            }
        }
        Some(entry)
    }

    /// Has a message wait for others of its own client, if not too many do. Gives whether it may.
    pub(super) fn await_own(&mut self, key: usize) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let Some(of) = self.clients.get_mut(&entry.client) else { return false };
        if !entry.awaits_own && of.own_waiting < OWN_WAITING {
            entry.awaits_own = true;
            of.own_waiting += 1;
        }
        entry.awaits_own
    }

    /// From now on, what becomes free is for this message first.
    pub(super) fn claim_right(&mut self, key: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.right.is_none()) else { return };
        entry.right = Some(now);
        if let Some(of) = self.clients.get_mut(&entry.client) {
            of.rights += 1;
        }
        self.rights.push(key);
    }

    fn give_up_right(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.right.is_some()) else { return };
        entry.right = None;
        if let Some(of) = self.clients.get_mut(&entry.client) {
            of.rights -= 1;
        }
        self.rights.retain(|right| *right != key);
    }

    /// How many have a right to what becomes free.
    pub(super) fn rights(&self) -> usize {
        self.rights.len()
    }

    /// How to wake those who have waited longest for what becomes free, `most` of them.
    pub(super) fn take_waiting(&mut self, most: usize, told: &mut Vec<Waker>) {
        let Self { rights, entries, .. } = self;
        let wakers = rights.iter().filter_map(|key| entries.get_mut(*key)?.connection.take());
        told.extend(wakers.take(most));
    }

    /// Whether a client has no message that is older; `key` is the message, if it is there already.
    pub(super) fn is_first(&self, client: u128, key: usize) -> bool {
        self.clients.get(&client).is_none_or(|of| of.first == NONE || of.first == key)
    }

    /// Whether a client has more than `most_bytes`.
    pub(super) fn has_more_than(&self, client: u128, most_bytes: usize) -> bool {
        self.clients.get(&client).is_some_and(|of| of.held_bytes > most_bytes)
    }
}

#[cfg(test)]
impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Checks the sums and lists against entries that are added up.
    pub(super) fn check(&self) {
        let sum = |client: u128, of: fn(&Entry) -> usize| {
            let own = self.entries.iter().filter(|(_, entry)| entry.client == client && !entry.is_ending);
            own.map(|(_, entry)| of(entry)).sum::<usize>()
        };
        for (client, of) in &self.clients {
            assert_eq!(of.held_bytes, sum(*client, |entry| entry.held_bytes));
            assert_eq!(of.announced_bytes, sum(*client, |entry| entry.announced_bytes));
            assert_eq!(of.owed_bytes, sum(*client, Entry::owed_bytes));
            let (mut listed, mut before, mut at) = (0, NONE, of.first);
            while let Some(entry) = self.entries.get(at) {
                assert!(entry.held_bytes > 0 && !entry.is_ending && entry.client == *client);
                assert_eq!(entry.before, before);
                listed += entry.held_bytes;
                (before, at) = (at, entry.after);
            }
            assert_eq!((listed, before), (of.held_bytes, of.last));
        }
        let ending = self.entries.iter().filter(|(_, entry)| entry.is_ending);
        assert_eq!(self.ending_bytes, ending.map(|(_, entry)| entry.held_bytes).sum::<usize>());
        assert_eq!(self.held_bytes, self.clients.values().map(|of| of.held_bytes).sum::<usize>());
    }
}
