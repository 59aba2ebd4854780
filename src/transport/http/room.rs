//! Whether there is memory for more of a head or a body that has not come whole, and whether it waits for some.
//!
//! Owns which of the two tables of messages on their way in a request is in: that of the large ones as soon as its buffer
//! is charged as a large message, and before that, while its connection sleeps, that of the small ones.

use super::codec::words::BodyFraming;
use super::endpoint::Endpoint;
use super::receiver::{AHEAD_BYTES, Body, MAX_READ_BYTES, Receiver, ahead_bytes};
use crate::limits::price;
use crate::memory::{Expectation, Growth, IncomingMessage};
use crate::server::Server;
use mcpool_pools::{BudgetSpent, BufferLease};
use std::task::Waker;
use tokio::time::Instant;

/// Whether there is room for more of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestRoom {
    Made,
    /// There will be, as others end: the connection is woken then, or looks again.
    Awaited,
    /// Nothing is reserved for what was only announced, so this can happen in the middle.
    Missing,
    /// There never will be: it is longer than all large messages together may be.
    TooLong {
        limit_bytes: usize,
    },
}

/// Who asks for room, and how to wake its connection.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) client: u128,
    pub(super) connection: &'a Waker,
}

impl Receiver {
    /// Makes room for more of a head.
    pub(super) fn make_head_room(&mut self, endpoint: &Endpoint, asking: Asking<'_>) -> RequestRoom {
        let Some(input) = self.input.as_ref().filter(|input| !input.is_empty()) else {
            return RequestRoom::Made;
        };
        let is_large = input.len() + ahead_bytes(input, 0) > price::SMALL_BUFFER_BYTES;
        if let Some(refused) = self.refuse_unfinished(endpoint, asking, is_large) {
            return refused;
        }
        let Some(input) = self.input.as_mut() else { return RequestRoom::Made };
        let ahead = ahead_bytes(input, 0);
        let made = if endpoint.server.is_out_of_memory() {
            Err(None)
        } else {
            input.try_reserve(ahead).map_err(Some)
        };
        match made {
            Ok(()) => RequestRoom::Made,
            Err(spent) => self.await_unfinished(endpoint, asking, is_large, spent),
        }
    }

    /// Makes room for more of a body, as far as what is in memory leaves any, or what can end for it.
    pub(super) fn make_body_room(
        &mut self,
        endpoint: &Endpoint,
        body: &mut Body,
        connection: &Waker,
    ) -> RequestRoom {
        let Some(admitted) = &body.admitted else { return RequestRoom::Made };
        let asking = Asking { client: admitted.principal.key(), connection };
        let is_large = self.is_large_with(body);
        let room = if is_large {
            self.make_large_room(endpoint, body, asking)
        } else if let Some(refused) = self.refuse_unfinished(endpoint, asking, false) {
            refused
        } else {
            match self.try_make_room(endpoint, body) {
                Ok(()) if !endpoint.server.is_out_of_memory() => RequestRoom::Made,
                Ok(()) => self.await_unfinished(endpoint, asking, false, None),
                Err(spent) => self.await_unfinished(endpoint, asking, false, Some(spent)),
            }
        };
        if matches!(room, RequestRoom::Missing | RequestRoom::TooLong { .. }) {
            if is_large {
                endpoint.server.memory().note_refused_large();
            } else {
                endpoint.server.memory().note_refused();
            }
        }
        room
    }

