//! One connection at work: the loop from bytes in to bytes out.
//!
//! All that a busy connection needs and an idle one does not, pooled as one object. Each turn of the loop writes
//! what is ready, lets waiting requests go on, and reads when there is room for answers: a peer that does not
//! read its answers is not read from either, which bounds what it can make the server hold. Between turns
//! nothing is leased but what requests in flight need.

use super::connection::{LineHost, ServeError};
use super::timeouts::Watch;
use crate::limits::Limits;
use crate::protocol::ProtocolError;
use crate::server::{
    Batch, BatchMessage, Caller, FrameOrigin, IdKey, InFlight, Outcome, Outgoing, RequestIds, RequestSlot,
    Server, Session,
};
use crate::transport::admission::{PeerAddress, Principal};
use crate::transport::connection_registry::{Held, Place, Roster};
use crate::transport::outbox::Outbox;
use crate::transport::stack_read::poll_probe;
use crate::wire::{Frame, FrameError, FrameReader};
use mcpool_pools::{BufferPool, Lease, Recycle, Verdict};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

/// Where the answer of a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerTo {
    /// On a line of its own.
    Line,
    /// Into the batch of that number. There is no batch 0, so that the mark of each request that waits is one number.
    Batch(NonZeroU64),
}

/// How a turn of the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Something moved: go round again.
    Moved,
    /// Nothing can move until the task is woken.
    Still,
}

/// Who is at the other end, and the session that its handshake opened: a peer of the modern era has none.
pub(super) struct Speaker {
    pub(super) host: Arc<LineHost>,
    pub(super) session: Option<Arc<Session>>,
    peer: Option<PeerAddress>,
}

impl Speaker {
    pub(super) fn new(host: Arc<LineHost>, peer: Option<PeerAddress>) -> Self {
        // The peer that the process was started for is told from all others by its session.
        let session = peer.is_none().then(|| host.server.owner_session());
        Self { host, session, peer }
    }

    /// Who asks, as requests know it.
    fn principal(&self) -> u128 {
        self.peer.map_or(0, |peer| Principal::of_peer(peer).key())
    }

    /// The session, or what stands in its place before a handshake.
    fn session(&self) -> Arc<Session> {
        self.session.clone().unwrap_or_else(|| self.host.server.stateless_session())
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            self.host.server.close_session(session);
        }
    }
}

/// One connection at work.
pub(super) struct Exchange {
    outgoing: Arc<Outgoing>,
    frames: FrameReader,
    in_flight: InFlight<AnswerTo>,
    ids: Arc<RequestIds>,
    /// Those of which one request is in flight, so that there are no more than of these; and those that are due.
    batches: Vec<(NonZeroU64, Batch)>,
    next_batch: NonZeroU64,
    /// Batches that can go on, in turn. Nothing that is done for one goes on with another: it is queued here.
    due: VecDeque<NonZeroU64>,
    outbox: Outbox,
    /// A slot whose request was done at once, kept for the next frame of the same turn.
    spare: Option<Lease<RequestSlot>>,
    is_reading: bool,
    /// The last read found less than it had room for.
    is_drained: bool,
    /// A large message passed since the last pause: its buffers are to go when the next pause lasts.
    was_large: bool,
    pause: Option<Pin<Box<Sleep>>>,
    progress: Progress,
    pub(super) watch: Watch,
    place: Place,
}

/// What happened since the connection went to sleep last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Something was read, served or written.
    pub(super) has_moved: bool,
    /// A message had come whole.
    pub(super) has_served: bool,
}

/// How long a connection pauses before large buffers that it left idle are freed: longer than a burst draws
/// breath, shorter than somebody looks at the memory.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the allocator is left alone between a trim and the call that has it return pages: longer than the
/// second for which mimalloc 3 keeps freed pages (its option `purge_delay`).
const ALLOCATOR_PAUSE: Duration = Duration::from_millis(1_200);

/// Frames served in one turn before answers are written, so that a long read does not hold them back.
const FRAMES_A_TURN: usize = 256;

impl Exchange {
    /// Whether the peer is still listened to.
    pub(super) fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Nothing more is read; subscriptions come to their end, and what else is in flight may finish.
    pub(super) fn stop_reading(&mut self) {
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
            && self.pause.is_none()
    }

    /// What happened since this was asked last.
    pub(super) fn take_progress(&mut self) -> Progress {
        std::mem::take(&mut self.progress)
    }

    /// Whether the peer has not taken all that was written to it.
    pub(super) fn is_writing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Bytes of a message that has not come whole.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// From now on it is counted what the peer takes.
    pub(super) fn begin_pace(&mut self) {
        self.outbox.begin_pace();
    }

    /// Whether the peer took enough since then.
    pub(super) fn keeps_pace(&self, limits: &Limits) -> bool {
        self.outbox.keeps_pace(limits.least_write_bytes())
    }

