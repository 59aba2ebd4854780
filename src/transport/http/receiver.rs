//! All that a connection receives: the heads and bodies of requests, in one buffer.
//!
//! A large body grows in a buffer of its own length, or, if it comes in chunks and does not say how long it is, in
//! [`Segments`], of which the buffer is the last one.
//!
//! Owns how much is read ahead and how much memory a large message may take. Must not know what a request asks for.

use super::codec::body::{BodyDecoder, BodyError, BodyProgress};
use super::codec::head::{HeadReader, RequestHead};
use super::codec::head_error::HeadError;
use super::codec::words::BodyFraming;
use super::endpoint::Endpoint;
use crate::limits::{Limits, price};
use crate::memory::IncomingMessage;
use crate::server::Server;
use crate::transport::admission::AdmittedPeer;
use crate::transport::stack_read::poll_stack_read;
use bytes::{BufMut, BytesMut};
use mcpool_pools::{BudgetSpent, BufferLease, Segments};
use std::io;
use std::mem;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Bytes of the first read: a usual request fits.
pub(crate) const READ_BYTES: usize = 4 * 1024;
/// Most bytes that room is made for beyond what has come.
const AHEAD_BYTES: usize = 64 * 1024;
/// Most bytes of one read: a large body is charged before it is read, this much at a time.
const MAX_READ_BYTES: usize = 128 * 1024;

/// A request whose body is being read.
pub(super) struct Body {
    pub(super) head: RequestHead,
    pub(super) decoder: BodyDecoder,
    /// Who sends it. `None`: the request is answered already, and its body is read and dropped.
    pub(super) admitted: Option<AdmittedPeer>,
    /// A large body among those of all clients: the memory that it will take, as long as it comes at a pace, and what it
    /// takes.
    pub(super) incoming: Option<IncomingMessage>,
    pub(super) pace: Pace,
    /// It waits for the room of others, and looks again after a while: they become slow without a sign.
    pub(super) awaits_room: bool,
}

/// Whether a body comes fast enough to keep its memory.
pub(super) struct Pace {
    began: Instant,
    /// Bytes that had come at the last look.
    seen_bytes: u64,
}

impl Pace {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), seen_bytes: 0 }
    }

    /// When the next look is due.
    pub(super) fn next_look(&self, limits: &Limits) -> Instant {
        (Instant::now() + limits.body_interval()).min(self.began + limits.body_timeout())
    }
}

impl Body {
    /// Whether as much came since the last look as has to come between two, and the body has time left.
    pub(super) fn keeps_pace(&mut self, limits: &Limits) -> bool {
        let bytes = self.decoder.body_bytes();
        let came_bytes = bytes - mem::replace(&mut self.pace.seen_bytes, bytes);
        came_bytes >= limits.least_body_bytes() && self.pace.began.elapsed() < limits.body_timeout()
    }
}

/// Whether there is room for more of a body.
pub(super) enum BodyRoom {
    Made,
    /// There will be, as others end: the connection is woken then.
    Awaited,
    /// Nothing is reserved for what was only announced, so this can happen in the middle.
    Missing,
}

/// How far a body has been read.
pub(super) enum BodyRead {
    /// More bytes are needed.
    Partial,
    /// The body is whole and was dropped.
    Dropped,
    /// The body is whole and lies at `range`, after its head. Where it is the last, what came behind it was dropped for
    /// lack of memory.
    Whole { buffer: BufferLease, range: Range<usize>, admitted: AdmittedPeer, is_last: bool },
}

/// The receiving half of an exchange.
#[derive(Default)]
pub(super) struct Receiver {
    /// The head and what came of its body before what is in `input`.
    segments: Segments,
    input: Option<BufferLease>,
    head_reader: HeadReader,
    /// The last read found less than it had room for.
    last_read_was_short: bool,
}

impl Receiver {
    /// What came and was not taken.
    pub(super) fn input(&self) -> &[u8] {
        self.input.as_ref().map(|input| input.as_ref()).unwrap_or_default()
    }

    /// Heap bytes of the buffer: of a large one those that have come, as the rest has no pages yet.
    pub(super) fn held_bytes(&self) -> usize {
        let input_bytes =
            self.input.as_ref().map_or(0, |input| input.capacity().min(input.len().max(AHEAD_BYTES)));
        self.segments.len() + input_bytes
    }

