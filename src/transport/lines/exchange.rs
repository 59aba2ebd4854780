//! One busy connection: the loop from bytes in to bytes out.
//!
//! All that a busy connection needs and an idle one does not, pooled as one object. Each round of the loop writes
//! what is ready, lets waiting requests go on, and reads when there is room for answers: a peer that does not
//! read its answers is not read from either, which bounds what it can make the server hold. Between rounds
//! nothing is leased but what requests in flight need.

use super::batches::Batches;
use super::peer::{Peer, ServeError};
use super::room::{LineRoom, UnfinishedLine};
use super::timeouts::{Progress, Timeout, Waiting, message_timeout};
use crate::limits::price;
use crate::metrics::Moment;
use crate::protocol::ProtocolError;
use crate::server::{
    AnswerStream, Batch, BatchMessage, BatchTurn, Caller, FrameOrigin, HeldAnswers, IdKey, InBatch, InFlight,
    Outcome, Outgoing, RequestIds, RequestSlot, Server, SessionKey, Undelivered, UndeliveredAnswers,
};
use crate::transport::connection_registry::{ConnectionRegistry, HeldBytes, Registration};
use crate::transport::outbox::Outbox;
use crate::transport::reclaim::reclaim_after;
use crate::transport::round_trips::RoundTrips;
use crate::transport::stack_read::poll_stack_read;
use crate::wire::{Frame, FrameError, FrameReader};
use mcpool_pools::{BufferPool, Lease, Recycle, Verdict};
use std::num::{NonZeroU32, NonZeroU64};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::coop::has_budget_remaining;

/// Frames served in one round before answers are written, so that a long read does not hold them back.
const FRAMES_A_ROUND: usize = 256;

/// The most that the system holds of what a peer has sent: the largest pipe that a user may make (`pipe(7)`).
const MAX_REST_BYTES: NonZeroU32 = NonZeroU32::MIN.saturating_add(1024 * 1024);

/// Where the answer of a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerTo {
    /// On a line of its own.
    Line,
    /// Into the batch of that number. No batch has number 0, so that this type fits into eight bytes.
    Batch(NonZeroU64),
}

/// Whether a step of the loop did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something was read, served or written: take another round.
    Progressed,
    /// Nothing can go on until the task is woken.
    Blocked,
}

/// One busy connection.
pub(super) struct Exchange {
    outgoing: Arc<Outgoing>,
    frames: FrameReader,
    // After the reader: its bytes are freed first.
    unfinished: UnfinishedLine,
    in_flight: InFlight<AnswerTo>,
    ids: Arc<RequestIds>,
    batches: Batches,
    batch_turn: BatchTurn,
    /// Nothing changed that the client wants to know of; if something does, there is another poll.
    awaits_notice: bool,
    outbox: Outbox,
    /// A slot whose request was answered at once, kept for the next frame of the same round.
    spare: Option<Lease<RequestSlot>>,
    is_reading: bool,
    /// How many bytes are still read at most, once the end is near. One is none, so that this type fits into four bytes.
    rest_bytes: Option<NonZeroU32>,
    /// The last read found less than it had room for.
    last_read_was_short: bool,
    progress: Progress,
    timeout: Timeout,
    round_trips: RoundTrips,
    registration: Registration,
    undelivered: UndeliveredAnswers,
}

const _: () = assert!(
    size_of::<usize>() != 8 || size_of::<Exchange>() <= 440,
    "each busy connection has one: the table of the memory tests counts it"
);

impl Exchange {
    /// Whether the connection still reads.
    pub(super) fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// What the system holds of what the peer has sent is read, as far as the peer takes the answers; then nothing more. One
    /// that goes on sending is not read for ever.
    pub(super) fn read_rest(&mut self) {
        self.rest_bytes.get_or_insert(MAX_REST_BYTES);
    }

    /// Whether only the rest is read.
    pub(super) fn reads_rest(&self) -> bool {
        self.rest_bytes.is_some()
    }

    /// Nothing more is read; subscriptions come to their end, and what else is in flight may finish.
    fn stop_reading(&mut self) {
        self.is_reading = false;
        self.in_flight.begin_closing();
    }