    /// The connection sleeps with something in its hands.
    pub(super) fn enter_roster(&mut self, speaker: &Speaker) {
        let queued_bytes = self.outbox.queued_bytes();
        let bytes = size_of::<Self>() + queued_bytes + self.frames.held_bytes() + self.in_flight.bytes();
        self.place.enter(speaker.peer, Held { bytes, queued_bytes });
    }

    /// Turns the loop until the peer is not listened to any more, nothing is in flight and all is written.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        speaker: &mut Speaker,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ServeError>> {
        self.outgoing.register(cx.waker());
        loop {
            let written = self.poll_write(speaker, stream, cx)?;
            let served = self.poll_in_flight(speaker, cx.waker());
            let read = if self.is_reading { self.poll_read(speaker, stream, cx)? } else { Turn::Still };
            if !self.is_reading && self.in_flight.is_empty() && self.outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if [written, served, read].iter().all(|turn| *turn == Turn::Still) {
                self.spare = None;
                self.poll_pause(speaker, cx);
                return Poll::Pending;
            }
            self.progress.has_moved = true;
        }
    }

    /// Frees large buffers once a pause has lasted. The timer is made at the first large message of a burst
    /// and only set forward by the others.
    fn poll_pause(&mut self, speaker: &Speaker, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.was_large) {
            let end = Instant::now() + PAUSE;
            match &mut self.pause {
                Some(pause) => pause.as_mut().reset(end),
                None => self.pause = Some(Box::pin(sleep_until(end))),
            }
        }
        while let Some(pause) = &mut self.pause
            && pause.as_mut().poll(cx).is_ready()
        {
            if speaker.host.server.trim_large_buffers() > 0 {
                pause.as_mut().reset(Instant::now() + ALLOCATOR_PAUSE);
            } else {
                // Allocators give pages back a while after they were freed, and only when they are called.
                // mimalloc looks at all that is due when a thread ends: this one is for that.
                drop(tokio::task::spawn_blocking(|| drop(std::hint::black_box(Box::new(0_u8)))));
                self.pause = None;
            }
        }
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        speaker: &Speaker,
        writer: &mut W,
        cx: &mut Context<'_>,
    ) -> Result<Turn, ServeError> {
        self.collect_outgoing();
        if self.outbox.is_empty()
            && let Some(session) = &speaker.session
            && let Some(notice) = speaker.host.server.next_notice(session, cx)
        {
            self.outbox.push_line(notice);
        }
        if self.outbox.is_empty() {
            return Ok(Turn::Still);
        }
        let before = self.outbox.queued_bytes();
        match self.outbox.poll_flush(writer, cx) {
            Poll::Ready(Ok(())) => Ok(Turn::Moved),
            Poll::Ready(Err(error)) => Err(ServeError::Write(error)),
            Poll::Pending if self.outbox.queued_bytes() < before => Ok(Turn::Moved),
            Poll::Pending => Ok(Turn::Still),
        }
    }

    fn poll_in_flight(&mut self, speaker: &mut Speaker, connection: &Waker) -> Turn {
        let mut turn = Turn::Still;
        while let Poll::Ready((served, slot, answer_to)) = self.in_flight.poll_next(connection) {
            let outcome = speaker.host.server.settle(served, &slot);
            if answer_to == AnswerTo::Line {
                self.ids.release(IdKey::of(&slot.call().details().id));
            }
            self.spare = Some(slot);
            self.finish(speaker, outcome, answer_to);
            turn = Turn::Moved;
        }
        self.serve_due(speaker, connection);
        turn
    }

    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        speaker: &mut Speaker,
        reader: &mut R,
        cx: &mut Context<'_>,
    ) -> Result<Turn, ServeError> {
        let room = speaker.host.server.limits().max_outbox_bytes;
        if self.outbox.queued_bytes() >= room {
            return Ok(Turn::Still);
        }
        for served in 0..FRAMES_A_TURN {
            let next = self.frames.next_frame();
            self.progress.has_served |= !matches!(next, Ok(None));
            match next {
                Ok(Some(frame)) => self.serve(speaker, frame, cx.waker()),
                Err(error) => self.refuse_frame(speaker, &error),
                Ok(None) if served > 0 => return Ok(Turn::Moved),
                Ok(None) => return self.poll_fill(speaker, reader, cx),
            }
            if self.outbox.queued_bytes() >= room {
                break;
            }
        }
        Ok(Turn::Moved)
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        speaker: &mut Speaker,
        reader: &mut R,
        cx: &mut Context<'_>,
    ) -> Result<Turn, ServeError> {
        if self.is_drained {
            self.frames.release_if_empty();
        }
        let read = if self.is_drained && self.frames.is_idle() {
            poll_probe(reader, cx, |bytes| self.frames.spare().extend_from_slice(bytes))
        } else {
            let buffer = self.frames.spare();
            let room = buffer.capacity() - buffer.len();
            pin!(reader.read_buf(buffer)).poll(cx).map_ok(|bytes| (bytes, bytes >= room))
        };
        // Woken after a pause, it finds something.
        self.is_drained = matches!(read, Poll::Ready(Ok((_, false))));
        match read {
            Poll::Pending => {
                self.frames.release_if_empty();
                Ok(Turn::Still)
            }
            Poll::Ready(Err(error)) => Err(ServeError::Read(error)),
            Poll::Ready(Ok((0, _))) => {
                match self.frames.finish() {
                    Ok(Some(frame)) => self.serve(speaker, frame, cx.waker()),
                    Ok(None) => {}
                    Err(error) => self.refuse_frame(speaker, &error),
                }
                self.stop_reading();
                Ok(Turn::Moved)
            }
            Poll::Ready(Ok(_)) => Ok(Turn::Moved),
        }
    }

    fn serve(&mut self, speaker: &mut Speaker, frame: Frame, connection: &Waker) {
        speaker.host.server.metrics().frames.add(1);
        self.was_large |= Server::is_large(frame.bytes().len());
        if Batch::is_batch(&frame) {
            self.open_batch(speaker, frame);
        } else {
            self.start(speaker, frame, connection);
        }
        self.serve_due(speaker, connection);
    }

    fn start(&mut self, speaker: &mut Speaker, frame: Frame, connection: &Waker) {
        let ids = (!self.ids.is_empty()).then(|| Arc::clone(&self.ids));
        match self.first_poll(speaker, frame, FrameOrigin { ids, ..FrameOrigin::default() }, connection) {
            Poll::Ready(outcome) => self.finish(speaker, outcome, AnswerTo::Line),
            Poll::Pending => self.park(speaker, AnswerTo::Line),
        }
    }

    fn open_batch(&mut self, speaker: &mut Speaker, frame: Frame) {
        match Batch::open(&speaker.host.server.shared, &speaker.session(), frame, &self.ids) {
            Err(refused) => self.finish(speaker, refused, AnswerTo::Line),
            Ok(batch) => {
                let number = self.next_batch;
                self.next_batch = number.saturating_add(1);
                self.batches.push((number, batch));
                self.due.push_back(number);
            }
        }
    }

    /// Goes on with all batches that can.
    fn serve_due(&mut self, speaker: &mut Speaker, connection: &Waker) {
        while let Some(number) = self.due.pop_front() {
            let Some(index) = self.batches.iter().position(|(batch, _)| *batch == number) else { continue };
            // While it is served it is not among the others: what its messages do to them cannot touch it.
            let (_, batch) = self.batches.swap_remove(index);
            self.serve_batch(speaker, number, batch, connection);
        }
    }

    /// Serves messages of a batch until one has to wait or none is left.
    fn serve_batch(
        &mut self,
        speaker: &mut Speaker,
        number: NonZeroU64,
        mut batch: Batch,
        connection: &Waker,
    ) {
        while let Some(BatchMessage { frame, repeats_id }) = batch.next_message(&speaker.host.server.shared) {
            let origin = FrameOrigin { in_batch: true, repeats_id, ..FrameOrigin::default() };
            match self.first_poll(speaker, frame, origin, connection) {
                Poll::Ready(Outcome::Cancel) => self.cancel(speaker),
                Poll::Ready(outcome) => {
                    if let Some(answer) = outcome.into_answer() {
                        batch.take_answer(&answer);
                    }
                }
                Poll::Pending => {
                    self.batches.push((number, batch));
                    return self.park(speaker, AnswerTo::Batch(number));
                }
            }
        }
        let outcome = batch.close(&speaker.host.server.shared, &speaker.session());
        self.finish(speaker, outcome, AnswerTo::Line);
    }

    /// Fills a slot and polls it once, inline; the slot is `spare` afterwards.
    fn first_poll(
        &mut self,
        speaker: &Speaker,
        frame: Frame,
        origin: FrameOrigin,
        connection: &Waker,
    ) -> Poll<Outcome> {
        let is_saturated = self.in_flight.len() >= speaker.host.server.limits().max_concurrent_requests;
        let session = speaker.session();
        let slot = self.spare.get_or_insert_with(|| speaker.host.server.slot());
        let caller = Caller {
            outgoing: Some(&self.outgoing),
            principal: speaker.principal(),
            // The client that started the process, or a process of the socket's own user.
            is_admin: true,
            task: None,
        };
        slot.fill(caller, session, frame, FrameOrigin { is_saturated, ..origin });
        slot.poll(connection).map(|served| speaker.host.server.settle(served, slot))
    }

    fn park(&mut self, speaker: &Speaker, answer_to: AnswerTo) {
        let Some(slot) = self.spare.take() else { return };
        if answer_to == AnswerTo::Line {
            let is_free = self.ids.claim(IdKey::of(&slot.call().details().id));
            debug_assert!(is_free, "a request that waits has an id of its own");
        }
        self.in_flight.park(&speaker.host.server.shared, slot, answer_to);
    }

    /// Does what a request's outcome asks for. A batch that it belongs to is due then.
    fn finish(&mut self, speaker: &mut Speaker, outcome: Outcome, answer_to: AnswerTo) {
        // What a request sent before its answer goes out before it.
        self.collect_outgoing();
        if matches!(outcome, Outcome::Cancel) {
            return self.cancel(speaker);
        }
        if let Outcome::Opened { session, .. } = &outcome {
            speaker.session = Some(Arc::clone(session));
        }
        let answer = outcome.into_answer();
        match answer_to {
            AnswerTo::Line => {
                if let Some(answer) = answer {
                    self.was_large |= Server::is_large(answer.len());
                    self.outbox.push_line(answer);
                }
            }
            AnswerTo::Batch(number) => {
                let batch = self.batches.iter_mut().find(|(batch, _)| *batch == number);
                if let (Some(answer), Some((_, batch))) = (answer, batch) {
                    batch.take_answer(&answer);
                }
                self.due.push_back(number);
            }
        }
    }

    /// Stops the request that the slot in `spare` names, in flight or waiting for its turn in a batch.
    fn cancel(&mut self, speaker: &Speaker) {
        let Some(slot) = &self.spare else { return };
        let names = slot.call().details();
        let key = IdKey::of(&names.id);
        let was_there = match self.in_flight.cancel(&names.id) {
            Some(AnswerTo::Line) => {
                self.ids.release(key);
                true
            }
            Some(AnswerTo::Batch(number)) => {
                self.due.push_back(number);
                true
            }
            None => self.ids.cancel(key),
        };
        if was_there {
            tracing::debug!("request cancelled");
            speaker.host.server.metrics().cancelled_requests.add(1);
        }
    }

    fn refuse_frame(&mut self, speaker: &Speaker, error: &FrameError) {
        tracing::debug!(%error, "frame refused");
        let FrameError::TooLong { limit_bytes, seen_bytes, outline } = error;
        let error = ProtocolError::FrameTooLong { limit_bytes: *limit_bytes, seen_bytes: *seen_bytes };
        let refusal = speaker.host.server.refuse_skipped(&speaker.session(), outline, &error);
        if let Some(answer) = refusal.into_answer() {
            self.outbox.push_line(answer);
        }
    }

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
    roster: Arc<Roster>,
}

