//! Servers in threads of their own, on sockets and on pipes, and clients without any heap memory, so that what is
//! counted is the server's.

use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http, serve_lines};
use mcpool::{Drain, Server};
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;

/// A server that listens on a port and on a path.
pub struct Host {
    server: Server,
    runtime: fn() -> Runtime,
    address: SocketAddr,
    path: PathBuf,
    drain: Drain,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// HTTP over TCP.
    Tcp,
    /// HTTP over a Unix socket.
    Unix,
    /// Newline-framed messages over a Unix socket.
    Lines,
    /// Newline-framed messages over two pipes, as on standard input and output.
    Pipes,
}

impl Host {
    /// Starts to listen, on one thread.
    ///
    /// # Panics
    /// When the system refuses a socket.
    pub fn start(server: &Server) -> Self {
        Self::start_on(crate::runtime, server)
    }

    /// Starts to listen, on one thread with such a runtime; connections over pipes get one each.
    ///
    /// # Panics
    /// When the system refuses a socket.
    pub fn start_on(runtime: fn() -> Runtime, server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mcpool.sock");
        let (drain, at) = (Drain::default(), path.clone());
        let (told, started) = sync_channel(1);
        let (serving, ends) = (server.clone(), drain.clone());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let tcp = Listener::tcp(any, TcpOptions::default()).expect("a port");
                let LocalAddress::Tcp { address, .. } = *tcp.local_addr() else { panic!("a TCP address") };
                let unix = Listener::unix(&at).expect("a path");
                told.send(address).expect("somebody waits");
                serve_http(&serving, vec![tcp, unix], HttpConfig::default(), &ends).await.expect("served");
            });
        });
        let address = started.recv().expect("the server listens");
        // It listens before it serves, and who asks for a pool at once asks too early.
        while server.pools().find("exchanges").is_none() {
            assert!(!thread.is_finished(), "the server ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { server: server.clone(), runtime, address, path, drain, thread: Some(thread), _folder: folder }
    }

    /// Where it listens over TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The Unix socket that it listens on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connects a client.
    ///
    /// # Panics
    /// When the server does not accept.
    pub fn connect(&self, way: Way) -> Client {
        let stream = match way {
            Way::Tcp => {
                let stream = TcpStream::connect(self.address).expect("accepted");
                stream.set_nodelay(true).expect("a socket");
                Socket::Tcp(stream)
            }
            Way::Unix | Way::Lines => Socket::Unix(UnixStream::connect(&self.path).expect("accepted")),
            Way::Pipes => Socket::Pipes(Pipes::connect(self.runtime, &self.server).expect("pipes")),
        };
        Client { socket: stream, way }
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

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Pipes(Pipes),
}

/// The client's ends of two pipes; a thread of their own serves the other ends.
#[derive(Debug)]
struct Pipes {
    requests: Option<PipeWriter>,
    answers: Option<PipeReader>,
    serving: Option<JoinHandle<()>>,
}

impl Pipes {
    fn connect(runtime: fn() -> Runtime, server: &Server) -> io::Result<Self> {
        let (reader, requests) = io::pipe()?;
        let (answers, writer) = io::pipe()?;
        let server = server.clone();
        let serving = std::thread::spawn(move || {
            runtime().block_on(async {
                let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).expect("a pipe");
                let writer = pipe::Sender::from_owned_fd(OwnedFd::from(writer)).expect("a pipe");
                let drain = Drain::default();
                serve_lines(&server, reader, writer, &drain).await.expect("the connection ends well");
            });
        });
        Ok(Self { requests: Some(requests), answers: Some(answers), serving: Some(serving) })
    }

    fn requests(&self) -> &PipeWriter {
        self.requests.as_ref().expect("the sending side is open")
    }

    fn answers(&self) -> &PipeReader {
        self.answers.as_ref().expect("open until it is dropped")
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.requests = None;
        self.answers = None;
        if let Some(serving) = self.serving.take() {
            let ended = serving.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server's thread ends");
        }
    }
}

/// A client without heap memory.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    way: Way,
}

