//! A stream of a session on its way to a client: the answer to one request, or what the session sends unasked.
//!
//! The event store keeps the stream and this file follows it, so that the stream outlives its connection. At most a
//! few events wait in the outbox; the rest stay in the store, where they are bounded and where a client that
//! reconnects finds them.

use super::answer::{Answer, AnswerBody};
use super::codec::event_stream::Event;
use super::codec::head::RequestHead;
use super::codec::words::{Status, StreamFraming};
use super::endpoint::Endpoint;
use super::sender::{NextAction, Progress, Sender};
use crate::protocol::Revision;
use crate::server::{EventData, Session, StreamItem, StreamReader, StreamWriter};
use mcpool_pools::BufferLease;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How long a client waits before it reconnects for the rest of a stream that the server ended.
const RETRY_MS: u32 = 500;

/// A stream of a session on its way to a client.
pub(super) struct SessionStream {
    reader: StreamReader,
    session: Arc<Session>,
    head: RequestHead,
    /// The writing end, for a stream that also carries what the session sends unasked.
    notices: Option<StreamWriter>,
    /// The first event is an empty one with an id: clients of 2025-11-25 send its id when they reconnect.
    is_primed: bool,
    /// The stream answers a request. Nothing is sent before its first event, as an answer that comes first and alone
    /// needs no stream.
    is_answer: bool,
    /// How the stream is framed; `None` until its head is sent.
    framing: Option<StreamFraming>,
    /// The last message, for a client that takes no stream: it will be the answer.
    last: Option<AnswerBody<'static>>,
}

impl SessionStream {
    /// The stream of a request that waits, and its writing end.
    pub(super) fn of_request(
        endpoint: &Endpoint,
        session: &Arc<Session>,
        head: &RequestHead,
    ) -> (StreamWriter, Self) {
        let (writer, reader) = endpoint.server.open_event_stream(session);
        let stream = Self {
            reader,
            session: Arc::clone(session),
            head: *head,
            notices: None,
            is_primed: session.revision() == Some(Revision::V2025_11_25),
            is_answer: true,
            framing: None,
            last: None,
        };
        (writer, stream)
    }

    /// The stream that a client asks for by GET: a new one, or the rest of the one whose event `last_event` it
    /// received last. `None`: that stream is gone.
    pub(super) fn of_session(
        endpoint: &Endpoint,
        session: Arc<Session>,
        last_event: Option<&[u8]>,
        head: &RequestHead,
    ) -> Option<Self> {
        let (reader, notices) = match last_event {
            None => {
                let (writer, reader) = endpoint.server.open_event_stream(&session);
                endpoint.server.subscribe_legacy_client(&session);
                (reader, Some(writer))
            }
            Some(id) => (endpoint.server.resume_event_stream(&session, id)?, None),
        };
        let head = *head;
        Some(Self {
            reader,
            session,
            head,
            notices,
            is_primed: false,
            is_answer: false,
            framing: None,
            last: None,
        })
    }

    /// Ends a stream that would last as long as its session.
    pub(super) fn begin_closing(&mut self) {
        self.notices = None;
    }

    /// Sends the head of the stream, unless that is done.
    pub(super) fn begin(&mut self, endpoint: &Endpoint, sender: &mut Sender) -> StreamFraming {
        if let Some(framing) = self.framing {
            return framing;
        }
        let framing = sender.begin_stream(endpoint, &self.head);
        self.framing = Some(framing);
        if self.is_primed {
            let id = self.reader.event_id(0);
            let event = Event { id: Some(&id), retry_ms: Some(RETRY_MS), ..Event::default() };
            sender.event(endpoint, framing, event, b"");
        }
        framing
    }

    /// Sends a sign of life, and begins the stream for a client that can read it.
    pub(super) fn keep_alive(&mut self, endpoint: &Endpoint, sender: &mut Sender) {
        if self.head.accepts.event_stream {
            let framing = self.begin(endpoint, sender);
            sender.comment(endpoint, framing);
        }
    }

