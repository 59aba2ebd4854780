//! A server in a thread of its own, reached over what the kernel has between two programs; and its client.
//!
//! `stdio` is `serve_lines` over two pipes, as the program does on standard input and output; the other two are
//! `serve_http` on a Unix socket (newline-framed) and on a port. The client blocks, and allocates nothing once it
//! knows how long an answer is. The server's thread runs in phases, so that what it allocates in one can be told.

use crate::calls;
use crate::in_process::HANDSHAKE;
use crate::requests::NamedRequest;
use alloc_counter::count_alloc;
use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http, serve_lines};
use mcpool::{Drain, Server};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// How client and server reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Lines over two pipes.
    Stdio,
    /// Lines over a Unix socket.
    Unix,
    /// HTTP over TCP, in a session.
    Http,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stdio, Self::Unix, Self::Http];

    /// The name in the rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Unix => "unix",
            Self::Http => "HTTP",
        }
    }
}

/// A server in a thread of its own, with one client.
#[derive(Debug)]
pub struct Host {
    client: Option<Client>,
    drain: Drain,
    phase: Arc<Notify>,
    counted: Receiver<u64>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// What the server's thread begins with.
struct Start {
    server: Server,
    drain: Drain,
    phase: Arc<Notify>,
    counts: SyncSender<u64>,
}

impl Host {
    /// Starts to serve, connects, and shakes hands.
    ///
    /// # Errors
    /// When the system refuses a pipe, a socket or a thread, or the server a handshake.
    pub fn start(server: &Server, way: Way) -> io::Result<Self> {
        let (folder, drain, phase) = (tempfile::tempdir()?, Drain::default(), Arc::new(Notify::new()));
        let (counts, counted) = sync_channel(1);
        let start = Start { server: server.clone(), drain: drain.clone(), phase: Arc::clone(&phase), counts };
        let (socket, thread) = match way {
            Way::Stdio => over_pipes(start)?,
            Way::Unix => {
                let path = folder.path().join("mcpool.sock");
                let (_, thread) = over_sockets(start, &path)?;
                (Socket::Unix(UnixStream::connect(path)?), thread)
            }
            Way::Http => {
                let (address, thread) = over_sockets(start, &folder.path().join("mcpool.sock"))?;
                let socket = TcpStream::connect(address)?;
                socket.set_nodelay(true)?;
                (Socket::Tcp(socket), thread)
            }
        };
        let client = Some(Client::shake_hands(socket)?);
        Ok(Self { client, drain, phase, counted, thread: Some(thread), _folder: folder })
    }

    /// The client.
    ///
    /// # Panics
    /// Never: the client is there until the host is dropped.
    pub fn client(&mut self) -> &mut Client {
        // invariant: `client` is taken in `drop` only.
        self.client.as_mut().expect("a live host has its client")
    }

    /// What the server's thread allocates while `work` has it serve.
    ///
    /// # Panics
    /// When the server has ended.
    pub fn allocations(&mut self, work: impl FnOnce(&mut Client)) -> u64 {
        let end_phase = |host: &Self| {
            host.phase.notify_one();
            // invariant: the server's thread tells each end of a phase, until the host is dropped.
            host.counted.recv().expect("the server serves")
        };
        end_phase(self);
        work(self.client());
        end_phase(self)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.client = None;
        self.drain.begin();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server's thread ends");
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn over_pipes(start: Start) -> io::Result<(Socket, JoinHandle<()>)> {
    let (reader, requests) = io::pipe()?;
    let (answers, writer) = io::pipe()?;
    let runtime = runtime()?;
    let (reader, writer) = {
        let _inside = runtime.enter();
        let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        (reader, pipe::Sender::from_owned_fd(OwnedFd::from(writer))?)
    };
    let thread = std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        let serving = async {
            let ended = serve_lines(&start.server, reader, writer, &start.drain).await;
            assert!(ended.is_ok(), "{ended:?}");
        };
        in_phases(&runtime, &start, serving);
    })?;
    Ok((Socket::Pipes { requests, answers }, thread))
}

fn over_sockets(start: Start, path: &Path) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let runtime = runtime()?;
    let listeners = {
        let _inside = runtime.enter();
        let tcp = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0)), TcpOptions::default());
        vec![tcp.map_err(io::Error::other)?, Listener::unix(path).map_err(io::Error::other)?]
    };
    let LocalAddress::Tcp { address, .. } = *listeners[0].local_addr() else {
        return Err(io::Error::other("the first listener is that of the port"));
    };
    let thread = std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        let serving = async {
            let ended = serve_http(&start.server, listeners, HttpConfig::default(), &start.drain).await;
            assert!(ended.is_ok(), "{ended:?}");
        };
        in_phases(&runtime, &start, serving);
    })?;
    Ok((address, thread))
}

