//! A server in a thread of its own, reached over what the kernel has between two programs; and its client.
//!
//! `stdio` is `serve_lines` over two pipes, as the program does on standard input and output; the other two are
//! `serve_http` on a Unix socket (newline-framed) and on a port. The server's thread runs in phases, so that what it
//! allocates in one can be told.

use crate::client::{Client, Socket};
use alloc_counter::count_alloc;
use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http, serve_lines};
use mcpool::{Drain, Server};
use std::io;
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