    /// Sends what shows whether the client is there, if it can take something now.
    pub(super) fn probe(&self, endpoint: &Endpoint, sender: &mut Sender) -> bool {
        sender.probe(endpoint, &self.head, self.framing)
    }

    /// Sends the next event that is there.
    pub(super) fn advance(
        &mut self,
        endpoint: &Endpoint,
        sender: &mut Sender,
        cx: &mut Context<'_>,
    ) -> Progress {
        if !sender.outbox.may_send_ahead() {
            return Progress::Pending(NextAction::Wait);
        }
        self.store_notices(endpoint, cx);
        if self.session.is_closed() {
            self.begin_closing();
        }
        match self.reader.poll_next(cx) {
            Poll::Pending => Progress::Pending(NextAction::Read),
            Poll::Ready(StreamItem::Event { number, message, is_last }) => {
                let is_alone = is_last && self.is_answer && self.framing.is_none();
                if is_alone || !self.head.accepts.event_stream {
                    let dropped = self.last.replace(self.body(endpoint, &message.data));
                    endpoint.server.metrics().dropped_notifications.add(u64::from(dropped.is_some()));
                } else {
                    self.send_event(endpoint, sender, number, &message.data);
                }
                Progress::Pending(NextAction::Continue)
            }
            Poll::Ready(item @ (StreamItem::Released | StreamItem::Ended)) => {
                // A client that is to reconnect must know the id to reconnect with.
                if matches!(item, StreamItem::Released) && self.head.accepts.event_stream {
                    self.begin(endpoint, sender);
                }
                self.end(endpoint, sender);
                Progress::Answered
            }
        }
    }

    fn send_event(&mut self, endpoint: &Endpoint, sender: &mut Sender, number: u64, data: &EventData) {
        let framing = self.begin(endpoint, sender);
        let id = self.reader.event_id(number);
        let event = Event { id: Some(&id), ..Event::default() };
        match data {
            EventData::Message(message) => sender.event(endpoint, framing, event, message),
            EventData::Packed(message) => sender.event(endpoint, framing, event, message),
            EventData::Streamed(answer) => {
                let answer = endpoint.server.send_streamed(answer, &self.session);
                sender.streamed_event(endpoint, framing, event, Box::new(answer));
            }
        }
    }

    /// The data of an event as the body of an answer.
    fn body(&self, endpoint: &Endpoint, data: &EventData) -> AnswerBody<'static> {
        match data {
            EventData::Message(message) => AnswerBody::Message(copied(endpoint, message)),
            EventData::Packed(message) => AnswerBody::Message(copied(endpoint, message)),
            EventData::Streamed(answer) => {
                AnswerBody::Streamed(Box::new(endpoint.server.send_streamed(answer, &self.session)))
            }
        }
    }

    /// Moves notices of the session into the stream, one at a time and while there is room: the others are
    /// flags of the session and not lost.
    fn store_notices(&mut self, endpoint: &Endpoint, cx: &mut Context<'_>) {
        let Some(writer) = &self.notices else { return };
        while !writer.has_unread()
            && let Some(notice) = endpoint.server.next_notice(&self.session, cx)
        {
            if writer.push(notice).is_err() {
                endpoint.server.metrics().dropped_notifications.add(1);
            }
        }
    }

    fn end(&mut self, endpoint: &Endpoint, sender: &mut Sender) {
        match (self.framing, self.last.take()) {
            (Some(framing), _) => sender.end_stream(endpoint, &self.head, framing),
            (None, Some(last)) => {
                sender.answer(endpoint, &self.head, Answer::new(Status::Ok, last));
            }
            (None, None) => sender.answer(endpoint, &self.head, Answer::plain(Status::Accepted)),
        }
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        if !self.is_answer {
            self.session.forget_writer();
        }
    }
}

fn copied(endpoint: &Endpoint, message: &[u8]) -> BufferLease {
    let mut copy = endpoint.server.buffers().acquire(message.len());
    copy.extend_from_slice(message);
    copy
}
