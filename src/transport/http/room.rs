//! The room of a head or a body that has not come whole: what `transport/unfinished.rs` asks of it.
//!
//! A body may be in both tables: in that of the large ones from its announcement on, and in that of the small ones while
//! its buffer is small.

use super::codec::body::BodyDecoder;
use super::codec::head::RequestHead;
use super::codec::words::BodyFraming;
use super::endpoint::Endpoint;
use super::receiver::{AHEAD_BYTES, Body, MAX_READ_BYTES, Receiver, ahead_bytes};
use crate::limits::price;
use crate::memory::Expectation;
use crate::server::Server;
use crate::transport::unfinished::{self, Asking, Growing, Room};
use mcpool_pools::{BudgetSpent, BufferLease, Reservation, Segments};
use std::task::Waker;

impl Receiver {
    /// Makes room for more of a head.
    pub(super) fn make_head_room(&mut self, asking: Asking<'_>) -> Room {
        let Self { input: Some(input), unfinished, .. } = self else { return Room::Made };
        if input.is_empty() {
            return Room::Made;
        }
        unfinished::make_room(unfinished, &mut GrowingHead { input }, asking)
    }

    /// Enters what came of a head while its connection sleeps. Returns whether it may stay: if not, others lack it.
    pub(super) fn keep_head(&mut self, asking: Asking<'_>, awaits_room: bool) -> bool {
        let Self { input, unfinished, .. } = self;
        let Some(input) = input.as_mut().filter(|input| !input.is_empty()) else {
            *unfinished = None;
            return true;
        };
        // What it waits for decides in which table it is.
        if awaits_room {
            return unfinished.as_ref().is_none_or(|entry| entry.sleep(asking.connection));
        }
        unfinished::keep(unfinished, &GrowingHead { input }, asking)
    }

    /// Makes room for more of a body.
    pub(super) fn make_body_room(
        &mut self,
        endpoint: &Endpoint,
        body: &mut Body,
        connection: &Waker,
    ) -> Room {
        let server = &endpoint.server;
        let Some(client) = body.admitted.as_ref().map(|admitted| admitted.principal.key()) else {
            return Room::Made;
        };
        let asking = Asking { server, client, connection };
        let Self { input: Some(input), segments, unfinished, .. } = self else { return Room::Made };
        let Body { head, decoder, announced, incoming, .. } = body;
        let mut growing = GrowingBody { server, input, segments, head, decoder, announced };
        let slot = if growing.is_large_with_more() { incoming } else { unfinished };
        let room = unfinished::make_room(slot, &mut growing, asking);
        if matches!(room, Room::Missing | Room::TooLong { .. }) {
            server.memory().note_refused();
        }
        room
    }

    /// Enters what came of a body while its connection sleeps. Returns whether it may stay: if not, others lack it.
    pub(super) fn keep_body(&mut self, endpoint: &Endpoint, body: &mut Body, connection: &Waker) -> bool {
        let server = &endpoint.server;
        let Some(client) = body.admitted.as_ref().map(|admitted| admitted.principal.key()) else {
            return true;
        };
        let asking = Asking { server, client, connection };
        let Self { input, segments, unfinished, .. } = self;
        let Body { head, decoder, announced, incoming, .. } = body;
        if let Some(input) = input {
            let growing = GrowingBody { server, input, segments, head, decoder, announced };
            if growing.charged_bytes() > 0 {
                *unfinished = None;
                return unfinished::keep(incoming, &growing, asking);
            }
            if !growing.input.is_empty() {
                return unfinished::keep(unfinished, &growing, asking)
                    && incoming.as_ref().is_none_or(|entry| entry.sleep(connection));
            }
        }
        *unfinished = None;
        incoming.as_ref().is_none_or(|entry| entry.sleep(connection))
    }
}

/// What came of a head.
struct GrowingHead<'a> {
    input: &'a mut BufferLease,
}

