//! One connection at work: from the first byte of a request to the last byte of its answer.
//!
//! All that a busy connection needs and an idle one does not, pooled as one object. It knows bytes in and bytes
//! out and no socket: `connection` reads into [`Exchange::room`] and writes what is in the outbox. Requests
//! of one connection are served one after the other, answers leave in their order.

use super::codec::body::{BodyDecoder, BodyProgress};
use super::codec::head::{BodyFraming, HeadReader, RequestHead};
use super::codec::response::{self, Persistence, Status};
use super::endpoint::Endpoint;
use super::reply::Answer;
use super::stream::Follow;
use super::work::Work;
use crate::server::{self, Outgoing, Server};
use crate::transport::admission::{Admitted, PeerAddress};
use crate::transport::connection_registry::{Held, Place, Roster};
use crate::transport::outbox::Outbox;
use bytes::BytesMut;
use mcpool_pools::{BufferLease, Recycle, Reservation, Verdict};
use std::ops::Range;
use std::sync::Arc;
use std::task::Context;

/// Bytes of the first read: a usual request fits.
const READ_BYTES: usize = 4 * 1024;
/// The most that room is made for ahead of what has come.
const AHEAD_BYTES: usize = 64 * 1024;

/// What is said to a large message that comes when memory is short.
const NO_ROOM: &str = "there is no memory for a message of this size at the moment: send it again later";

/// What a connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something moved: go round again.
    Moved,
    /// More bytes of the peer are needed.
    Read,
    /// Nothing can move until something wakes the task.
    Wait,
}

/// Where the exchange stands.
pub(super) enum State {
    /// At the head of a request.
    Head,
    /// In its body.
    Body(Box<Body>),
    /// A request of the modern era waits; its connection is its life.
    Work(Work),
    /// A stream of a session is sent.
    Follow(Follow),
    /// Nothing more is read: what is queued is written, then the connection ends.
    Closing,
}

/// A request whose body is on its way.
pub(super) struct Body {
    pub(super) head: RequestHead,
    decoder: BodyDecoder,
    /// Who sends it; `None`: the request is answered already, its body is of no use.
    admitted: Option<Admitted>,
}

/// One connection at work.
pub(super) struct Exchange {
    pub(super) input: Option<BufferLease>,
    reader: HeadReader,
    pub(super) state: State,
    pub(super) outbox: Outbox,
    pub(super) outgoing: Arc<Outgoing>,
    /// The origin of the request, where pages of that origin may read the answer.
    pub(super) cors: Option<Box<[u8]>>,
    /// The body that the exchange keeps for its next request, so that none is boxed anew.
    spare_body: Option<Box<Body>>,
    /// A large message passed.
    pub(super) was_large: bool,
    /// The connection ends without waiting for its peer: too many wait already.
    pub(super) is_cut_off: bool,
    /// The last read found less than it had room for.
    pub(super) is_drained: bool,
    /// The bytes that are set aside for the large message that is under way.
    reserved: Option<Reservation>,
    place: Place,
}

impl Exchange {
    /// Where to read into.
    pub(super) fn room(&mut self, endpoint: &Endpoint) -> &mut BytesMut {
        let missing = match &self.state {
            State::Body(body) => usize::try_from(body.decoder.missing_bytes()).unwrap_or(usize::MAX),
            _ => 0,
        };
        let buffers = endpoint.server.buffers();
        let input = self.input.get_or_insert_with(|| buffers.acquire(READ_BYTES));
        // Twice what came, up to a bound: who announces much and sends little is given little.
        let ahead = missing.min(input.len().clamp(READ_BYTES, AHEAD_BYTES.max(input.len())));
        if input.capacity() - input.len() < ahead.max(1) {
            let more = ahead.max(READ_BYTES);
            input.reserve(more);
        }
        input
    }