    /// Reads what is there, with room for `missing` bytes that are known to come. Ready with 0 when the peer
    /// sends nothing more.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        endpoint: &Endpoint,
        missing: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let read = if self.last_read_was_short && self.input.is_none() {
            poll_stack_read(stream, cx, |bytes| self.room(endpoint, missing).extend_from_slice(bytes))
        } else {
            let buffer = self.room(endpoint, missing);
            let room = (buffer.capacity() - buffer.len()).min(MAX_READ_BYTES);
            pin!(stream.read_buf(&mut buffer.limit(room))).poll(cx).map_ok(|bytes| (bytes, bytes >= room))
        };
        // A read that follows a pause finds something.
        self.last_read_was_short = matches!(read, Poll::Ready(Ok((_, false))));
        read.map_ok(|(bytes, _)| bytes)
    }

    /// Reads and drops what is there.
    pub(super) fn poll_discard<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.drop_input();
        poll_stack_read(stream, cx, |_| {}).map_ok(|(bytes, _)| bytes)
    }

    fn room(&mut self, endpoint: &Endpoint, missing: u64) -> &mut BytesMut {
        let buffers = endpoint.server.buffers();
        let input = self.input.get_or_insert_with(|| {
            if self.segments.is_empty() { buffers.acquire(READ_BYTES) } else { self.segments.next(buffers) }
        });
        let ahead = ahead_bytes(input, missing);
        if input.capacity() - input.len() < ahead {
            input.reserve(ahead.max(READ_BYTES));
        }
        input
    }

    /// Frees a buffer in which no request has begun. `is_between` says that none is being read.
    pub(super) fn free_unused_buffer(&mut self, is_between: bool) {
        // Empty lines between two requests are not worth a buffer either.
        // The segment that is filled next stays: it is charged, and nothing of it is resident yet.
        if !self.segments.is_empty() {
            return;
        }
        if self.input().is_empty() || (is_between && !self.head_reader.has_begun()) {
            self.input = None;
            self.head_reader = HeadReader::default();
        }
    }

    /// Drops what came: nothing more will be read.
    pub(super) fn drop_input(&mut self) {
        self.segments.clear();
        self.input = None;
    }

    /// The head of the next request, once it is whole.
    pub(super) fn read_head(&mut self, endpoint: &Endpoint) -> Result<Option<RequestHead>, HeadError> {
        let Some(input) = self.input.as_ref().filter(|input| !input.is_empty()) else { return Ok(None) };
        let head = self.head_reader.advance(input, endpoint.head_limits())?;
        if head.is_some() {
            self.head_reader = HeadReader::default();
        }
        Ok(head)
    }

    /// Takes what came of a body.
    ///
    /// # Errors
    /// When the bytes are no body, or one beyond the limit.
    pub(super) fn read_body(&mut self, endpoint: &Endpoint, body: &mut Body) -> Result<BodyRead, BodyError> {
        let Some(mut input) = self.input.take() else { return Ok(BodyRead::Partial) };
        let read = match (body.decoder.advance(&mut input), body.admitted) {
            (Ok(BodyProgress::Complete(range)), Some(admitted)) => {
                let is_last = !self.keep_rest(endpoint, &input[range.end..]);
                input.truncate(range.end);
                if self.segments.is_empty() {
                    return Ok(BodyRead::Whole { buffer: input, range, admitted, is_last });
                }
                let buffer = self.segments.join(endpoint.server.buffers(), &input);
                let range = body.head.head_bytes..buffer.len();
                return Ok(BodyRead::Whole { buffer, range, admitted, is_last });
            }
            (Ok(BodyProgress::Complete(range)), None) => {
                self.input = Some(input);
                self.skip(range.end);
                return Ok(BodyRead::Dropped);
            }
            (Ok(BodyProgress::Partial), _) => Ok(BodyRead::Partial),
            (Err(error), _) => {
                self.segments.clear();
                Err(error)
            }
        };
        self.input = Some(input);
        read
    }

    /// Keeps what follows a request in a buffer of its own. Returns `false` if there is no memory for it: it is dropped.
    fn keep_rest(&mut self, endpoint: &Endpoint, rest: &[u8]) -> bool {
        if rest.is_empty() {
            return true;
        }
        self.input = endpoint.server.buffers().try_acquire(rest.len().max(READ_BYTES)).ok();
        match &mut self.input {
            Some(next) => next.extend_from_slice(rest),
            None => return false,
        }
        true
    }

    /// Takes the bytes up to `end` out of the input: their request is done.
    pub(super) fn skip(&mut self, end: usize) {
        let Some(input) = &mut self.input else { return };
        if end >= input.len() {
            self.input = None;
            return;
        }
        let left = input.len() - end;
        input.copy_within(end.., 0);
        input.truncate(left);
    }

    /// Drops what came of a request whose rest nobody wants: while that is read and dropped, no buffer is held.
    pub(super) fn drop_body(&mut self, body: &mut Body) {
        body.decoder.discard_rest();
        body.admitted = None;
        // Before others are told that there is room.
        self.drop_input();
        body.incoming = None;
    }

    /// Makes room for more of a head. Returns `false` if what is in memory leaves none.
    pub(super) fn make_head_room(&mut self, endpoint: &Endpoint) -> bool {
        let Some(input) = self.input.as_mut().filter(|input| !input.is_empty()) else { return true };
        let has_room =
            !endpoint.server.is_out_of_memory() && input.try_reserve(ahead_bytes(input, 0)).is_ok();
        if !has_room {
            endpoint.server.memory().note_refused();
        }
        has_room
    }

    /// Makes room for more of a body, as far as what is in memory leaves any, or what can end for it.
    pub(super) fn make_room(&mut self, endpoint: &Endpoint, body: &mut Body, connection: &Waker) -> BodyRoom {
        body.awaits_room = false;
        let made = self.try_make_room(endpoint, body);
        let server = &endpoint.server;
        let is_out_of_memory = server.is_out_of_memory();
        if made.is_ok() && !is_out_of_memory && self.goes_on(endpoint, body) {
            return BodyRoom::Made;
        }
        if let Err(spent) = made
            && !is_out_of_memory
            && self.is_large_with(body)
        {
            let rest = usize::try_from(body.decoder.missing_bytes()).unwrap_or(usize::MAX);
            let needed = spent.requested_bytes.max(price::message_bytes(rest));
            let missing_bytes = spent.used_bytes.saturating_add(needed).saturating_sub(spent.limit_bytes);
            let now = std::time::Instant::now();
            if incoming(endpoint, body)
                .is_some_and(|incoming| incoming.await_room(missing_bytes, connection, now))
            {
                body.awaits_room = true;
                return BodyRoom::Awaited;
            }
        }
        server.memory().note_refused();
        BodyRoom::Missing
    }

    /// Whether a body is a large one when it goes on.
    fn is_large_with(&self, body: &Body) -> bool {
        let ahead = self.input.as_ref().map_or(0, |input| ahead_bytes(input, body.decoder.missing_bytes()));
        !self.segments.is_empty() || self.input().len() + ahead > price::SMALL_BUFFER_BYTES
    }

    /// Notes what a body takes. Returns whether it may go on: if not, another client lacks it.
    fn goes_on(&self, endpoint: &Endpoint, body: &mut Body) -> bool {
        let in_buffer = self.input.as_ref().map_or(0, BufferLease::charged_bytes);
        let bytes = self.segments.charged_bytes() + in_buffer;
        bytes == 0 || incoming(endpoint, body).is_none_or(|incoming| incoming.hold(bytes))
    }

    fn try_make_room(&mut self, endpoint: &Endpoint, body: &mut Body) -> Result<(), BudgetSpent> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let missing = body.decoder.missing_bytes();
        let ahead = ahead_bytes(input, missing);
        if input.capacity() - input.len() >= ahead {
            // What is in a buffer of the body's own size is charged as it comes.
            input.try_charge_filled(input.capacity().min(input.len() + MAX_READ_BYTES))
        } else if matches!(body.head.body, BodyFraming::Length(_)) && Server::is_large(input.len() + ahead) {
            make_own_room(endpoint, input, missing)
        } else if input.capacity() >= AHEAD_BYTES {
            self.segments.try_push(endpoint.server.buffers(), input).map(|()| body.decoder.begin_segment())
        } else {
            input.try_reserve(ahead)
        }
    }
}