impl Growing for GrowingHead<'_> {
    fn try_make_room(&mut self) -> Result<(), BudgetSpent> {
        let ahead = ahead_bytes(self.input, 0);
        self.input.try_reserve(ahead)
    }

    fn is_large_with_more(&self) -> bool {
        self.charged_bytes() > 0 || self.input.len() + ahead_bytes(self.input, 0) > price::SMALL_BUFFER_BYTES
    }

    fn charged_bytes(&self) -> usize {
        self.input.charged_bytes()
    }

    fn held_bytes(&self) -> usize {
        self.input.capacity()
    }
}

/// What came of a body, with the head before it.
struct GrowingBody<'a> {
    server: &'a Server,
    input: &'a mut BufferLease,
    segments: &'a mut Segments,
    head: &'a RequestHead,
    decoder: &'a mut BodyDecoder,
    announced: &'a mut Option<Reservation>,
}

impl Growing for GrowingBody<'_> {
    fn try_make_room(&mut self) -> Result<(), BudgetSpent> {
        let (input, buffers) = (&mut *self.input, self.server.buffers());
        let missing = self.decoder.missing_bytes();
        let ahead = ahead_bytes(input, missing);
        if input.capacity() - input.len() >= ahead {
            // What is in a buffer of the body's own size is charged as it comes.
            input.try_charge_filled(input.capacity().min(input.len() + MAX_READ_BYTES))?;
            if let Some(announced) = self.announced {
                announced.resize(input.capacity() - input.len());
            }
            Ok(())
        } else if matches!(self.head.body, BodyFraming::Length(_)) && Server::is_large(input.len() + ahead) {
            make_own_room(self.server, input, missing)?;
            *self.announced = Some(self.server.announced().reserve(input.capacity() - input.len()));
            Ok(())
        } else if input.capacity() >= AHEAD_BYTES {
            self.segments.try_push(buffers, input).map(|()| self.decoder.begin_segment())
        } else {
            input.try_reserve(ahead)
        }
    }

    fn is_large_with_more(&self) -> bool {
        let ahead = ahead_bytes(self.input, self.decoder.missing_bytes());
        self.charged_bytes() > 0 || self.input.len() + ahead > price::SMALL_BUFFER_BYTES
    }

    fn charged_bytes(&self) -> usize {
        self.segments.charged_bytes() + self.input.charged_bytes()
    }

    fn held_bytes(&self) -> usize {
        self.input.capacity()
    }

    fn rest_bytes(&self) -> usize {
        if !self.is_large_with_more() {
            return 0;
        }
        price::message_bytes(usize::try_from(self.decoder.missing_bytes()).unwrap_or(usize::MAX))
    }
}

/// Moves what came of a body whose length is known to a buffer that has room for all of it, and will not move again. It is
/// charged as it is filled, so that what is only announced costs nothing but addresses.
fn make_own_room(server: &Server, input: &mut BufferLease, missing: u64) -> Result<(), BudgetSpent> {
    // invariant: a body has at most `max_frame_bytes`.
    let whole = input.len().saturating_add(usize::try_from(missing).unwrap_or(usize::MAX));
    let charged = whole.min(input.len() + MAX_READ_BYTES);
    let mut own = server.buffers().try_acquire_announced(whole, charged)?;
    own.extend_from_slice(input);
    *input = own;
    Ok(())
}

/// Expects the body of a request of which so many bytes are announced; a small one may always come.
pub(super) fn expect_body(endpoint: &Endpoint, body: &mut Body, bytes: usize) -> Room {
    let Some(client) = body.admitted.as_ref().map(|admitted| admitted.principal.key()) else {
        return Room::Made;
    };
    if !Server::is_large(bytes) {
        return Room::Made;
    }
    let memory = endpoint.server.memory();
    let message = body.incoming.get_or_insert_with(|| memory.begin_message(client));
    let room = match memory.expect(message, client, bytes) {
        Expectation::Expected => return Room::Made,
        Expectation::Later => return Room::Awaited,
        Expectation::Refused => Room::Missing,
        Expectation::TooLong { limit_bytes } => Room::TooLong { limit_bytes },
    };
    memory.note_refused();
    room
}
