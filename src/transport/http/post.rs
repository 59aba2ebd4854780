//! A POST being served: its message or batch, answered at once or waiting.
//!
//! What completes on its first poll is answered as JSON. A modern request that waits is cancelled when its connection
//! closes. A legacy one moves into a task of its own with a stream of its session: it goes on when the connection
//! closes, and its client may reconnect for the answer.

use super::answer::{Answer, parse_session};
use super::codec::event_stream::Event;
use super::codec::head::{RequestHead, Span};
use super::codec::words::StreamFraming;
use super::endpoint::Endpoint;
use super::sender::{NextAction, Progress, Sender};
use super::stream::SessionStream;
use crate::memory::ClientName;
use crate::metrics::Moment;
use crate::server::{
    Batch, BatchMessage, BatchTurn, Caller, CountedRequest, FrameOrigin, HeadPart, HttpFacts, InBatch,
    Outcome, Outgoing, RequestSlot, Saturation, Server, Session, SessionField, SessionKey, StreamWriter,
};
use crate::transport::admission::AdmittedPeer;
use crate::wire::Frame;
use mcpool_pools::{BufferLease, Lease};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

/// A POST whose body has come.
pub(super) struct PostRequest<'a> {
    pub(super) head: &'a RequestHead,
    /// The head and the body, and nothing after them.
    pub(super) buffer: BufferLease,
    /// Where the body lies in `buffer`.
    pub(super) range: Range<usize>,
    pub(super) admitted: AdmittedPeer,
}

/// Where the answer of a request goes.
struct ReplyTo<'a> {
    endpoint: &'a Endpoint,
    sender: &'a mut Sender,
    head: &'a RequestHead,
}

impl ReplyTo<'_> {
    fn answer(&mut self, outcome: Outcome) {
        self.sender.answer(self.endpoint, self.head, Answer::of(outcome));
    }
}

/// What became of a POST after its first poll.
pub(super) enum FirstPoll {
    /// Its answer is queued whole.
    Answered,
    /// It waits, and its connection with it.
    Waits(WaitingPost),
    /// It is a batch that gave the thread back between two messages, and woke its task.
    Yields(YieldedPost),
    /// It goes on in a task; this stream will carry its answer.
    Streams(SessionStream),
}

impl PostRequest<'_> {
    /// Serves the message or batch until it is done or has to wait.
    pub(super) fn serve(self, endpoint: &Endpoint, sender: &mut Sender, cx: &mut Context<'_>) -> FirstPoll {
        let Self { head, buffer, range, admitted } = self;
        let server = &endpoint.server;
        server.metrics().frames.add(1);
        let named = head.session_id.map(|span| parse_session(span.text(&buffer)));
        let found = named.flatten().and_then(|id| server.find_session(id, admitted.principal.key()));
        let field = match (&named, &found) {
            (None, _) => SessionField::Absent,
            (_, None) => SessionField::Unknown,
            (_, Some(_)) => SessionField::Known,
        };
        let session = found.unwrap_or_else(|| server.stateless_session());
        let frame = Frame::whole(buffer, range);
        let outgoing = Arc::clone(&sender.outgoing);
        let came = sender.round_trips.came().or_else(Moment::now);
        sender.owner = SessionKey { principal: admitted.principal.key(), session: session.number() };
        let mut post = Post {
            slot: server.slot(),
            batch: None,
            session,
            admitted,
            outgoing,
            is_detached: false,
            has_yielded: false,
            first_poll_of: Some(came),
            counted: None,
            connection: sender.connection,
        };
        let origin = FrameOrigin {
            saturation: post.saturation(server),
            http: Some(http_facts(head, field)),
            ..FrameOrigin::default()
        };
        let mut to = ReplyTo { endpoint, sender, head };
        if Batch::is_batch(&frame) {
            if !post.begin_batch(&mut to, frame, origin) {
                return FirstPoll::Answered;
            }
        } else {
            post.fill(frame, origin);
        }
        post.serve(to, named.flatten(), cx)
    }
}

/// What the head says about the message of the body.
fn http_facts(head: &RequestHead, session: SessionField) -> HttpFacts {
    let part = |span: Option<Span>| HeadPart::at(span?.range());
    HttpFacts {
        session,
        version: part(head.protocol_version),
        method: part(head.mcp_method),
        name: part(head.mcp_name),
        has_params: head.has_mcp_params,
    }
}

