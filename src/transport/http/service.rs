//! Serves HTTP on listeners: what a program calls, and what the accept loop calls for each connection.

use super::codec::words::Status;
use super::housekeeping::Housekeeper;
use super::protocol::Protocol;
use super::shared::HttpShared;
use crate::server::{Drain, Permit, Server};
use crate::traffic::{EndedRequest, RequestResult};
use crate::transport::admission::{Admission, AdmissionConfig, AdmissionError, PeerAddress, Principal};
use crate::transport::listener::{Connections, Listener, Peer, Serve, Stream, serve_listeners};
use mcpool_pools::NameTaken;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How a server is reached over HTTP.
#[derive(Debug, Clone, Default)]
pub struct HttpConfig {
    /// Which requests are admitted.
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

/// Serves Streamable HTTP at `/mcp` on all `listeners` until `drain` begins, then finishes what is in flight,
/// within `drain_timeout_ms`. On Unix sockets newline-framed messages are understood besides.
///
/// `/livez`, `/readyz` and `/healthz` tell whether the server lives and takes new work.
///
/// ```no_run
/// use mcpool::transport::{HttpConfig, Listener, TcpOptions, serve_http};
/// use mcpool::{Drain, Server};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let tcp = Listener::tcp("127.0.0.1:8000".parse()?, TcpOptions::default())?;
/// let unix = Listener::unix("/run/user/1000/demo.sock")?;
/// serve_http(&server, vec![tcp, unix], HttpConfig::default(), &Drain::default()).await?;
/// # Ok(())
/// # }
/// ```
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
    shared: Arc<HttpShared>,
}

impl HttpService {
    pub(crate) fn new(server: &Server, config: HttpConfig, drain: &Drain) -> Result<Self, HttpError> {
        let admission = Admission::new(config.admission, server.limits())?;
        let shared =
            HttpShared::new(server.clone(), admission, drain.clone()).map_err(HttpError::ServedAlready)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves the connections of the listeners until the drain begins and all connections have ended.
    pub(crate) async fn serve(self, listeners: Vec<Listener>) {
        let limits = self.shared.endpoint.server.limits().clone();
        let connections = Connections::within(&limits);
        connections.account_to(&self.shared.endpoint.server);
        let drain = self.shared.endpoint.drain.clone();
        let _housekeeper = self.start_housekeeping();
        let server = self.shared.endpoint.server.clone();
        server.with_tasks(&drain, serve_listeners(listeners, self, &limits, &connections, &drain)).await;
    }

    /// Reads tokens and keys again, changed or not.
    #[cfg(feature = "cli")]
    pub(crate) fn reload(&self) {
        self.shared.endpoint.admission.reload();
    }

    /// Starts housekeeping, which lasts as long as what this returns.
    pub(crate) fn start_housekeeping(&self) -> Housekeeper {
        Housekeeper::start(Arc::clone(&self.shared))
    }
}

impl Serve for HttpService {
    fn serve(self, stream: Stream, peer: Peer, permit: Permit) -> impl Future<Output = ()> + Send + 'static {
        Protocol::of(self.shared, stream, peer.address(), permit)
    }

    fn note_refused(&self, peer: PeerAddress) {
        self.shared.endpoint.server.note_refused_request(&EndedRequest {
            client: None,
            principal: Principal::of_peer(peer).key(),
            method: None,
            tool: None,
            result: RequestResult::Refused(Status::Unavailable.code()),
            answer_bytes: 0,
            took: Duration::ZERO,
        });
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
