//! All that a connection sends: answers, event streams, and whether it stays open after them.

use super::answer::{Answer, AnswerBody, session_text};
use super::codec::event_stream::{self, Event};
use super::codec::head::RequestHead;
use super::codec::response::{self, Cors, Payload, Persistence, ResponseHead};
use super::codec::words::{Status, StreamFraming, Verb, Version};
use super::endpoint::Endpoint;
use crate::limits::price;
use crate::metrics::Moment;
use crate::protocol::Method;
use crate::server::{AnswerStream, HeldAnswers, Outcome, Outgoing, SegmentFrame, SessionKey};
use crate::traffic::{EndedRequest, RequestResult};
use crate::transport::admission::Refusal;
use crate::transport::outbox::Outbox;
use crate::transport::round_trips::RoundTrips;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// Room for the head of an answer: status, length, session, and a challenge or an origin of usual length.
const ANSWER_HEAD_BYTES: usize = 768;
/// Room for the head of a stream.
const STREAM_HEAD_BYTES: usize = 512;
/// Room for what surrounds the data of an event.
const EVENT_BYTES: usize = 160;
/// Room for the short parts of a stream: a comment, its end, `100 Continue`.
const SHORT_BYTES: usize = 32;

/// Makes each segment of a streamed answer a chunk.
const CHUNK_FRAME: SegmentFrame = SegmentFrame {
    lead_bytes: event_stream::CHUNK_LEAD_BYTES,
    end_bytes: event_stream::CHUNK_END_BYTES,
    close: event_stream::close_chunk,
};
const _: () = assert!(
    price::SEGMENT_BYTES - CHUNK_FRAME.lead_bytes - CHUNK_FRAME.end_bytes <= event_stream::MAX_CLOSED_BYTES
);

/// What a connection has to do next for its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextAction {
    /// Write what is queued and advance again.
    Continue,
    /// Read from the peer.
    Read,
    /// Wait until something wakes the task.
    Wait,
}

/// How far a request or a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on, and the connection does this first.
    Pending(NextAction),
    /// Its answer is queued whole.
    Answered,
}

/// The sending half of an exchange.
pub(super) struct Sender {
    pub(super) outbox: Outbox,
    /// What the handlers of this connection's requests send before their answers.
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) round_trips: RoundTrips,
    /// For whom the last answer is.
    pub(super) owner: SessionKey,
    /// The number of the connection.
    pub(super) connection: u32,
    /// Who is at the other end, by its address.
    pub(super) peer: u128,
    /// Whose request is at hand, once that is known.
    pub(super) admitted: Option<u128>,
    /// What the headers of a request ask for that is not let in.
    pub(super) asked: Option<Method>,
    /// The origin of the request, where pages of that origin may read the answer.
    cors: Option<Box<[u8]>>,
    /// The connection closes after what is queued.
    is_last: bool,
}

impl Sender {
    pub(super) fn new(max_stream_bytes: usize, max_outbox_bytes: usize) -> Self {
        Self {
            outbox: Outbox::new(max_outbox_bytes),
            outgoing: Arc::new(Outgoing::new(max_stream_bytes)),
            round_trips: RoundTrips::default(),
            owner: SessionKey::default(),
            connection: 0,
            peer: 0,
            admitted: None,
            asked: None,
            cors: None,
            is_last: false,
        }
    }

    /// Makes the sender ready for another connection.
    pub(super) fn reset(&mut self, max_stream_bytes: usize) {
        self.outbox.clear();
        self.round_trips = RoundTrips::default();
        self.cors = None;
        (self.admitted, self.asked) = (None, None);
        self.is_last = false;
        if Arc::strong_count(&self.outgoing) > 1 {
            // A handler still sends to the client that is gone: the next client must not receive it.
            self.renew_outgoing(max_stream_bytes);
        }
        self.outgoing.clear();
    }

    /// What waits for the peer to read it.
    pub(super) fn held_answers(&mut self) -> HeldAnswers {
        let bytes = self.outbox.large_bytes();
        HeldAnswers { owner: self.owner, bytes, has_taken: self.outbox.take_progress() }
    }

    /// Takes a new queue for what handlers send, and leaves the old one to the request that goes on with it.
    pub(super) fn renew_outgoing(&mut self, max_stream_bytes: usize) {
        self.outgoing = Arc::new(Outgoing::new(max_stream_bytes));
    }

    /// Drops and counts what handlers sent and no stream will carry.
    pub(super) fn drop_outgoing(&self, endpoint: &Endpoint) {
        while self.outgoing.next().is_some() {
            endpoint.server.metrics().dropped_notifications.add(1);
        }
        self.outgoing.clear();
    }

    /// Lets pages of `origin` read the answer to the request at hand, or no page.
    pub(super) fn set_cors(&mut self, origin: Option<Box<[u8]>>) {
        self.cors = origin;
    }

