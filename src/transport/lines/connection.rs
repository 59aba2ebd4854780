//! One connection of newline-framed messages as a future: a stream, a session if there was a handshake, a timer, and
//! an exchange while there is something to do.
//!
//! An idle connection holds no buffer and no exchange. This file knows nothing of messages: `exchange` reads them.

use super::exchange::{Exchange, ExchangeFactory};
use super::peer::{Peer, ServeError};
use super::timeouts::{Observed, TimeoutClock};
use crate::server::{Drain, Server};
use crate::transport::admission::PeerAddress;
use crate::transport::hang_up::HangUp;
use mcpool_pools::{Lease, ObjectPool, PoolConfig};
use pin_project_lite::pin_project;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep, sleep_until};

/// What all connections of a server share that speak lines.
pub(crate) struct LineShared {
    pub(super) server: Server,
    exchanges: ObjectPool<Exchange>,
    drain: Drain,
}

impl LineShared {
    /// For connections that end soon after `drain` begins.
    pub(crate) fn new(server: &Server, drain: &Drain) -> Self {
        let config = PoolConfig {
            setting: Some("message_capacity"),
            ..PoolConfig::new("line exchanges", server.limits().message_capacity())
        };
        let exchanges = server.transport_pool(config, || ExchangeFactory::new(server));
        Self { server: server.clone(), exchanges, drain: drain.clone() }
    }
}

