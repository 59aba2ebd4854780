//! The harness of the dhat memory tests, for this server and for those that others build on `mcpool`.
//!
//! Three assertions hold a piece of work to its memory: [`assert_no_allocations`], [`assert_no_leaks`],
//! [`bytes_per`]. One that fails says who asked for the blocks, and leaves a `dhat-heap.json` for DHAT's viewer;
//! `tests/your_own_server.rs` is a test to copy. dhat is the global allocator of each test's process and its profiler
//! is global too, so each claim has a process of its own ([`alone`]), and is named by what it claims.
//!
//! What each request costs over each transport is in `TABLE.md`, which `tests/matrix.rs` measures again.
//!
//! What dhat cannot see: memory of the kernel (pipes, sockets), thread stacks, and blocks from before the
//! profiler began. It wraps the system allocator, so sizes are what was asked for, not mimalloc's classes.

mod alone;
pub mod growth;
mod heap;
pub mod matrix;
pub mod network;
mod profile;
mod quiet;
pub mod table;
pub mod tools;

pub use alone::alone;
pub use heap::{BytesPer, Watch, assert_no_allocations, assert_no_leaks, bytes_per};
pub use profile::{Figure, Profile};

use mcpool::transport::serve_lines;
use mcpool::{CallContext, Drain, Limits, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The `_meta` of a modern request.
pub const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"memtests","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A tool that says back what it is told.
#[derive(Debug)]
pub struct Echo;

/// The arguments of [`Echo`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct EchoArguments<'a> {
    /// What to say back.
    pub text: &'a str,
}

impl Tool for Echo {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says back what it is told.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.text(arguments.text);
        Ok(())
    }
}

/// A runtime like that of the program: one thread, and blocking threads on demand.
///
/// # Panics
/// When the system refuses an event queue.
pub fn runtime() -> Runtime {
    // A blocking thread is a few blocks of heap for as long as it idles.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.thread_keep_alive(Duration::from_millis(50)).enable_all().build().expect("a runtime")
}

/// A runtime that has one blocking thread and keeps it, so that how busy the machine is changes no count.
///
/// # Panics
/// When the system refuses an event queue.
pub fn steady_runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.max_blocking_threads(1).thread_keep_alive(Duration::from_hours(1));
    builder.enable_all().build().expect("a runtime")
}

/// The client's end of a connection over two pipes, as on standard input and output; the server's end runs
/// in a task.
#[derive(Debug)]
pub struct Peer {
    requests: pipe::Sender,
    answers: pipe::Receiver,
    serving: JoinHandle<()>,
}

impl Peer {
    /// Connects to `server`. Call it inside a runtime.
    ///
    /// # Errors
    /// When the system refuses a pipe.
    pub fn connect(server: &Server) -> io::Result<Self> {
        let (requests, reader) = pipe::pipe()?;
        let (writer, answers) = pipe::pipe()?;
        let server = server.clone();
        let serving = tokio::spawn(async move {
            let drain = Drain::default();
            serve_lines(&server, reader, writer, &drain).await.expect("the connection ends well");
        });
        Ok(Self { requests, answers, serving })
    }

    /// Sends one line and reads one line back into `buffer`; gives its length. Allocates nothing.
    ///
    /// # Panics
    /// When the connection breaks or the answer does not fit.
    pub async fn exchange(&mut self, request: &[u8], buffer: &mut [u8]) -> usize {
        self.send(request).await;
        self.read_line(buffer).await
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.requests.write_all(bytes).await.expect("the server reads");
    }

    /// Reads one line into `buffer`; gives its length.
    ///
    /// # Panics
    /// When the connection breaks or the line does not fit.
    pub async fn read_line(&mut self, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        loop {
            let read = self.answers.read(&mut buffer[filled..]).await.expect("the server answers");
            assert_ne!(read, 0, "the server closed the connection, or the answer is longer than the buffer");
            filled += read;
            if buffer[filled - 1] == b'\n' {
                return filled;
            }
        }
    }

    /// Closes the client's side and waits for the server to end the connection.
    ///
    /// # Panics
    /// When serving failed.
    pub async fn close(self) {
        drop((self.requests, self.answers));
        self.serving.await.expect("the server's task ends");
    }
}

/// A tool that never answers, still holding its borrowed argument.
#[derive(Debug)]
pub struct Stall;

impl Tool for Stall {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("stall", "Never answers.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        std::future::pending::<()>().await;
        call.text(arguments.text);
        Ok(())
    }
}

/// A tool that hands its argument to a blocking thread.
#[derive(Debug)]
pub struct Offload;

impl Tool for Offload {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("offload", "Answers from a thread.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let owned = call.own_arguments(arguments.text);
        call.offload(move |call| {
            // Long enough that the request has to wait for the thread, each time.
            std::thread::sleep(Duration::from_millis(3));
            call.text(owned.arguments());
            Ok(())
        })
        .await
    }
}

/// A server with few tools, whose calls that stall are not waited for when their client is gone.
///
/// # Panics
/// When it cannot be built.
pub fn server() -> Server {
    small_server(Limits { drain_timeout_ms: 10, ..Limits::default() })
}

