//! The server under test, and a client that sees bytes.

use super::{prompts, resources, tools};
use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http};
use mcpool::{Drain, Limits, Server};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything here takes, shorter than anybody waits.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server on a port and a path.
pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    path: PathBuf,
    pub(crate) drain: Drain,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Unix,
    Lines,
}

impl Host {
    pub(crate) fn start(limits: Limits, config: HttpConfig) -> Self {
        let server = Server::builder("transports", "1")
            .limits(limits)
            .toolset(tools::Fixtures)
            .resources(resources::Fixtures)
            .prompts(prompts::Fixtures)
            .completer(prompts::Arguments)
            .tasks()
            .build()
            .expect("a server");
        Self::of(server, config)
    }

    /// With another server.
    pub(crate) fn of(server: Server, config: HttpConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mcpool.sock");
        let (told, started) = sync_channel(1);
        let (serving, drain, at) = (server.clone(), Drain::default(), path.clone());
        let ends = drain.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let tcp = Listener::tcp(any, TcpOptions::default()).expect("a port");
                let LocalAddress::Tcp { address, .. } = *tcp.local_addr() else { panic!("a TCP address") };
                let unix = Listener::unix(&at).expect("a path");
                told.send(address).expect("somebody waits");
                serve_http(&serving, vec![tcp, unix], config, &ends).await.expect("served");
            });
        });
        let address = started.recv().expect("the server listens");
        Self { server, address, path, drain, thread: Some(thread), _folder: folder }
    }

    pub(crate) fn default() -> Self {
        Self::start(Limits::default(), HttpConfig::default())
    }

    pub(crate) fn connect(&self, way: Way) -> Client {
        let stream: Box<dyn Socket> = match way {
            Way::Tcp => {
                let stream = TcpStream::connect(self.address).expect("accepted");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                Box::new(stream)
            }
            Way::Unix | Way::Lines => {
                let stream = UnixStream::connect(&self.path).expect("accepted");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                Box::new(stream)
            }
        };
        Client { stream, way, input: Vec::new() }
    }

    /// Opens a session over HTTP and gives its id.
    pub(crate) fn session(&self, version: &str, capabilities: &Value) -> String {
        self.session_over(Way::Tcp, version, capabilities)
    }

    pub(crate) fn session_over(&self, way: Way, version: &str, capabilities: &Value) -> String {
        let mut client = self.connect(way);
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
        let answer =
            client.post("", &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
        assert_eq!(answer.status, 200, "{answer:?}");
        let session = answer.header("mcp-session-id").expect("a session").to_owned();
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(client.post(&session_headers(&session, version), &initialized).status, 202);
        session
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.drain.begin();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server's thread ends");
        }
    }
}

pub(crate) fn session_headers(session: &str, version: &str) -> String {
    format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {version}\r\n")
}

/// The headers that a modern client sends with a request.
pub(crate) fn modern_headers(request: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let params = &request["params"];
    let name = [&params["name"], &params["uri"], &params["taskId"]].into_iter().find(|name| name.is_string());
    let name = name.map(|name| format!("Mcp-Name: {}\r\n", text(name))).unwrap_or_default();
    format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {}\r\n{name}", text(&request["method"]))
}

/// A modern request.
pub(crate) fn modern(id: u64, method: &str, params: Value) -> Value {
    modern_with(id, method, params, &json!({}))
}

pub(crate) fn modern_with(id: u64, method: &str, mut params: Value, capabilities: &Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) trait Socket: Read + Write + Send {
    fn half_close(&self);

    /// Has the end of the socket be a reset, where there are such.
    fn reset_at_end(&self);
}

impl Socket for TcpStream {
    fn half_close(&self) {
        self.shutdown(std::net::Shutdown::Write).expect("a socket");
    }

