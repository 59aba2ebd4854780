//! The network side of the harness: a server on sockets in a thread of its own, and clients without any heap
//! memory, so that what is counted is the server's.

use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http};
use mcpool::{Drain, Server};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

/// A server that listens on a port and on a path.
#[derive(Debug)]
pub struct Host {
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
}

impl Host {
    /// Starts to listen, on one thread.
    ///
    /// # Panics
    /// When the system refuses a socket.
    pub fn start(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mcpool.sock");
        let (server, drain, at) = (server.clone(), Drain::default(), path.clone());
        let (told, started) = sync_channel(1);
        let ends = drain.clone();
        let thread = std::thread::spawn(move || {
            crate::runtime().block_on(async {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let tcp = Listener::tcp(any, TcpOptions::default()).expect("a port");
                let LocalAddress::Tcp { address, .. } = *tcp.local_addr() else { panic!("a TCP address") };
                let unix = Listener::unix(&at).expect("a path");
                told.send(address).expect("somebody waits");
                serve_http(&server, vec![tcp, unix], HttpConfig::default(), &ends).await.expect("served");
            });
        });
        let address = started.recv().expect("the server listens");
        Self { address, path, drain, thread: Some(thread), _folder: folder }
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
        }
        .expect("a socket");
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// As reading a socket.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
    }

    /// Closes the sending side.
    ///
    /// # Panics
    /// When the socket is no socket any more.
    pub fn half_close(&self) {
        match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(std::net::Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(std::net::Shutdown::Write),
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
            filled += read;
            if buffer[..filled].windows(part.len()).any(|window| window == part.as_bytes()) {
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
                Way::Lines => buffer[filled - 1] == b'\n',
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

/// The request of a modern client to be told of a resource's changes.
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

/// Lets this process have as many descriptors as the system allows; gives how many those are.
pub fn raise_descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.map_or(1 << 20, |limit| limit as usize)
}