/// The messages of one POST.
struct Post {
    slot: Lease<RequestSlot>,
    batch: Option<Batch>,
    session: Arc<Session>,
    admitted: AdmittedPeer,
    outgoing: Arc<Outgoing>,
    /// It goes on without its connection.
    is_detached: bool,
    /// Its batch goes on with the next message: the last one in the slot is done.
    has_yielded: bool,
    /// When the message came that was not polled yet.
    first_poll_of: Option<Moment>,
    /// The message in the slot among those that wait, while it does.
    counted: Option<CountedRequest>,
    /// The number of the connection.
    connection: u32,
}

impl Post {
    /// Polls what can go on; ready when all is answered. A long batch gives the thread back between its messages.
    fn poll(&mut self, server: &Server, waker: &Waker) -> Poll<Outcome> {
        let mut turn = BatchTurn::begin();
        loop {
            if !std::mem::take(&mut self.has_yielded) {
                let outcome = ready!(self.poll_message(server, waker));
                if self.batch.is_none() {
                    return Poll::Ready(outcome);
                }
                self.take_batch_outcome(server, outcome);
                turn.note_served();
            }
            if turn.is_over() {
                self.has_yielded = true;
                waker.wake_by_ref();
                return Poll::Pending;
            }
            let Some(batch) = &mut self.batch else { return Poll::Ready(Outcome::Silent) };
            let Some(BatchMessage { frame, repeats_id }) = batch.next_message(&server.shared) else {
                let closed = self.batch.take().map(|batch| batch.close(&server.shared, &self.session));
                return Poll::Ready(closed.unwrap_or(Outcome::Silent));
            };
            let http = HttpFacts { session: SessionField::Known, ..HttpFacts::default() };
            let origin = FrameOrigin {
                in_batch: true,
                saturation: if self.is_detached { None } else { self.saturation(server) },
                repeats_id,
                http: Some(http),
                ..FrameOrigin::default()
            };
            self.fill(frame, origin);
        }
    }

    /// Does what the outcome of a message of the batch asks for.
    fn take_batch_outcome(&mut self, server: &Server, outcome: Outcome) {
        if matches!(outcome, Outcome::Cancel) {
            self.cancel_other(server);
        }
        if let Some(batch) = &mut self.batch {
            batch.take_answer(&server.shared, outcome);
        }
    }

    /// What keeps a request from waiting beside those that run without a connection. Requests already running are not
    /// affected.
    fn saturation(&self, server: &Server) -> Option<Saturation> {
        server.saturation(self.session.running())
    }

    /// Stops the request that the message names.
    fn cancel_other(&self, server: &Server) {
        let latencies = server.latencies();
        if latencies.correlate(|| self.session.cancel(self.slot.call_state())) {
            server.metrics().cancelled_requests.add(1);
        }
    }

    /// Polls the message that is being served; one that was cancelled ends in silence, and the batch that it is in
    /// goes on.
    fn poll_message(&mut self, server: &Server, waker: &Waker) -> Poll<Outcome> {
        if self.slot.call().is_cancelled() {
            self.cancel();
            return Poll::Ready(Outcome::Silent);
        }
        let polled = self.slot.poll(waker);
        if polled.is_ready() {
            self.counted = None;
        } else if self.counted.is_none() {
            let bytes = self.slot.bytes() + size_of::<Self>();
            self.counted = Some(CountedRequest::new(&server.shared, bytes));
        }
        let came = self.first_poll_of.take();
        if polled.is_pending() && came.is_none() {
            return Poll::Pending;
        }
        let now = Moment::now();
        if let Some(came) = came {
            server.latencies().messages.record(now.ns_since(came));
        }
        polled.map(|served| server.record_end(served, &self.slot, now))
    }

    /// Drops the message in the slot unanswered.
    fn cancel(&mut self) {
        self.slot.cancel();
        self.counted = None;
    }

    fn fill(&mut self, frame: Frame, origin: FrameOrigin) {
        let came = *self.first_poll_of.get_or_insert_with(Moment::now);
        let caller = Caller {
            connection: self.connection,
            came,
            outgoing: Some(&self.outgoing),
            principal: self.admitted.principal.key(),
            is_admin: self.admitted.is_admin,
            takes_streams: self.batch.as_ref().is_none_or(Batch::takes_streams),
            in_batch: self.batch.as_ref().map_or(InBatch::No, Batch::memory_rule),
            task: None,
        };
        let session = Arc::clone(&self.session);
        self.slot.fill(caller, session, frame, origin);
    }

