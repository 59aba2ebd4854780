//! The room of a line that has not come whole: what `transport/unfinished.rs` asks of it, and when it looks again.

use super::peer::Peer;
use crate::limits::price;
use crate::memory::IncomingMessage;
use crate::transport::unfinished::{self, Asking, EntrySlot, Growing, ROOM_LOOK, Room};
use crate::wire::FrameReader;
use mcpool_pools::BudgetSpent;
use std::pin::Pin;
use std::task::{Context, Waker};
use tokio::time::{Instant, Sleep, sleep};

/// A line that has not come whole, among the messages of all clients. In a box, as hardly any connection has one; the box
/// stays for the next.
#[derive(Default)]
pub(super) struct UnfinishedLine(Option<Box<Entry>>);

#[derive(Default)]
struct Entry {
    message: Option<IncomingMessage>,
    /// When it looks for room again, while it waits for some.
    look: Option<Pin<Box<Sleep>>>,
}

impl UnfinishedLine {
    /// Says that there is none any more. Its bytes are to be freed first, as others are told that there is room.
    pub(super) fn clear(&mut self) {
        if let Some(entry) = &mut self.0 {
            (entry.message, entry.look) = (None, None);
        }
    }

    /// Whether it waits for room.
    pub(super) fn awaits_room(&self) -> bool {
        self.0.as_ref().is_some_and(|entry| entry.look.is_some())
    }

    /// Makes room for more of what was read and searched.
    pub(super) fn make_room(&mut self, frames: &mut FrameReader, peer: &Peer, cx: &mut Context<'_>) -> Room {
        if peer.server.memory().incoming(true).anyone_waits() {
            // What others wait for is not for buffers that only make reads fewer.
            frames.read_small();
        }
        if !frames.has_unfinished() {
            self.clear();
            if peer.server.is_out_of_memory() {
                frames.skip_unfinished();
            }
            return Room::Made;
        }
        let room = unfinished::make_room(self, frames, asking(peer, cx.waker()));
        if let Some(entry) = &mut self.0 {
            match room {
                Room::Awaited => entry.look_again(cx),
                Room::Made | Room::Missing | Room::TooLong { .. } => entry.look = None,
            }
        }
        room
    }

    /// Enters what came of a line while its connection sleeps. Returns whether it may stay: if not, others lack it.
    pub(super) fn sleep(&mut self, frames: &FrameReader, peer: &Peer, connection: &Waker) -> bool {
        if !frames.has_unfinished() {
            self.clear();
            return true;
        }
        // What it waits for decides in which table it is.
        if self.awaits_room() {
            return self.entry().is_none_or(|message| message.sleep(connection));
        }
        unfinished::keep(self, frames, asking(peer, connection))
    }
}

fn asking<'a>(peer: &'a Peer, connection: &'a Waker) -> Asking<'a> {
    Asking { server: &peer.server, client: peer.principal(), connection }
}

impl EntrySlot for UnfinishedLine {
    fn entry(&mut self) -> Option<&mut IncomingMessage> {
        self.0.as_mut()?.message.as_mut()
    }

    fn place(&mut self) -> &mut Option<IncomingMessage> {
        &mut self.0.get_or_insert_default().message
    }
}

impl Entry {
    fn look_again(&mut self, cx: &mut Context<'_>) {
        let look = self.look.get_or_insert_with(|| Box::pin(sleep(ROOM_LOOK)));
        while look.as_mut().poll(cx).is_ready() {
            look.as_mut().reset(Instant::now() + ROOM_LOOK);
        }
    }
}

impl Growing for FrameReader {
    fn try_make_room(&mut self) -> Result<(), BudgetSpent> {
        Self::try_make_room(self)
    }

    fn is_large_with_more(&self) -> bool {
        self.charged_bytes() > 0 || self.next_bytes() > price::SMALL_BUFFER_BYTES
    }

    fn charged_bytes(&self) -> usize {
        Self::charged_bytes(self)
    }

    fn held_bytes(&self) -> usize {
        Self::held_bytes(self)
    }
}

#[cfg(test)]
mod tests;
