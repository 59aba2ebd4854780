//! Which protocol a connection speaks: HTTP, or newline-framed messages on a Unix socket.

use super::connection::HttpConnection;
use super::shared::HttpShared;
use crate::protocol::ErrorCode;
use crate::server::{Drain, Permit};
use crate::transport::admission::{OTHER_USER, PeerAddress};
use crate::transport::hang_up::SocketHangUp;
use crate::transport::lines::LineConnection;
use crate::transport::listener::Stream;
use pin_project_lite::pin_project;
use rustix::net::RecvFlags;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep, sleep};

const _: () = assert!(
    size_of::<LineConnection<UnixStream, SocketHangUp>>() + size_of::<Permit>()
        <= size_of::<HttpConnection<Stream, SocketHangUp>>(),
    "a connection that speaks HTTP must not pay for one that speaks lines"
);

pin_project! {
    /// One connection and the protocol that it speaks. It is as large as the largest protocol.
    ///
    /// An `async` block would keep its captured variables for as long as it lives: a hundred bytes of each idle
    /// connection.
    #[project = ProtocolProjection]
    pub(super) enum Protocol {
        /// Nothing has come yet: the first byte decides the protocol. Empty only while it becomes another variant.
        Undecided {
            parts: Option<(Arc<HttpShared>, UnixStream, PeerAddress, Permit)>,
            #[pin] drain: OwnedNotified,
            #[pin] timer: Sleep,
        },
        Http { #[pin] connection: HttpConnection<Stream, SocketHangUp> },
        // Declared last, so that the connection is dropped before the permit.
        Lines { #[pin] connection: LineConnection<UnixStream, SocketHangUp>, permit: Permit },
        /// In a box: few connections end like this.
        Refused { refusing: Pin<Box<dyn Future<Output = ()> + Send>>, permit: Permit },
    }
}

const _: () = assert!(
    size_of::<Protocol>() <= size_of::<HttpConnection<Stream, SocketHangUp>>() + size_of::<usize>(),
    "a connection that speaks HTTP must not pay for the protocols that it does not speak"
);

impl Protocol {
    /// Serves HTTP on TCP. On a Unix socket the first byte tells whether the peer speaks HTTP or lines.
    pub(super) fn of(shared: Arc<HttpShared>, stream: Stream, address: PeerAddress, permit: Permit) -> Self {
        if let Stream::Unix(stream) = stream {
            let drain = shared.endpoint.drain.listen();
            let timer = sleep(shared.endpoint.server.limits().idle_timeout());
            return Self::Undecided { parts: Some((shared, stream, address, permit)), drain, timer };
        }
        Self::Http { connection: HttpConnection::new(shared, stream, address, permit) }
    }
}

impl Future for Protocol {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match self.as_mut().project() {
                ProtocolProjection::Http { connection } => return connection.poll(cx),
                ProtocolProjection::Refused { refusing, .. } => return refusing.as_mut().poll(cx),
                ProtocolProjection::Lines { connection, .. } => {
                    return connection.poll(cx).map(|ended| {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection broke");
                        }
                    });
                }
                ProtocolProjection::Undecided { parts, drain, mut timer } => {
                    let Some((shared, stream, ..)) = parts.as_ref() else { return Poll::Ready(()) };
                    if drain.poll(cx).is_ready() || shared.endpoint.drain.has_begun() {
                        let end = Instant::now() + Drain::GRACE;
                        if timer.deadline() > end {
                            timer.as_mut().reset(end);
                        }
                    }
                    let Poll::Ready(first) = poll_first_byte(stream, cx) else {
                        // A peer that sent nothing yet is as idle as one between two requests.
                        return timer.poll(cx);
                    };
                    let is_lines = first.is_some_and(begins_line);
                    let Some((shared, stream, address, permit)) = parts.take() else {
                        return Poll::Ready(());
                    };
                    if is_lines && !address.is_own_user() {
                        // A line cannot carry a token.
                        Self::Refused { refusing: Box::pin(refuse_lines(stream)), permit }
                    } else if is_lines {
                        let connection = LineConnection::new(shared.lines(), Some(address), stream);
                        Self::Lines { connection, permit }
                    } else {
                        let stream = Stream::Unix(stream);
                        Self::Http { connection: HttpConnection::new(shared, stream, address, permit) }
                    }
                }
            };
            self.set(next);
        }
    }
}

/// How long a refused peer may take to read why. If the connection closed at once, what the peer sends meanwhile
/// would cause a reset, which destroys the answer on its way.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells a peer that speaks lines why it is refused, and closes.
async fn refuse_lines(mut stream: UnixStream) {
    let code = ErrorCode::InvalidRequest as i32;
    let error = serde_json::json!({"code": code, "message": OTHER_USER});
    let line = format!("{}\n", serde_json::json!({"jsonrpc": "2.0", "id": null, "error": error}));
    let refusing = async {
        if stream.write_all(line.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut ignored = [0; 512];
        while stream.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refusing).await;
}

/// Whether a byte begins a JSON message: no method of HTTP begins with one of these.
fn begins_line(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b' ' | b'\t' | b'\n' | b'\r' | 0xEF)
}

/// The first byte that a peer sends, left where it is; `None` when it sends nothing more.
fn poll_first_byte(stream: &UnixStream, cx: &mut Context<'_>) -> Poll<Option<u8>> {
    loop {
        if ready!(stream.poll_read_ready(cx)).is_err() {
            return Poll::Ready(None);
        }
        let mut first = [0; 1];
        let peeked = stream.try_io(tokio::io::Interest::READABLE, || {
            Ok(rustix::net::recv(stream.as_fd(), &mut first[..], RecvFlags::PEEK)?)
        });
        match peeked {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) | Ok((0, _)) => return Poll::Ready(None),
            Ok(_) => return Poll::Ready(Some(first[0])),
        }
    }
}
