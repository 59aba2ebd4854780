//! One peer that speaks newline-framed messages: the loop from bytes in to bytes out.
//!
//! All of a connection runs in one task. Each turn of the loop writes what is ready, lets waiting requests
//! go on, and reads when there is room for answers: a peer that does not read its answers is not read from
//! either, which bounds what it can make the server hold. Between turns nothing is leased but what
//! requests in flight need.

use super::outbox::Outbox;
use crate::protocol::ProtocolError;
use crate::server::{Batch, Drain, InFlight, Incoming, Outcome, RequestSlot, Server, Session, Surroundings};
use crate::wire::{Frame, FrameError, FrameReader};
use mcpool_pools::Lease;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Why a connection ended badly.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Reading failed.
    #[error("cannot read from the peer")]
    Read(#[source] io::Error),
    /// Writing failed, other than because the peer is gone.
    #[error("cannot write to the peer")]
    Write(#[source] io::Error),
}

/// Where the answer of a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerTo {
    /// On a line of its own.
    Line,
    /// Into the batch of that number.
    Batch(u64),
}

/// How a turn of the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Something moved: go round again.
    Moved,
    /// Nothing can move until the task is woken.
    Still,
}

pub(crate) struct Connection<R, W> {
    server: Server,
    session: Arc<Session>,
    reader: R,
    writer: W,
    frames: FrameReader,
    in_flight: InFlight<AnswerTo>,
    batches: Vec<(u64, Batch)>,
    next_batch: u64,
    outbox: Outbox,
    /// A slot whose request was done at once, kept for the next frame of the same turn.
    spare: Option<Lease<RequestSlot>>,
    is_reading: bool,
    /// A large message passed since the last pause: its buffers are to go when the next pause lasts.
    was_large: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

/// How long a connection pauses before large buffers that it left idle are freed: longer than a burst draws
/// breath, shorter than somebody looks at the memory.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the allocator is left alone between a trim and the call that has it return pages: longer than the
/// second for which mimalloc 3 keeps freed pages (its option `purge_delay`).
const ALLOCATOR_PAUSE: Duration = Duration::from_millis(1_200);

/// Frames served in one turn before answers are written, so that a long read does not hold them back.
const FRAMES_A_TURN: usize = 256;

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    pub(crate) fn new(server: Server, reader: R, writer: W) -> Self {
        let frames = FrameReader::new(server.buffers().clone(), server.limits().max_frame_bytes);
        Self {
            server,
            session: Arc::default(),
            reader,
            writer,
            frames,
            in_flight: InFlight::default(),
            batches: Vec::new(),
            next_batch: 0,
            outbox: Outbox::default(),
            spare: None,
            is_reading: true,
            was_large: false,
            pause: None,
        }
    }

    /// Serves until the peer closes its side or `drain` begins, then lets what is in flight finish.
    ///
    /// By reference, as a future that owned the connection would hold its memory twice.
    pub(crate) async fn run(&mut self, drain: &Drain) -> Result<(), ServeError> {
        let ended = tokio::select! {
            ended = poll_fn(|cx| self.poll(cx)) => ended,
            () = drain.wait() => Ok(()),
        };
        let ended = match ended {
            Ok(()) => self.drain().await,
            Err(error) => Err(error),
        };
        self.in_flight.cancel_all();
        tracing::debug!(frames = self.server.metrics().frames.total(), ?ended, "connection ended");
        match ended {
            Err(ServeError::Write(error)) if is_gone(&error) => Ok(()),
            ended => ended,
        }
    }

    /// Lets what is in flight finish, for as long as the limit allows.
    async fn drain(&mut self) -> Result<(), ServeError> {
        self.is_reading = false;
        let limit = self.server.limits().drain_timeout();
        // In a box: a timer is large, and all but the last moment of a connection is without it.
        Box::pin(timeout(limit, poll_fn(|cx| self.poll_rest(cx)))).await.unwrap_or(Ok(()))
    }

