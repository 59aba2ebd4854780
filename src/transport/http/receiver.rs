//! All that a connection receives: the heads and bodies of requests, in one buffer.
//!
//! A large body grows in a buffer of its own length, or, if it comes in chunks and does not say how long it is, in
//! [`Segments`], of which the buffer is the last one.
//!
//! Owns how much is read ahead and how much memory a large message may take. Must not know what a request asks for.

use super::codec::body::{BodyDecoder, BodyError, BodyProgress};
use super::codec::head::{HeadReader, RequestHead};
use super::codec::head_error::HeadError;
use super::endpoint::Endpoint;
use crate::limits::Limits;
use crate::memory::IncomingMessage;
use crate::transport::admission::AdmittedPeer;
use crate::transport::stack_read::poll_stack_read;
use bytes::{BufMut, BytesMut};
use mcpool_pools::{BufferLease, Reservation, Segments};
use std::io;
use std::mem;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Bytes of the first read: a usual request fits.
pub(crate) const READ_BYTES: usize = 4 * 1024;
/// Most bytes that room is made for beyond what has come.
pub(super) const AHEAD_BYTES: usize = 64 * 1024;
/// Most bytes of one read: a large body is charged before it is read, this much at a time.
pub(super) const MAX_READ_BYTES: usize = 128 * 1024;

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
    /// What its buffer has that has not come, if it has one of its own length.
    pub(super) announced: Option<Reservation>,
    /// So many bytes were announced, and memory is still to be set aside for them: nothing is read before.
    pub(super) unexpected_bytes: Option<usize>,
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
    /// A body that begins to come, of which nothing is announced.
    pub(super) fn new(head: RequestHead, decoder: BodyDecoder, admitted: Option<AdmittedPeer>) -> Self {
        Self {
            head,
            decoder,
            admitted,
            incoming: None,
            pace: Pace::begin(),
            announced: None,
            unexpected_bytes: None,
        }
    }

    /// Whether as much came since the last look as has to come between two, and the body has time left.
    pub(super) fn keeps_pace(&mut self, limits: &Limits) -> bool {
        let bytes = self.decoder.body_bytes();
        let came_bytes = bytes - mem::replace(&mut self.pace.seen_bytes, bytes);
        came_bytes >= limits.least_body_bytes() && self.pace.began.elapsed() < limits.body_timeout()
    }
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
    pub(super) segments: Segments,
    pub(super) input: Option<BufferLease>,
    /// What came of a message that is not whole, while its connection sleeps and the buffer is small, or that of a head.
    pub(super) unfinished: Option<IncomingMessage>,
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
        self.unfinished = None;
    }

    /// The head of the next request, once it is whole.
    pub(super) fn read_head(&mut self, endpoint: &Endpoint) -> Result<Option<RequestHead>, HeadError> {
        let Some(input) = self.input.as_ref().filter(|input| !input.is_empty()) else { return Ok(None) };
        let head = self.head_reader.advance(input, endpoint.head_limits())?;
        if head.is_some() {
            self.head_reader = HeadReader::default();
            self.unfinished = None;
        }
        Ok(head)
    }

    /// Takes what came of a body.
    ///
    /// # Errors
    /// When the bytes are no body, or one beyond the limit.
    pub(super) fn read_body(&mut self, endpoint: &Endpoint, body: &mut Body) -> Result<BodyRead, BodyError> {
        let Some(mut input) = self.input.take() else { return Ok(BodyRead::Partial) };
        let unfinished = self.unfinished.take();
        let read = match (body.decoder.advance(&mut input), body.admitted) {
            (Ok(BodyProgress::Complete(range)), Some(admitted)) => {
                let is_last = !self.keep_rest(endpoint, &input[range.end..]);
                input.truncate(range.end);
                body.announced = None;
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
            (Ok(BodyProgress::Partial), _) => {
                self.unfinished = unfinished;
                Ok(BodyRead::Partial)
            }
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
        (body.announced, body.incoming) = (None, None);
    }
}

/// Bytes that there should be room for: twice what came, up to a bound, so that a client that announces much and sends
/// little is given little. A buffer that is as large as a segment is filled first.
pub(super) fn ahead_bytes(input: &BytesMut, missing: u64) -> usize {
    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
    let ahead = missing.min(input.len().clamp(READ_BYTES, AHEAD_BYTES));
    let room = input.capacity() - input.len();
    let ahead = if input.capacity() >= AHEAD_BYTES && room > 0 { ahead.min(room) } else { ahead };
    ahead.max(1)
}
