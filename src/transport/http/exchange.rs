//! One busy connection: from the first byte of a request to the last byte of its answer.
//!
//! All that a busy connection needs and an idle one does not, pooled as one object. [`Receiver`] knows what comes
//! in, [`Sender`] what goes out, [`State`] what is under way; only this file knows all three. Requests of one
//! connection are served one after the other, and answers leave in their order.

use super::answer::Answer;
use super::codec::body::BodyDecoder;
use super::codec::head::RequestHead;
use super::codec::words::{BodyFraming, Status};
use super::endpoint::Endpoint;
use super::input_end::InputEnd;
use super::post::{FirstPoll, PostRequest, WaitingPost, YieldedPost};
use super::receiver::{Body, BodyRead, Receiver};
use super::room::{Asking, RequestRoom, expect_body};
use super::routing::{Arrival, HeadDecision};
use super::sender::{NextAction, Progress, Sender};
use super::stream::SessionStream;
use crate::limits::Limits;
use crate::server::{Outgoing, Permit, Server, Undelivered, UndeliveredAnswers};
use crate::transport::admission::{PeerAddress, Principal};
use crate::transport::connection_registry::{ConnectionRegistry, HeldBytes, Registration};
use mcpool_pools::{Recycle, Verdict};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::AsyncRead;

/// The error for a client that sends a message too large for the memory that is left.
const NO_ROOM: &str = "there is no memory for a message of this size at the moment: send it again later";
/// The error for a client whose request comes in pieces while there is no memory for the first of them.
const NO_ROOM_FOR_HEAD: &str = "there is no memory for this request at the moment: send it again later";
/// Bytes that are read ahead while a request waits: the start of the next one.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Heap of one connection at work, without its buffers.
pub(crate) const EXCHANGE_BYTES: usize = size_of::<Exchange>() + size_of::<Outgoing>();

/// What an exchange is doing.
pub(super) enum State {
    /// It reads the head of a request.
    Head,
    /// It reads the body of a request.
    Body(Body),
    /// A request of the modern era waits. It is cancelled when its connection closes.
    Request(WaitingPost),
    /// A batch goes on when the other tasks had the thread. Nothing is read meanwhile, as the end of what the client
    /// sends does not end a batch.
    Batch(YieldedPost),
    /// It sends a stream of a session.
    Stream(SessionStream),
    /// It reads nothing more: what is queued is written, then the connection ends.
    Closing,
    /// As `Closing`, but once all is written the connection ends without waiting for its peer: too many wait already, or
    /// there is no memory for those that wait.
    CutOff,
}

/// One busy connection.
pub(super) struct Exchange {
    receiver: Receiver,
    pub(super) sender: Sender,
    state: State,
    /// What has not come whole waits for the room of others, and looks again after a while.
    awaits_room: bool,
    input_end: InputEnd,
    registration: Registration,
    undelivered: UndeliveredAnswers,
}