    fn make_large_room(&mut self, endpoint: &Endpoint, body: &mut Body, asking: Asking<'_>) -> RequestRoom {
        let memory = endpoint.server.memory();
        let now = Instant::now();
        if memory.incoming(true).anyone_waits() {
            let incoming = incoming(endpoint, body, asking);
            match incoming.growth(now) {
                Growth::Allowed => {}
                Growth::Delayed if incoming.await_turn(now) => return RequestRoom::Awaited,
                Growth::Delayed | Growth::Ended => return RequestRoom::Missing,
            }
        }
        let made = self.try_make_room(endpoint, body);
        if endpoint.server.is_out_of_memory() {
            return RequestRoom::Missing;
        }
        let charged_bytes = self.charged_bytes();
        // Before it waits, too: what it has counts.
        let goes_on = charged_bytes == 0 || incoming(endpoint, body, asking).hold(charged_bytes);
        let Err(spent) = made else {
            return if goes_on { RequestRoom::Made } else { RequestRoom::Missing };
        };
        if !goes_on {
            return RequestRoom::Missing;
        }
        if charged_bytes.saturating_add(spent.requested_bytes) > spent.limit_bytes {
            return RequestRoom::TooLong { limit_bytes: spent.limit_bytes };
        }
        let rest = usize::try_from(body.decoder.missing_bytes()).unwrap_or(usize::MAX);
        let needed = spent.requested_bytes.max(price::message_bytes(rest));
        let missing_bytes = spent.used_bytes.saturating_add(needed).saturating_sub(spent.limit_bytes);
        let may_wait = incoming(endpoint, body, asking).await_room(missing_bytes, asking.connection, now);
        if may_wait { RequestRoom::Awaited } else { RequestRoom::Missing }
    }

    /// Why a request that is not whole may not have more of what is small: others lack it, or it is scarce and its client
    /// has much of it.
    fn refuse_unfinished(
        &mut self,
        endpoint: &Endpoint,
        asking: Asking<'_>,
        is_large: bool,
    ) -> Option<RequestRoom> {
        let server = &endpoint.server;
        let table = server.memory().incoming(is_large);
        if server.is_scarce_of_memory() && !is_large && table.has_most_of_scarce(asking.client) {
            return Some(RequestRoom::Missing);
        }
        if self.unfinished.is_none() && !table.anyone_waits() {
            return None;
        }
        let unfinished = self.unfinished.get_or_insert_with(|| table.begin(asking.client));
        if unfinished.is_ending() {
            return Some(RequestRoom::Missing);
        }
        let now = Instant::now();
        match unfinished.growth(now) {
            Growth::Allowed => None,
            Growth::Delayed if unfinished.await_turn(now) => Some(RequestRoom::Awaited),
            Growth::Delayed | Growth::Ended => Some(RequestRoom::Missing),
        }
    }

    /// Waits for what others have of what is small. Without `spent` nothing at all is left of it.
    fn await_unfinished(
        &mut self,
        endpoint: &Endpoint,
        asking: Asking<'_>,
        is_large: bool,
        spent: Option<BudgetSpent>,
    ) -> RequestRoom {
        let small = endpoint.server.small_objects();
        let missing_bytes = match spent {
            Some(spent) => {
                spent.used_bytes.saturating_add(spent.requested_bytes).saturating_sub(spent.limit_bytes)
            }
            None => small
                .used_bytes()
                .saturating_add(price::SMALL_BUFFER_BYTES)
                .saturating_sub(small.limit_bytes()),
        };
        let goes_on = self.note_unfinished(endpoint, asking, is_large);
        let may_wait = |unfinished: &IncomingMessage| {
            goes_on && unfinished.await_room(missing_bytes, asking.connection, Instant::now())
        };
        if self.unfinished.as_ref().is_some_and(may_wait) {
            RequestRoom::Awaited
        } else {
            RequestRoom::Missing
        }
    }

    /// Enters what came of a request that is not whole, unless it is a large body, which has an entry already. Returns
    /// whether it may stay.
    pub(super) fn note_unfinished(
        &mut self,
        endpoint: &Endpoint,
        asking: Asking<'_>,
        is_large: bool,
    ) -> bool {
        let Some(input) = self.input.as_ref().filter(|input| !input.is_empty()) else {
            self.unfinished = None;
            return true;
        };
        let bytes = input.capacity();
        let table = endpoint.server.memory().incoming(is_large);
        if self.unfinished.as_ref().is_some_and(|unfinished| !table.has(unfinished)) {
            self.unfinished = None;
        }
        let unfinished = self.unfinished.get_or_insert_with(|| table.begin(asking.client));
        unfinished.hold(bytes) && unfinished.sleep(asking.connection)
    }

