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
use crate::transport::admission::PeerAddress;
use crate::transport::outbox::Outbox;
use mcpool_pools::Lease;
use pin_project_lite::pin_project;
use std::io;
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
    Linger,
    /// While a connection may still take a request, or the rest of its head, as the server drains.
    Drain,
}

pin_project! {
    /// A connection as a future: it ends when the connection does.
    pub(crate) struct HttpConnection<S> {
        connection: Connection<S>,
        #[pin]
        timer: Sleep,
        #[pin]
        drain: OwnedNotified,
    }
}

/// A connection without what has to be pinned.
struct Connection<S> {
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
    // Declared last, so that the socket is closed before another connection gets the permit.
    permit: Permit,
}

impl<S: AsyncRead + AsyncWrite + Unpin> HttpConnection<S> {
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
            permit,
        };
        Self { connection, timer: sleep_until(deadline), drain }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for HttpConnection<S> {
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
                this.connection.shared.endpoint.server.memory().note_refused();
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

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
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
        if exchange.has_read_ahead(&self.shared.endpoint) {
            return Step::Blocked;
        }
        match exchange.poll_read(&mut self.stream, &self.shared.endpoint, cx) {
            Poll::Ready(Ok(0)) => {
                if exchange.end_input() {
                    return Step::Progressed;
                }
                Step::Ended
            }
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
                State::Request(_) | State::Batch(_) | State::Stream(_) => {
                    (Timeout::KeepAlive, limits.sse_keep_alive())
                }
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
mod tests {
    use super::*;
    use crate::server::{FairLimit, Server};
    use crate::transport::admission::{Admission, AdmissionConfig};
    use std::net::{IpAddr, Ipv4Addr};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    /// A connection of a server without tools, with room for so many bytes in each direction.
    fn served(room_bytes: usize, drain: &Drain) -> (DuplexStream, JoinHandle<()>) {
        served_by(Server::builder("test", "1").build().expect("a server"), room_bytes, drain)
    }

    fn served_by(server: Server, room_bytes: usize, drain: &Drain) -> (DuplexStream, JoinHandle<()>) {
        let admission = Admission::new(AdmissionConfig::default(), &Limits::default()).expect("rules");
        let shared = HttpShared::new(server, admission, drain.clone()).expect("not served yet");
        let (client, stream) = duplex(room_bytes);
        let address = PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let permit = FairLimit::new(1, 75).acquire(0).expect("a permit");
        (client, tokio::spawn(HttpConnection::new(Arc::new(shared), stream, address, permit)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_that_comes_with_the_drain_ends_with_it() {
        let drain = Drain::default();
        let (mut client, serving) = served(64 * 1024, &drain);
        // It is idle, and both come before it is polled again.
        sleep(Duration::from_millis(1)).await;
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#;
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
             mcp-method: subscriptions/listen\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all(format!("{head}{body}").as_bytes()).await.expect("room");
        drain.begin();
        let mut answer = String::new();
        let ended = timeout(Duration::from_hours(1), client.read_to_string(&mut answer)).await;
        assert!(ended.is_ok(), "it goes on: {answer}");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serving.await.expect("it does not panic");
    }

    /// In time that stands still while anything can move: whenever a request comes within the grace of a drain, it is
    /// answered, its answer closes the connection, and no connection stays longer.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_on_its_way_when_the_drain_begins_is_answered() {
        let steps = [-1_i64, 0, 1, 100, 249, 251, 400];
        for (first, late_ms) in [true, false].into_iter().flat_map(|first| steps.map(|late| (first, late))) {
            let drain = Drain::default();
            let (mut client, serving) = served(64 * 1024, &drain);
            let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
            if !first {
                client.write_all(request).await.expect("room");
                let mut answer = vec![0; 1024];
                assert!(client.read(&mut answer).await.expect("an answer") > 0);
            }
            sleep(Duration::from_millis(20)).await;
            if late_ms < 0 {
                client.write_all(request).await.expect("room");
            }
            let began = Instant::now();
            drain.begin();
            if late_ms >= 0 {
                sleep(Duration::from_millis(late_ms.unsigned_abs())).await;
                let _ = client.write_all(request).await;
            }
            let mut answer = String::new();
            let _ =
                timeout(Duration::from_hours(1), client.read_to_string(&mut answer)).await.expect("an end");
            let is_answered = answer.starts_with("HTTP/1.1 200") && answer.contains("onnection: close");
            let grace_ms = i64::try_from(Drain::GRACE.as_millis()).expect("short");
            assert_eq!(is_answered, late_ms < grace_ms, "{first} {late_ms} ms: {answer:?}");
            drop(client);
            serving.await.expect("it does not panic");
            assert!(
                began.elapsed() <= Drain::GRACE.max(Duration::from_millis(late_ms.unsigned_abs())) + LINGER
            );
        }
    }

    /// In time that stands still while anything can move: the beginning of a request has no longer than a whole one.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_does_not_hold_up_a_drain() {
        for (sent_ms, more_ms) in [(0, None), (30, None), (0, Some(100)), (30, Some(100))] {
            let drain = Drain::default();
            let (mut client, serving) = served(64 * 1024, &drain);
            sleep(Duration::from_millis(20)).await;
            if sent_ms == 0 {
                client.write_all(b"G").await.expect("room");
                sleep(Duration::from_millis(20)).await;
            }
            let began = Instant::now();
            drain.begin();
            let sending = async {
                sleep(Duration::from_millis(sent_ms)).await;
                // Byte by byte it does not last longer either.
                while client.write_all(b"G").await.is_ok() {
                    let Some(more_ms) = more_ms else { break };
                    sleep(Duration::from_millis(more_ms)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = sending => unreachable!("it waits for ever"),
                ended = serving => ended.expect("it does not panic"),
            }
            let took = began.elapsed();
            assert!(took <= Drain::GRACE + LINGER, "{sent_ms} {more_ms:?}: {took:?}");
        }
    }

    /// In time that stands still while anything can move: a body may take its time-out if it comes at the least rate, and
    /// not much longer than a head if it does not.
    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_least_rate() {
        let limits = Limits::default();
        let (soon, late) = (limits.header_timeout(), limits.body_timeout());
        let rows = [
            (0, Duration::from_secs(1), soon),
            (1, Duration::from_secs(1), soon),
            (limits.min_body_bytes_per_s / 2, Duration::from_secs(1), soon),
            (limits.min_body_bytes_per_s * 2, Duration::from_secs(1), late),
            (limits.min_body_bytes_per_s * 12, Duration::from_secs(9), late),
        ];
        for (bytes, every, ends_after) in rows {
            let began = Instant::now();
            let (mut client, serving) = served(64 * 1024, &Drain::default());
            let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 accept: application/json, text/event-stream\r\ncontent-length: 9000000\r\n\r\n";
            client.write_all(head.as_bytes()).await.expect("room");
            let sending = async {
                loop {
                    if client.write_all(&vec![b' '; bytes]).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    sleep(every).await;
                }
            };
            let refused = timeout(late * 2, async {
                tokio::select! {
                    () = sending => unreachable!("it sends for ever"),
                    ended = serving => ended,
                }
            });
            refused.await.expect("it ends").expect("it does not panic");
            let took = began.elapsed();
            // A large body is expected first, and who is refused may read why.
            let most = ends_after + EXPECTED + LINGER + every;
            assert!(took >= ends_after && took <= most, "{bytes} B each {every:?}: {took:?}");
        }
    }

    /// In time that stands still while anything can move: whenever there is room, within its time, a body goes on; after
    /// that it is refused, and at once if it never fits.
    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_room_and_no_longer_than_it_may() {
        const ROOM: usize = 1 << 20;
        let most_ms = 5_000;
        for (bytes, free_ms) in
            [(500_000, 0), (500_000, 100), (500_000, 4_500), (500_000, 9_000), (2_000_000, 0)]
        {
            let limits = Limits { max_inflight_bytes: ROOM, ..Limits::default() };
            let server = Server::builder("test", "1").limits(limits).build().expect("a server");
            let full = server.common_pools().leased.reserve(ROOM);
            let began = Instant::now();
            let (mut client, serving) = served_by(server.clone(), 64 * 1024, &Drain::default());
            let head = format!(
                "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 accept: application/json, text/event-stream\r\nexpect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n"
            );
            client.write_all(head.as_bytes()).await.expect("room");
            let freeing = tokio::spawn(async move {
                sleep(Duration::from_millis(free_ms)).await;
                drop(full);
            });
            let mut answer = vec![0; 2_000];
            let read = client.read(&mut answer).await.expect("an answer");
            let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
            let took_ms = u64::try_from(began.elapsed().as_millis()).expect("short");
            let (status, earliest_ms) = match (bytes > ROOM, free_ms < most_ms) {
                (true, _) => ("413", 0),
                (false, true) => ("100", free_ms),
                (false, false) => ("503", most_ms),
            };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes} {free_ms}: {answer}");
            assert!((earliest_ms..=earliest_ms + 200).contains(&took_ms), "{bytes} {free_ms}: {took_ms} ms");
            drop(client);
            serving.await.expect("it does not panic");
            let refused = u64::from(status != "100");
            assert_eq!(server.memory().report().pressure.refused, refused);
            freeing.await.expect("it does not panic");
            assert_eq!(server.common_pools().leased.used_bytes(), 0);
        }
    }

    /// A reader may stop at any time after any pace: the time-out runs from then, and no interval before it counts.
    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_gone_after_its_time_out() {
        let limits = Limits::default();
        for (stops_after, bytes) in [(0, 0), (1, 40_000), (7, 2_000), (29, 2_000), (31, 1_000), (44, 1_000)] {
            let (client, serving) = served(1024, &Drain::default());
            let (mut reader, mut writer) = tokio::io::split(client);
            let sending = tokio::spawn(async move {
                loop {
                    writer.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
                }
                #[expect(unreachable_code, reason = "the type of the error")]
                Ok::<(), io::Error>(())
            });
            let began = Instant::now();
            let mut buffer = vec![0; bytes];
            while began.elapsed() < Duration::from_secs(stops_after) {
                let _ = timeout(Duration::from_millis(100), reader.read_exact(&mut buffer)).await;
                sleep(Duration::from_millis(100)).await;
            }
            assert!(!serving.is_finished(), "it ends although its peer reads: {stops_after}");
            let ended = timeout(limits.write_timeout() * 5 / 4 + Duration::from_secs(1), serving).await;
            assert!(ended.is_ok(), "it goes on: {stops_after}");
            sending.abort();
        }
    }

    /// In time that stands still while anything can move.
    #[tokio::test(start_paused = true)]
    async fn a_reader_has_a_least_rate() {
        let limits = Limits::default();
        let rows = [
            (0, Duration::from_secs(1), true),
            // A byte each time that the time-out is nearly over.
            (1, Duration::from_secs(29), true),
            (limits.min_write_bytes_per_s / 2, Duration::from_secs(1), true),
            (limits.min_write_bytes_per_s * 2, Duration::from_secs(1), false),
        ];
        for (bytes, every, ends) in rows {
            let (client, serving) = served(1024, &Drain::default());
            let (mut reader, mut writer) = tokio::io::split(client);
            let sending = tokio::spawn(async move {
                let requests = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20_000);
                writer.write_all(requests.as_bytes()).await
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
            sending.abort();
        }
    }
}