    fn reset_at_end(&self) {
        socket2::SockRef::from(self).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

impl Socket for UnixStream {
    fn half_close(&self) {
        self.shutdown(std::net::Shutdown::Write).expect("a socket");
    }

    fn reset_at_end(&self) {}
}

/// A client that sees bytes.
pub(crate) struct Client {
    pub(crate) stream: Box<dyn Socket>,
    way: Way,
    input: Vec<u8>,
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(": ")?;
            header.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The messages of a stream, or the one message.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if self.header("content-type") != Some("text/event-stream") {
            return vec![self.json()];
        }
        events(&String::from_utf8_lossy(&self.body)).into_iter().map(|(_, message)| message).collect()
    }
}

/// The ids and messages of a stream's text.
pub(crate) fn events(text: &str) -> Vec<(Option<String>, Value)> {
    let event = |event: &str| {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let data = field("data:").filter(|data| !data.is_empty())?;
        Some((field("id:").map(str::to_owned), serde_json::from_str(data).expect("JSON")))
    };
    text.split("\n\n").filter_map(event).collect()
}

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends one message and reads one answer; over lines the headers are of no use.
    pub(crate) fn ask(&mut self, headers: &str, message: &Value) -> Value {
        match self.way {
            Way::Lines => {
                self.send(format!("{message}\n").as_bytes());
                self.line()
            }
            Way::Tcp | Way::Unix => self.post(headers, message).messages().pop().expect("an answer"),
        }
    }

    pub(crate) fn post(&mut self, headers: &str, message: &Value) -> Answer {
        self.post_text(headers, &message.to_string())
    }

    pub(crate) fn post_text(&mut self, headers: &str, body: &str) -> Answer {
        self.begin_post(headers, body);
        self.answer()
    }

    pub(crate) fn begin_post(&mut self, headers: &str, body: &str) {
        let content_type =
            if headers.contains("Content-Type") { "" } else { "Content-Type: application/json\r\n" };
        let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let accept =
            if headers.contains("Accept") { "" } else { "Accept: application/json, text/event-stream\r\n" };
        let length = body.len();
        let head = format!(
            "POST /mcp HTTP/1.1\r\n{host}{content_type}{accept}{headers}Content-Length: {length}\r\n\r\n"
        );
        self.send((head + body).as_bytes());
    }

    pub(crate) fn request(&mut self, verb: &str, path: &str, headers: &str) -> Answer {
        self.send(format!("{verb} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        self.answer()
    }

    /// Goes without a goodbye.
    pub(crate) fn reset(self) {
        self.stream.reset_at_end();
    }

    /// Reads more; `false` at the end.
    pub(crate) fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let bytes = self.stream.read(&mut buffer).expect("in time");
        self.input.extend_from_slice(&buffer[..bytes]);
        bytes > 0
    }

    pub(crate) fn line(&mut self) -> Value {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return serde_json::from_slice(&line).expect("JSON");
            }
            assert!(self.fill(), "the server closed the connection");
        }
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> (u16, String) {
        loop {
            if let Some(end) = find(&self.input, b"\r\n\r\n") {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                let head = String::from_utf8(head).expect("a head is ASCII");
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
                return (status, head);
            }
            assert!(self.fill(), "closed before an answer: {:?}", String::from_utf8_lossy(&self.input));
        }
    }

    /// Reads a whole answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let (status, head) = self.head();
        let mut answer = Answer { status, head, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
            return answer;
        }
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.input.len() < length {
            assert!(self.fill(), "closed in the middle of an answer");
        }
        answer.body = self.input.drain(..length).collect();
        answer
    }

    /// Reads one chunk; `None` for the last.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.input, b"\r\n") {
                let size = std::str::from_utf8(&self.input[..end]).expect("a size");
                let size = usize::from_str_radix(size, 16).expect("a size");
                if self.input.len() >= end + 2 + size + 2 {
                    let chunk: Vec<u8> = self.input.drain(..end + 2 + size + 2).collect();
                    return (size > 0).then(|| chunk[end + 2..end + 2 + size].to_vec());
                }
            }
            assert!(self.fill(), "closed in the middle of a stream");
        }
    }

    /// Reads chunks until one holds a message, and gives it with its id.
    pub(crate) fn event(&mut self) -> (Option<String>, Value) {
        loop {
            let chunk = self.chunk().expect("the stream goes on");
            if let Some(event) = events(&String::from_utf8_lossy(&chunk)).pop() {
                return event;
            }
        }
    }

    /// Whether the server has nothing more to say.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 64];
        matches!(self.stream.read(&mut buffer), Ok(0) | Err(_))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