    /// Whether nothing is under way, so that the connection may let the exchange go.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Head)
            && self.outbox.is_empty()
            && self.input.as_ref().is_none_or(|input| input.is_empty())
    }

    /// The connection sleeps with something in its hands.
    pub(super) fn enter_roster(&mut self, peer: PeerAddress) {
        let queued_bytes = self.outbox.queued_bytes();
        let input_bytes = self.input.as_ref().map_or(0, |input| input.capacity());
        let work_bytes = if let State::Work(work) = &self.state { work.bytes() } else { 0 };
        let bytes = size_of::<Self>() + queued_bytes + input_bytes + work_bytes;
        self.place.enter(Some(peer), Held { bytes, queued_bytes });
    }

    /// Lets a buffer go that nothing was read into.
    pub(super) fn let_go_of_room(&mut self) {
        // Empty lines between two requests are not worth a buffer either.
        let is_between = matches!(self.state, State::Head) && !self.reader.has_begun();
        if is_between || self.input.as_ref().is_some_and(|input| input.is_empty()) {
            self.input = None;
            self.reader = HeadReader::default();
        }
    }

    /// The server drains: what lasts as long as its connection comes to its end.
    pub(super) fn begin_closing(&mut self) {
        match &mut self.state {
            State::Work(work) => work.begin_closing(),
            State::Follow(follow) => follow.begin_closing(),
            State::Head | State::Body(_) | State::Closing => {}
        }
    }

    /// Whether the first bytes of a request are there and the rest is not.
    pub(super) fn is_amid_request(&self) -> bool {
        match &self.state {
            State::Head => self.input.as_ref().is_some_and(|input| !input.is_empty()),
            State::Body(_) => true,
            _ => false,
        }
    }

    /// Goes on as far as the bytes that are there allow.
    pub(super) fn turn(
        &mut self,
        endpoint: &Arc<Endpoint>,
        peer: PeerAddress,
        connection: &mut server::Permit,
        cx: &mut Context<'_>,
    ) -> Turn {
        // A peer that does not read its answers is not served further either.
        let is_full = self.outbox.queued_bytes() >= endpoint.server.limits().max_outbox_bytes;
        match &mut self.state {
            _ if is_full => Turn::Wait,
            State::Head => self.take_head(endpoint, peer, connection),
            State::Body(_) => self.take_body(endpoint, cx),
            State::Work(_) => self.go_on(endpoint, cx),
            State::Follow(_) => self.follow(endpoint, cx),
            State::Closing => Turn::Wait,
        }
    }

    fn take_head(
        &mut self,
        endpoint: &Arc<Endpoint>,
        peer: PeerAddress,
        connection: &mut server::Permit,
    ) -> Turn {
        let Some(input) = &self.input else { return Turn::Read };
        if input.is_empty() {
            return Turn::Read;
        }
        match self.reader.advance(input, endpoint.head_limits()) {
            Ok(None) => Turn::Read,
            Ok(Some(head)) => {
                self.reader = HeadReader::default();
                self.begin(endpoint, peer, connection, head);
                Turn::Moved
            }
            Err(error) => {
                self.refuse_and_close(endpoint, error.status(), &error, None);
                Turn::Moved
            }
        }
    }

    /// A request whose head is there: admitted or refused, then its body.
    fn begin(
        &mut self,
        endpoint: &Arc<Endpoint>,
        peer: PeerAddress,
        connection: &mut server::Permit,
        head: RequestHead,
    ) {
        let max_bytes = endpoint.server.limits().max_frame_bytes;
        if let Err(error) = BodyDecoder::new(head.body, head.head_bytes, max_bytes) {
            return self.refuse_and_close(endpoint, error.status(), &error, Some(&head));
        }
        self.reserved = None;
        let mut admitted = self.route(endpoint, peer, connection, &head);
        if admitted.is_some()
            && let BodyFraming::Length(bytes) = head.body
            && !self.make_room(endpoint, usize::try_from(bytes).unwrap_or(usize::MAX))
        {
            let fault = Answer::fault(Status::Unavailable, &NO_ROOM);
            self.answer(endpoint, fault.answer(), Some(&head), Persistence::of(&head));
            admitted = None;
        }
        let decoder = match admitted {
            Some(_) => BodyDecoder::new(head.body, head.head_bytes, max_bytes),
            None => BodyDecoder::discarding(head.body, head.head_bytes, max_bytes),
        };
        if let State::Follow(_) = self.state {
            return self.skip(head.head_bytes);
        }
        if let State::Closing = self.state {
            return;
        }
        // Refused above where its length is.
        let Ok(decoder) = decoder else { return };
        let input_bytes = self.input.as_ref().map_or(0, |input| input.len());
        if head.expects_continue && decoder.missing_bytes() > 0 && input_bytes == head.head_bytes {
            if admitted.is_none() {
                // It was answered without the body, which then need not come.
                self.state = State::Closing;
                return;
            }
            self.outbox.append(endpoint.server.buffers(), 32, response::write_continue);
        }
        let body = Body { head, decoder, admitted };
        let boxed = match self.spare_body.take() {
            Some(mut spare) => {
                *spare = body;
                spare
            }
            None => Box::new(body),
        };
        self.state = State::Body(boxed);
    }

    /// Sets memory aside for a large message; whether there is enough for it now. Small ones always have room.
    fn make_room(&mut self, endpoint: &Endpoint, bytes: usize) -> bool {
        if !Server::is_large(bytes) || self.reserved.is_some() {
            return true;
        }
        let memory = endpoint.server.memory();
        if !memory.is_critical() {
            self.reserved = memory.reserve_frame(bytes).ok();
        }
        if self.reserved.is_none() {
            memory.note_refused();
        }
        self.reserved.is_some()
    }

    /// Whether a message whose length nobody announced has grown large and there is no memory for it.
    fn has_outgrown(&mut self, endpoint: &Endpoint) -> bool {
        let State::Body(body) = &self.state else { return false };
        let is_wanted = body.admitted.is_some() && matches!(body.head.body, BodyFraming::Chunked);
        let bytes = self.input.as_ref().map_or(0, |input| input.len());
        // It may become the longest there is.
        is_wanted
            && Server::is_large(bytes)
            && !self.make_room(endpoint, endpoint.server.limits().max_frame_bytes)
    }

    fn take_body(&mut self, endpoint: &Arc<Endpoint>, cx: &mut Context<'_>) -> Turn {
        if self.has_outgrown(endpoint) {
            self.refuse_and_close(endpoint, Status::Unavailable, &NO_ROOM, None);
            return Turn::Moved;
        }
        let (State::Body(body), Some(input)) = (&mut self.state, &mut self.input) else { return Turn::Read };
        match body.decoder.advance(input) {
            Ok(BodyProgress::Partial) => Turn::Read,
            Ok(BodyProgress::Complete(range)) => {
                let State::Body(body) = std::mem::replace(&mut self.state, State::Head) else {
                    return Turn::Moved;
                };
                match body.admitted {
                    Some(admitted) => self.post(endpoint, &body.head, range, admitted, cx),
                    None => self.skip(range.end),
                }
                self.spare_body = Some(body);
                Turn::Moved
            }
            Err(error) => {
                let State::Body(body) = std::mem::replace(&mut self.state, State::Closing) else {
                    return Turn::Moved;
                };
                if body.admitted.is_some() {
                    self.refuse_and_close(endpoint, error.status(), &error, Some(&body.head));
                }
                Turn::Moved
            }
        }
    }

    /// Takes the bytes up to `end` out of the input: a request that is done with.
    fn skip(&mut self, end: usize) {
        let Some(input) = &mut self.input else { return };
        if end >= input.len() {
            self.input = None;
            return;
        }
        let left = input.len() - end;
        input.copy_within(end.., 0);
        input.truncate(left);
    }

    /// Hands out the buffer of a request whose body lies at `range`; what follows it stays.
    pub(super) fn hand_out(&mut self, endpoint: &Endpoint, range: &Range<usize>) -> Option<BufferLease> {
        let mut whole = self.input.take()?;
        if range.end < whole.len() {
            let rest = &whole[range.end..];
            let mut next = endpoint.server.buffers().acquire(rest.len().max(READ_BYTES));
            next.extend_from_slice(rest);
            self.input = Some(next);
            whole.truncate(range.end);
        }
        Some(whole)
    }

    /// The peer sends nothing more. Whether something is left to do for it.
    pub(super) fn ended(&mut self) -> bool {
        match &mut self.state {
            State::Head | State::Body(_) => {
                self.input = None;
                self.state = State::Closing;
            }
            // Closing the stream cancels; the request of a session runs on without it.
            State::Work(_) | State::Follow(_) => return false,
            State::Closing => {}
        }
        !self.outbox.is_empty()
    }

    /// Ends an exchange that took too long in the middle of a request.
    pub(super) fn time_out(&mut self, endpoint: &Endpoint) {
        self.answer(endpoint, Answer::plain(Status::RequestTimeout), None, Persistence::Close);
    }
}