impl ExchangeFactory {
    pub(super) fn new(server: &Server) -> Self {
        let limits = server.limits();
        let roster = Arc::default();
        server.memory().open_account(&roster);
        Self {
            roster,
            buffers: server.buffers().clone(),
            max_frame_bytes: limits.max_frame_bytes,
            max_stream_bytes: limits.max_stream_bytes,
        }
    }
}

impl Recycle<Exchange> for ExchangeFactory {
    fn create(&self) -> Exchange {
        Exchange {
            outgoing: Arc::new(Outgoing::new(self.max_stream_bytes)),
            frames: FrameReader::new(self.buffers.clone(), self.max_frame_bytes),
            in_flight: InFlight::default(),
            ids: Arc::default(),
            batches: Vec::new(),
            next_batch: NonZeroU64::MIN,
            due: VecDeque::new(),
            outbox: Outbox::default(),
            spare: None,
            is_reading: true,
            is_drained: false,
            was_large: false,
            pause: None,
            progress: Progress::default(),
            watch: Watch::default(),
            place: self.roster.place(),
        }
    }

    fn recycle(&self, exchange: &mut Exchange) -> Verdict {
        exchange.place.leave();
        exchange.in_flight.cancel_all();
        exchange.spare = None;
        exchange.batches = Vec::new();
        exchange.due = VecDeque::new();
        // No id of the peer that is gone is in use for the next.
        exchange.ids.clear();
        exchange.frames.clear();
        exchange.outbox.clear();
        exchange.is_reading = true;
        exchange.is_drained = false;
        exchange.was_large = false;
        exchange.pause = None;
        exchange.progress = Progress::default();
        exchange.watch = Watch::default();
        if Arc::strong_count(&exchange.outgoing) > 1 {
            // Somebody still sends to the peer that is gone: the next one must not get it.
            exchange.outgoing = Arc::new(Outgoing::new(self.max_stream_bytes));
        }
        exchange.outgoing.clear();
        Verdict::Keep
    }

    fn bytes(&self, _exchange: &Exchange) -> usize {
        size_of::<Exchange>() + size_of::<Outgoing>()
    }
}
