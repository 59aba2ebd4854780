//! Whether there is memory for more of a message that has not come whole, and whether it waits for some: for heads and
//! bodies over HTTP and for lines.
//!
//! Owns which of the two tables of messages on their way in a message is in: that of the large ones as soon as its buffer
//! is charged as a large message, and before that that of the small ones. It is entered while its connection sleeps, or
//! when somebody waits for room, so that one that comes whole in one read is in none.

use crate::limits::price;
use crate::memory::{Growth, IncomingMessage, IncomingMessages};
use crate::server::Server;
use mcpool_pools::BudgetSpent;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// How often a message that waits for room looks again, as not all who wait are told.
pub(crate) const ROOM_LOOK: Duration = Duration::from_millis(100);

/// Whether there is room for more of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Made,
    /// There will be, as others end: the connection is woken then, or looks again. Nothing is read before.
    Awaited,
    /// The message is to be refused. Nothing is reserved for what was only announced, so this can happen in the middle.
    Missing,
    /// The same, and there never will be: it is longer than all large messages together may be.
    TooLong {
        limit_bytes: usize,
    },
}

/// Who asks for room, and how to wake its connection.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) server: &'a Server,
    pub(crate) client: u128,
    pub(crate) connection: &'a Waker,
}

/// What came of a message that is to grow.
pub(crate) trait Growing {
    /// Makes room for more.
    ///
    /// # Errors
    /// When there is no memory for it; all stays as it is.
    fn try_make_room(&mut self) -> Result<(), BudgetSpent>;

    /// Whether it is a large message when it goes on.
    fn is_large_with_more(&self) -> bool;

    /// Bytes that it takes of the memory of large messages.
    fn charged_bytes(&self) -> usize;

    /// Bytes of its buffers.
    fn held_bytes(&self) -> usize;

    /// Bytes that it needs for what is known to come.
    fn rest_bytes(&self) -> usize {
        0
    }
}

/// Where a message has its entry in a table, if it has one.
pub(crate) trait EntrySlot {
    /// The entry.
    fn entry(&mut self) -> Option<&mut IncomingMessage>;

    /// The place for one.
    fn place(&mut self) -> &mut Option<IncomingMessage>;
}

impl EntrySlot for Option<IncomingMessage> {
    fn entry(&mut self) -> Option<&mut IncomingMessage> {
        self.as_mut()
    }

    fn place(&mut self) -> &mut Option<IncomingMessage> {
        self
    }
}

/// Makes room for more of a message, as far as what is in memory leaves any, or what can end for it.
pub(crate) fn make_room(slot: &mut impl EntrySlot, message: &mut impl Growing, asking: Asking<'_>) -> Room {
    let (is_large, now) = (message.is_large_with_more(), Instant::now());
    if let Some(room) = ask_others(slot, is_large, asking, now) {
        return room;
    }
    let missing_bytes = match try_make_room(message, is_large, asking.server) {
        Ok(()) => return note_growth(slot, message, is_large),
        Err(None) => return Room::Missing,
        Err(Some(spent)) => {
            if is_large && message.charged_bytes().saturating_add(spent.requested_bytes) > spent.limit_bytes {
                return Room::TooLong { limit_bytes: spent.limit_bytes };
            }
            let needed_bytes = spent.requested_bytes.max(message.rest_bytes());
            spent.used_bytes.saturating_add(needed_bytes).saturating_sub(spent.limit_bytes)
        }
    };
    let entry = enter(slot, asking.server.memory().incoming(is_large), asking.client);
    // Before it waits, too: what it has counts.
    let may_wait =
        entry.hold(bytes(message, is_large)) && entry.await_room(missing_bytes, asking.connection, now);
    if may_wait { Room::Awaited } else { Room::Missing }
}

/// Enters what came of a message while its connection sleeps. Returns whether it may stay: if not, others lack its memory.
pub(crate) fn keep(slot: &mut impl EntrySlot, message: &impl Growing, asking: Asking<'_>) -> bool {
    let is_large = message.charged_bytes() > 0;
    let entry = enter(slot, asking.server.memory().incoming(is_large), asking.client);
    entry.hold(bytes(message, is_large)) && entry.sleep(asking.connection)
}

/// Why a message may not have more now: others wait for it, or it is scarce and its client has much of it.
fn ask_others(slot: &mut impl EntrySlot, is_large: bool, asking: Asking<'_>, now: Instant) -> Option<Room> {
    let Asking { server, client, .. } = asking;
    let table = server.memory().incoming(is_large);
    if !is_large && server.is_scarce_of_memory() && table.has_most_of_scarce(client) {
        return Some(Room::Missing);
    }
    if slot.entry().is_none() && !table.anyone_waits() {
        return None;
    }
    let entry = enter(slot, table, client);
    match entry.growth(now) {
        Growth::Allowed => None,
        Growth::Delayed if entry.await_turn(now) => Some(Room::Awaited),
        Growth::Delayed | Growth::Ended => Some(Room::Missing),
    }
}

/// Makes room for more if there is any. Gives what was lacking, or nothing where waiting for it is of no use.
fn try_make_room(
    message: &mut impl Growing,
    is_large: bool,
    server: &Server,
) -> Result<(), Option<BudgetSpent>> {
    if !server.is_out_of_memory() {
        return message.try_make_room().map_err(Some);
    }
    if is_large {
        return Err(None);
    }
    let small = server.small_objects();
    Err(Some(BudgetSpent {
        requested_bytes: price::SMALL_BUFFER_BYTES,
        used_bytes: small.used_bytes(),
        limit_bytes: small.limit_bytes(),
    }))
}

/// Notes what a message has that is entered already; others are when their connections sleep.
fn note_growth(slot: &mut impl EntrySlot, message: &impl Growing, is_large: bool) -> Room {
    let may_stay = slot.entry().is_none_or(|entry| entry.hold(bytes(message, is_large)));
    if may_stay { Room::Made } else { Room::Missing }
}

/// The entry of a message in that table; it leaves another one.
fn enter<'s>(
    slot: &'s mut impl EntrySlot,
    table: &IncomingMessages,
    client: u128,
) -> &'s mut IncomingMessage {
    let place = slot.place();
    place.take_if(|entry| !table.has(entry));
    place.get_or_insert_with(|| table.begin(client))
}

/// What a message has of the memory of large messages, or of that of small objects.
fn bytes(message: &impl Growing, is_large: bool) -> usize {
    if is_large { message.charged_bytes() } else { message.held_bytes() }
}
