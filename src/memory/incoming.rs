//! Messages on their way in, by client: what was announced, what has come, and whose go where another client lacks the
//! room.
//!
//! There are two such tables: of the large messages, and of what is small, which is the heads and lines that have not come
//! whole and the bodies that are still in a small buffer. A message is in the second one while its connection sleeps.
//!
//! An announcement costs a client nothing, so it keeps nobody else waiting: each client is let in as if it were alone with
//! what is in memory. What has come is in memory until the rest comes, and a client may have as many halves of messages as
//! it likes. While it is alone it may fill all the room with them. Where another one finds none, slow messages end, as
//! many as are needed, and it waits for their room meanwhile:
//!
//! - for a client that has less than an equal share of the room, those of clients that have more, the oldest first;
//! - for the oldest message of a client, those that are not the oldest of theirs: each client may have one large message,
//!   even if that is more than a share;
//! - for the same, as long as it comes fast enough itself, the oldest ones of others that do not come at
//!   [`LEAST_BYTES_PER_S`] on average, the slowest first: many clients, each below its share, fill all the room only by
//!   sending.
//!
//! A message of a second is slow: those that come fast make room by themselves, so who lacks it waits for them to come
//! whole or to become slow. Until a message that has waited is whole, who has more than a share brings nothing more in,
//! and second messages that begin meanwhile wait, so that halves which are sent anew again and again do not take what
//! becomes free. A message also waits for older ones of its own client. All waiting is bounded, by [`table::WAIT`].
//!
//! Invariants: a message has an entry as long as its [`IncomingMessage`] lives; who waits for the room of others is woken
//! by the end of any other, or looks again by itself; `rights` is the number of entries that have waited for it.

mod claims;
mod table;

use crate::lock::lock;
use claims::Lack;
use mcpool_pools::{MemoryBudget, Reservation};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;
use table::Table;
use tokio::time::Instant;

pub(crate) use claims::Growth;

/// How long a message waits for what older ones of its client were announced to have: 5 MiB at 21 Mbit/s. Those that
/// are slower share what there is.
const OWN_WAIT: Duration = Duration::from_secs(2);
/// What a message has to bring each second on average while others lack its room, once it is slow: 1 Mbit/s.
const LEAST_BYTES_PER_S: usize = 128 * 1024;
/// So many of those who wait are told when a message ends: the others look again by themselves.
const TOLD: usize = 8;
/// While small objects are scarce, one client may have one in so many bytes of them in messages that are not whole.
const SCARCE_PARTS: usize = 16;

/// The messages of all clients.
#[derive(Debug, Clone)]
pub(crate) struct IncomingMessages {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    room: IncomingRoom,
    least_bytes_per_s: usize,
    state: Mutex<State>,
    /// Entries with a right to what becomes free, changed with the table locked: as long as there are none, nobody looks
    /// for them.
    rights: AtomicUsize,
    #[cfg(test)]
    entered: AtomicUsize,
}

#[derive(Debug)]
struct State {
    table: Table,
    /// What the table itself takes.
    charge: Option<Reservation>,
}

/// What the messages are in.
#[derive(Debug)]
pub(crate) struct IncomingRoom {
    pub(crate) memory: MemoryBudget,
    /// What they must leave of it.
    pub(crate) left_bytes: usize,
    /// What the table itself is in.
    pub(crate) tables: MemoryBudget,
}

impl IncomingRoom {
    fn limit_bytes(&self) -> usize {
        self.memory.limit_bytes().saturating_sub(self.left_bytes)
    }

    fn free_bytes(&self) -> usize {
        self.limit_bytes().saturating_sub(self.memory.used_bytes())
    }
}

/// A message that is to come, until this is dropped. Its bytes are to be freed first.
#[must_use = "dropping it says that nothing more comes"]
pub(crate) struct IncomingMessage {
    shared: Arc<Shared>,
    key: u32,
    is_expected: bool,
}

impl IncomingMessages {
    /// The messages that are in that room.
    pub(crate) fn new(room: IncomingRoom) -> Self {
        Self::with_pace(room, LEAST_BYTES_PER_S)
    }