    /// Whether pages of the request's origin may read its answer.
    pub(super) fn has_cors(&self) -> bool {
        self.cors.is_some()
    }

    /// Whether the connection closes after what is queued.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Has the connection close after what is queued.
    pub(super) fn close(&mut self) {
        self.is_last = true;
    }

    /// Queues an answer. The connection stays open after it if the client wants that.
    pub(super) fn answer(&mut self, endpoint: &Endpoint, head: &RequestHead, answer: Answer<'_>) {
        self.write_answer(endpoint, Some(head), answer, Persistence::of(head));
    }

    /// Queues an answer after which the connection closes. `head` is the request's, if it could be read.
    pub(super) fn answer_and_close(
        &mut self,
        endpoint: &Endpoint,
        head: Option<&RequestHead>,
        answer: Answer<'_>,
    ) {
        self.write_answer(endpoint, head, answer, Persistence::Close);
    }

    /// Queues a refusal after which the connection closes.
    pub(super) fn refuse_and_close(
        &mut self,
        endpoint: &Endpoint,
        head: Option<&RequestHead>,
        status: Status,
        why: &dyn Display,
    ) {
        self.answer_and_close(endpoint, head, Answer::refusal(status, why));
    }

    /// Queues the refusal of a request that admission did not let in.
    pub(super) fn reject(&mut self, endpoint: &Endpoint, head: &RequestHead, refusal: &Refusal) {
        let status = Status::from_code(refusal.status()).unwrap_or(Status::Forbidden);
        let mut answer = Answer::refusal(status, refusal);
        answer.challenge = refusal.challenge();
        answer.retry_after_seconds = refusal.retry_after_seconds();
        self.answer(endpoint, head, answer);
    }

    fn write_answer(
        &mut self,
        endpoint: &Endpoint,
        head: Option<&RequestHead>,
        answer: Answer<'_>,
        persistence: Persistence,
    ) {
        if answer.is_refusal() {
            self.report_refusal(endpoint, head.is_some(), &answer);
        }
        let framing = framing_for(head);
        let ends_it = matches!(answer.body, AnswerBody::Streamed(_)) && framing == StreamFraming::UntilClose;
        let persistence =
            if endpoint.drain.has_begun() || ends_it { Persistence::Close } else { persistence };
        let buffers = endpoint.server.buffers();
        let payload = match &answer.body {
            AnswerBody::None => Payload::Empty,
            AnswerBody::Text(text) => Payload::Text { bytes: text.len() },
            AnswerBody::Html(page) => Payload::Html { bytes: page.len() },
            AnswerBody::Json(json) => Payload::Json { bytes: json.len() },
            AnswerBody::Refusal(json) => Payload::Json { bytes: json.len() },
            AnswerBody::Message(message) => Payload::Json { bytes: message.len() },
            AnswerBody::Streamed(_) => Payload::JsonStream(framing),
        };
        let session = answer.session.map(session_text);
        let origin = self.cors.take();
        let cors = origin.as_deref().map(|origin| Cors { origin, preflight: answer.preflight });
        let response = ResponseHead {
            session_id: session.as_ref().map(<[u8; 32]>::as_slice),
            allow: answer.allow,
            retry_after_seconds: answer.retry_after_seconds,
            challenge: answer.challenge.map(str::as_bytes),
            cors,
            ..ResponseHead::new(answer.status, persistence, payload)
        };
        let extra = answer.challenge.map_or(0, str::len)
            + origin.as_ref().map_or(0, |origin| origin.len())
            + answer.preflight.map_or(0, <[u8]>::len);
        self.outbox.append(buffers, ANSWER_HEAD_BYTES + extra, |out| response.write(out));
        if head.is_none_or(|head| head.verb != Verb::Head) {
            self.write_body(endpoint, answer.body, framing);
        }
        self.is_last = persistence == Persistence::Close;
    }

    /// Reports a request that is refused, of whoever it is as far as that is known.
    #[cold]
    fn report_refusal(&mut self, endpoint: &Endpoint, has_head: bool, answer: &Answer<'_>) {
        let now = Moment::now();
        endpoint.server.note_refused_request(&EndedRequest {
            client: None,
            principal: self.admitted.filter(|_| has_head).unwrap_or(self.peer),
            method: self.asked.take().map(Method::as_str),
            tool: None,
            result: RequestResult::Refused(answer.status.code()),
            answer_bytes: answer.body.refusal_bytes(),
            took: Duration::from_nanos(now.ns_since(self.round_trips.came().or_else(|| now))),
        });
    }