impl Exchange {
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Whether nothing is under way, so that the connection may give the exchange back.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.sender.outbox.is_empty() && self.receiver.input().is_empty()
    }

    /// Whether a part of a request has come and the rest has not.
    pub(super) fn has_partial_request(&self) -> bool {
        match &self.state {
            State::Head => !self.receiver.input().is_empty(),
            State::Body(_) => true,
            State::Request(_) | State::Batch(_) | State::Stream(_) | State::Closing | State::CutOff => false,
        }
    }

    /// Whether enough is read ahead of a request or stream that goes on.
    pub(super) fn has_read_ahead(&self, endpoint: &Endpoint) -> bool {
        let read_bytes = self.receiver.input().len();
        matches!(self.state, State::Request(_) | State::Stream(_))
            && (read_bytes >= READ_AHEAD_BYTES || (read_bytes > 0 && endpoint.server.is_scarce_of_memory()))
    }

    /// Registers what the connection holds while it sleeps. Returns whether it may go on: if not, others lack the memory.
    pub(super) fn register(&mut self, endpoint: &Endpoint, peer: PeerAddress, connection: &Waker) -> bool {
        let queued_bytes = self.sender.outbox.queued_bytes();
        let request_bytes = match &self.state {
            State::Request(post) => post.bytes(),
            State::Batch(post) => post.bytes(),
            _ => 0,
        };
        let bytes = size_of::<Self>() + queued_bytes + self.receiver.held_bytes() + request_bytes;
        self.registration.update(Some(peer), HeldBytes { bytes, queued_bytes });
        let goes_on = self.register_unfinished(endpoint, peer, connection);
        self.undelivered.update(self.sender.held_answers(), connection) && goes_on
    }

    /// Registers what came of a request that is not whole.
    fn register_unfinished(&mut self, endpoint: &Endpoint, peer: PeerAddress, connection: &Waker) -> bool {
        match &self.state {
            State::Head => {
                let asking = Asking { client: Principal::of_peer(peer).key(), connection };
                self.receiver.register_unfinished(endpoint, asking, true)
            }
            State::Body(Body { incoming, admitted: Some(admitted), .. }) => {
                let goes_on = incoming.as_ref().is_none_or(|incoming| incoming.sleep(connection));
                let asking = Asking { client: admitted.principal.key(), connection };
                self.receiver.register_unfinished(endpoint, asking, false) && goes_on
            }
            _ => true,
        }
    }

    /// Frees a buffer that nothing was read into.
    pub(super) fn free_unused_buffer(&mut self) {
        self.receiver.free_unused_buffer(matches!(self.state, State::Head));
    }

    /// Reads what is there. Ready with 0 when the peer sends nothing more.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        endpoint: &Endpoint,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let missing = if let State::Body(body) = &self.state { body.decoder.missing_bytes() } else { 0 };
        self.receiver.poll_read(stream, endpoint, missing, cx)
    }

    /// Reads and drops what is there.
    pub(super) fn poll_discard<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.receiver.poll_discard(stream, cx)
    }

    /// Ends what would last as long as its connection: the server drains.
    pub(super) fn begin_closing(&mut self) {
        match &mut self.state {
            State::Request(post) => post.begin_closing(),
            State::Stream(stream) => stream.begin_closing(),
            State::Head | State::Body(_) | State::Batch(_) | State::Closing | State::CutOff => {}
        }
    }

    /// Takes the end of what the peer sends. Returns whether something is left to do for it.
    pub(super) fn end_input(&mut self) -> bool {
        match &self.state {
            State::Head | State::Body(_) => {
                self.receiver.drop_input();
                self.state = State::Closing;
            }
            State::Request(_) | State::Stream(_) | State::Batch(_) | State::Closing | State::CutOff => {}
        }
        !self.sender.outbox.is_empty()
    }

    /// Whether a request or a stream goes on, for which the peer need not send anything.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.state, State::Request(_) | State::Stream(_))
    }

    /// Goes on with what is served although the peer sends nothing more. `is_told` says that the system tells when it is
    /// gone. Else it is written something that shows it; where that cannot be, it is waited for as long as it may take to
    /// read. A closed connection cancels its request, and that of a session goes on without it.
    pub(super) fn outlive_input(&mut self, endpoint: &Endpoint, is_told: bool) {
        self.input_end = if is_told { InputEnd::Told } else { InputEnd::Shown { looks: 0 } };
        if !is_told && !self.probe(endpoint) {
            self.input_end = InputEnd::Hidden;
        }
    }

    /// Whether there is nothing to read while a request or a stream goes on.
    pub(super) fn has_input_ended(&self) -> bool {
        self.input_end.has_ended() && self.is_serving()
    }

    /// How long until a peer that sends nothing more is looked at, if that is soon.
    pub(super) fn next_look(&self, limits: &Limits) -> Option<Duration> {
        if self.has_input_ended() { self.input_end.next_look(limits.write_timeout()) } else { None }
    }

    /// Notes that the peer is looked at. Gives how long until the next time, unless it was the last one.
    pub(super) fn note_look(&mut self, limits: &Limits) -> Option<Duration> {
        if self.input_end.ends_at_look() {
            return None;
        }
        self.input_end.note_look();
        Some(self.next_look(limits).unwrap_or_default())
    }

    /// Writes something to a peer that may be gone. Returns `false` if there is nothing that it could take now.
    fn probe(&mut self, endpoint: &Endpoint) -> bool {
        self.input_end.note_written();
        let sender = &mut self.sender;
        match &self.state {
            // What is queued is as good.
            _ if !sender.outbox.is_empty() => true,
            State::Request(post) => post.probe(endpoint, sender),
            State::Stream(stream) => stream.probe(endpoint, sender),
            State::Head | State::Body(_) | State::Batch(_) | State::Closing | State::CutOff => true,
        }
    }

    /// Whether what has not come whole waits for the room of others.
    pub(super) fn awaits_room(&self) -> bool {
        self.awaits_room
    }

    /// Whether memory is set aside for a body that is being read.
    pub(super) fn expects_body(&self) -> bool {
        matches!(&self.state, State::Body(Body { incoming: Some(incoming), .. }) if incoming.is_expected())
    }

    /// Gives back the memory that was set aside for a body which comes too slowly: from here on, it is charged as it comes.
    pub(super) fn stop_expecting_body(&mut self) {
        if let State::Body(Body { incoming: Some(incoming), .. }) = &mut self.state {
            incoming.expect_no_more();
        }
    }

    /// The body that is being read.
    pub(super) fn body(&mut self) -> Option<&mut Body> {
        if let State::Body(body) = &mut self.state { Some(body) } else { None }
    }

    /// Ends an exchange that took too long in the middle of a request.
    pub(super) fn time_out(&mut self, endpoint: &Endpoint) {
        self.sender.answer_and_close(endpoint, None, Answer::plain(Status::RequestTimeout));
        self.state = State::Closing;
    }

    /// Sends a sign of life on a stream, and begins one for a client that can read it. One that sends nothing more has to
    /// show that it is there.
    pub(super) fn keep_alive(&mut self, endpoint: &Endpoint) {
        match &mut self.state {
            State::Request(post) => post.keep_alive(endpoint, &mut self.sender),
            State::Stream(stream) => stream.keep_alive(endpoint, &mut self.sender),
            State::Head | State::Body(_) | State::Batch(_) | State::Closing | State::CutOff => {}
        }
        if matches!(self.input_end, InputEnd::Shown { .. }) {
            self.probe(endpoint);
        }
    }

    /// Goes on as far as the bytes that came allow.
    pub(super) fn advance(
        &mut self,
        endpoint: &Endpoint,
        peer: PeerAddress,
        permit: &mut Permit,
        cx: &mut Context<'_>,
    ) -> NextAction {
        // A peer that does not read its answers is not served further either.
        let outbox = &self.sender.outbox;
        if outbox.is_full() || (!outbox.is_empty() && endpoint.server.is_scarce_of_memory()) {
            return NextAction::Wait;
        }
        self.awaits_room = false;
        let progress = match &mut self.state {
            State::Head => return self.read_head(endpoint, peer, permit, cx),
            State::Body(Body { unexpected_bytes: Some(bytes), .. }) => {
                let bytes = *bytes;
                return self.expect_body(endpoint, bytes);
            }
            State::Body(body) => match read_body(endpoint, &mut self.receiver, &mut self.sender, body, cx) {
                BodyStep::Read => return NextAction::Read,
                BodyStep::AwaitRoom => {
                    self.awaits_room = true;
                    return NextAction::Wait;
                }
                // Who sends nothing more is told, too.
                BodyStep::Refused => return NextAction::Continue,
                BodyStep::Polled(polled) => return self.begin_waiting(endpoint, polled),
            },
            State::Batch(_) => return self.resume_batch(endpoint, cx),
            State::Request(post) => post.advance(endpoint, &mut self.sender, cx),
            State::Stream(stream) => stream.advance(endpoint, &mut self.sender, cx),
            State::Closing | State::CutOff => return NextAction::Wait,
        };
        match progress {
            Progress::Pending(next) => next,
            Progress::Answered => self.end_request(endpoint),
        }
    }

    /// Goes on with a batch that gave the thread back.
    fn resume_batch(&mut self, endpoint: &Endpoint, cx: &mut Context<'_>) -> NextAction {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Batch(post) => {
                let polled = post.resume(endpoint, &mut self.sender, cx);
                self.begin_waiting(endpoint, polled)
            }
            state => {
                self.state = state;
                NextAction::Continue
            }
        }
    }

    /// Goes on after a poll of a request that came whole.
    fn begin_waiting(&mut self, endpoint: &Endpoint, polled: FirstPoll) -> NextAction {
        self.state = match polled {
            FirstPoll::Answered => return self.end_request(endpoint),
            FirstPoll::Yields(post) => {
                self.state = State::Batch(post);
                return NextAction::Wait;
            }
            FirstPoll::Waits(post) => State::Request(post),
            FirstPoll::Streams(stream) => State::Stream(stream),
        };
        NextAction::Continue
    }

    /// Goes on after a request whose answer is queued whole.
    fn end_request(&mut self, endpoint: &Endpoint) -> NextAction {
        self.state = match self.sender.is_last() {
            false => State::Head,
            true if endpoint.server.is_out_of_memory() => State::CutOff,
            true => State::Closing,
        };
        NextAction::Continue
    }

    fn read_head(
        &mut self,
        endpoint: &Endpoint,
        peer: PeerAddress,
        permit: &mut Permit,
        cx: &Context<'_>,
    ) -> NextAction {
        match self.receiver.read_head(endpoint) {
            Ok(None) => {
                let asking = Asking { client: Principal::of_peer(peer).key(), connection: cx.waker() };
                match self.receiver.make_head_room(endpoint, asking) {
                    RequestRoom::Made => NextAction::Read,
                    RequestRoom::Awaited => {
                        self.awaits_room = true;
                        NextAction::Wait
                    }
                    RequestRoom::Missing | RequestRoom::TooLong { .. } => self.refuse_unfinished(endpoint),
                }
            }
            Ok(Some(head)) => {
                self.begin_request(endpoint, peer, permit, &head);
                NextAction::Continue
            }
            Err(error) => {
                self.sender.refuse_and_close(endpoint, None, error.status(), &error);
                self.end_request(endpoint)
            }
        }
    }

    /// Refuses a request that has not come whole, and gives its memory back at once.
    #[cold]
    fn refuse_unfinished(&mut self, endpoint: &Endpoint) -> NextAction {
        endpoint.server.memory().note_refused();
        self.sender.refuse_and_close(endpoint, None, Status::Unavailable, &NO_ROOM_FOR_HEAD);
        self.receiver.drop_input();
        self.end_request(endpoint)
    }

    /// Sets memory aside for the body of a request, waits until that can be, or refuses it. Nothing of it is read before.
    #[cold]
    fn expect_body(&mut self, endpoint: &Endpoint, bytes: usize) -> NextAction {
        let State::Body(body) = &mut self.state else { return NextAction::Continue };
        let room = expect_body(endpoint, body, bytes);
        if room == RequestRoom::Awaited {
            self.awaits_room = true;
            return NextAction::Wait;
        }
        body.unexpected_bytes = None;
        let asks_first = body.head.expects_continue && self.receiver.input().len() == body.head.head_bytes;
        if room == RequestRoom::Made {
            if asks_first {
                self.sender.continue_body(endpoint);
            }
            return NextAction::Continue;
        }
        self.sender.answer(endpoint, &body.head, no_room(room));
        (body.admitted, body.incoming) = (None, None);
        if asks_first || self.sender.is_last() {
            self.state = State::Closing;
        } else {
            self.receiver.skip(body.head.head_bytes);
            body.decoder.discard_rest();
        }
        NextAction::Continue
    }

    /// Answers a request from its head, or begins to read its body.
    fn begin_request(
        &mut self,
        endpoint: &Endpoint,
        peer: PeerAddress,
        permit: &mut Permit,
        head: &RequestHead,
    ) {
        self.sender.admitted = None;
        let max_bytes = endpoint.server.limits().max_frame_bytes;
        let mut decoder = match BodyDecoder::new(head.body, head.head_bytes, max_bytes) {
            Ok(decoder) => decoder,
            Err(error) => {
                self.sender.refuse_and_close(endpoint, Some(head), error.status(), &error);
                self.state = State::Closing;
                return;
            }
        };
        let input = self.receiver.input();
        let mut arrival = Arrival { endpoint, sender: &mut self.sender, head, input };
        let admitted = match arrival.route(peer, permit) {
            HeadDecision::ReadBody(admitted) => Some(admitted),
            HeadDecision::Answered => None,
            HeadDecision::CutOff => {
                self.state = State::CutOff;
                return;
            }
            HeadDecision::Stream(stream) => {
                self.receiver.skip(head.head_bytes);
                self.state = State::Stream(stream);
                return;
            }
        };
        if self.sender.is_last() {
            self.state = State::Closing;
            return;
        }
        let has_body = decoder.missing_bytes() > 0;
        let unexpected_bytes = admitted.and_then(|_| large_bytes(head.body));
        if head.expects_continue && has_body && self.receiver.input().len() == head.head_bytes {
            if admitted.is_none() {
                // The request was answered without its body, which then need not come.
                self.state = State::Closing;
                return;
            }
            if unexpected_bytes.is_none() {
                self.sender.continue_body(endpoint);
            }
        }
        if admitted.is_none() && has_body {
            self.receiver.skip(head.head_bytes);
            decoder.discard_rest();
        }
        let body = Body { unexpected_bytes, ..Body::new(*head, decoder, admitted) };
        self.state = State::Body(body);
    }
}