impl Client {
    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(bytes),
            Socket::Unix(socket) => socket.write_all(bytes),
            Socket::Pipes(pipes) => pipes.requests().write_all(bytes),
        }
        .expect("the server reads");
    }

    /// Has the system take little of what the client does not read.
    ///
    /// # Panics
    /// When the socket is no socket any more.
    pub fn narrow(&self) {
        match &self.socket {
            Socket::Tcp(socket) => set_socket_recv_buffer_size(socket, 4 * 1024),
            Socket::Unix(socket) => set_socket_recv_buffer_size(socket, 4 * 1024),
            Socket::Pipes(_) => Ok(()),
        }
        .expect("a socket");
    }

    /// Goes without a goodbye: over TCP with a reset.
    ///
    /// # Panics
    /// When the socket is no socket any more.
    pub fn reset(self) {
        if let Socket::Tcp(socket) = &self.socket {
            set_socket_linger(socket, Some(Duration::ZERO)).expect("a socket");
        }
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// As reading a socket.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
            Socket::Pipes(pipes) => pipes.answers().read(buffer),
        }
    }

    /// Closes the sending side.
    ///
    /// # Panics
    /// When the socket is no socket any more.
    pub fn half_close(&mut self) {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.shutdown(std::net::Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(std::net::Shutdown::Write),
            Socket::Pipes(pipes) => {
                pipes.requests = None;
                Ok(())
            }
        }
        .expect("a socket");
    }

    /// Reads until what has come contains `part`; gives its length.
    ///
    /// # Panics
    /// When the connection breaks or it does not come.
    pub fn read_until(&mut self, part: &str, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        loop {
            let read = self.read(&mut buffer[filled..]).expect("the server answers");
            assert_ne!(read, 0, "closed: {}", String::from_utf8_lossy(&buffer[..filled]));
            // Only what is new is searched, and what may end in it.
            let searched = filled.saturating_sub(part.len());
            filled += read;
            if buffer[searched..filled].windows(part.len()).any(|window| window == part.as_bytes()) {
                return filled;
            }
        }
    }

    /// Sends a request and reads its answer, whole, into `buffer`; gives its length.
    ///
    /// # Panics
    /// When the connection breaks or the answer does not fit.
    pub fn exchange(&mut self, request: &[u8], buffer: &mut [u8]) -> usize {
        self.send(request);
        self.read_answer(buffer)
    }

    /// Reads one answer, whole.
    ///
    /// # Panics
    /// When the connection breaks or the answer does not fit.
    pub fn read_answer(&mut self, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        loop {
            let read = self.read(&mut buffer[filled..]).expect("the server answers");
            assert_ne!(read, 0, "closed: {}", String::from_utf8_lossy(&buffer[..filled]));
            filled += read;
            let is_whole = match self.way {
                Way::Lines | Way::Pipes => buffer[filled - 1] == b'\n',
                Way::Tcp | Way::Unix => is_whole(&buffer[..filled]),
            };
            if is_whole {
                return filled;
            }
        }
    }
}

/// Whether an HTTP answer is there to its last byte.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&answer[..head]).expect("a head is ASCII");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => answer.len() - head - 4 >= length.parse::<usize>().expect("a length"),
        None => !text.contains("transfer-encoding") || answer.ends_with(b"0\r\n\r\n"),
    }
}

/// A POST of `body`; `headers` are whole lines.
pub fn post(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A POST of a modern request with the headers that go with it.
pub fn modern(method: &str, name: Option<&str>, body: &str) -> Vec<u8> {
    let name = name.map(|name| format!("Mcp-Name: {name}\r\n")).unwrap_or_default();
    post(&format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}"), body)
}

/// A POST of a request of the legacy era in `session`.
pub fn legacy(session: &str, body: &str) -> Vec<u8> {
    post(&format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n"), body)
}

/// A call of a tool by a modern client that can do all that a client may be asked for, and wants log messages.
pub fn modern_call(tool: &str, arguments: &str, members: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"memtests","version":"1"},"io.modelcontextprotocol/logLevel":"debug","progressToken":1,"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},{members}{meta}}}}}"#
    )
}

/// A modern client's subscription to the changes of a resource.
pub fn listen(uri: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{{"notifications":{{"toolsListChanged":true,"resourceSubscriptions":["{uri}"]}},{}}}}}"#,
        crate::META
    )
}

/// A request without a body in a session of the legacy era: `GET` for its stream, `DELETE` for its end.
pub fn bodiless(verb: &str, session: &str) -> Vec<u8> {
    format!(
        "{verb} /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n\r\n"
    )
    .into_bytes()
}

/// Opens a session of the legacy era over HTTP, and gives its id.
///
/// # Panics
/// When the server refuses.
pub fn open_session(client: &mut Client) -> String {
    let mut buffer = [0; 8192];
    let elicits = crate::HANDSHAKE[0].replace(r#""capabilities":{}"#, r#""capabilities":{"elicitation":{}}"#);
    let length = client.exchange(&post("", &elicits), &mut buffer);
    let answer = std::str::from_utf8(&buffer[..length]).expect("text");
    let session = answer.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).expect("a session");
    let session = session.to_owned();
    client.exchange(&legacy(&session, crate::HANDSHAKE[1]), &mut buffer);
    session
}

/// Lets this process have `wanted` descriptors, or else as many as the system allows; gives how many those are.
pub fn raise_descriptors(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let more = maximum.map(|maximum| maximum.max(wanted as u64));
    // Only those with privileges may go beyond the maximum.
    if setrlimit(Resource::Nofile, Rlimit { current: more, maximum: more }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current.map_or(1 << 20, |limit| limit as usize)
}
