//! Whether there is memory for more of a line that has not come whole, and whether it waits for some.
//!
//! Owns which of the two tables of messages on their way in a line is in, as `http/room.rs` does for requests: that of the
//! large ones as soon as its buffer is charged as a large message, and before that, while its connection sleeps, that of
//! the small ones. A line that comes whole in one read is in none.

use super::peer::Peer;
use crate::limits::price;
use crate::memory::{Growth, IncomingMessage, IncomingMessages};
use crate::wire::FrameReader;
use mcpool_pools::BudgetSpent;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// How often a line that waits for room looks again, as not all who wait are told.
const LOOK: Duration = Duration::from_millis(100);

/// Whether there is room for more of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineRoom {
    Made,
    /// There will be, as others end: nothing is read before.
    Awaited,
    /// The line is to be skipped.
    Missing,
    /// The same, and there never will be: it is longer than all large messages together may be.
    TooLong,
}

/// A line that has not come whole, among the messages of all clients. In a box, as hardly any connection has one; the box
/// stays for the next.
#[derive(Default)]
pub(super) struct UnfinishedLine(Option<Box<Entry>>);

#[derive(Default)]
struct Entry {
    message: Option<IncomingMessage>,
    /// When it looks for room again, while it waits for some.
    look: Option<Pin<Box<Sleep>>>,
    /// Since when it is not read, as it waits, and how long it was not read before that.
    unread_since: Option<Instant>,
    unread_for: Duration,
}

impl UnfinishedLine {
    /// Says that there is none any more. Its bytes are to be freed first, as others are told that there is room.
    pub(super) fn clear(&mut self) {
        if let Some(entry) = &mut self.0 {
            **entry = Entry::default();
        }
    }

    /// The rest of it is skipped, for which there is always room.
    pub(super) fn skip(&mut self) {
        if let Some(entry) = &mut self.0 {
            entry.message = None;
            entry.end_wait();
        }
    }