pin_project! {
    /// A connection as a future: it ends when the peer closes its side or soon after the drain begins, when what is in
    /// flight has finished; or when the peer takes longer than it may.
    ///
    /// `P` detects that nobody reads any more what is written.
    pub(crate) struct LineConnection<S, P> {
        stream: S,
        // Before the peer: what is in flight ends before its session does.
        exchange: Option<Lease<Exchange>>,
        peer: Peer,
        shared: Arc<LineShared>,
        #[pin]
        draining: OwnedNotified,
        // From then on the timer is that of the drain.
        is_draining: bool,
        clock: TimeoutClock,
        // None for the owner, which has a time-out only for what is in flight at the end. In a box, so that a
        // connection without a timer has no room for one.
        timer: Option<Pin<Box<Sleep>>>,
        hang_up: PhantomData<P>,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: HangUp<S>> LineConnection<S, P> {
    /// Serves `stream`. A peer without an address is the owner.
    pub(crate) fn new(shared: Arc<LineShared>, peer: Option<PeerAddress>, stream: S) -> Self {
        let timer =
            peer.map(|_| Box::pin(sleep_until(Instant::now() + shared.server.limits().idle_timeout())));
        let draining = shared.drain.listen();
        Self {
            stream,
            exchange: None,
            peer: Peer::new(&shared.server, peer),
            shared,
            draining,
            is_draining: false,
            clock: TimeoutClock::new(Instant::now()),
            timer,
            hang_up: PhantomData,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: HangUp<S>> Future for LineConnection<S, P> {
    type Output = Result<(), ServeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = &*this.shared;
        if !*this.is_draining && (this.draining.as_mut().poll(cx).is_ready() || shared.drain.has_begun()) {
            *this.is_draining = true;
            *this.timer = Some(Box::pin(sleep_until(Instant::now() + Drain::LOCAL_GRACE)));
        }
        let exchange = this.exchange.get_or_insert_with(|| shared.exchanges.acquire());
        let is_over = |timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>| {
            timer.as_mut().is_none_or(|timer| timer.as_mut().poll(cx).is_ready())
        };
        if *this.is_draining && !exchange.reads_rest() && is_over(this.timer, cx) {
            exchange.read_rest();
        }
        let ended = match exchange.poll(this.peer, this.stream, cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending if !exchange.register_answers(this.peer, cx.waker()) => {
                shared.server.memory().note_refused_large();
                tracing::debug!("the answers of a peer end, as others lack the memory");
                Ok(())
            }
            Poll::Pending if exchange.is_reading() && !exchange.reads_rest() => {
                let progress = exchange.take_progress();
                if exchange.is_idle() {
                    *this.exchange = None;
                } else {
                    exchange.register(this.peer);
                }
                if *this.is_draining {
                    // The timer wakes it.
                    return Poll::Pending;
                }
                let Some(timer) = this.timer.as_mut().map(Pin::as_mut) else { return Poll::Pending };
                let has_session = this.peer.session.is_some();
                let waiting = this.exchange.as_deref_mut().map(Exchange::waiting);
                let observed = Observed { waiting, progress, has_session };
                ready!(this.clock.poll(observed, shared.server.limits(), timer, cx));
                if is_told_first(this.exchange.as_deref_mut(), this.peer, cx) {
                    return Poll::Pending;
                }
                Ok(())
            }
            Poll::Pending => {
                let allowed = shared.server.limits().drain_timeout();
                if exchange.begin_end() {
                    *this.timer = Some(Box::pin(this.clock.begin_end(allowed)));
                }
                if let Some(timer) = this.timer.as_mut().map(Pin::as_mut) {
                    let stream = &*this.stream;
                    ready!(this.clock.poll_end(allowed, timer, || P::has_hung_up(stream), cx));
                }
                Ok(())
            }
        };
        tracing::debug!(frames = shared.server.metrics().frames.total(), ?ended, "connection ended");
        Poll::Ready(match ended {
            Err(ServeError::Write(error)) if is_hang_up(&error) => Ok(()),
            ended => ended,
        })
    }
}

/// Whether a peer that took too long is told why before its connection ends. There is another poll then.
#[cold]
fn is_told_first(exchange: Option<&mut Exchange>, peer: &Peer, cx: &Context<'_>) -> bool {
    tracing::debug!("a peer took too long");
    let is_told = exchange.is_some_and(|exchange| exchange.refuse_late(peer));
    if is_told {
        cx.waker().wake_by_ref();
    }
    is_told
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::admission::Principal;
    use crate::transport::hang_up::Undetected;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
    use tokio::time::sleep;

    const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}}"#;

    const SOMEBODY: PeerAddress = PeerAddress::Unix { uid: 7 };

    struct Talk {
        connection: Pin<Box<LineConnection<DuplexStream, Undetected>>>,
        client: BufReader<DuplexStream>,
    }

    impl Talk {
        fn open(peer: Option<PeerAddress>, drain: &Drain) -> Self {
            let server = Server::builder("test", "1").build().expect("a server");
            let (client, stream) = duplex(64 * 1024);
            let shared = Arc::new(LineShared::new(&server, drain));
            let connection = Box::pin(LineConnection::<_, Undetected>::new(shared, peer, stream));
            Self { connection, client: BufReader::new(client) }
        }

        async fn send(&mut self, lines: &str) {
            self.client.get_mut().write_all(lines.as_bytes()).await.expect("room");
            let polled = poll_fn(|cx| Poll::Ready(self.connection.as_mut().poll(cx))).await;
            assert!(polled.is_pending(), "{polled:?}");
        }

        async fn answer(&mut self) -> String {
            let mut line = String::new();
            self.client.read_line(&mut line).await.expect("a line");
            line
        }
    }

    #[tokio::test]
    async fn an_idle_connection_keeps_a_stream_and_after_a_handshake_a_session() {
        let mut talk = Talk::open(Some(SOMEBODY), &Drain::default());
        talk.send(&format!("{DISCOVER}\n")).await;
        assert!(talk.answer().await.contains(r#""result":"#));
        assert!(talk.connection.exchange.is_none() && talk.connection.peer.session.is_none());
        talk.send("{\"jsonrpc\":").await;
        assert!(talk.connection.exchange.is_some(), "half a message is kept");
        talk.send("\"2.0\",\"id\":2,\"method\":\"ping\"}\n").await;
        assert_eq!(talk.answer().await, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n");
        assert!(talk.connection.exchange.is_none() && talk.connection.peer.session.is_none());
        // All in one read: the session is there for the line after the one that opens it.
        let list = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#;
        talk.send(&format!("{list}\n{INITIALIZE}\n{list}\n")).await;
        assert!(talk.answer().await.contains(r#""error":"#), "before the handshake");
        assert!(talk.answer().await.contains("2025-06-18"));
        assert!(talk.answer().await.contains(r#""tools":[]"#));
        let session = talk.connection.peer.session.clone().expect("a session");
        assert_eq!(session.principal(), Principal::of_peer(SOMEBODY).key());
        assert!(!session.values().owns_process() && talk.connection.exchange.is_none());
        talk.send(&format!("{INITIALIZE}\n")).await;
        assert!(talk.answer().await.contains("2025-06-18"));
        let kept = talk.connection.peer.session.as_ref().expect("a session");
        assert_eq!(kept.number(), session.number(), "a second handshake is about the same session");
        drop(talk);
        assert!(session.is_closed());
    }

    #[tokio::test]
    async fn a_long_batch_gives_its_thread_back_between_its_messages() {
        let mut talk = Talk::open(Some(SOMEBODY), &Drain::default());
        talk.send(&format!("{}\n", INITIALIZE.replace("2025-06-18", "2025-03-26"))).await;
        assert!(talk.answer().await.contains("2025-03-26"));
        let pings: Vec<_> =
            (0..100).map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).collect();
        let mut polls = 1;
        talk.send(&format!("[{}]\n", pings.join(","))).await;
        while tokio::time::timeout(Duration::from_millis(1), talk.client.fill_buf()).await.is_err() {
            polls += 1;
            talk.send("").await;
        }
        assert!((3..8).contains(&polls), "{polls} polls for a hundred messages");
        let answer = talk.answer().await;
        assert!((0..100).all(|id| answer.contains(&format!(r#""id":{id},"#))), "{answer}");
    }

    #[tokio::test]
    async fn what_peers_without_a_session_share_stays_as_it_is() {
        let mut talk = Talk::open(Some(SOMEBODY), &Drain::default());
        let unasked = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}
{"jsonrpc":"2.0","id":"roots-1","result":{"roots":[{"uri":"file:///"}]}}
"#;
        talk.send(unasked).await;
        let shared = talk.connection.peer.server.stateless_session();
        assert!(shared.subscription().is_none() && shared.take_roots_request().is_none());
        assert!(shared.revision().is_none() && talk.connection.peer.session.is_none());
    }

    #[tokio::test]
    async fn the_owner_is_known_by_its_session() {
        let mut talk = Talk::open(None, &Drain::default());
        talk.send(&format!("{INITIALIZE}\n")).await;
        assert!(talk.answer().await.contains("2025-06-18"));
        let session = talk.connection.peer.session.as_ref().expect("a session");
        assert!(session.values().owns_process() && session.revision().is_some());
    }

    #[tokio::test]
    async fn an_idle_connection_ends_with_the_drain_however_early_it_begins() {
        let drain = Drain::default();
        let talk = Talk::open(Some(SOMEBODY), &drain);
        drain.begin();
        talk.connection.await.expect("a good end");
        Talk::open(Some(SOMEBODY), &drain).connection.await.expect("a good end");
    }

    /// In time that stands still while anything can move: what has been sent when the drain begins, or is noticed a little
    /// later, is answered to the last message; nobody keeps the connection by going on.
    #[tokio::test(start_paused = true)]
    async fn what_was_sent_when_the_drain_begins_is_answered() {
        let ping = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n";
        let rows = [0_u64, 1, 49, 51, 400].into_iter().flat_map(|late_ms| [1, 3, 700].map(|n| (late_ms, n)));
        for ((late_ms, count), is_owner) in rows.flat_map(|row| [(row, true), (row, false)]) {
            let drain = Drain::default();
            let Talk { connection, client } = Talk::open((!is_owner).then_some(SOMEBODY), &drain);
            let serving = tokio::spawn(connection);
            let (answers, mut requests) = tokio::io::split(client.into_inner());
            sleep(Duration::from_millis(20)).await;
            drain.begin();
            sleep(Duration::from_millis(late_ms)).await;
            let half = &ping[..20];
            let all = format!("{}{half}", ping.repeat(count));
            tokio::spawn(async move {
                let _ = requests.write_all(all.as_bytes()).await;
                sleep(Duration::from_hours(1)).await;
            });
            let mut lines = BufReader::new(answers).lines();
            let mut answered = 0;
            while let Ok(Some(line)) = lines.next_line().await {
                assert!(line.contains("\"id\":2"), "{line}");
                answered += 1;
            }
            let want = if late_ms < 50 { count } else { 0 };
            assert_eq!(answered, want, "{late_ms} ms late, {count}, owner: {is_owner}");
            serving.await.expect("no panic").expect("a good end");
        }
    }

    /// More answers than the connection holds for a peer: whoever begins to read them late, or reads slowly, gets all.
    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_all_answers_to_what_was_sent_when_the_drain_begins() {
        for (late_ms, is_owner) in
            [0_u64, 100, 5_000].into_iter().flat_map(|late| [(late, true), (late, false)])
        {
            let limits = crate::limits::Limits { max_outbox_bytes: 4 * 1024, ..Default::default() };
            let server = Server::builder("test", "1").limits(limits).build().expect("a server");
            let (mut client, stream) = duplex(16 * 1024);
            let drain = Drain::default();
            let shared = Arc::new(LineShared::new(&server, &drain));
            let peer = (!is_owner).then_some(SOMEBODY);
            let serving = tokio::spawn(LineConnection::<_, Undetected>::new(shared, peer, stream));
            let count = 16 * 1024 / (DISCOVER.len() + 1);
            client.write_all(format!("{DISCOVER}\n").repeat(count).as_bytes()).await.expect("room");
            drain.begin();
            sleep(Duration::from_millis(late_ms)).await;
            let mut lines = BufReader::with_capacity(512, client).lines();
            let (mut answered, mut bytes) = (0, 0);
            while let Ok(Some(line)) = lines.next_line().await {
                (answered, bytes) = (answered + 1, bytes + line.len());
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(answered, count, "{late_ms} ms late, owner: {is_owner}");
            assert!(bytes > 21 * 1024, "{bytes} would fit into stream and outbox");
            serving.await.expect("no panic").expect("a good end");
        }
    }

    /// In real time, as time that stands still while anything can move would stand still for ever.
    #[tokio::test]
    async fn a_peer_that_floods_does_not_hold_up_the_drain() {
        let drain = Drain::default();
        let Talk { connection, client } = Talk::open(Some(SOMEBODY), &drain);
        let serving = tokio::spawn(connection);
        let (mut answers, mut requests) = tokio::io::split(client.into_inner());
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
        let flooding = tokio::spawn(async move {
            let ping = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n".repeat(100);
            while requests.write_all(ping.as_bytes()).await.is_ok() {}
        });
        drain.begin();
        let ended = tokio::time::timeout(Duration::from_mins(1), serving).await;
        ended.expect("it goes on").expect("no panic").expect("a good end");
        flooding.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_goes_on_does_not_hold_up_the_drain() {
        let drain = Drain::default();
        let Talk { connection, client } = Talk::open(Some(SOMEBODY), &drain);
        let serving = tokio::spawn(connection);
        let mut client = client.into_inner();
        drain.begin();
        let began = Instant::now();
        let mut answer = [0; 4096];
        let ping = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n";
        while client.write_all(ping.as_bytes()).await.is_ok() && client.read(&mut answer).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
            assert!(began.elapsed() <= Drain::GRACE, "it goes on");
        }
        serving.await.expect("no panic").expect("a good end");
    }

    /// A peer on streams that hold a kilobyte, in time that stands still while anything can move.
    struct Timed {
        client: DuplexStream,
        serving: tokio::task::JoinHandle<Result<(), ServeError>>,
        began: Instant,
    }

    impl Timed {
        fn open(peer: Option<PeerAddress>) -> Self {
            let server = Server::builder("test", "1").build().expect("a server");
            let (client, stream) = duplex(1024);
            let shared = Arc::new(LineShared::new(&server, &Drain::default()));
            let serving = tokio::spawn(LineConnection::<_, Undetected>::new(shared, peer, stream));
            Self { client, serving, began: Instant::now() }
        }

        async fn say(&mut self, text: &str) {
            self.client.write_all(text.as_bytes()).await.expect("room");
        }

        /// How long it took the server to end the connection.
        async fn ended(self) -> Duration {
            self.serving.await.expect("no panic").expect("a good end");
            self.began.elapsed()
        }
    }

    /// What a timer may be late.
    const LATE: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn a_peer_may_take_so_long_and_no_longer() {
        let limits = crate::limits::Limits::default();
        let rows = [
            ("", limits.idle_timeout()),
            ("{\"jsonrpc\":", limits.header_timeout()),
            (&format!("{DISCOVER}\n"), limits.idle_timeout()),
            (&format!("{INITIALIZE}\n"), limits.session_timeout()),
            (&format!("{DISCOVER}\n{{"), limits.header_timeout()),
            (&format!("{{\"{}", "x".repeat(limits.max_header_bytes)), limits.body_timeout()),
        ];
        for (said, allowed) in rows {
            let mut peer = Timed::open(Some(SOMEBODY));
            peer.say(said).await;
            let took = peer.ended().await;
            assert!(
                took >= allowed && took < allowed + LATE,
                "{said:.40}: {took:?}, allowed are {allowed:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_long_for_a_line_is_told_which_setting_says_so() {
        let limits = crate::limits::Limits::default();
        let long = format!("{{\"{}", "x".repeat(limits.max_header_bytes));
        let rows = [
            ("", None),
            ("{\"jsonrpc\":", Some("header_timeout_ms")),
            (&long, Some("body_timeout_ms")),
            // Its id is not read, as it may be followed by another one.
            ("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"", Some("header_timeout_ms")),
        ];
        for (is_legacy, (said, setting)) in [false, true].into_iter().flat_map(|is| rows.map(|row| (is, row)))
        {
            let mut peer = Timed::open(Some(SOMEBODY));
            let mut told = String::new();
            if is_legacy {
                peer.say(&format!("{INITIALIZE}\n")).await;
            }
            peer.say(said).await;
            peer.client.read_to_string(&mut told).await.expect("the end");
            let ended = peer.ended().await;
            let lines: Vec<_> = told.lines().skip(usize::from(is_legacy)).collect();
            assert_eq!(lines.len(), usize::from(setting.is_some()), "{said:.40}: {told}");
            if let Some(setting) = setting {
                assert!(lines[0].contains(setting) && lines[0].contains("-32600"), "{said:.40}: {told}");
                assert_eq!(lines[0].contains("\"id\":null"), is_legacy, "{told}");
                assert!(ended < limits.idle_timeout(), "{said:.40}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_does_not_last_longer_for_coming_byte_by_byte() {
        let mut peer = Timed::open(Some(SOMEBODY));
        let limits = crate::limits::Limits::default();
        while !peer.serving.is_finished() {
            assert!(peer.began.elapsed() < 2 * limits.header_timeout(), "it lasts");
            let _ = peer.client.write_all(b" ").await;
            sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_started_the_process_may_take_its_time() {
        for said in ["", "{\"jsonrpc\":", &format!("{DISCOVER}\n").repeat(40)] {
            let mut peer = Timed::open(None);
            // It may not get it all said, as it reads nothing.
            drop(tokio::time::timeout(Duration::from_secs(1), peer.say(said)).await);
            sleep(Duration::from_hours(1_000)).await;
            assert!(!peer.serving.is_finished(), "{said:.40}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_has_a_least_rate() {
        let limits = crate::limits::Limits::default();
        let rows = [
            (0, Duration::from_secs(1), true),
            // A byte each time that the time-out is nearly over.
            (1, Duration::from_secs(29), true),
            (limits.min_write_bytes_per_s / 2, Duration::from_secs(1), true),
            (limits.min_write_bytes_per_s * 2, Duration::from_secs(1), false),
        ];
        for (bytes, every, ends) in rows {
            let mut peer = Timed::open(Some(SOMEBODY));
            let requests = format!("{DISCOVER}\n").repeat(4_000);
            // It says all that it has to say, in a task of its own, as it is not read from while it does not read.
            let (mut reader, mut writer) = tokio::io::split(peer.client);
            let sending = tokio::spawn(async move { writer.write_all(requests.as_bytes()).await });
            peer.client = duplex(1).0;
            let until = 4 * limits.write_timeout();
            let mut buffer = vec![0; bytes];
            while peer.began.elapsed() < until && !peer.serving.is_finished() {
                sleep(every).await;
                let mut taken = 0;
                while taken < bytes {
                    let read =
                        tokio::time::timeout(Duration::from_millis(1), reader.read(&mut buffer[taken..]));
                    match read.await {
                        Ok(Ok(read)) if read > 0 => taken += read,
                        _ => break,
                    }
                }
            }
            assert_eq!(peer.serving.is_finished(), ends, "{bytes} B each {every:?}");
            sending.abort();
        }
    }
}