    /// Whether nothing is under way, so that the connection may let the exchange go.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && self.batches.is_empty()
            && self.outbox.is_empty()
            && self.outgoing.is_empty()
            && self.frames.is_at_rest()
    }

    /// What happened since this was asked last.
    pub(super) fn take_progress(&mut self) -> Progress {
        std::mem::take(&mut self.progress)
    }

    /// What the time-outs of the peer depend on.
    pub(super) fn waiting(&mut self) -> Waiting<'_> {
        let unfinished_bytes = self.frames.unfinished_bytes();
        let (awaits_room, unread) = (self.unfinished.awaits_room(), self.unfinished.unread_for());
        Waiting {
            timeout: &mut self.timeout,
            outbox: &mut self.outbox,
            unfinished_bytes,
            awaits_room,
            unread,
        }
    }

    /// Refuses a message whose end did not come in time; nothing more is read. Returns whether the peer took too long for that.
    #[cold]
    pub(super) fn refuse_late(&mut self, peer: &Peer) -> bool {
        if self.timeout != Timeout::Message {
            return false;
        }
        let (setting, allowed) = message_timeout(peer.server.limits(), self.frames.unfinished_bytes());
        let allowed_ms = u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(setting, allowed_ms, "a message did not come whole in time, and its connection ends");
        let error = ProtocolError::MessageTimedOut { setting, allowed_ms };
        if let Some(answer) = peer.server.refusal_without_id(&peer.session(), &error).into_answer() {
            self.outbox.push_line(answer);
        }
        self.frames.clear();
        self.unfinished.clear();
        self.stop_reading();
        true
    }

    /// Selects the time-out for the end of what is in flight. Returns whether another one applied before.
    pub(super) fn begin_end(&mut self) -> bool {
        std::mem::replace(&mut self.timeout, Timeout::End) != Timeout::End
    }

    /// Registers what the connection holds while it sleeps.
    pub(super) fn register(&mut self, peer: &Peer) {
        let queued_bytes = self.outbox.queued_bytes();
        let bytes = size_of::<Self>() + queued_bytes + self.frames.held_bytes() + self.in_flight.bytes();
        self.registration.update(peer.address, HeldBytes { bytes, queued_bytes });
    }

    /// Says what waits for the peer to read it while the connection sleeps. Returns whether it may go on: if not, others
    /// lack the memory. The owner always may.
    pub(super) fn register_answers(&mut self, peer: &Peer, connection: &Waker) -> bool {
        let (bytes, has_taken) = (self.outbox.large_bytes(), self.outbox.take_progress());
        if bytes == 0 || peer.address.is_none() {
            self.undelivered.clear();
            return true;
        }
        let owner = SessionKey { principal: peer.principal(), session: peer.session().number() };
        self.undelivered.update(HeldAnswers { owner, bytes, has_taken }, connection)
    }

    /// Runs the loop until nothing more is read, nothing is in flight and all is written.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        peer: &mut Peer,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ServeError>> {
        self.outgoing.register(cx.waker());
        self.round_trips.note_wait();
        self.batch_turn = BatchTurn::begin();
        self.awaits_notice = false;
        loop {
            let written = self.poll_write(peer, stream, cx)?;
            let served = self.poll_in_flight(peer, cx.waker());
            let may_read = self.is_reading && !self.batch_turn.is_over();
            let read = if may_read { self.poll_read(peer, stream, cx)? } else { Step::Blocked };
            if self.batch_turn.is_over() {
                self.progress.has_progressed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !self.is_reading && self.in_flight.is_empty() && self.outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let is_blocked = [written, served, read].iter().all(|step| *step == Step::Blocked);
            if is_blocked && self.keeps_unfinished(peer, cx.waker()) {
                self.spare = None;
                return Poll::Pending;
            }
            self.progress.has_progressed = true;
        }
    }

    /// Enters what came of a line while the connection sleeps. Returns whether it may stay: if not, others lacked its
    /// memory, and it is skipped.
    fn keeps_unfinished(&mut self, peer: &Peer, connection: &Waker) -> bool {
        // What was not searched may be whole, and waits until the peer takes its answers.
        if self.unfinished.sleep(&self.frames, peer, connection) || !self.frames.is_searched() {
            return true;
        }
        self.skip_unfinished();
        false
    }

    #[cold]
    fn skip_unfinished(&mut self) {
        self.frames.skip_unfinished();
        self.unfinished.skip();
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        peer: &Peer,
        writer: &mut W,
        cx: &mut Context<'_>,
    ) -> Result<Step, ServeError> {
        self.collect_outgoing();
        if self.outbox.is_empty()
            && !self.awaits_notice
            && let Some(session) = &peer.session
        {
            match peer.server.next_notice(session, cx) {
                Some(notice) => self.outbox.push_line(notice),
                None => self.awaits_notice = true,
            }
        }
        if self.outbox.is_empty() {
            return Ok(Step::Blocked);
        }
        let before = self.outbox.queued_bytes();
        match self.outbox.poll_flush(writer, cx) {
            Poll::Ready(Ok(())) => {
                self.round_trips.note_written(peer.server.latencies());
                Ok(Step::Progressed)
            }
            Poll::Ready(Err(error)) => Err(ServeError::Write(error)),
            Poll::Pending if self.outbox.queued_bytes() < before => Ok(Step::Progressed),
            Poll::Pending => Ok(Step::Blocked),
        }
    }

    #[inline]
    fn poll_in_flight(&mut self, peer: &mut Peer, connection: &Waker) -> Step {
        let mut step = Step::Blocked;
        while let Poll::Ready((served, slot, answer_to)) = self.in_flight.poll_next(connection) {
            let outcome = peer.server.record_end(served, &slot, self.round_trips.note_served());
            if answer_to == AnswerTo::Line {
                let release = || self.ids.release(IdKey::of(&slot.call().details().id));
                peer.server.latencies().correlate(release);
            }
            self.finish(peer, outcome, slot, answer_to);
            step = Step::Progressed;
        }
        if self.batches.has_due() {
            // Its answer is there to be written, or another poll comes.
            self.serve_batches(peer, connection);
            step = Step::Progressed;
        }
        step
    }

    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        peer: &mut Peer,
        reader: &mut R,
        cx: &mut Context<'_>,
    ) -> Result<Step, ServeError> {
        let must_be_read =
            self.outbox.is_full() || (!self.outbox.is_empty() && peer.server.is_scarce_of_memory());
        if must_be_read {
            return Ok(Step::Blocked);
        }
        for served in 0..FRAMES_A_ROUND {
            let next = self.frames.next_frame();
            if !matches!(next, Ok(None)) {
                self.progress.has_served = true;
                self.unfinished.clear();
            }
            match next {
                Ok(Some(frame)) => self.serve(peer, frame, cx.waker()),
                Err(error) => self.refuse_frame(peer, &error),
                Ok(None) if served > 0 => return Ok(Step::Progressed),
                Ok(None) => {
                    match self.unfinished.make_room(&mut self.frames, peer, cx) {
                        LineRoom::Made => {}
                        LineRoom::Awaited => return Ok(Step::Blocked),
                        LineRoom::Missing => self.skip_unfinished(),
                        LineRoom::TooLong => {
                            self.frames.skip_over_budget();
                            self.unfinished.skip();
                        }
                    }
                    return self.poll_fill(peer, reader, cx);
                }
            }
            if self.outbox.is_full() || self.batch_turn.is_over() {
                break;
            }
        }
        Ok(Step::Progressed)
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        peer: &mut Peer,
        reader: &mut R,
        cx: &mut Context<'_>,
    ) -> Result<Step, ServeError> {
        if self.rest_bytes == Some(NonZeroU32::MIN) {
            self.stop_reading();
            return Ok(Step::Progressed);
        }
        if self.last_read_was_short {
            self.frames.release_if_empty();
        }
        let read = if self.last_read_was_short && self.frames.holds_no_buffer() {
            poll_stack_read(reader, cx, |bytes| self.frames.spare().extend_from_slice(bytes))
        } else {
            let buffer = self.frames.spare();
            let room = buffer.capacity() - buffer.len();
            pin!(reader.read_buf(buffer)).poll(cx).map_ok(|bytes| (bytes, bytes >= room))
        };
        // A read that finds nothing leaves this false, as the next one comes after a wake-up and finds something.
        self.last_read_was_short = matches!(read, Poll::Ready(Ok((_, false))));
        match read {
            // Without a budget there may be something, and another poll comes.
            Poll::Pending if self.rest_bytes.is_some() && has_budget_remaining() => {
                self.stop_reading();
                Ok(Step::Progressed)
            }
            Poll::Pending => {
                self.frames.release_if_empty();
                Ok(Step::Blocked)
            }
            Poll::Ready(Err(error)) => Err(ServeError::Read(error)),
            Poll::Ready(Ok((0, _))) => {
                match self.frames.finish() {
                    Ok(Some(frame)) => self.serve(peer, frame, cx.waker()),
                    Ok(None) => {}
                    Err(error) => self.refuse_frame(peer, &error),
                }
                self.stop_reading();
                Ok(Step::Progressed)
            }
            Poll::Ready(Ok((bytes, _))) => {
                let less =
                    |rest: NonZeroU32| rest.get().saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
                self.rest_bytes =
                    self.rest_bytes.map(|rest| NonZeroU32::new(less(rest)).unwrap_or(NonZeroU32::MIN));
                self.round_trips.note_read();
                // The connection may end before the rest of a large message comes.
                reclaim_after(&peer.server, self.frames.unfinished_bytes());
                Ok(Step::Progressed)
            }
        }
    }

    fn serve(&mut self, peer: &mut Peer, frame: Frame, connection: &Waker) {
        peer.server.metrics().frames.add(1);
        reclaim_after(&peer.server, frame.bytes().len());
        if Batch::is_batch(&frame) {
            self.open_batch(peer, frame);
        } else {
            self.serve_message(peer, frame, connection);
        }
        self.serve_due(peer, connection);
    }

    fn serve_message(&mut self, peer: &mut Peer, frame: Frame, connection: &Waker) {
        let ids = (!self.ids.is_empty()).then(|| Arc::clone(&self.ids));
        let origin = FrameOrigin { ids, ..FrameOrigin::default() };
        match self.first_poll(peer, (frame, origin), None, connection) {
            (Poll::Ready(outcome), slot) => {
                if outcome.answer_bytes() > 0 {
                    self.round_trips.note_answer();
                }
                self.finish(peer, outcome, slot, AnswerTo::Line);
            }
            (Poll::Pending, slot) => self.park(peer, slot, AnswerTo::Line),
        }
    }

    fn open_batch(&mut self, peer: &mut Peer, frame: Frame) {
        match Batch::open(&peer.server.shared, &peer.session(), frame, &self.ids, peer.principal()) {
            Err(refused) => {
                self.collect_outgoing();
                self.deliver(peer, refused, AnswerTo::Line);
            }
            Ok(batch) => self.batches.open(batch),
        }
    }

    /// Continues all batches that are due, as far as one poll may. Hardly any connection has one.
    #[inline]
    fn serve_due(&mut self, peer: &mut Peer, connection: &Waker) {
        if self.batches.has_due() {
            self.serve_batches(peer, connection);
        }
    }

    #[cold]
    #[inline(never)]
    fn serve_batches(&mut self, peer: &mut Peer, connection: &Waker) {
        while !self.batch_turn.is_over()
            && let Some((number, batch)) = self.batches.next_due()
        {
            self.serve_batch(peer, number, batch, connection);
        }
    }

    /// Serves messages of a batch until one has to wait or none is left.
    fn serve_batch(&mut self, peer: &mut Peer, number: NonZeroU64, mut batch: Batch, connection: &Waker) {
        while let Some(BatchMessage { frame, repeats_id }) = batch.next_message(&peer.server.shared) {
            let origin = FrameOrigin { in_batch: true, repeats_id, ..FrameOrigin::default() };
            let (polled, slot) = self.first_poll(peer, (frame, origin), Some(&batch), connection);
            match polled {
                Poll::Ready(Outcome::Cancel) => self.cancel(peer, &slot),
                Poll::Ready(outcome) => batch.take_answer(&peer.server.shared, outcome),
                Poll::Pending => {
                    self.batches.wait(number, batch);
                    return self.park(peer, slot, AnswerTo::Batch(number));
                }
            }
            self.spare = Some(slot);
            self.batch_turn.note_served();
            if self.batch_turn.is_over() {
                self.batches.wait(number, batch);
                return self.batches.mark_due(number);
            }
        }
        let outcome = batch.close(&peer.server.shared, &peer.session());
        self.collect_outgoing();
        self.deliver(peer, outcome, AnswerTo::Line);
    }

    /// Fills a slot and polls it once, inline.
    #[inline]
    fn first_poll(
        &mut self,
        peer: &Peer,
        (frame, origin): (Frame, FrameOrigin),
        batch: Option<&Batch>,
        connection: &Waker,
    ) -> (Poll<Outcome>, Lease<RequestSlot>) {
        let saturation = peer.server.saturation(self.in_flight.len());
        let mut slot = self.spare.take().unwrap_or_else(|| peer.server.slot());
        let came = self.round_trips.came().or_else(Moment::now);
        let caller = Caller {
            connection: peer.connection,
            came,
            outgoing: Some(&self.outgoing),
            principal: peer.principal(),
            // The owner, or a process of the socket's own user.
            is_admin: true,
            takes_streams: batch.is_none_or(Batch::takes_streams),
            in_batch: batch.map_or(InBatch::No, Batch::memory_rule),
            task: None,
        };
        slot.fill(caller, peer.session(), frame, FrameOrigin { saturation, ..origin });
        let polled = slot.poll(connection);
        let now = self.round_trips.note_served();
        peer.server.latencies().messages.record(now.ns_since(came));
        let polled = polled.map(|served| peer.server.record_end(served, &slot, now));
        (polled, slot)
    }

    fn park(&mut self, peer: &Peer, slot: Lease<RequestSlot>, answer_to: AnswerTo) {
        if answer_to == AnswerTo::Line {
            let is_free = self.ids.claim(IdKey::of(&slot.call().details().id));
            debug_assert!(is_free, "a request that waits has an id of its own");
        }
        self.in_flight.park(&peer.server.shared, slot, answer_to);
    }

    /// Does what the outcome of the request in `slot` asks for, and keeps the slot for the next frame.
    fn finish(&mut self, peer: &mut Peer, outcome: Outcome, slot: Lease<RequestSlot>, answer_to: AnswerTo) {
        // What a request sent before its answer goes out before it.
        self.collect_outgoing();
        if matches!(outcome, Outcome::Cancel) {
            self.cancel(peer, &slot);
        } else {
            self.deliver(peer, outcome, answer_to);
        }
        self.spare = Some(slot);
    }

    /// Sends an answer on its way. A batch that its request belongs to can go on then.
    fn deliver(&mut self, peer: &mut Peer, outcome: Outcome, answer_to: AnswerTo) {
        if let Outcome::Opened { session, .. } = &outcome {
            peer.session = Some(Arc::clone(session));
        }
        match (answer_to, outcome) {
            (AnswerTo::Line, Outcome::Streamed(answer)) => self.deliver_stream(peer, answer),
            (AnswerTo::Line, outcome) => {
                if let Some(answer) = outcome.into_answer() {
                    reclaim_after(&peer.server, answer.len());
                    self.outbox.push_line(answer);
                }
            }
            (AnswerTo::Batch(number), outcome) => {
                self.batches.take_answer(&peer.server, number, outcome);
                self.batches.mark_due(number);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn deliver_stream(&mut self, peer: &Peer, answer: Box<AnswerStream>) {
        self.outbox.push_stream(answer);
        self.outbox.append(peer.server.buffers(), 1, |out| out.extend_from_slice(b"\n"));
    }

    /// Stops the request that the message in `slot` names, in flight or waiting for its turn in a batch.
    fn cancel(&mut self, peer: &Peer, slot: &RequestSlot) {
        let details = slot.call().details();
        let key = IdKey::of(&details.id);
        let found = peer.server.latencies().correlate(|| self.in_flight.cancel(&details.id));
        let was_there = match found {
            Some(AnswerTo::Line) => {
                self.ids.release(key);
                true
            }
            Some(AnswerTo::Batch(number)) => {
                self.batches.mark_due(number);
                true
            }
            None => self.ids.cancel(key),
        };
        if was_there {
            tracing::debug!("request cancelled");
            peer.server.metrics().cancelled_requests.add(1);
        }
    }

    fn refuse_frame(&mut self, peer: &Peer, error: &FrameError) {
        tracing::debug!(%error, "frame refused");
        let (outline, error) = match error {
            FrameError::TooLong { limit_bytes, seen_bytes, outline } => {
                let (limit_bytes, seen_bytes) = (*limit_bytes, *seen_bytes);
                (outline, ProtocolError::FrameTooLong { limit_bytes, seen_bytes })
            }
            FrameError::OutOfMemory { seen_bytes, never_fits, outline } => {
                if *seen_bytes > price::SMALL_BUFFER_BYTES && !peer.server.is_out_of_memory() {
                    peer.server.memory().note_refused_large();
                } else {
                    peer.server.memory().note_refused();
                }
                let is_over_budget = *never_fits || peer.server.is_over_budget(*seen_bytes);
                let error =
                    if is_over_budget { ProtocolError::OverBudget } else { ProtocolError::OutOfMemory };
                (outline, error)
            }
        };
        let refusal = peer.server.refuse_skipped(&peer.session(), outline, &error);
        if let Some(answer) = refusal.into_answer() {
            self.outbox.push_line(answer);
        }
    }

    #[inline]
    fn collect_outgoing(&mut self) {
        while let Some(message) = self.outgoing.next() {
            self.outbox.push_line(message);
        }
    }
}

/// Makes exchanges and cleans returned ones.
pub(super) struct ExchangeFactory {
    buffers: BufferPool,
    max_frame_bytes: usize,
    max_stream_bytes: usize,
    max_outbox_bytes: usize,
    registry: Arc<ConnectionRegistry>,
    undelivered: Arc<Undelivered>,
}

impl ExchangeFactory {
    pub(super) fn new(server: &Server) -> Self {
        let limits = server.limits();
        let registry = Arc::default();
        server.memory().open_account(&registry);
        Self {
            registry,
            undelivered: Arc::clone(server.undelivered()),
            buffers: server.buffers().clone(),
            max_frame_bytes: limits.max_frame_bytes,
            max_stream_bytes: limits.max_stream_bytes,
            max_outbox_bytes: limits.max_outbox_bytes,
        }
    }
}

impl Recycle<Exchange> for ExchangeFactory {
    fn create(&self) -> Exchange {
        Exchange {
            outgoing: Arc::new(Outgoing::new(self.max_stream_bytes)),
            frames: FrameReader::new(self.buffers.clone(), self.max_frame_bytes),
            unfinished: UnfinishedLine::default(),
            in_flight: InFlight::default(),
            ids: Arc::default(),
            batches: Batches::default(),
            batch_turn: BatchTurn::begin(),
            awaits_notice: false,
            outbox: Outbox::new(self.max_outbox_bytes),
            spare: None,
            is_reading: true,
            rest_bytes: None,
            last_read_was_short: false,
            progress: Progress::default(),
            timeout: Timeout::default(),
            round_trips: RoundTrips::default(),
            registration: self.registry.register(),
            undelivered: self.undelivered.open(),
        }
    }

    fn recycle(&self, exchange: &mut Exchange) -> Verdict {
        exchange.registration.clear();
        exchange.undelivered.clear();
        exchange.in_flight.cancel_all();
        exchange.spare = None;
        exchange.batches.clear();
        // The next peer may use every id.
        exchange.ids.clear();
        exchange.frames.clear();
        exchange.unfinished.clear();
        exchange.outbox.clear();
        exchange.is_reading = true;
        exchange.rest_bytes = None;
        exchange.last_read_was_short = false;
        exchange.progress = Progress::default();
        exchange.timeout = Timeout::default();
        exchange.round_trips = RoundTrips::default();
        if Arc::strong_count(&exchange.outgoing) > 1 {
            // A handler still sends to the peer that is gone: the next peer must not receive it.
            exchange.outgoing = Arc::new(Outgoing::new(self.max_stream_bytes));
        }
        exchange.outgoing.clear();
        Verdict::Keep
    }

    fn bytes(&self, _exchange: &Exchange) -> usize {
        size_of::<Exchange>() + size_of::<Outgoing>()
    }
}
