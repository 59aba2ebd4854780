//! Event streams: the notifications and the answer of one request, or what a session is told unasked.
//!
//! A stream of a session is kept by the event store and only followed here, so that it outlives its
//! connection. At most a few events wait in the outbox; the rest stay in the store, where they are bounded
//! and where a client that comes back finds them.

use super::codec::head::{RequestHead, Version};
use super::codec::response::{self, Event, Payload, Persistence, ResponseHead, Status, StreamFraming};
use super::endpoint::Endpoint;
use super::exchange::{Exchange, State, Turn};
use super::reply::{Answer, AnswerBody};
use crate::protocol::Revision;
use crate::server::{Session, StreamItem, StreamReader, StreamWriter};
use mcpool_pools::BufferLease;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Room for the head of a stream, and for what stands around the data of an event.
const HEAD_BYTES: usize = 512;
const EVENT_BYTES: usize = 160;
/// Bytes of a stream that may wait in the outbox: what is behind them waits where it is bounded.
pub(super) const SENT_AHEAD_BYTES: usize = 64 * 1024;
/// How long a client shall wait before it comes back for the rest of a stream that the server ended.
const RETRY_MS: u32 = 500;

/// A stream of a session on its way to a client.
pub(super) struct Follow {
    reader: StreamReader,
    session: Arc<Session>,
    head: RequestHead,
    /// The stream tells what the session is told unasked, too.
    carries_notices: Option<StreamWriter>,
    /// The first event is an empty one with an id: clients of 2025-11-25 know how to come back.
    is_primed: bool,
    /// The stream answers a request: nothing is sent before there is something to say, as an answer that comes
    /// first and alone needs no stream.
    is_answer: bool,
    framing: Option<StreamFraming>,
    /// For a client that takes no stream: the last message, which will be the answer.
    last: Option<BufferLease>,
}

impl Follow {
    /// The stream of a request that waits, and its writing end.
    pub(super) fn request(
        endpoint: &Endpoint,
        session: &Arc<Session>,
        head: &RequestHead,
    ) -> (StreamWriter, Self) {
        let (writer, reader) = endpoint.server.open_event_stream(session);
        let follow = Self {
            reader,
            session: Arc::clone(session),
            head: *head,
            carries_notices: None,
            is_primed: session.revision() == Some(Revision::V2025_11_25),
            is_answer: true,
            framing: None,
            last: None,
        };
        (writer, follow)
    }

    /// The stream that a client asks for by GET: a new one, or the rest of the one that it saw `last_event` of.
    pub(super) fn session(
        endpoint: &Endpoint,
        session: Arc<Session>,
        last_event: Option<&[u8]>,
        head: &RequestHead,
    ) -> Option<Self> {
        let (reader, carries_notices) = match last_event {
            None => {
                let (writer, reader) = endpoint.server.open_event_stream(&session);
                endpoint.server.tell_of_changes(&session);
                (reader, Some(writer))
            }
            Some(id) => (endpoint.server.resume_event_stream(&session, id)?, None),
        };
        Some(Self {
            reader,
            session,
            head: *head,
            carries_notices,
            is_primed: false,
            is_answer: false,
            framing: None,
            last: None,
        })
    }

    /// Ends a stream that would last as long as its session.
    pub(super) fn begin_closing(&mut self) {
        self.carries_notices = None;
    }
}

/// How a stream that answers this request is framed.
pub(super) fn framing(head: &RequestHead) -> StreamFraming {
    match head.version {
        Version::Http10 => StreamFraming::UntilClose,
        Version::Http11 => StreamFraming::Chunked,
    }
}

fn copied(endpoint: &Endpoint, message: &[u8]) -> BufferLease {
    let mut copy = endpoint.server.buffers().acquire(message.len());
    copy.extend_from_slice(message);
    copy
}

impl Exchange {
    /// Begins to follow a stream of a session.
    pub(super) fn begin_following(&mut self, endpoint: &Endpoint, mut follow: Follow, head: &RequestHead) {
        if !follow.is_answer && head.accepts.event_stream {
            self.begin_followed(endpoint, &mut follow);
        }
        self.state = State::Follow(follow);
    }

    /// Begins to send a stream of a session, if that has not begun.
    fn begin_followed(&mut self, endpoint: &Endpoint, follow: &mut Follow) -> StreamFraming {
        if let Some(framing) = follow.framing {
            return framing;
        }
        let framing = framing(&follow.head);
        follow.framing = Some(framing);
        self.begin_stream(endpoint, &follow.head, framing);
        if follow.is_primed {
            let id = follow.reader.event_id(0);
            let event = Event { id: Some(&id), retry_ms: Some(RETRY_MS), ..Event::default() };
            self.event(endpoint, framing, event, b"");
        }
        framing
    }