    fn write_body(&mut self, endpoint: &Endpoint, body: AnswerBody<'_>, framing: StreamFraming) {
        let buffers = endpoint.server.buffers();
        let mut append = |text: &str| {
            self.outbox.append(buffers, text.len(), |out| out.extend_from_slice(text.as_bytes()));
        };
        match body {
            AnswerBody::None => {}
            AnswerBody::Text(text) | AnswerBody::Html(text) | AnswerBody::Json(text) => append(text),
            AnswerBody::Refusal(text) => append(&text),
            AnswerBody::Message(message) => self.outbox.push(message),
            AnswerBody::Streamed(answer) => {
                self.push_streamed(answer, framing);
                self.outbox.append(buffers, SHORT_BYTES, |out| event_stream::end_stream(out, framing));
            }
        }
    }

    fn push_streamed(&mut self, mut answer: Box<AnswerStream>, framing: StreamFraming) {
        if framing == StreamFraming::Chunked {
            answer.frame_segments(CHUNK_FRAME);
        }
        self.outbox.push_stream(answer);
    }

    /// Queues `100 Continue`, which a client may wait for before it sends the body.
    pub(super) fn continue_body(&mut self, endpoint: &Endpoint) {
        self.outbox.append(endpoint.server.buffers(), SHORT_BYTES, response::write_continue);
    }

    /// Queues the head of an event stream.
    pub(super) fn begin_stream(&mut self, endpoint: &Endpoint, head: &RequestHead) -> StreamFraming {
        let framing = framing_for(Some(head));
        let persistence = match framing {
            StreamFraming::UntilClose => Persistence::Close,
            StreamFraming::Chunked => Persistence::of(head),
        };
        let origin = self.cors.take();
        let cors = origin.as_deref().map(|origin| Cors { origin, preflight: None });
        let response = ResponseHead {
            cors,
            ..ResponseHead::new(Status::Ok, persistence, Payload::EventStream(framing))
        };
        let extra = origin.as_ref().map_or(0, |origin| origin.len());
        self.outbox.append(endpoint.server.buffers(), STREAM_HEAD_BYTES + extra, |out| response.write(out));
        framing
    }

    /// Queues an event of a stream.
    pub(super) fn event(
        &mut self,
        endpoint: &Endpoint,
        framing: StreamFraming,
        event: Event<'_>,
        data: &[u8],
    ) {
        let bytes = data.len() + EVENT_BYTES;
        self.outbox.append(endpoint.server.buffers(), bytes, |out| event.write(out, framing, data));
    }

    /// Queues the answer of a request as an event of its stream.
    pub(super) fn answer_event(&mut self, endpoint: &Endpoint, framing: StreamFraming, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Streamed(answer) => answer,
            outcome => {
                if let Some(answer) = outcome.into_answer() {
                    self.event(endpoint, framing, Event::default(), &answer);
                }
                return;
            }
        };
        self.streamed_event(endpoint, framing, Event::default(), answer);
    }

    /// Queues an event whose data is written while it is sent.
    pub(super) fn streamed_event(
        &mut self,
        endpoint: &Endpoint,
        framing: StreamFraming,
        event: Event<'_>,
        answer: Box<AnswerStream>,
    ) {
        let buffers = endpoint.server.buffers();
        self.outbox.append(buffers, EVENT_BYTES, |out| event.begin(out, framing));
        self.push_streamed(answer, framing);
        self.outbox.append(buffers, SHORT_BYTES, |out| event_stream::end_event(out, framing));
    }

    /// Queues an empty comment, which shows client and proxies that the stream is alive.
    pub(super) fn comment(&mut self, endpoint: &Endpoint, framing: StreamFraming) {
        self.outbox.append(endpoint.server.buffers(), SHORT_BYTES, |out| {
            event_stream::write_comment(out, framing);
        });
    }

    /// Queues what a client skips and what shows whether it is still there: a comment in a stream that has begun, and before
    /// an answer `100 Continue`, which every client of HTTP/1.1 knows. Returns `false` if there is nothing of that kind.
    #[cold]
    pub(super) fn probe(
        &mut self,
        endpoint: &Endpoint,
        head: &RequestHead,
        framing: Option<StreamFraming>,
    ) -> bool {
        match (framing, head.version) {
            (Some(framing), _) => self.comment(endpoint, framing),
            (None, Version::Http11) => self.continue_body(endpoint),
            (None, Version::Http10) => return false,
        }
        true
    }

    /// Queues the end of a stream.
    pub(super) fn end_stream(&mut self, endpoint: &Endpoint, head: &RequestHead, framing: StreamFraming) {
        self.outbox.append(endpoint.server.buffers(), SHORT_BYTES, |out| {
            event_stream::end_stream(out, framing);
        });
        self.is_last = framing == StreamFraming::UntilClose
            || Persistence::of(head) == Persistence::Close
            || endpoint.drain.has_begun();
    }
}

/// How a stream is framed that answers a request with that head.
fn framing_for(head: Option<&RequestHead>) -> StreamFraming {
    match head.map(|head| head.version) {
        Some(Version::Http11) => StreamFraming::Chunked,
        // Chunks are for clients that speak HTTP/1.1.
        Some(Version::Http10) | None => StreamFraming::UntilClose,
    }
}
