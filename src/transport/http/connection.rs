//! One HTTP connection: a socket, a timer, and an exchange while there is something to do.
//!
//! An idle connection holds no buffer and no exchange, before and after its requests. One timer serves all
//! time-outs: it is set forward lazily, so that a request that is served at once touches it not at all. The connection
//! holds its own place among those that may be open: a request tells whose it is.

use super::endpoint::Endpoint;
use super::exchange::{Exchange, State, Turn};
use crate::server::Permit;
use crate::transport::admission::PeerAddress;
use crate::transport::stack_read::poll_probe;
use mcpool_pools::Lease;
use pin_project_lite::pin_project;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may send on after the last answer: closing at once would destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read ahead while a request waits: the start of the next one.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// What the timer is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Idle,
    Head,
    Body,
    Write,
    Stream,
    Linger,
}

pin_project! {
    /// A connection as a future: it ends when the connection does.
    pub(crate) struct HttpConnection<S> {
        peer: Peer<S>,
        #[pin]
        timer: Sleep,
        #[pin]
        drain: OwnedNotified,
    }
}

/// A connection without what has to be pinned.
struct Peer<S> {
    stream: S,
    endpoint: Arc<Endpoint>,
    address: PeerAddress,
    exchange: Option<Lease<Exchange>>,
    watch: Watch,
    deadline: Instant,
    is_draining: bool,
    is_shut: bool,
    // Last, so that the socket is closed before another connection gets the place.
    place: Permit,
}

impl<S: AsyncRead + AsyncWrite + Unpin> HttpConnection<S> {
    /// Serves `stream`.
    pub(crate) fn new(endpoint: Arc<Endpoint>, stream: S, address: PeerAddress, place: Permit) -> Self {
        let deadline = Instant::now() + endpoint.server.limits().header_timeout();
        let drain = endpoint.drain.listen();
        let peer = Peer {
            stream,
            endpoint,
            address,
            exchange: None,
            watch: Watch::Head,
            deadline,
            is_draining: false,
            is_shut: false,
            place,
        };
        Self { peer, timer: sleep_until(deadline), drain }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for HttpConnection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if !this.peer.is_draining && (this.drain.as_mut().poll(cx).is_ready() || this.peer.has_drain_begun())
        {
            this.peer.begin_draining();
        }
        let mut has_moved = false;
        loop {
            match this.peer.step(cx) {
                Step::Moved => {
                    has_moved = true;
                    continue;
                }
                Step::End => return Poll::Ready(()),
                Step::Still => {}
            }
            this.peer.enter_roster();
            this.peer.set_watch(std::mem::take(&mut has_moved));
            let deadline = this.peer.deadline;
            if deadline < this.timer.deadline() || this.timer.is_elapsed() {
                this.timer.as_mut().reset(deadline);
            }
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline && !this.peer.time_out() {
                return Poll::Ready(());
            }
        }
    }
}