/// Serves to the end; whenever a phase ends, tells what this thread has allocated since the one before.
fn in_phases(runtime: &Runtime, start: &Start, serving: impl Future<Output = ()>) {
    let mut serving = pin!(serving);
    loop {
        let ((allocations, reallocations, _), has_ended) = count_alloc(|| {
            runtime.block_on(async {
                tokio::select! {
                    () = &mut serving => true,
                    () = start.phase.notified() => false,
                }
            })
        });
        if has_ended || start.counts.send((allocations + reallocations) as u64).is_err() {
            return;
        }
    }
}

#[derive(Debug)]
enum Socket {
    Pipes { requests: io::PipeWriter, answers: io::PipeReader },
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Pipes { answers, .. } => answers.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tcp(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pipes { requests, .. } => requests.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client that blocks.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    /// The session, over HTTP.
    session: Option<String>,
}

/// A request as its client sends it, once its answer is known.
#[derive(Debug)]
pub struct Prepared {
    bytes: Vec<u8>,
    answer: Vec<u8>,
}

impl Prepared {
    /// Bytes of the request, with all that its way puts around it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Client {
    fn shake_hands(mut socket: Socket) -> io::Result<Self> {
        let session = match &mut socket {
            Socket::Tcp(socket) => Some(calls::open_session(socket)?),
            socket => {
                socket.write_all(HANDSHAKE.as_bytes())?;
                None
            }
        };
        let mut client = Self { socket, session };
        if client.session.is_none() {
            client.read_answer()?;
        }
        Ok(client)
    }

    /// Sends a request once, so many times in a row, and keeps what is answered.
    ///
    /// # Errors
    /// When the connection breaks or the answer differs.
    pub fn prepare(&mut self, request: &NamedRequest, at_once: usize) -> io::Result<Prepared> {
        let bytes = match &self.session {
            None => request.line.to_vec(),
            Some(session) => calls::legacy(session, String::from_utf8_lossy(&request.line).trim_end()),
        };
        self.socket.write_all(&bytes)?;
        let answer = self.read_answer()?;
        if !String::from_utf8_lossy(&answer).contains(&request.expected) {
            let message = format!("{}: {:.300}", request.name, String::from_utf8_lossy(&answer));
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Prepared { bytes: bytes.repeat(at_once), answer: answer.repeat(at_once) })
    }

    /// Reads one answer, however long it is.
    fn read_answer(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while !self.is_whole(&answer) {
            match self.socket.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(answer)
    }

    fn is_whole(&self, answer: &[u8]) -> bool {
        if self.session.is_none() {
            return answer.ends_with(b"\n");
        }
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        // No JSON has the line ends of the last chunk.
        length.map_or_else(|| answer.ends_with(b"\r\n0\r\n\r\n"), |length| answer.len() >= head + 4 + length)
    }

    /// Sends a request and reads its answer into `buffer`; gives the bytes of the answer.
    ///
    /// # Errors
    /// When the connection breaks.
    ///
    /// # Panics
    /// When the answer ends otherwise than it did at first.
    pub fn exchange(&mut self, request: &Prepared, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(request.answer.len(), 0);
        self.socket.write_all(&request.bytes)?;
        self.socket.read_exact(buffer)?;
        let tail = request.answer.len().saturating_sub(64);
        assert_eq!(buffer[tail..], request.answer[tail..], "all answers are alike");
        Ok(buffer.len())
    }
}
