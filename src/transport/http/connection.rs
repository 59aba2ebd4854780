//! One HTTP connection: a socket, a timer, and an exchange while there is something to do.
//!
//! An idle connection holds no buffer and no exchange, before and after its requests. One timer serves all
//! time-outs: it is set forward lazily, so that a request that is served at once does not touch it. The connection
//! holds one permit; a request names the principal that the permit counts for.

use super::exchange::{Exchange, State};
use super::sender::NextAction;
use super::shared::HttpShared;
use crate::limits::Limits;
use crate::server::{Drain, Permit};
use crate::transport::admission::{PeerAddress, Principal};
use crate::transport::hang_up::{self, HangUp};
use crate::transport::outbox::Outbox;
use mcpool_pools::Lease;
use pin_project_lite::pin_project;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may go on sending after the last answer: closing at once would destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);
/// How long memory is set aside for a body: the longest, 10 MiB, at 336 Mbit/s. One that comes more slowly is charged as
/// it comes.
const EXPECTED: Duration = Duration::from_millis(250);
/// Time between two looks of a body that waits for the room of others.
const ROOM_LOOK: Duration = Duration::from_millis(100);

/// The time-out that the timer is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeout {
    Idle,
    Head,
    /// While memory is set aside for a large body.
    Expected,
    /// While a body waits for the room of others.
    Room,
    Body,
    Write,
    /// Until the next sign of life on a stream.
    KeepAlive,
    /// Until a peer that sends nothing more is looked at.
    Peer,
    Linger,
    /// While a connection may still take a request, or the rest of its head, as the server drains.
    Drain,
}

pin_project! {
    /// A connection as a future: it ends when the connection does.
    ///
    /// `P` detects that nobody reads any more what is written.
    pub(crate) struct HttpConnection<S, P> {
        connection: Connection<S, P>,
        #[pin]
        timer: Sleep,
        #[pin]
        drain: OwnedNotified,
    }
}

/// A connection without what has to be pinned.
struct Connection<S, P> {
    stream: S,
    shared: Arc<HttpShared>,
    address: PeerAddress,
    exchange: Option<Lease<Exchange>>,
    timeout: Timeout,
    deadline: Instant,
    /// Its number.
    number: u32,
    is_draining: bool,
    is_shut: bool,
    hang_up: PhantomData<P>,
    // Declared last, so that the socket is closed before another connection gets the permit.
    permit: Permit,
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: HangUp<S>> HttpConnection<S, P> {
    /// Serves `stream`.
    pub(crate) fn new(shared: Arc<HttpShared>, stream: S, address: PeerAddress, permit: Permit) -> Self {
        let deadline = Instant::now() + shared.endpoint.server.limits().header_timeout();
        let drain = shared.endpoint.drain.listen();
        let number = shared.endpoint.server.next_connection();
        let connection = Connection {
            stream,
            shared,
            address,
            exchange: None,
            timeout: Timeout::Head,
            deadline,
            number,
            is_draining: false,
            is_shut: false,
            hang_up: PhantomData,
            permit,
        };
        Self { connection, timer: sleep_until(deadline), drain }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: HangUp<S>> Future for HttpConnection<S, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if !this.connection.is_draining
            && (this.drain.as_mut().poll(cx).is_ready() || this.connection.has_drain_begun())
        {
            this.connection.is_draining = true;
        }
        let mut has_progressed = false;
        loop {
            match this.connection.step(cx) {
                Step::Progressed => {
                    has_progressed = true;
                    continue;
                }
                Step::Ended => return Poll::Ready(()),
                Step::Blocked => {}
            }
            if !this.connection.register(cx) {
                this.connection.shared.endpoint.server.memory().note_refused_large();
                tracing::debug!("the answers of a peer end, as others lack the memory");
                return Poll::Ready(());
            }
            this.connection.set_timeout(std::mem::take(&mut has_progressed));
            let deadline = this.connection.deadline;
            if deadline < this.timer.deadline() || this.timer.is_elapsed() {
                this.timer.as_mut().reset(deadline);
            }
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline && !this.connection.time_out() {
                return Poll::Ready(());
            }
        }
    }
}

/// How a step of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something was read, served or written: take the next step.
    Progressed,
    /// Nothing can go on until the task is woken.
    Blocked,
    /// The connection is at its end.
    Ended,
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: HangUp<S>> Connection<S, P> {
    /// Writes what is ready, then goes on with what has come.
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let is_flushed = match self.flush(cx) {
            Ok(is_flushed) => is_flushed,
            Err(error) => {
                tracing::debug!(%error, "a peer is gone");
                return Step::Ended;
            }
        };
        let Some(exchange) = &mut self.exchange else { return self.read(cx) };
        match exchange.state() {
            State::CutOff if is_flushed => return Step::Ended,
            State::Closing if is_flushed => return self.linger(cx),
            State::Closing | State::CutOff => return Step::Blocked,
            State::Head | State::Body(_) | State::Request(_) | State::Batch(_) | State::Stream(_) => {}
        }
        // Before each step, as a request that is read meanwhile would last as long as its connection too.
        if self.is_draining {
            exchange.begin_closing();
        }
        match exchange.advance(&self.shared.endpoint, self.address, &mut self.permit, cx) {
            NextAction::Continue => Step::Progressed,
            NextAction::Wait => Step::Blocked,
            NextAction::Read => self.read(cx),
        }
    }