    /// Fills the slot with the first message of a batch. Returns `false` if the batch was answered instead.
    fn begin_batch(&mut self, to: &mut ReplyTo<'_>, frame: Frame, origin: FrameOrigin) -> bool {
        let server = &to.endpoint.server;
        let principal = self.admitted.principal;
        let opened = Batch::open(&server.shared, &self.session, frame, self.session.ids(), principal.key());
        let mut batch = match opened {
            Ok(batch) => batch,
            Err(refused) => {
                to.answer(refused);
                return false;
            }
        };
        let charged = to.endpoint.admission.charge_batch(principal, batch.len(), Instant::now());
        if let Err(refusal) = charged {
            tracing::warn!(client = %ClientName(principal.key()), "refused: {refusal}");
            to.sender.reject(to.endpoint, to.head, &refusal);
            return false;
        }
        let Some(BatchMessage { frame, repeats_id }) = batch.next_message(&server.shared) else {
            return false;
        };
        self.batch = Some(batch);
        self.fill(frame, FrameOrigin { in_batch: true, repeats_id, ..origin });
        true
    }

    /// Serves what is there until it is done or has to wait. `named` is the session that the request names: a
    /// handshake replaces it.
    fn serve(mut self, mut to: ReplyTo<'_>, named: Option<u128>, cx: &mut Context<'_>) -> FirstPoll {
        let server = &to.endpoint.server;
        loop {
            match self.poll(server, cx.waker()) {
                Poll::Ready(outcome) => {
                    if let (Outcome::Opened { .. }, Some(replaced)) = (&outcome, named) {
                        server.end_session(replaced, self.admitted.principal.key());
                    }
                    self.finish(to, outcome);
                    return FirstPoll::Answered;
                }
                Poll::Pending if self.has_yielded => {
                    return FirstPoll::Yields(YieldedPost { post: self, head: *to.head });
                }
                Poll::Pending if self.slot.call().is_legacy() => {}
                Poll::Pending => {
                    return FirstPoll::Waits(WaitingPost { post: self, head: *to.head, framing: None });
                }
            }
            let max = server.limits().max_concurrent_requests;
            let Err(reason) = self.session.begin(self.slot.call_state(), self.batch.is_some(), max) else {
                return FirstPoll::Streams(self.detach(to));
            };
            let refusal = server.refuse_to_detach(&self.slot, reason);
            let Some(batch) = &mut self.batch else {
                to.answer(refusal);
                return FirstPoll::Answered;
            };
            // In a batch, one message cannot wait; the others have their answers.
            batch.take_answer(&server.shared, refusal);
            self.cancel();
        }
    }

    /// Answers what was served at once.
    fn finish(&self, mut to: ReplyTo<'_>, outcome: Outcome) {
        let endpoint = to.endpoint;
        if matches!(outcome, Outcome::Cancel) {
            self.cancel_other(&endpoint.server);
        }
        let is_streamed =
            matches!(outcome, Outcome::Reply(_) | Outcome::Streamed(_)) && !to.sender.outgoing.is_empty();
        if !is_streamed || !to.head.accepts.event_stream {
            to.sender.drop_outgoing(endpoint);
            to.sender.round_trips.note_answer();
            return to.answer(outcome);
        }
        let ReplyTo { sender, head, .. } = to;
        let framing = sender.begin_stream(endpoint, head);
        while let Some(message) = sender.outgoing.next() {
            sender.event(endpoint, framing, Event::default(), &message);
        }
        sender.answer_event(endpoint, framing, outcome);
        sender.end_stream(endpoint, head, framing);
    }

    /// Moves a legacy request that waits, and that its session counts as running, into a task and a stream of its
    /// session.
    fn detach(mut self, to: ReplyTo<'_>) -> SessionStream {
        let ReplyTo { endpoint, sender, head } = to;
        let server = endpoint.server.clone();
        let call = Arc::clone(self.slot.call_state());
        let is_batch = self.batch.is_some();
        self.is_detached = true;
        let session = Arc::clone(&self.session);
        let (writer, stream) = SessionStream::of_request(endpoint, &session, head);
        // The request keeps the queue that its handler holds; the connection takes a new one.
        sender.renew_outgoing(server.limits().max_stream_bytes);
        tokio::spawn(async move {
            let answer = drive(&server, &mut self, &writer).await.into_event();
            // Before the answer goes out: its client may use the id again at once.
            server.latencies().correlate(|| session.end(&call, is_batch));
            if let Some(answer) = answer {
                writer.push_answer(answer);
            }
        });
        stream
    }
}