/// The bytes of a body that says how long it is and is large.
fn large_bytes(body: BodyFraming) -> Option<usize> {
    let BodyFraming::Length(bytes) = body else { return None };
    Some(usize::try_from(bytes).unwrap_or(usize::MAX)).filter(|bytes| Server::is_large(*bytes))
}

/// The answer to a message for which there is no room.
fn no_room(room: RequestRoom) -> Answer<'static> {
    let RequestRoom::TooLong { limit_bytes } = room else {
        return Answer::refusal(Status::Unavailable, &NO_ROOM);
    };
    let error = NeverFits { limit_bytes };
    Answer::refusal(Status::PayloadTooLarge, &error)
}

/// The error for a client that sends a message for which there is never room.
#[derive(Debug, thiserror::Error)]
#[error(
    "all large messages together may have {limit_bytes} bytes here, which is less than this one has: send less at once \
     (settings memory_limit_bytes, max_inflight_bytes)"
)]
struct NeverFits {
    limit_bytes: usize,
}

/// What became of a body after what came of it was taken.
#[expect(clippy::large_enum_variant, reason = "it is never stored")]
enum BodyStep {
    /// More bytes are needed.
    Read,
    /// More bytes are needed, for which there is no room yet.
    AwaitRoom,
    /// The request is answered, and the rest of its body is still to come.
    Refused,
    /// The request came whole, or is answered already.
    Polled(FirstPoll),
}

