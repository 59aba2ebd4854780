//! A server on sockets: each connection finds out what it speaks, and a task gives back what expires.

use super::connection::HttpConnection;
use super::endpoint::Endpoint;
use super::worker_watchdog::DriverWatch;
use crate::protocol::ErrorCode;
use crate::server::{Drain, Permit, Server};
use crate::transport::admission::{Admission, AdmissionConfig, AdmissionError, OTHER_USER, PeerAddress};
use crate::transport::hang_up::Watched;
use crate::transport::lines::LineConnection;
use crate::transport::listener::{Connections, Listener, Peer, Serve, Stream, serve_listeners};
use mcpool_pools::NameTaken;
use pin_project_lite::pin_project;
use rustix::net::RecvFlags;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::futures::OwnedNotified;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep};

/// How a server is reached over HTTP.
#[derive(Debug, Clone, Default)]
pub struct HttpConfig {
    /// Who may come in.
    pub admission: AdmissionConfig,
}

/// Why a server cannot be reached over HTTP.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The rules of admission make no sense.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The server is served over HTTP already.
    #[error("this server is served over HTTP already: give all listeners to one call")]
    ServedAlready(#[source] NameTaken),
}

const _: () = assert!(
    size_of::<LineConnection<UnixStream, Watched>>() + size_of::<Permit>()
        <= size_of::<HttpConnection<Stream>>(),
    "connections that speak HTTP must not pay for those that do not"
);

/// Serves Streamable HTTP at `/mcp` on all `listeners` until `drain` begins, then finishes what is in flight,
/// within `drain_timeout_ms`. On Unix sockets newline-framed messages are understood besides.
///
/// `/livez`, `/readyz` and `/healthz` tell whether the server lives and takes new work.
///
/// # Errors
/// When the rules of admission make no sense, or the server is served over HTTP already.
pub async fn serve_http(
    server: &Server,
    listeners: Vec<Listener>,
    config: HttpConfig,
    drain: &Drain,
) -> Result<(), HttpError> {
    let service = HttpService::new(server, config, drain)?;
    service.serve(listeners).await;
    Ok(())
}

/// A server, as each of its connections sees it.
#[derive(Clone)]
pub(crate) struct HttpService {
    endpoint: Arc<Endpoint>,
}

impl HttpService {
    pub(crate) fn new(server: &Server, config: HttpConfig, drain: &Drain) -> Result<Self, HttpError> {
        let admission = Admission::new(config.admission, server.limits())?;
        let endpoint =
            Endpoint::new(server.clone(), admission, drain.clone()).map_err(HttpError::ServedAlready)?;
        Ok(Self { endpoint: Arc::new(endpoint) })
    }

    /// Serves what comes to the listeners until the drain begins and all connections have ended.
    pub(crate) async fn serve(self, listeners: Vec<Listener>) {
        let limits = self.endpoint.server.limits().clone();
        let connections = Connections::within(&limits);
        connections.account_to(self.endpoint.server.memory());
        let drain = self.endpoint.drain.clone();
        let _keeper = self.keep();
        let server = self.endpoint.server.clone();
        server.with_tasks(&drain, serve_listeners(listeners, self, &limits, &connections, &drain)).await;
    }

    /// Reads tokens and keys again, changed or not.
    #[cfg(feature = "cli")]
    pub(crate) fn reload(&self) {
        self.endpoint.admission.reload();
    }

    /// Gives back what expires, for as long as the keeper is held.
    pub(crate) fn keep(&self) -> Keeper {
        let task = tokio::spawn(keep(Arc::clone(&self.endpoint))).abort_handle();
        Keeper { task, _watch: DriverWatch::start() }
    }
}

/// The task that gives back what expires, and what watches over the runtime. They end when this is dropped.
#[must_use]
pub(crate) struct Keeper {
    task: AbortHandle,
    _watch: Option<DriverWatch>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Serve for HttpService {
    fn is_short_of_memory(&self) -> bool {
        let memory = self.endpoint.server.memory();
        let is_short = memory.is_critical();
        if is_short {
            memory.note_refused();
        }
        is_short
    }

    fn serve(self, stream: Stream, peer: Peer, place: Permit) -> impl Future<Output = ()> + Send + 'static {
        let (endpoint, address) = (self.endpoint, peer.address());
        if let Stream::Unix(stream) = stream {
            let drain = endpoint.drain.listen();
            let timer = sleep(endpoint.server.limits().idle_timeout());
            return Conversation::Sniff { parts: Some((endpoint, stream, address, place)), drain, timer };
        }
        Conversation::Http { connection: HttpConnection::new(endpoint, stream, address, place) }
    }
}