    /// How long it was not read, as it waited for room.
    pub(super) fn unread_for(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |entry| entry.unread_for())
    }

    /// Whether it waits for room.
    pub(super) fn awaits_room(&self) -> bool {
        self.0.as_ref().is_some_and(|entry| entry.look.is_some())
    }

    /// Makes room for more of what was read and searched.
    pub(super) fn make_room(
        &mut self,
        frames: &mut FrameReader,
        peer: &Peer,
        cx: &mut Context<'_>,
    ) -> LineRoom {
        if peer.server.memory().incoming(true).anyone_waits() || peer.server.is_room_collected() {
            // What others wait for is not for buffers that only make reads fewer, and whoever waits wakes for each that is freed.
            frames.read_small();
        }
        if frames.has_unfinished() {
            return self.make_line_room(frames, peer, cx);
        }
        self.skip();
        if peer.server.is_out_of_memory() {
            frames.skip_unfinished();
        }
        LineRoom::Made
    }

    fn make_line_room(&mut self, frames: &mut FrameReader, peer: &Peer, cx: &mut Context<'_>) -> LineRoom {
        let room = self.ask(frames, peer, cx.waker());
        if let Some(entry) = &mut self.0 {
            match room {
                LineRoom::Awaited => entry.look_again(cx),
                LineRoom::Made | LineRoom::Missing | LineRoom::TooLong => entry.end_wait(),
            }
        }
        room
    }

    fn ask(&mut self, frames: &mut FrameReader, peer: &Peer, connection: &Waker) -> LineRoom {
        let (server, client, now) = (&peer.server, peer.principal(), Instant::now());
        let is_large = is_large_with_more(frames);
        let table = server.memory().incoming(is_large);
        if !is_large && server.is_scarce_of_memory() && table.has_most_of_scarce(client) {
            return LineRoom::Missing;
        }
        if self.message().is_some() || table.anyone_waits() {
            let message = self.enter(table, client);
            match message.growth(now) {
                _ if message.is_ending() => return LineRoom::Missing,
                Growth::Allowed => {}
                Growth::Delayed if message.await_turn(now) => return LineRoom::Awaited,
                Growth::Delayed | Growth::Ended => return LineRoom::Missing,
            }
        }
        let missing_bytes = if !server.is_out_of_memory() {
            match frames.try_make_room() {
                Ok(()) => return self.note_growth(frames, is_large),
                Err(spent) if is_large && never_fits(frames, &spent) => return LineRoom::TooLong,
                Err(spent) => {
                    spent.used_bytes.saturating_add(spent.requested_bytes).saturating_sub(spent.limit_bytes)
                }
            }
        } else if is_large {
            return LineRoom::Missing;
        } else {
            let small = server.small_objects();
            let wanted_bytes = small.used_bytes().saturating_add(price::SMALL_BUFFER_BYTES);
            wanted_bytes.saturating_sub(small.limit_bytes())
        };
        let message = self.enter(table, client);
        // Before it waits, too: what it has counts.
        if message.hold(bytes(frames, is_large)) && message.await_room(missing_bytes, connection, now) {
            LineRoom::Awaited
        } else {
            LineRoom::Missing
        }
    }

    /// Notes what a line has that is entered already; others are when their connections sleep.
    fn note_growth(&mut self, frames: &FrameReader, is_large: bool) -> LineRoom {
        let may_stay = self.message().is_none_or(|message| message.hold(bytes(frames, is_large)));
        if may_stay { LineRoom::Made } else { LineRoom::Missing }
    }

    /// Enters what came of a line while its connection sleeps. Returns whether it may stay: if not, others lack it.
    pub(super) fn sleep(&mut self, frames: &FrameReader, peer: &Peer, connection: &Waker) -> bool {
        if !frames.has_unfinished() {
            self.skip();
            return true;
        }
        // What it waits for decides in which table it is.
        if self.awaits_room() {
            return self.message().is_none_or(|message| message.sleep(connection));
        }
        let is_large = frames.charged_bytes() > 0;
        let message = self.enter(peer.server.memory().incoming(is_large), peer.principal());
        message.hold(bytes(frames, is_large)) && message.sleep(connection)
    }

    fn message(&mut self) -> Option<&mut IncomingMessage> {
        self.0.as_mut()?.message.as_mut()
    }

    /// Its entry in that table; it leaves another one.
    fn enter(&mut self, table: &IncomingMessages, client: u128) -> &mut IncomingMessage {
        let entry = self.0.get_or_insert_default();
        entry.message.take_if(|message| !table.has(message));
        entry.message.get_or_insert_with(|| table.begin(client))
    }
}

impl Entry {
    fn unread_for(&self) -> Duration {
        self.unread_for + self.unread_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn end_wait(&mut self) {
        self.unread_for = self.unread_for();
        (self.look, self.unread_since) = (None, None);
    }

    fn look_again(&mut self, cx: &mut Context<'_>) {
        self.unread_since.get_or_insert_with(Instant::now);
        let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
        while look.as_mut().poll(cx).is_ready() {
            look.as_mut().reset(Instant::now() + LOOK);
        }
    }
}

/// What a line has of the memory of large messages, or of that of small objects.
fn bytes(frames: &FrameReader, is_large: bool) -> usize {
    if is_large { frames.charged_bytes() } else { frames.held_bytes() }
}

/// Whether a line is a large message when it goes on.
fn is_large_with_more(frames: &FrameReader) -> bool {
    frames.charged_bytes() > 0 || frames.next_bytes() > price::SMALL_BUFFER_BYTES
}

/// Whether a line lacks more than large messages may have together.
fn never_fits(frames: &FrameReader, spent: &BudgetSpent) -> bool {
    frames.charged_bytes().saturating_add(spent.requested_bytes) > spent.limit_bytes
}

#[cfg(test)]
mod tests;