/// Takes what came of a body, and serves its request once it is whole.
fn read_body(
    endpoint: &Endpoint,
    receiver: &mut Receiver,
    sender: &mut Sender,
    body: &mut Body,
    cx: &mut Context<'_>,
) -> BodyStep {
    let polled = match receiver.read_body(endpoint, body) {
        Ok(BodyRead::Partial) if body.admitted.is_none() => return BodyStep::Read,
        Ok(BodyRead::Partial) => {
            let room = receiver.make_body_room(endpoint, body, cx.waker());
            match room {
                RequestRoom::Made => return BodyStep::Read,
                RequestRoom::Awaited => return BodyStep::AwaitRoom,
                RequestRoom::Missing | RequestRoom::TooLong { .. } => {}
            }
            // The rest is read all the same, so that whoever sends it lives to see the answer.
            sender.answer(endpoint, &body.head, no_room(room));
            receiver.drop_body(body);
            if !endpoint.server.is_out_of_memory() {
                return BodyStep::Refused;
            }
            sender.close();
            FirstPoll::Answered
        }
        Ok(BodyRead::Dropped) => FirstPoll::Answered,
        Ok(BodyRead::Whole { buffer, range, admitted, is_last }) => {
            if is_last {
                sender.close();
            }
            let request = PostRequest { head: &body.head, buffer, range, admitted };
            request.serve(endpoint, sender, cx)
        }
        Err(error) => {
            if body.admitted.is_some() {
                sender.refuse_and_close(endpoint, Some(&body.head), error.status(), &error);
            }
            sender.close();
            FirstPoll::Answered
        }
    };
    BodyStep::Polled(polled)
}