    /// Turns the loop until the peer closes its side.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        self.session.register(cx.waker());
        loop {
            let written = self.poll_write(cx)?;
            let served = self.poll_in_flight(cx.waker());
            let read = self.poll_read(cx)?;
            if !self.is_reading {
                return Poll::Ready(Ok(()));
            }
            if [written, served, read].iter().all(|turn| *turn == Turn::Still) {
                self.spare = None;
                self.poll_pause(cx);
                return Poll::Pending;
            }
        }
    }

    /// Turns the loop, without reading, until nothing is in flight and all is written.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        self.session.register(cx.waker());
        loop {
            let served = self.poll_in_flight(cx.waker());
            let written = self.poll_write(cx)?;
            if self.in_flight.is_empty() && self.outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if served == Turn::Still && written == Turn::Still {
                self.spare = None;
                return Poll::Pending;
            }
        }
    }

    /// Frees large buffers once a pause has lasted. The timer is made at the first large message of a burst
    /// and only set forward by the others.
    fn poll_pause(&mut self, cx: &mut Context<'_>) {
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
            if self.server.trim_large_buffers() > 0 {
                pause.as_mut().reset(Instant::now() + ALLOCATOR_PAUSE);
            } else {
                // Allocators give pages back a while after they were freed, and only when they are called.
                // mimalloc looks at all that is due when a thread ends: this one is for that.
                drop(tokio::task::spawn_blocking(|| drop(std::hint::black_box(Box::new(0_u8)))));
                self.pause = None;
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Turn, ServeError> {
        self.collect_outgoing();
        if self.outbox.is_empty() {
            return Ok(Turn::Still);
        }
        let before = self.outbox.queued_bytes();
        match self.outbox.poll_flush(&mut self.writer, cx) {
            Poll::Ready(Ok(())) => Ok(Turn::Moved),
            Poll::Ready(Err(error)) => Err(ServeError::Write(error)),
            Poll::Pending if self.outbox.queued_bytes() < before => Ok(Turn::Moved),
            Poll::Pending => Ok(Turn::Still),
        }
    }

    fn poll_in_flight(&mut self, connection: &Waker) -> Turn {
        let mut turn = Turn::Still;
        while let Poll::Ready((outcome, slot, answer_to)) = self.in_flight.poll_next(connection) {
            let outcome = self.server.settle(outcome, &slot);
            self.spare = Some(slot);
            self.finish(outcome, answer_to, connection);
            turn = Turn::Moved;
        }
        turn
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Turn, ServeError> {
        let room = self.server.limits().max_outbox_bytes;
        if self.outbox.queued_bytes() >= room {
            return Ok(Turn::Still);
        }
        for served in 0..FRAMES_A_TURN {
            match self.frames.next_frame() {
                Ok(Some(frame)) => self.serve(frame, cx.waker()),
                Err(error) => self.refuse_frame(&error),
                Ok(None) if served > 0 => return Ok(Turn::Moved),
                Ok(None) => return self.poll_fill(cx),
            }
            if self.outbox.queued_bytes() >= room {
                break;
            }
        }
        Ok(Turn::Moved)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Result<Turn, ServeError> {
        let read = pin!(self.reader.read_buf(self.frames.spare())).poll(cx);
        match read {
            Poll::Pending => {
                self.frames.release_if_empty();
                Ok(Turn::Still)
            }
            Poll::Ready(Err(error)) => Err(ServeError::Read(error)),
            Poll::Ready(Ok(0)) => {
                self.is_reading = false;
                match self.frames.finish() {
                    Ok(Some(frame)) => self.serve(frame, cx.waker()),
                    Ok(None) => {}
                    Err(error) => self.refuse_frame(&error),
                }
                Ok(Turn::Moved)
            }
            Poll::Ready(Ok(_)) => Ok(Turn::Moved),
        }
    }

    fn serve(&mut self, frame: Frame, connection: &Waker) {
        self.server.metrics().frames.add(1);
        self.was_large |= Server::is_large(frame.bytes().len());
        if !Batch::is_batch(&frame) {
            self.start(frame, AnswerTo::Line, connection);
            return;
        }
        match Batch::open(&self.server, &self.session, frame) {
            Err(refused) => self.finish(refused, AnswerTo::Line, connection),
            Ok(batch) => {
                let number = self.next_batch;
                self.next_batch += 1;
                self.batches.push((number, batch));
                self.go_on(number, connection);
            }
        }
    }

    /// Serves messages of a batch until one has to wait or none is left.
    fn go_on(&mut self, number: u64, connection: &Waker) {
        let Some(index) = self.batches.iter().position(|(batch, _)| *batch == number) else { return };
        while let Some(frame) = self.batches[index].1.next_frame(&self.server) {
            match self.first_poll(frame, true, connection) {
                Poll::Ready(Outcome::Reply(answer)) => self.batches[index].1.take_answer(&answer),
                Poll::Ready(Outcome::Cancel) => self.cancel(connection),
                Poll::Ready(Outcome::Silent | Outcome::Panicked) => {}
                Poll::Pending => return self.park(AnswerTo::Batch(number)),
            }
        }
        let (_, batch) = self.batches.swap_remove(index);
        let outcome = batch.close(&self.server, &self.session);
        self.finish(outcome, AnswerTo::Line, connection);
    }

    fn start(&mut self, frame: Frame, answer_to: AnswerTo, connection: &Waker) {
        match self.first_poll(frame, false, connection) {
            Poll::Ready(outcome) => self.finish(outcome, answer_to, connection),
            Poll::Pending => self.park(answer_to),
        }
    }

    /// Fills a slot and polls it once, inline; the slot is `spare` afterwards.
    fn first_poll(&mut self, frame: Frame, in_batch: bool, connection: &Waker) -> Poll<Outcome> {
        let is_saturated = self.in_flight.len() >= self.server.limits().max_concurrent_requests;
        let session = Arc::clone(&self.session);
        let slot = self.spare.get_or_insert_with(|| self.server.slot());
        slot.fill(|arena, call| Incoming {
            frame,
            arena,
            call,
            session,
            surroundings: Surroundings { in_batch, is_saturated },
        });
        slot.poll(connection).map(|outcome| self.server.settle(outcome, slot))
    }

    fn park(&mut self, answer_to: AnswerTo) {
        if let Some(slot) = self.spare.take() {
            self.in_flight.park(&self.server, slot, answer_to);
        }
    }

    /// Does what a request's outcome asks for.
    fn finish(&mut self, outcome: Outcome, answer_to: AnswerTo, connection: &Waker) {
        // What a request sent before its answer goes out before it.
        self.collect_outgoing();
        match (outcome, answer_to) {
            (Outcome::Cancel, _) => self.cancel(connection),
            (Outcome::Reply(answer), AnswerTo::Line) => {
                self.was_large |= Server::is_large(answer.len());
                self.outbox.push(answer);
            }
            (Outcome::Silent | Outcome::Panicked, AnswerTo::Line) => {}
            (outcome, AnswerTo::Batch(number)) => {
                if let (Outcome::Reply(answer), Some((_, batch))) =
                    (outcome, self.batches.iter_mut().find(|(batch, _)| *batch == number))
                {
                    batch.take_answer(&answer);
                }
                self.go_on(number, connection);
            }
        }
    }

    /// Stops the request that the slot in `spare` names.
    fn cancel(&mut self, connection: &Waker) {
        let Some(slot) = &self.spare else { return };
        let cancelled = self.in_flight.cancel(&slot.call().names().id);
        if let Some(answer_to) = cancelled {
            tracing::debug!("request cancelled");
            self.server.metrics().cancelled_requests.add(1);
            self.finish(Outcome::Silent, answer_to, connection);
        }
    }

    fn refuse_frame(&mut self, error: &FrameError) {
        tracing::debug!(%error, "frame refused");
        let FrameError::TooLong { limit_bytes, seen_bytes } = *error;
        let error = ProtocolError::FrameTooLong { limit_bytes, seen_bytes };
        if let Outcome::Reply(answer) = self.server.refusal_without_id(&self.session, &error) {
            self.outbox.push(answer);
        }
    }

    fn collect_outgoing(&mut self) {
        while let Some(message) = self.session.next_outgoing() {
            self.outbox.push(message);
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
