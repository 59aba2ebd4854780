//! One connection of newline-framed messages as a future: a stream, a session if there was a handshake, and an
//! exchange while there is something to do.
//!
//! An idle connection holds no buffer and no exchange. It must not know what is said: `exchange` does.

use super::exchange::{Exchange, ExchangeFactory, Speaker};
use crate::server::{Drain, Server};
use crate::transport::admission::PeerAddress;
use mcpool_pools::{Lease, ObjectPool, PoolConfig};
use pin_project_lite::pin_project;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Sleep, sleep};

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

pin_project! {
    /// A connection as a future: it ends when the peer closes its side or the drain begins, after what is in
    /// flight has finished.
    pub(crate) struct LineConnection<S> {
        stream: S,
        // Before the speaker: what is in flight ends before its session does.
        exchange: Option<Lease<Exchange>>,
        speaker: Speaker,
        exchanges: ObjectPool<Exchange>,
        drain: Drain,
        #[pin]
        draining: OwnedNotified,
        // How long what is in flight may still take. In a box: a timer is large, and all but the last moment
        // of a connection is without it.
        limit: Option<Pin<Box<Sleep>>>,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> LineConnection<S> {
    /// Serves `stream`. Without an address the peer is the one that this process was started for.
    pub(crate) fn new(server: &Server, peer: Option<PeerAddress>, stream: S, drain: &Drain) -> Self {
        let limits = server.limits();
        let config = PoolConfig::new("line exchanges", limits.message_capacity());
        let exchanges = server.transport_pool(config, || ExchangeFactory::new(server));
        Self {
            stream,
            exchange: None,
            speaker: Speaker::new(server.clone(), peer),
            exchanges,
            drain: drain.clone(),
            draining: drain.listen(),
            limit: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for LineConnection<S> {
    type Output = Result<(), ServeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let exchange = this.exchange.get_or_insert_with(|| this.exchanges.acquire());
        if exchange.is_reading() && (this.draining.as_mut().poll(cx).is_ready() || this.drain.has_begun()) {
            exchange.stop_reading();
        }
        let ended = match exchange.poll(this.speaker, this.stream, cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending if exchange.is_reading() => {
                if exchange.is_idle() {
                    *this.exchange = None;
                } else {
                    exchange.enter_roster(this.speaker);
                }
                return Poll::Pending;
            }
            Poll::Pending => {
                let timeout = this.speaker.server.limits().drain_timeout();
                let limit = this.limit.get_or_insert_with(|| Box::pin(sleep(timeout)));
                ready!(limit.as_mut().poll(cx));
                Ok(())
            }
        };
        tracing::debug!(frames = this.speaker.server.metrics().frames.total(), ?ended, "connection ended");
        Poll::Ready(match ended {
            Err(ServeError::Write(error)) if is_gone(&error) => Ok(()),
            ended => ended,
        })
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::admission::Principal;
    use std::future::poll_fn;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

    const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}}"#;

    const SOMEBODY: PeerAddress = PeerAddress::Unix { uid: 7 };

    struct Talk {
        connection: Pin<Box<LineConnection<DuplexStream>>>,
        client: BufReader<DuplexStream>,
    }

    impl Talk {
        fn open(peer: Option<PeerAddress>, drain: &Drain) -> Self {
            let server = Server::builder("test", "1").build().expect("a server");
            let (client, stream) = duplex(64 * 1024);
            let connection = Box::pin(LineConnection::new(&server, peer, stream, drain));
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
        assert!(talk.connection.exchange.is_none() && talk.connection.speaker.session.is_none());
        talk.send("{\"jsonrpc\":").await;
        assert!(talk.connection.exchange.is_some(), "half a message is kept");
        talk.send("\"2.0\",\"id\":2,\"method\":\"ping\"}\n").await;
        assert_eq!(talk.answer().await, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n");
        assert!(talk.connection.exchange.is_none() && talk.connection.speaker.session.is_none());
        // All in one read: the session is there for the line behind the one that opens it.
        let list = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#;
        talk.send(&format!("{list}\n{INITIALIZE}\n{list}\n")).await;
        assert!(talk.answer().await.contains(r#""error":"#), "before the handshake");
        assert!(talk.answer().await.contains("2025-06-18"));
        assert!(talk.answer().await.contains(r#""tools":[]"#));
        let session = talk.connection.speaker.session.clone().expect("a session");
        assert_eq!(session.principal(), Principal::of_peer(SOMEBODY).key());
        assert!(!session.values().owns_process() && talk.connection.exchange.is_none());
        talk.send(&format!("{INITIALIZE}\n")).await;
        assert!(talk.answer().await.contains("2025-06-18"));
        let kept = talk.connection.speaker.session.as_ref().expect("a session");
        assert_eq!(kept.number(), session.number(), "a second handshake is about the same session");
        drop(talk);
        assert!(session.is_closed());
    }

    #[tokio::test]
    async fn what_peers_without_a_session_share_stays_as_it_is() {
        let mut talk = Talk::open(Some(SOMEBODY), &Drain::default());
        let unasked = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}
{"jsonrpc":"2.0","id":"roots-1","result":{"roots":[{"uri":"file:///"}]}}
"#;
        talk.send(unasked).await;
        let shared = talk.connection.speaker.server.stateless_session();
        assert!(shared.subscription().is_none() && shared.take_roots_request().is_none());
        assert!(shared.revision().is_none() && talk.connection.speaker.session.is_none());
    }

    #[tokio::test]
    async fn the_peer_that_the_process_was_started_for_is_known_by_its_session() {
        let mut talk = Talk::open(None, &Drain::default());
        talk.send(&format!("{INITIALIZE}\n")).await;
        assert!(talk.answer().await.contains("2025-06-18"));
        let session = talk.connection.speaker.session.as_ref().expect("a session");
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
}
