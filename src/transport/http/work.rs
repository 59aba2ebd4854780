//! A POST at work: its message or batch, served at once or waiting.
//!
//! What completes on its first poll is answered as JSON. A modern request that waits lives and dies with its
//! connection. A legacy one moves into a task of its own with a stream of its session: closing the
//! connection does not cancel it, and its client may come back for the answer.

use super::codec::head::RequestHead;
use super::codec::response::{Event, Persistence, StreamFraming};
use super::endpoint::Endpoint;
use super::exchange::{Exchange, State, Turn};
use super::reply::{Answer, parse_session};
use super::stream::{self, Follow, SENT_AHEAD_BYTES};
use crate::server::{
    Batch, BatchMessage, Caller, FrameOrigin, HeadPart, HttpFacts, Outcome, Outgoing, RequestSlot, Server,
    Session, SessionField, StreamWriter,
};
use crate::transport::admission::Admitted;
use crate::wire::Frame;
use mcpool_pools::Lease;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The messages of one POST.
pub(super) struct Job {
    slot: Lease<RequestSlot>,
    batch: Option<Batch>,
    session: Arc<Session>,
    admitted: Admitted,
    outgoing: Arc<Outgoing>,
    /// It goes on without its connection.
    is_detached: bool,
}

impl Job {
    /// Polls what can go on; ready when all is answered.
    fn poll(&mut self, server: &Server, waker: &Waker) -> Poll<Outcome> {
        loop {
            let outcome = std::task::ready!(self.poll_message(server, waker));
            if self.batch.is_some() && matches!(outcome, Outcome::Cancel) {
                self.cancel_other(server);
            }
            let Some(batch) = &mut self.batch else { return Poll::Ready(outcome) };
            if let Some(answer) = outcome.into_answer() {
                batch.take_answer(&answer);
            }
            let Some(BatchMessage { frame, repeats_id }) = batch.next_message(&server.shared) else {
                let closed = self.batch.take().map(|batch| batch.close(&server.shared, &self.session));
                return Poll::Ready(closed.unwrap_or(Outcome::Silent));
            };
            let http = HttpFacts { session: SessionField::Known, ..HttpFacts::default() };
            let origin = FrameOrigin {
                in_batch: true,
                is_saturated: !self.is_detached && self.is_saturated(server),
                repeats_id,
                http: Some(http),
                ..FrameOrigin::default()
            };
            self.fill(frame, origin);
        }
    }

    /// Whether no more requests may go on without their connection. One that does already may go on.
    fn is_saturated(&self, server: &Server) -> bool {
        self.session.running() >= server.limits().max_concurrent_requests
    }

    /// Stops the request that the message names.
    fn cancel_other(&self, server: &Server) {
        if self.session.cancel(self.slot.call_state()) {
            server.metrics().cancelled_requests.add(1);
        }
    }

    /// Polls the message that is being served; one that was cancelled ends in silence, and the batch that it is in
    /// goes on.
    fn poll_message(&mut self, server: &Server, waker: &Waker) -> Poll<Outcome> {
        if self.slot.call().is_cancelled() {
            self.slot.cancel();
            return Poll::Ready(Outcome::Silent);
        }
        self.slot.poll(waker).map(|served| server.settle(served, &self.slot))
    }

    fn fill(&mut self, frame: Frame, origin: FrameOrigin) {
        let caller = Caller {
            outgoing: Some(&self.outgoing),
            principal: self.admitted.principal.key(),
            is_admin: self.admitted.is_admin,
            task: None,
        };
        let session = Arc::clone(&self.session);
        self.slot.fill(caller, session, frame, origin);
    }
}

/// A modern request that waits.
pub(super) struct Work {
    job: Job,
    head: RequestHead,
    framing: Option<StreamFraming>,
}

impl Work {
    /// Heap bytes of the request and its frame.
    pub(super) fn bytes(&self) -> usize {
        self.job.slot.bytes() + self.job.slot.frame_bytes()
    }

    /// Asks a subscription to come to its end.
    pub(super) fn begin_closing(&self) {
        self.job.slot.call().begin_closing();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.slot.cancel();
    }
}