pin_project! {
    /// One connection, as large as the largest of what it may speak.
    ///
    /// Not an `async` block: that would keep what it was made from for as long as it lives, a hundred bytes of
    /// each idle connection.
    #[project = ConversationProjection]
    enum Conversation {
        /// Nothing has come: what is spoken shows in the first byte. Empty only while it becomes another.
        Sniff {
            parts: Option<(Arc<Endpoint>, UnixStream, PeerAddress, Permit)>,
            #[pin] drain: OwnedNotified,
            #[pin] timer: Sleep,
        },
        Http { #[pin] connection: HttpConnection<Stream> },
        // The place goes last, as the connection ends before it is free.
        Lines { #[pin] connection: LineConnection<UnixStream, Watched>, place: Permit },
        /// In a box: few connections end like this.
        Refused { refusing: Pin<Box<dyn Future<Output = ()> + Send>>, place: Permit },
    }
}

const _: () = assert!(
    size_of::<Conversation>() <= size_of::<HttpConnection<Stream>>() + size_of::<usize>(),
    "what a connection may still speak must not cost those that speak HTTP"
);

impl Future for Conversation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match self.as_mut().project() {
                ConversationProjection::Http { connection } => return connection.poll(cx),
                ConversationProjection::Refused { refusing, .. } => return refusing.as_mut().poll(cx),
                ConversationProjection::Lines { connection, .. } => {
                    return connection.poll(cx).map(|ended| {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection broke");
                        }
                    });
                }
                ConversationProjection::Sniff { parts, drain, timer } => {
                    let Some((endpoint, stream, ..)) = parts.as_ref() else { return Poll::Ready(()) };
                    if drain.poll(cx).is_ready() || endpoint.drain.has_begun() {
                        return Poll::Ready(());
                    }
                    let Poll::Ready(first) = poll_first_byte(stream, cx) else {
                        // Who has said nothing for so long is as idle as who has said all.
                        return timer.poll(cx);
                    };
                    let is_lines = first.is_some_and(begins_line);
                    let Some((endpoint, stream, address, place)) = parts.take() else {
                        return Poll::Ready(());
                    };
                    if is_lines && !address.is_own_user() {
                        // Lines have no place for a token.
                        Self::Refused { refusing: Box::pin(refuse_lines(stream)), place }
                    } else if is_lines {
                        let connection = LineConnection::new(endpoint.lines(), Some(address), stream);
                        Self::Lines { connection, place }
                    } else {
                        let stream = Stream::Unix(stream);
                        Self::Http { connection: HttpConnection::new(endpoint, stream, address, place) }
                    }
                }
            };
            self.set(next);
        }
    }
}

/// How long one that is turned away may take to notice. Closed at once, what it sends meanwhile would be answered
/// with an error in the place of the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells a peer that speaks in lines why it is not listened to, and closes.
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

/// Whether a byte begins a message instead of a request: no method of HTTP begins like one.
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

/// How often the server looks for what is to be given back.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Gives back what expired, and large buffers that nobody used between two looks.
async fn keep(endpoint: Arc<Endpoint>) {
    let mut ticks = interval(KEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_trimmed, mut is_returned) = (true, true);
    let mut frames_before = 0;
    let mut removals = 0;
    loop {
        ticks.tick().await;
        endpoint.server.maintain();
        let removals_before = std::mem::replace(&mut removals, endpoint.admission.removals());
        if removals != removals_before {
            endpoint.server.end_sessions(|principal| !endpoint.admission.knows(principal));
        }
        let frames = endpoint.server.metrics().frames.total();
        let was_busy = std::mem::replace(&mut frames_before, frames) != frames;
        if endpoint.take_large() || was_busy {
            (is_trimmed, is_returned) = (false, false);
        } else if !is_trimmed {
            is_trimmed = true;
            endpoint.server.trim_large_buffers();
        } else if !is_returned {
            // Allocators give pages back a while after they were freed, and only when they are called.
            // mimalloc looks at all that is due when a thread ends: this one is for that.
            is_returned = true;
            drop(tokio::task::spawn_blocking(|| drop(std::hint::black_box(Box::new(0_u8)))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ToolDefinition;
    use crate::server::{CallContext, Tool, ToolError};
    use crate::transport::{LocalAddress, TcpOptions};
    use serde::de::IgnoredAny;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::{Mutex, mpsc};

    /// Holds up the thread that serves it until it is told to go on.
    struct Stall {
        begun: mpsc::SyncSender<()>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl Tool for Stall {
        type Arguments<'a> = IgnoredAny;

        fn definition(&self) -> ToolDefinition {
            ToolDefinition::new("stall", "Holds up its thread.")
        }

        async fn call(&self, _: IgnoredAny, call: &mut CallContext) -> Result<(), ToolError> {
            self.begun.send(()).expect("somebody waits");
            self.go_on.lock().expect("one call at a time").recv().ok();
            call.text("done");
            Ok(())
        }
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(address).expect("connects");
        client.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket");
        client
    }

    /// Sends a request and reads as much of its answer as ends in `end`.
    fn exchange(client: &mut TcpStream, request: &str, end: &str) {
        client.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let mut byte = [0];
            assert!(client.read(&mut byte).expect("in time") > 0, "closed");
            answer.push(byte[0]);
        }
    }

    #[test]
    fn a_request_that_holds_up_its_thread_holds_up_no_other_connection() {
        const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let (begun, has_begun) = mpsc::sync_channel(1);
        let (tell_to_go_on, go_on) = mpsc::sync_channel(1);
        let stall = Stall { begun, go_on: Mutex::new(go_on) };
        let server = Server::builder("test", "1").tool(stall).build().expect("a server");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        // Dropped before the runtime, which waits for its workers.
        let tell = tell_to_go_on;
        let drain = Drain::default();
        let listener = runtime.block_on(async {
            Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0)), TcpOptions::default()).expect("a port")
        });
        let LocalAddress::Tcp { address, .. } = *listener.local_addr() else { panic!("a TCP address") };
        let serving = runtime.spawn({
            let drain = drain.clone();
            async move { serve_http(&server, vec![listener], HttpConfig::default(), &drain).await }
        });
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"stall","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
        let call = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: stall\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut idle = connect(address);
        exchange(&mut idle, LIVEZ, "ok\n");
        for _ in 0..20 {
            let mut stalled = connect(address);
            stalled.write_all(call.as_bytes()).expect("sent");
            has_begun.recv().expect("the call holds up its thread");
            exchange(&mut idle, LIVEZ, "ok\n");
            exchange(&mut connect(address), LIVEZ, "ok\n");
            tell.send(()).expect("the call waits");
            exchange(&mut stalled, "", "}");
        }
        drop(idle);
        drain.begin();
        runtime.block_on(serving).expect("no panic").expect("served");
    }
}