    /// A sign of life on a stream of a session; begins it for a client that can read it.
    pub(super) fn keep_followed_alive(&mut self, endpoint: &Endpoint) {
        let State::Follow(mut follow) = std::mem::replace(&mut self.state, State::Head) else { return };
        if follow.head.accepts.event_stream {
            let framing = self.begin_followed(endpoint, &mut follow);
            self.comment(endpoint, framing);
        }
        self.state = State::Follow(follow);
    }

    /// Sends what is there of a session's stream.
    pub(super) fn follow(&mut self, endpoint: &Arc<Endpoint>, cx: &mut Context<'_>) -> Turn {
        if self.outbox.queued_bytes() > SENT_AHEAD_BYTES {
            return Turn::Wait;
        }
        let State::Follow(mut follow) = std::mem::replace(&mut self.state, State::Head) else {
            return Turn::Wait;
        };
        if let Some(writer) = &follow.carries_notices {
            // One at a time, when there is room: what stays behind is a flag of the session and not lost.
            while !writer.is_waited_for()
                && let Some(notice) = endpoint.server.next_notice(&follow.session, cx)
            {
                if writer.push(notice).is_err() {
                    endpoint.server.metrics().dropped_notifications.add(1);
                }
            }
        }
        if follow.session.is_closed() {
            follow.begin_closing();
        }
        let head = follow.head;
        match follow.reader.poll_next(cx) {
            Poll::Pending => {
                self.state = State::Follow(follow);
                Turn::Read
            }
            Poll::Ready(StreamItem::Event { number, message, is_last }) => {
                let is_alone = is_last && follow.is_answer && follow.framing.is_none();
                if is_alone || !head.accepts.event_stream {
                    let last = follow.last.replace(copied(endpoint, &message));
                    endpoint.server.metrics().dropped_notifications.add(u64::from(last.is_some()));
                } else {
                    let framing = self.begin_followed(endpoint, &mut follow);
                    let id = follow.reader.event_id(number);
                    self.event(endpoint, framing, Event { id: Some(&id), ..Event::default() }, &message);
                }
                self.state = State::Follow(follow);
                Turn::Moved
            }
            Poll::Ready(item @ (StreamItem::Released | StreamItem::Ended)) => {
                // Who is to come back must know where.
                if matches!(item, StreamItem::Released) && head.accepts.event_stream {
                    self.begin_followed(endpoint, &mut follow);
                }
                match (follow.framing, follow.last.take()) {
                    (Some(framing), _) => self.end_stream(endpoint, &head, framing),
                    (None, Some(last)) => {
                        let answer = Answer::new(Status::Ok, AnswerBody::Message(last));
                        self.answer(endpoint, answer, Some(&head), Persistence::of(&head));
                    }
                    (None, None) => {
                        self.answer(
                            endpoint,
                            Answer::plain(Status::Accepted),
                            Some(&head),
                            Persistence::of(&head),
                        );
                    }
                }
                Turn::Moved
            }
        }
    }

    pub(super) fn begin_stream(&mut self, endpoint: &Endpoint, head: &RequestHead, framing: StreamFraming) {
        let origin = self.cors.take();
        let cors = origin.as_deref().map(|origin| response::Cors { origin, preflight: None });
        let persistence = match framing {
            StreamFraming::Chunked => Persistence::of(head),
            StreamFraming::UntilClose => Persistence::Close,
        };
        let response = ResponseHead {
            cors,
            ..ResponseHead::new(Status::Ok, persistence, Payload::EventStream(framing))
        };
        let extra = origin.as_ref().map_or(0, |origin| origin.len());
        self.outbox.append(endpoint.server.buffers(), HEAD_BYTES + extra, |out| response.write(out));
    }

    pub(super) fn event(
        &mut self,
        endpoint: &Endpoint,
        framing: StreamFraming,
        event: Event<'_>,
        data: &[u8],
    ) {
        let bytes = data.len() + EVENT_BYTES;
        self.was_large |= crate::server::Server::is_large(bytes);
        self.outbox.append(endpoint.server.buffers(), bytes, |out| event.write(out, framing, data));
    }

    pub(super) fn comment(&mut self, endpoint: &Endpoint, framing: StreamFraming) {
        self.outbox.append(endpoint.server.buffers(), 32, |out| response::write_comment(out, framing));
    }

    pub(super) fn end_stream(&mut self, endpoint: &Endpoint, head: &RequestHead, framing: StreamFraming) {
        self.outbox.append(endpoint.server.buffers(), 32, |out| response::end_stream(out, framing));
        let is_last = framing == StreamFraming::UntilClose
            || Persistence::of(head) == Persistence::Close
            || endpoint.drain.has_begun();
        self.state = if is_last { State::Closing } else { State::Head };
    }
}