/// Makes exchanges and cleans returned ones.
pub(super) struct ExchangeFactory {
    max_stream_bytes: usize,
    max_outbox_bytes: usize,
    registry: Arc<ConnectionRegistry>,
    undelivered: Arc<Undelivered>,
}

impl ExchangeFactory {
    pub(super) fn new(server: &Server) -> Self {
        let registry = Arc::default();
        server.memory().open_account(&registry);
        let limits = server.limits();
        Self {
            max_stream_bytes: limits.max_stream_bytes,
            max_outbox_bytes: limits.max_outbox_bytes,
            registry,
            undelivered: Arc::clone(server.undelivered()),
        }
    }
}

impl Recycle<Exchange> for ExchangeFactory {
    fn create(&self) -> Exchange {
        Exchange {
            receiver: Receiver::default(),
            sender: Sender::new(self.max_stream_bytes, self.max_outbox_bytes),
            state: State::Head,
            awaits_room: false,
            input_end: InputEnd::Open,
            registration: self.registry.register(),
            undelivered: self.undelivered.open(),
        }
    }

    fn recycle(&self, exchange: &mut Exchange) -> Verdict {
        exchange.registration.clear();
        exchange.undelivered.clear();
        exchange.receiver = Receiver::default();
        exchange.state = State::Head;
        exchange.awaits_room = false;
        exchange.input_end = InputEnd::Open;
        exchange.sender.reset(self.max_stream_bytes);
        Verdict::Keep
    }

    fn bytes(&self, _exchange: &Exchange) -> usize {
        EXCHANGE_BYTES
    }
}