impl Post {
    /// Heap bytes of what is served now.
    fn bytes(&self) -> usize {
        self.slot.bytes() + self.slot.frame_bytes()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// A batch between two of its messages, of which none waits.
pub(super) struct YieldedPost {
    post: Post,
    head: RequestHead,
}

impl YieldedPost {
    /// Heap bytes of the batch and its frame.
    pub(super) fn bytes(&self) -> usize {
        self.post.bytes()
    }

    /// Goes on with the next message.
    pub(super) fn resume(self, endpoint: &Endpoint, sender: &mut Sender, cx: &mut Context<'_>) -> FirstPoll {
        let Self { post, head } = self;
        post.serve(ReplyTo { endpoint, sender, head: &head }, None, cx)
    }
}

/// A modern request that waits.
pub(super) struct WaitingPost {
    post: Post,
    head: RequestHead,
    /// How its stream is framed; `None` while it needs none.
    framing: Option<StreamFraming>,
}

impl WaitingPost {
    /// Heap bytes of the request and its frame.
    pub(super) fn bytes(&self) -> usize {
        self.post.bytes()
    }

    /// Asks a subscription to end.
    pub(super) fn begin_closing(&self) {
        self.post.slot.call().begin_closing();
    }

    /// Sends a sign of life, and begins the stream for a client that can read it.
    pub(super) fn keep_alive(&mut self, endpoint: &Endpoint, sender: &mut Sender) {
        if !endpoint.admission.knows(self.post.admitted.principal.key()) {
            // Its token is no longer accepted.
            self.begin_closing();
        }
        if self.head.accepts.event_stream {
            let framing = self.begin_stream(endpoint, sender);
            sender.comment(endpoint, framing);
        }
    }

    /// Sends what shows whether the client is there, if it can take something before its answer.
    pub(super) fn probe(&self, endpoint: &Endpoint, sender: &mut Sender) -> bool {
        sender.probe(endpoint, &self.head, self.framing)
    }

    fn begin_stream(&mut self, endpoint: &Endpoint, sender: &mut Sender) -> StreamFraming {
        *self.framing.get_or_insert_with(|| sender.begin_stream(endpoint, &self.head))
    }

    /// Polls the request, and sends what its handler sent and its answer.
    pub(super) fn advance(
        &mut self,
        endpoint: &Endpoint,
        sender: &mut Sender,
        cx: &mut Context<'_>,
    ) -> Progress {
        self.post.outgoing.register(cx.waker());
        let polled = self.post.poll(&endpoint.server, cx.waker());
        let mut next = NextAction::Read;
        while sender.outbox.may_send_ahead() || polled.is_ready() {
            let Some(message) = self.post.outgoing.next() else { break };
            if !self.head.accepts.event_stream {
                endpoint.server.metrics().dropped_notifications.add(1);
                continue;
            }
            let framing = self.begin_stream(endpoint, sender);
            sender.event(endpoint, framing, Event::default(), &message);
            next = NextAction::Continue;
        }
        let Poll::Ready(outcome) = polled else { return Progress::Pending(next) };
        match self.framing {
            None => sender.answer(endpoint, &self.head, Answer::of(outcome)),
            Some(framing) => {
                sender.answer_event(endpoint, framing, outcome);
                sender.end_stream(endpoint, &self.head, framing);
            }
        }
        Progress::Answered
    }
}

/// Serves a legacy request to its end, whether or not its connection stays. What its handler sends goes to `writer`.
async fn drive(server: &Server, post: &mut Post, writer: &StreamWriter) -> Outcome {
    poll_fn(|cx| {
        post.slot.call().register(cx.waker());
        if post.session.is_closed() {
            return Poll::Ready(Outcome::Silent);
        }
        post.outgoing.register(cx.waker());
        let polled = post.poll(server, cx.waker());
        while let Some(message) = post.outgoing.next() {
            if writer.push(message).is_err() {
                server.metrics().dropped_notifications.add(1);
            }
        }
        if post.outgoing.take_release() {
            writer.release();
        }
        polled
    })
    .await
}