    /// Writes what is queued. Returns whether all of it is written.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(exchange) = &mut self.exchange else { return Ok(true) };
        if exchange.sender.outbox.is_empty() {
            return Ok(true);
        }
        let is_flushed = exchange.sender.outbox.poll_flush(&mut self.stream, cx)?.is_ready();
        if is_flushed {
            exchange.sender.round_trips.note_written(self.shared.endpoint.server.latencies());
        }
        Ok(is_flushed)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.get_or_insert_with(|| self.shared.exchange());
        exchange.sender.connection = self.number;
        exchange.sender.peer = Principal::of_peer(self.address).key();
        if exchange.has_input_ended() {
            return if P::has_hung_up(&self.stream) { Step::Ended } else { Step::Blocked };
        }
        if exchange.has_read_ahead(&self.shared.endpoint) {
            return Step::Blocked;
        }
        match exchange.poll_read(&mut self.stream, &self.shared.endpoint, cx) {
            Poll::Ready(Ok(0)) => self.end_input(),
            Poll::Ready(Ok(_)) => {
                exchange.sender.round_trips.note_read();
                Step::Progressed
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a peer is gone");
                Step::Ended
            }
            Poll::Pending => {
                exchange.sender.round_trips.note_wait();
                exchange.free_unused_buffer();
                if exchange.is_idle() {
                    // Until there is something to do.
                    self.exchange = None;
                }
                Step::Blocked
            }
        }
    }

    /// Takes the end of what the peer sends: half of a close, or a whole one, which cancels the request.
    fn end_input(&mut self) -> Step {
        let Some(exchange) = &mut self.exchange else { return Step::Ended };
        let goes_on = if exchange.is_serving() {
            let is_told = matches!(self.address, PeerAddress::Unix { .. });
            let is_there = hang_up::TELLS_HALVES && !P::has_hung_up(&self.stream);
            if is_there {
                exchange.outlive_input(&self.shared.endpoint, is_told);
            }
            is_there
        } else {
            exchange.end_input()
        };
        if goes_on { Step::Progressed } else { Step::Ended }
    }

    /// After the last answer: closes this side, and waits until the peer has read the answer.
    fn linger(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.is_shut {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => return Step::Blocked,
                Poll::Ready(Err(_)) => return Step::Ended,
                Poll::Ready(Ok(())) => self.is_shut = true,
            }
        }
        let Some(exchange) = &mut self.exchange else { return Step::Ended };
        match exchange.poll_discard(&mut self.stream, cx) {
            Poll::Pending => Step::Blocked,
            Poll::Ready(Ok(0) | Err(_)) => Step::Ended,
            // A peer that sends more than a poll may read would never let the timer be looked at.
            Poll::Ready(Ok(_)) if self.timeout == Timeout::Linger && Instant::now() >= self.deadline => {
                Step::Ended
            }
            Poll::Ready(Ok(_)) => Step::Progressed,
        }
    }

    /// Registers what the connection holds while it sleeps. Returns whether it may go on.
    fn register(&mut self, cx: &Context<'_>) -> bool {
        let endpoint = &self.shared.endpoint;
        self.exchange.as_mut().is_none_or(|exchange| exchange.register(endpoint, self.address, cx.waker()))
    }

    fn has_drain_begun(&self) -> bool {
        self.shared.endpoint.drain.has_begun()
    }

    /// Finds out which time-out applies, and when it ends.
    fn set_timeout(&mut self, has_progressed: bool) {
        let limits = self.shared.endpoint.server.limits();
        let (timeout, duration) = match &self.exchange {
            None if self.is_draining => (Timeout::Drain, Drain::GRACE),
            None => (Timeout::Idle, limits.idle_timeout()),
            Some(_) if self.is_shut => (Timeout::Linger, LINGER),
            Some(exchange) if !exchange.sender.outbox.is_empty() => (Timeout::Write, write_look(limits)),
            Some(exchange) => match exchange.state() {
                // What has not come whole was not accepted, and a few bytes must not hold up the end.
                State::Head if self.is_draining => (Timeout::Drain, Drain::GRACE),
                State::Head | State::Body(_) if exchange.awaits_room() => (Timeout::Room, ROOM_LOOK),
                State::Head => (Timeout::Head, limits.header_timeout()),
                State::Body(_) if exchange.expects_body() => (Timeout::Expected, EXPECTED),
                State::Body(_) => (Timeout::Body, limits.body_interval()),
                State::Request(_) | State::Batch(_) | State::Stream(_) => match exchange.next_look(limits) {
                    Some(look) => (Timeout::Peer, look),
                    None => (Timeout::KeepAlive, limits.sse_keep_alive()),
                },
                State::Closing | State::CutOff => (Timeout::Linger, LINGER),
            },
        };
        // A time-out that still applies keeps its deadline, else a slow peer could set it forward byte by byte. For
        // streams and idle connections it begins anew each time something happens.
        if timeout != self.timeout
            || (has_progressed && matches!(timeout, Timeout::KeepAlive | Timeout::Idle))
        {
            self.timeout = timeout;
            self.deadline = Instant::now() + duration;
            if let (Timeout::Write, Some(exchange)) = (timeout, &mut self.exchange) {
                exchange.sender.outbox.begin_pace();
            }
        }
    }

    /// Acts on a deadline that has passed. Returns whether the connection goes on.
    fn time_out(&mut self) -> bool {
        let endpoint = &self.shared.endpoint;
        let limits = endpoint.server.limits();
        let Some(exchange) = &mut self.exchange else { return false };
        if self.timeout == Timeout::Body
            && let Some(body) = exchange.body()
            && body.keeps_pace(limits)
        {
            self.deadline = body.pace.next_look(limits);
            return true;
        }
        match self.timeout {
            Timeout::Expected => {
                exchange.stop_expecting_body();
                self.set_timeout(false);
                true
            }
            // It asks again at the next step, which follows.
            Timeout::Room => {
                self.deadline = Instant::now() + ROOM_LOOK;
                true
            }
            Timeout::Head | Timeout::Body if exchange.has_partial_request() => {
                exchange.time_out(endpoint);
                true
            }
            Timeout::Write if exchange.sender.outbox.keeps_pace(limits.least_write_bytes()) => {
                self.deadline = Instant::now() + write_look(limits);
                true
            }
            Timeout::Idle
            | Timeout::Head
            | Timeout::Body
            | Timeout::Write
            | Timeout::Linger
            | Timeout::Drain => false,
            // It is looked at in the next step.
            Timeout::Peer => {
                let Some(look) = exchange.note_look(limits) else { return false };
                self.deadline = Instant::now() + look;
                true
            }
            Timeout::KeepAlive => {
                exchange.keep_alive(endpoint);
                // Even where nothing was sent, the next time is a whole interval away.
                self.deadline = Instant::now() + limits.sse_keep_alive();
                true
            }
        }
    }
}

/// Time between two looks at a peer that has to read.
fn write_look(limits: &Limits) -> Duration {
    limits.write_timeout() / u32::from(Outbox::LOOKS)
}

#[cfg(test)]
mod tests;