/// The entry of a body among those of all clients; `None` where nobody wants it.
fn incoming<'b>(endpoint: &Endpoint, body: &'b mut Body) -> Option<&'b mut IncomingMessage> {
    let client = body.admitted.as_ref()?.principal.key();
    Some(body.incoming.get_or_insert_with(|| endpoint.server.memory().begin_message(client)))
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

/// Bytes that there should be room for: twice what came, up to a bound, so that a client that announces much and sends
/// little is given little. A buffer that is as large as a segment is filled first.
fn ahead_bytes(input: &BytesMut, missing: u64) -> usize {
    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
    let ahead = missing.min(input.len().clamp(READ_BYTES, AHEAD_BYTES));
    let room = input.capacity() - input.len();
    let ahead = if input.capacity() >= AHEAD_BYTES && room > 0 { ahead.min(room) } else { ahead };
    ahead.max(1)
}

/// Expects a body of so many bytes from a client; `None` for a small one, which may always come.
///
/// # Errors
/// When the large messages in memory, and those that are expected from the client, leave no room for it.
pub(super) fn expect_body(
    endpoint: &Endpoint,
    client: u128,
    bytes: u64,
) -> Result<Option<IncomingMessage>, NoRoom> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if !Server::is_large(bytes) {
        return Ok(None);
    }
    let memory = endpoint.server.memory();
    let expected = memory.expect_message(client, bytes);
    if expected.is_none() {
        memory.note_refused();
    }
    expected.map(Some).ok_or(NoRoom)
}

/// There is no memory for a body.
#[derive(Debug)]
pub(super) struct NoRoom;