    /// Enters what came of a request while its connection sleeps. Returns whether it may go on: if not, others lack it.
    pub(super) fn register_unfinished(
        &mut self,
        endpoint: &Endpoint,
        asking: Asking<'_>,
        is_head: bool,
    ) -> bool {
        let is_large = self.charged_bytes() > 0;
        if is_large && !is_head {
            self.unfinished = None;
            return true;
        }
        self.note_unfinished(endpoint, asking, is_large)
    }

    /// Whether a body is a large one when it goes on.
    fn is_large_with(&self, body: &Body) -> bool {
        let ahead = self.input.as_ref().map_or(0, |input| ahead_bytes(input, body.decoder.missing_bytes()));
        self.charged_bytes() > 0 || self.input().len() + ahead > price::SMALL_BUFFER_BYTES
    }

    /// What a request takes of the memory of large messages.
    fn charged_bytes(&self) -> usize {
        self.segments.charged_bytes() + self.input.as_ref().map_or(0, BufferLease::charged_bytes)
    }

    fn try_make_room(&mut self, endpoint: &Endpoint, body: &mut Body) -> Result<(), BudgetSpent> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let missing = body.decoder.missing_bytes();
        let ahead = ahead_bytes(input, missing);
        if input.capacity() - input.len() >= ahead {
            // What is in a buffer of the body's own size is charged as it comes.
            input.try_charge_filled(input.capacity().min(input.len() + MAX_READ_BYTES))?;
            if let Some(announced) = &mut body.announced {
                announced.resize(input.capacity() - input.len());
            }
            Ok(())
        } else if matches!(body.head.body, BodyFraming::Length(_)) && Server::is_large(input.len() + ahead) {
            make_own_room(endpoint, input, missing)?;
            body.announced = Some(endpoint.server.announced().reserve(input.capacity() - input.len()));
            Ok(())
        } else if input.capacity() >= AHEAD_BYTES {
            self.segments.try_push(endpoint.server.buffers(), input).map(|()| body.decoder.begin_segment())
        } else {
            input.try_reserve(ahead)
        }
    }
}

/// The entry of a large body among those of all clients.
fn incoming<'b>(endpoint: &Endpoint, body: &'b mut Body, asking: Asking<'_>) -> &'b mut IncomingMessage {
    body.incoming.get_or_insert_with(|| endpoint.server.memory().begin_message(asking.client))
}

/// Moves what came of a body whose length is known to a buffer that has room for all of it, and will not move again. It is
/// charged as it is filled, so that what is only announced costs nothing but addresses.
fn make_own_room(endpoint: &Endpoint, input: &mut BufferLease, missing: u64) -> Result<(), BudgetSpent> {
    // invariant: a body has at most `max_frame_bytes`.
    let whole = input.len().saturating_add(usize::try_from(missing).unwrap_or(usize::MAX));
    let charged = whole.min(input.len() + MAX_READ_BYTES);
    let mut own = endpoint.server.buffers().try_acquire_announced(whole, charged)?;
    own.extend_from_slice(input);
    *input = own;
    Ok(())
}

/// Expects the body of a request of which so many bytes are announced; a small one may always come.
pub(super) fn expect_body(endpoint: &Endpoint, body: &mut Body, bytes: usize) -> RequestRoom {
    let Some(client) = body.admitted.as_ref().map(|admitted| admitted.principal.key()) else {
        return RequestRoom::Made;
    };
    if !Server::is_large(bytes) {
        return RequestRoom::Made;
    }
    let memory = endpoint.server.memory();
    let message = body.incoming.get_or_insert_with(|| memory.begin_message(client));
    let room = match memory.expect(message, client, bytes) {
        Expectation::Expected => return RequestRoom::Made,
        Expectation::Later => return RequestRoom::Awaited,
        Expectation::Refused => RequestRoom::Missing,
        Expectation::TooLong { limit_bytes } => RequestRoom::TooLong { limit_bytes },
    };
    memory.note_refused_large();
    room
}