/// Makes exchanges and cleans returned ones.
pub(super) struct ExchangeFactory {
    max_stream_bytes: usize,
    roster: Arc<Roster>,
}

impl ExchangeFactory {
    pub(super) fn new(server: &Server) -> Self {
        let roster = Arc::default();
        server.memory().open_account(&roster);
        Self { max_stream_bytes: server.limits().max_stream_bytes, roster }
    }
}

impl Recycle<Exchange> for ExchangeFactory {
    fn create(&self) -> Exchange {
        Exchange {
            input: None,
            reader: HeadReader::default(),
            state: State::Head,
            outbox: Outbox::default(),
            outgoing: Arc::new(Outgoing::new(self.max_stream_bytes)),
            cors: None,
            spare_body: None,
            was_large: false,
            is_cut_off: false,
            is_drained: false,
            reserved: None,
            place: self.roster.place(),
        }
    }

    fn recycle(&self, exchange: &mut Exchange) -> Verdict {
        exchange.place.leave();
        exchange.input = None;
        exchange.reader = HeadReader::default();
        exchange.state = State::Head;
        exchange.outbox.clear();
        exchange.cors = None;
        exchange.was_large = false;
        exchange.is_cut_off = false;
        exchange.is_drained = false;
        exchange.reserved = None;
        if Arc::strong_count(&exchange.outgoing) > 1 {
            // Somebody still sends to the client that is gone: the next one must not get it.
            exchange.outgoing = Arc::new(Outgoing::new(self.max_stream_bytes));
        }
        exchange.outgoing.clear();
        Verdict::Keep
    }

    fn bytes(&self, _exchange: &Exchange) -> usize {
        size_of::<Exchange>() + size_of::<Body>() + size_of::<Outgoing>()
    }
}