impl Exchange {
    /// Serves the message at `range` of the input.
    pub(super) fn post(
        &mut self,
        endpoint: &Arc<Endpoint>,
        head: &RequestHead,
        range: Range<usize>,
        admitted: Admitted,
        cx: &mut Context<'_>,
    ) {
        let server = &endpoint.server;
        let Some(buffer) = self.hand_out(endpoint, &range) else { return };
        server.metrics().frames.add(1);
        self.was_large |= Server::is_large(range.len());
        let named = head.session_id.map(|span| parse_session(span.text(&buffer)));
        let found = named.flatten().and_then(|id| server.find_session(id, admitted.principal.key()));
        let field = match (&named, &found) {
            (None, _) => SessionField::Absent,
            (_, None) => SessionField::Unknown,
            (_, Some(_)) => SessionField::Known,
        };
        let session = found.unwrap_or_else(|| server.stateless_session());
        let frame = Frame::whole(buffer, range);
        let place = |span: Option<super::codec::head::Span>| HeadPart::at(span?.range());
        let http = HttpFacts {
            session: field,
            version: place(head.protocol_version),
            method: place(head.mcp_method),
            name: place(head.mcp_name),
            has_params: head.has_mcp_params,
        };
        let outgoing = Arc::clone(&self.outgoing);
        let mut job =
            Job { slot: server.slot(), batch: None, session, admitted, outgoing, is_detached: false };
        let is_saturated = job.is_saturated(server);
        if Batch::is_batch(&frame) {
            match Batch::open(&server.shared, &job.session, frame, job.session.ids()) {
                Err(refused) => {
                    return self.answer(endpoint, Answer::of(refused), Some(head), Persistence::of(head));
                }
                Ok(mut batch) => {
                    let principal = admitted.principal;
                    let charged = endpoint.admission.charge_batch(principal, batch.len(), Instant::now());
                    if let Err(refusal) = charged {
                        return self.reject(endpoint, head, &refusal);
                    }
                    let Some(BatchMessage { frame, repeats_id }) = batch.next_message(&server.shared) else {
                        return;
                    };
                    job.batch = Some(batch);
                    let origin = FrameOrigin {
                        in_batch: true,
                        is_saturated,
                        repeats_id,
                        http: Some(http),
                        ..FrameOrigin::default()
                    };
                    job.fill(frame, origin);
                }
            }
        } else {
            job.fill(frame, FrameOrigin { is_saturated, http: Some(http), ..FrameOrigin::default() });
        }
        self.serve(endpoint, head, job, named.flatten(), cx);
    }

    /// Serves what is there until it is done or has to wait. A handshake that names a session replaces it.
    fn serve(
        &mut self,
        endpoint: &Arc<Endpoint>,
        head: &RequestHead,
        mut job: Job,
        named: Option<u128>,
        cx: &mut Context<'_>,
    ) {
        let server = &endpoint.server;
        loop {
            match job.poll(server, cx.waker()) {
                Poll::Ready(outcome) => {
                    if let (Outcome::Opened { .. }, Some(replaced)) = (&outcome, named) {
                        server.end_session(replaced, job.admitted.principal.key());
                    }
                    return self.finish(endpoint, head, outcome, &job);
                }
                Poll::Pending if job.slot.call().is_legacy() => {}
                Poll::Pending => {
                    self.state = State::Work(Work { job, head: *head, framing: None });
                    return;
                }
            }
            let max = server.limits().max_concurrent_requests;
            let Err(reason) = job.session.begin(job.slot.call_state(), job.batch.is_some(), max) else {
                return self.detach(endpoint, head, job);
            };
            let refusal = server.refuse_unbegun(&job.slot, reason);
            let Some(batch) = &mut job.batch else {
                return self.answer(endpoint, Answer::of(refusal), Some(head), Persistence::of(head));
            };
            // Of a batch it is one message that cannot wait; the others have their answers.
            if let Some(answer) = refusal.into_answer() {
                batch.take_answer(&answer);
            }
            job.slot.cancel();
        }
    }

    /// Answers what was served at once.
    fn finish(&mut self, endpoint: &Endpoint, head: &RequestHead, outcome: Outcome, job: &Job) {
        if matches!(outcome, Outcome::Cancel) {
            job.cancel_other(&endpoint.server);
        }
        let is_streamed = matches!(outcome, Outcome::Reply(_)) && !self.outgoing.is_empty();
        if !is_streamed || !head.accepts.event_stream {
            self.drop_outgoing(endpoint);
            let answer = Answer::of(outcome);
            return self.answer(endpoint, answer, Some(head), Persistence::of(head));
        }
        let framing = stream::framing(head);
        self.begin_stream(endpoint, head, framing);
        while let Some(message) = self.outgoing.next() {
            self.event(endpoint, framing, Event::default(), &message);
        }
        if let Some(answer) = outcome.into_answer() {
            self.event(endpoint, framing, Event::default(), &answer);
        }
        self.end_stream(endpoint, head, framing);
    }