/// A server with few tools: a request that waits is as large as the largest future of all tools.
///
/// # Panics
/// When it cannot be built.
pub fn small_server(limits: Limits) -> Server {
    let builder = Server::builder("memtests", "1").limits(limits);
    builder.tool(Echo).tool(Stall).tool(Offload).build().expect("a server")
}

/// The client's end of a connection, without any heap memory of its own, so that what is counted is the
/// server's.
#[derive(Debug)]
pub struct BarePeer {
    requests: io::PipeWriter,
    answers: io::PipeReader,
    serving: JoinHandle<()>,
}

impl BarePeer {
    /// Connects to `server`, whose way out is `drain`. Call it inside a runtime.
    ///
    /// # Errors
    /// When the system refuses a pipe.
    pub fn connect(server: &Server, drain: &Drain) -> io::Result<Self> {
        let (reader, requests) = io::pipe()?;
        let (answers, writer) = io::pipe()?;
        let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let writer = pipe::Sender::from_owned_fd(OwnedFd::from(writer))?;
        let (server, drain) = (server.clone(), drain.clone());
        let serving = tokio::spawn(async move {
            serve_lines(&server, reader, writer, &drain).await.expect("the connection ends well");
        });
        Ok(Self { requests, answers, serving })
    }

    /// Sends one line.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send(&mut self, line: &str) {
        self.requests.write_all(line.as_bytes()).expect("the server reads");
        self.requests.write_all(b"\n").expect("the server reads");
    }

    /// Sends one line and waits until its answer, of at most 4 KiB, has come.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn exchange(&mut self, line: &str) {
        self.send(line);
        settle().await;
        let mut answer = [0; 4096];
        let length = self.answers.read(&mut answer).expect("the server answers");
        assert_eq!(answer[..length].last(), Some(&b'\n'), "the answer came whole");
    }

    /// Closes the client's side and waits for the server to end the connection.
    ///
    /// # Panics
    /// When serving failed.
    pub async fn close(self) {
        drop((self.requests, self.answers));
        self.serving.await.expect("the server's task ends");
    }
}

/// Lets every task of the runtime go as far as it can.
pub async fn settle() {
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The heap once nothing moves any more, the idle objects of the server's pools aside: live blocks and bytes.
///
/// Connections end, sessions expire and descriptors are let go a while after their client is gone.
pub fn settled_heap(server: &Server) -> (usize, usize) {
    const STEP: Duration = Duration::from_millis(50);
    const STILL: u32 = 12;
    /// A minute's worth.
    const LOOKS: u32 = 1_200;
    // Once a second a look takes all figures down, for which each thread needs something once.
    let _ = server.memory().current_memory_usage();
    let mut still = 0;
    let mut last = (0, 0);
    for _ in 0..LOOKS {
        // The server looks by itself once a second, and is done with what is to be given back at the third look.
        server.maintain();
        for pool in server.pools().pools() {
            pool.trim(0);
        }
        let stats = dhat::HeapStats::get();
        let now = (stats.curr_blocks, stats.curr_bytes);
        still = if now == last && quiet::others_sleep() { still + 1 } else { 0 };
        if still == STILL {
            break;
        }
        last = now;
        std::thread::sleep(STEP);
    }
    last
}

/// Has every thread that may come return a buffer of each class once: a pool makes the place for a thread's idle
/// objects at its first return, whenever that is.
pub fn warm_threads(server: &Server) {
    const THREADS: usize = 16;
    let all_are_there = std::sync::Barrier::new(THREADS);
    let classes: Vec<usize> = [0, 2, 4, 6, 8, 10, 12, 14].map(|power| 1024 << power).to_vec();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                all_are_there.wait();
                for bytes in &classes {
                    drop(server.buffers().acquire(*bytes));
                }
                all_are_there.wait();
            });
        }
    });
}

/// Bytes in all of the server's buffers, on loan and idle.
pub fn buffer_bytes(server: &Server) -> usize {
    buffers(server).map(|snapshot| snapshot.owned_bytes as usize).sum()
}

/// How many of the server's buffers are on loan.
pub fn buffers_in_use(server: &Server) -> u64 {
    buffers(server).map(|snapshot| snapshot.in_use).sum()
}

fn buffers(server: &Server) -> impl Iterator<Item = mcpool::pools::PoolSnapshot> {
    let buffers = server.pools().pools().into_iter().filter(|pool| pool.name().starts_with("buffers/"));
    buffers.map(|pool| pool.snapshot())
}

/// Blocks that tokio's runtime may keep or not, in all: the handle of the last blocking thread that ended stays until
/// another one ends, and which that is depends on how busy the machine is.
pub const RUNTIME_BLOCKS: usize = 4;
/// The bytes of those.
pub const RUNTIME_BYTES: usize = 512;

/// Bounds of time that no machine reaches, however busy: for what is not about time.
pub fn patient(mut limits: Limits) -> Limits {
    limits.header_timeout_ms = 600_000;
    limits.body_timeout_ms = 3_600_000;
    limits.write_timeout_ms = 3_600_000;
    limits.idle_timeout_ms = 86_400_000;
    limits
}

/// The lines that open a session of the legacy era.
pub const HANDSHAKE: [&str; 2] = [
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"memtests","version":"1"}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
];