    /// The same with another pace than [`LEAST_BYTES_PER_S`].
    fn with_pace(room: IncomingRoom, least_bytes_per_s: usize) -> Self {
        let state = Mutex::new(State { table: Table::default(), charge: None });
        let shared = Shared {
            room,
            least_bytes_per_s,
            state,
            rights: AtomicUsize::new(0),
            #[cfg(test)]
            entered: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A message of a client.
    pub(crate) fn begin(&self, client: u128) -> IncomingMessage {
        #[cfg(test)]
        self.shared.entered.fetch_add(1, Ordering::Relaxed);
        let mut state = lock(&self.shared.state);
        let before = state.table.bytes();
        let key = state.table.enter(client, 0, Instant::now());
        let after = state.table.bytes();
        if after != before {
            let charge = state.charge.get_or_insert_with(|| self.shared.room.tables.reserve(0));
            // Room is only given back where the table becomes empty, so nobody is told under the lock.
            charge.resize(after.max(charge.bytes()));
        }
        // invariant: there are fewer entries than connections, and these have numbers of that size.
        let key = u32::try_from(key).unwrap_or(u32::MAX);
        IncomingMessage { shared: Arc::clone(&self.shared), key, is_expected: false }
    }

    /// Bytes of messages that may end for one of this client, now or when they are slow.
    pub(crate) fn displaceable_bytes(&self, client: u128) -> usize {
        let lack = self.shared.lack(0, Instant::now());
        lock(&self.shared.state).table.displaceable_bytes(client, lack)
    }

    /// Whether anybody waits for room.
    pub(crate) fn anyone_waits(&self) -> bool {
        self.shared.rights.load(Ordering::Relaxed) > 0
    }

    /// Whether a message is one of these.
    pub(crate) fn has(&self, message: &IncomingMessage) -> bool {
        Arc::ptr_eq(&self.shared, &message.shared)
    }

    /// Messages that were entered since the beginning.
    #[cfg(test)]
    pub(crate) fn entered(&self) -> usize {
        self.shared.entered.load(Ordering::Relaxed)
    }

    /// Whether a client has so much of it that it may not have more while it is scarce.
    pub(crate) fn has_most_of_scarce(&self, client: u128) -> bool {
        let most_bytes = self.shared.room.memory.limit_bytes() / SCARCE_PARTS;
        lock(&self.shared.state).table.has_more_than(client, most_bytes)
    }
}

impl Shared {
    /// The lack of a message.
    fn lack(&self, missing_bytes: usize, now: Instant) -> Lack {
        let free_bytes = self.room.free_bytes();
        Lack { missing_bytes, free_bytes, least_bytes_per_s: self.least_bytes_per_s, now }
    }

    fn note_rights(&self, state: &MutexGuard<'_, State>) {
        self.rights.store(state.table.rights(), Ordering::Relaxed);
    }
}

impl IncomingMessage {
    fn at(&self) -> usize {
        self.key as usize
    }

    /// Announces the bytes that the message will have, unless all that its client has announced would be more than
    /// `room_bytes`. For a while, what older ones of the same client were announced to have counts too.
    pub(crate) fn announce(&mut self, bytes: usize, room_bytes: usize, now: Instant) -> bool {
        let mut state = lock(&self.shared.state);
        let at = self.at();
        let Some(entry) = state.table.entry(at) else { return true };
        let is_patient = entry.waited.is_none_or(|waited| now.saturating_duration_since(waited) < OWN_WAIT);
        let client = entry.client;
        let own = state.table.client(client);
        let own_bytes = own.map_or(0, |own| if is_patient { own.owed_bytes } else { own.announced_bytes });
        let has_room = own_bytes.saturating_add(bytes) <= room_bytes;
        if has_room {
            // It may wait for the room of others as long as one that waited for none of its own.
            if let Some(entry) = state.table.entry(at) {
                entry.waited = None;
            }
            state.table.announce(at, bytes);
            self.is_expected = bytes > 0;
        }
        has_room
    }

    /// Whether memory is set aside for what was announced.
    pub(crate) fn is_expected(&self) -> bool {
        self.is_expected
    }

    /// Takes the announcement back: from here on, the message counts as it comes.
    pub(crate) fn expect_no_more(&mut self) {
        self.is_expected = false;
        lock(&self.shared.state).table.set_announced(self.at(), 0);
    }

    /// Notes that so many bytes are in memory. Returns whether the message may go on: if not, another client lacks them.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let mut state = lock(&self.shared.state);
        state.table.hold(self.at(), bytes, Instant::now());
        state.table.entry(self.at()).is_none_or(|entry| !entry.is_ending)
    }

    /// Whether the message may take more, as far as others wait. To be asked before it does.
    pub(crate) fn growth(&self, now: Instant) -> Growth {
        if self.shared.rights.load(Ordering::Relaxed) == 0 {
            return Growth::Allowed;
        }
        let lack = self.shared.lack(0, now);
        lock(&self.shared.state).table.growth(self.at(), lack)
    }

    /// Whether another client lacks its memory.
    pub(crate) fn is_ending(&self) -> bool {
        lock(&self.shared.state).table.entry(self.at()).is_some_and(|entry| entry.is_ending)
    }

    /// Says how to wake the connection of the message while that sleeps. Returns whether the message may go on: if not,
    /// another client lacks its memory.
    pub(crate) fn sleep(&self, connection: &Waker) -> bool {
        // Dropped without the lock: a waker may hold the last handle of its task.
        let mut _replaced = None;
        let mut state = lock(&self.shared.state);
        let Some(entry) = state.table.entry(self.at()) else { return true };
        if entry.connection.as_ref().is_none_or(|known| !known.will_wake(connection)) {
            _replaced = entry.connection.replace(connection.clone());
        }
        !entry.is_ending
    }

    /// Whether the message may wait for what becomes free by itself: it looks again after a while.
    pub(crate) fn await_turn(&self, now: Instant) -> bool {
        let mut state = lock(&self.shared.state);
        let Some(entry) = state.table.entry(self.at()) else { return false };
        entry.waited.get_or_insert(now);
        !entry.is_ending && !entry.has_waited(now)
    }

    /// Has messages of others end until there are `missing_bytes` for this one. Returns whether it may wait for them, or
    /// for those that can end as soon as they are slow: its connection is woken when one ends, and looks again by itself.
    pub(crate) fn await_room(&self, missing_bytes: usize, connection: &Waker, now: Instant) -> bool {
        if !self.sleep(connection) {
            return false;
        }
        let mut told = Vec::new();
        let mut state = lock(&self.shared.state);
        let lack = self.shared.lack(missing_bytes, now);
        let may_wait = state.table.displace(self.at(), lack, &mut told);
        self.shared.note_rights(&state);
        drop(state);
        told.into_iter().for_each(Waker::wake);
        may_wait
    }
}

impl Drop for IncomingMessage {
    fn drop(&mut self) {
        let mut told = Vec::new();
        let mut state = lock(&self.shared.state);
        let removed = state.table.remove(self.at());
        self.shared.note_rights(&state);
        state.table.take_waiting(TOLD, &mut told);
        let freed = if state.table.is_reset() { state.charge.take() } else { None };
        drop(state);
        // Without the lock: both may wake.
        drop((removed, freed));
        told.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingMessage").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