    /// Forgets, and counts, what there is no stream for.
    fn drop_outgoing(&self, endpoint: &Endpoint) {
        while self.outgoing.next().is_some() {
            endpoint.server.metrics().dropped_notifications.add(1);
        }
        self.outgoing.clear();
    }

    /// Goes on with a modern request that waits.
    pub(super) fn go_on(&mut self, endpoint: &Arc<Endpoint>, cx: &mut Context<'_>) -> Turn {
        let State::Work(work) = &mut self.state else { return Turn::Wait };
        self.outgoing.register(cx.waker());
        let polled = work.job.poll(&endpoint.server, cx.waker());
        let (head, mut framing) = (work.head, work.framing);
        let mut turn = Turn::Read;
        while self.outbox.queued_bytes() <= SENT_AHEAD_BYTES || polled.is_ready() {
            let Some(message) = self.outgoing.next() else { break };
            if !head.accepts.event_stream {
                endpoint.server.metrics().dropped_notifications.add(1);
                continue;
            }
            let framing = *framing.get_or_insert_with(|| {
                let framing = stream::framing(&head);
                self.begin_stream(endpoint, &head, framing);
                framing
            });
            self.event(endpoint, framing, Event::default(), &message);
            turn = Turn::Moved;
        }
        match polled {
            Poll::Pending => {
                if let State::Work(work) = &mut self.state {
                    work.framing = framing;
                }
                turn
            }
            Poll::Ready(outcome) => {
                match framing {
                    None => self.answer(endpoint, Answer::of(outcome), Some(&head), Persistence::of(&head)),
                    Some(framing) => {
                        if let Some(answer) = outcome.into_answer() {
                            self.event(endpoint, framing, Event::default(), &answer);
                        }
                        self.end_stream(endpoint, &head, framing);
                    }
                }
                Turn::Moved
            }
        }
    }

    /// A sign of life on a stream; begins one for a client that can read it.
    pub(super) fn keep_alive(&mut self, endpoint: &Endpoint) {
        if let State::Work(work) = &self.state
            && !endpoint.admission.knows(work.job.admitted.principal.key())
        {
            // Its token is not accepted any more.
            work.begin_closing();
        }
        let framing = match &mut self.state {
            State::Work(work) if work.head.accepts.event_stream => {
                let (head, was_open) = (work.head, work.framing.is_some());
                let framing = *work.framing.get_or_insert_with(|| stream::framing(&head));
                if !was_open {
                    self.begin_stream(endpoint, &head, framing);
                }
                framing
            }
            State::Follow(_) => return self.keep_followed_alive(endpoint),
            _ => return,
        };
        self.comment(endpoint, framing);
    }

    /// Moves a legacy request that waits, and that its session has taken in, into a task and a stream of its session.
    fn detach(&mut self, endpoint: &Arc<Endpoint>, head: &RequestHead, mut job: Job) {
        let server = endpoint.server.clone();
        let call = Arc::clone(job.slot.call_state());
        let is_batch = job.batch.is_some();
        job.is_detached = true;
        let session = Arc::clone(&job.session);
        let (writer, follow) = Follow::request(endpoint, &session, head);
        // The request keeps the queue that its handler holds; the exchange takes a new one.
        self.outgoing = Arc::new(Outgoing::new(server.limits().max_stream_bytes));
        let driver = async move {
            drive(&server, job, writer).await;
            session.end(&call, is_batch);
        };
        tokio::spawn(driver);
        self.begin_following(endpoint, follow, head);
    }
}

/// Serves a legacy request to its end, whoever listens.
async fn drive(server: &Server, mut job: Job, writer: StreamWriter) {
    let outcome = poll_fn(|cx| {
        job.slot.call().register(cx.waker());
        if job.session.is_closed() {
            return Poll::Ready(Outcome::Silent);
        }
        job.outgoing.register(cx.waker());
        let polled = job.poll(server, cx.waker());
        while let Some(message) = job.outgoing.next() {
            if writer.push(message).is_err() {
                server.metrics().dropped_notifications.add(1);
            }
        }
        if job.outgoing.take_release() {
            writer.release();
        }
        polled
    })
    .await;
    if let Some(answer) = outcome.into_answer() {
        writer.push_answer(answer);
    }
}