/// How a step of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something moved: go round again.
    Moved,
    /// Nothing can move until the task is woken.
    Still,
    /// The connection is at its end.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Writes what is ready, then goes on with what has come.
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let flushed = match self.flush(cx) {
            Ok(flushed) => flushed,
            Err(error) => {
                tracing::debug!(%error, "a peer is gone");
                return Step::End;
            }
        };
        let Some(exchange) = &mut self.exchange else { return self.fill(cx) };
        if exchange.is_closing() {
            if exchange.is_cut_off {
                return Step::End;
            }
            return if flushed { self.linger(cx) } else { Step::Still };
        }
        match exchange.turn(&self.endpoint, self.address, &mut self.place, cx) {
            Turn::Moved => Step::Moved,
            Turn::Wait => Step::Still,
            Turn::Read => self.fill(cx),
        }
    }

    /// Writes what is queued; whether all of it is written.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(exchange) = &mut self.exchange else { return Ok(true) };
        if exchange.outbox.is_empty() {
            return Ok(true);
        }
        let flushed = exchange.outbox.poll_flush(&mut self.stream, cx)?;
        Ok(flushed.is_ready())
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.get_or_insert_with(|| self.endpoint.exchange());
        let is_at_work = matches!(exchange.state, State::Work(_) | State::Follow(_));
        if is_at_work && exchange.input.as_ref().is_some_and(|input| input.len() >= READ_AHEAD_BYTES) {
            return Step::Still;
        }
        let read = if exchange.is_drained && exchange.input.is_none() {
            let endpoint = &self.endpoint;
            poll_probe(&mut self.stream, cx, |bytes| exchange.room(endpoint).extend_from_slice(bytes))
        } else {
            let buffer = exchange.room(&self.endpoint);
            let room = buffer.capacity() - buffer.len();
            pin!(self.stream.read_buf(buffer)).poll(cx).map_ok(|bytes| (bytes, bytes >= room))
        };
        // Woken after a pause, it finds something.
        exchange.is_drained = matches!(read, Poll::Ready(Ok((_, false))));
        match read {
            Poll::Ready(Ok((0, _))) => {
                if exchange.ended() {
                    return Step::Moved;
                }
                Step::End
            }
            Poll::Ready(Ok(_)) => Step::Moved,
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a peer is gone");
                Step::End
            }
            Poll::Pending => {
                exchange.let_go_of_room();
                if exchange.is_idle() {
                    if self.is_draining {
                        return Step::End;
                    }
                    self.rest();
                }
                Step::Still
            }
        }
    }

    /// Lets the exchange go until there is something to do.
    fn rest(&mut self) {
        if let Some(exchange) = self.exchange.take()
            && exchange.was_large
        {
            self.endpoint.note_large();
        }
    }

    /// After the last answer: tells the peer, and waits until it has read it.
    fn linger(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.is_shut {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => return Step::Still,
                Poll::Ready(Err(_)) => return Step::End,
                Poll::Ready(Ok(())) => self.is_shut = true,
            }
        }
        let Some(exchange) = &mut self.exchange else { return Step::End };
        if let Some(input) = &mut exchange.input {
            input.clear();
        }
        match pin!(self.stream.read_buf(exchange.room(&self.endpoint))).poll(cx) {
            Poll::Pending => Step::Still,
            Poll::Ready(Ok(0) | Err(_)) => Step::End,
            Poll::Ready(Ok(_)) => Step::Moved,
        }
    }

    /// What a sleeping connection still holds is told of.
    fn enter_roster(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.enter_roster(self.address);
        }
    }

    fn has_drain_begun(&self) -> bool {
        self.endpoint.drain.has_begun()
    }

    fn begin_draining(&mut self) {
        self.is_draining = true;
        if let Some(exchange) = &mut self.exchange {
            exchange.begin_closing();
        }
    }

    /// Finds out what the connection waits for, and until when it may.
    fn set_watch(&mut self, has_moved: bool) {
        let limits = self.endpoint.server.limits();
        let (watch, patience) = match &self.exchange {
            None => (Watch::Idle, limits.idle_timeout()),
            Some(_) if self.is_shut => (Watch::Linger, LINGER),
            Some(exchange) if !exchange.outbox.is_empty() => (Watch::Write, limits.write_timeout()),
            Some(exchange) => match exchange.state {
                State::Head => (Watch::Head, limits.header_timeout()),
                State::Body(_) => (Watch::Body, limits.body_timeout()),
                State::Work(_) | State::Follow(_) => (Watch::Stream, limits.sse_keep_alive()),
                State::Closing => (Watch::Linger, LINGER),
            },
        };
        // A watch that goes on keeps its deadline, else a slow peer could set it forward byte by byte. Streams
        // and idle connections are watched anew each time something happens.
        if watch != self.watch || (has_moved && matches!(watch, Watch::Stream | Watch::Idle)) {
            self.watch = watch;
            self.deadline = Instant::now() + patience;
            if let (Watch::Write, Some(exchange)) = (watch, &mut self.exchange) {
                exchange.outbox.begin_pace();
            }
        }
    }

    /// Acts on a deadline that has passed; whether the connection goes on.
    fn time_out(&mut self) -> bool {
        let Some(exchange) = &mut self.exchange else { return false };
        match self.watch {
            Watch::Head | Watch::Body if exchange.is_amid_request() => {
                exchange.time_out(&self.endpoint);
                true
            }
            Watch::Write if exchange.outbox.keeps_pace(self.endpoint.server.limits().least_write_bytes()) => {
                exchange.outbox.begin_pace();
                self.deadline = Instant::now() + self.endpoint.server.limits().write_timeout();
                true
            }
            Watch::Idle | Watch::Head | Watch::Body | Watch::Write | Watch::Linger => false,
            Watch::Stream => {
                exchange.keep_alive(&self.endpoint);
                // Even where nothing was to be said, the next time is a whole interval away.
                self.deadline = Instant::now() + self.endpoint.server.limits().sse_keep_alive();
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::server::{Drain, FairLimit, Server};
    use crate::transport::admission::{Admission, AdmissionConfig};
    use std::net::{IpAddr, Ipv4Addr};
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::{sleep, timeout};

    /// In time that stands still while anything can move.
    #[tokio::test(start_paused = true)]
    async fn a_reader_has_a_least_rate() {
        let limits = Limits::default();
        let rows = [
            (0, Duration::from_secs(1), true),
            // A byte each time that its patience is nearly over.
            (1, Duration::from_secs(29), true),
            (limits.min_write_bytes_per_s / 2, Duration::from_secs(1), true),
            (limits.min_write_bytes_per_s * 2, Duration::from_secs(1), false),
        ];
        for (bytes, every, ends) in rows {
            let server = Server::builder("test", "1").build().expect("a server");
            let admission = Admission::new(AdmissionConfig::default(), &limits).expect("rules");
            let endpoint = Endpoint::new(server, admission, Drain::default()).expect("one endpoint");
            let (client, stream) = duplex(1024);
            let address = PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let place = FairLimit::new(1, 75).acquire(0).expect("a permit");
            let serving = tokio::spawn(HttpConnection::new(Arc::new(endpoint), stream, address, place));
            let (mut reader, mut writer) = tokio::io::split(client);
            let saying = tokio::spawn(async move {
                let questions = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20_000);
                writer.write_all(questions.as_bytes()).await
            });
            let began = Instant::now();
            let mut buffer = vec![0; bytes];
            while began.elapsed() < 4 * limits.write_timeout() && !serving.is_finished() {
                sleep(every).await;
                let mut taken = 0;
                while taken < bytes {
                    match timeout(Duration::from_millis(1), reader.read(&mut buffer[taken..])).await {
                        Ok(Ok(read)) if read > 0 => taken += read,
                        _ => break,
                    }
                }
            }
            assert_eq!(serving.is_finished(), ends, "{bytes} B each {every:?}");
            saying.abort();
        }
    }
}
