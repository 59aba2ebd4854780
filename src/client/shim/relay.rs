//! The shim to a Unix socket: a loop around `poll` that copies lines unchanged, in both directions at once.
//!
//! Of each direction it holds one line on its way, and reads no further before that is written; so a peer that does not
//! read is not read for. A line waits whole, since a server that ends may leave half of one.
//!
//! Invariant: `unsent` is empty, or the client is not read, or the server is down.

use super::error::ShimError;
use super::line_buffer::{Line, LineBuffer};
use super::message::{Handshake, InFlight, MAX_HANDSHAKE_BYTES, Summary, lost, too_long};
use super::outage::{Outage, trying_again};
use super::output::{Output, or_later};
use crate::limits::Limits;
use crate::wire::Outline;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The most bytes of messages that wait while the server is down; further requests are answered with an error.
const MAX_UNSENT_BYTES: usize = 1024 * 1024;
/// The most requests whose error waits for the client while the server is down; then the client is not read.
const MAX_UNANSWERED: usize = 64;

/// Why a request gets its answer from the shim.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Restarted,
    Ended,
    Unreachable,
    TooLong { limit_bytes: usize },
}

impl Failure {
    fn answer(self, id: &str) -> Vec<u8> {
        match self {
            Self::Restarted => lost(id, "the server restarted before it answered; send the request again"),
            Self::Ended => lost(id, "the server ended before it answered"),
            Self::Unreachable => lost(id, "the server cannot be reached"),
            Self::TooLong { limit_bytes } => too_long(id, limit_bytes),
        }
    }
}

/// Connects standard input and output to the server at the Unix socket `path`, until standard input ends or `stop`
/// becomes readable. `say` gets what happened to the server, for the log.
///
/// When the server ends, requests in flight are answered with an error, and the shim reconnects as long as its client
/// is connected. One that was never reached within `patience` is given up: requests that wait are answered with an error,
/// or else the first one that comes, and the shim ends.
///
/// # Errors
/// When standard input or output cannot be used, and [`ShimError::NoServer`].
pub fn run(
    path: &Path,
    patience: Duration,
    stop: BorrowedFd<'_>,
    say: &mut dyn FnMut(Arguments<'_>),
) -> Result<(), ShimError> {
    let output = Output::open().map_err(|source| ShimError::Stdio { name: "output", source })?;
    let mut relay = Relay::new(path, output, say);
    relay.reached_by = Some(Instant::now() + patience);
    let mut ready = Ready::default();
    while !relay.advance() {
        if relay.write(&mut ready)? {
            continue;
        }
        let Some(found) = relay.wait(stop)? else { break };
        ready = found;
        relay.read(&ready)?;
    }
    relay.no_server.map_or(Ok(()), Err)
}

/// A message on its way out.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Writes on; `true` when nothing is left.
    fn write(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        self.sent += write(&self.bytes[self.sent..])?;
        Ok(self.is_done())
    }

    fn is_done(&self) -> bool {
        self.sent == self.bytes.len()
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }
}

/// A connection to the server.
struct Server {
    socket: UnixStream,
    lines: LineBuffer,
    /// The repeated handshake, which goes before all else.
    greeting: Outgoing,
    phase: Phase,
    /// It has sent something.
    is_heard: bool,
    /// It takes nothing more; what it has sent before is still to be read.
    is_deaf: bool,
}

enum Phase {
    /// The handshake is repeated; its request has this id.
    Greeting(String),
    Serving,
    /// The client has closed its side, and so have we.
    Draining,
}

enum Link {
    Down {
        retry_at: Instant,
    },
    Up(Server),
    /// Nothing more comes from the server.
    Over,
}

/// What `poll` found.
#[derive(Default)]
struct Ready {
    /// The client can be read from, or has closed its side.
    client: bool,
    /// The server can be read from, or is gone.
    server: bool,
    /// Standard output takes bytes without blocking.
    output: bool,
}

struct Relay<'r> {
    path: &'r Path,
    say: &'r mut dyn FnMut(Arguments<'_>),
    max_reply_bytes: usize,
    client: LineBuffer,
    output: Output,
    /// What the client gets next.
    reply: Outgoing,
    link: Link,
    outage: Outage,
    /// When nobody is waited for any more; none if the server was there once.
    reached_by: Option<Instant>,
    /// It was given up.
    no_server: Option<ShimError>,
    handshake: Handshake,
    in_flight: InFlight,
    /// Messages of the client that were not sent yet, and the bytes of all.
    unsent: VecDeque<Outgoing>,
    unsent_bytes: usize,
    /// Requests that get an error, and why.
    unanswered: Vec<(String, Failure)>,
}

impl<'r> Relay<'r> {
    fn new(path: &'r Path, output: Output, say: &'r mut dyn FnMut(Arguments<'_>)) -> Self {
        let limits = Limits::default();
        Self {
            path,
            say,
            // An answer may be longer than a request.
            max_reply_bytes: limits.max_reply_bytes,
            client: LineBuffer::of_client(limits.max_frame_bytes),
            output,
            reply: Outgoing::default(),
            link: Link::Down { retry_at: Instant::now() },
            outage: Outage::default(),
            reached_by: None,
            no_server: None,
            handshake: Handshake::default(),
            in_flight: InFlight::default(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            unanswered: Vec::new(),
        }
    }

    /// Does all that needs no waiting; `true` when the shim is done.
    fn advance(&mut self) -> bool {
        self.connect_if_due();
        self.take_from_client();
        if self.reply.is_done() {
            self.reply = self.next_reply().unwrap_or_default().into();
        }
        matches!(self.link, Link::Over) && self.reply.is_done()
    }

    fn connect_if_due(&mut self) {
        let Link::Down { retry_at } = self.link else { return };
        if retry_at > Instant::now() {
            return;
        }
        match self.connect() {
            Ok(server) => {
                self.reached_by = None;
                self.link = Link::Up(server);
            }
            Err(error) => self.note_unreachable(&error),
        }
    }

    /// Connects, and begins to repeat the handshake of the client.
    fn connect(&self) -> io::Result<Server> {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        let socket = UnixStream::from(socket);
        // Before it connects: a server that accepts no more must not hold the loop up.
        socket.set_nonblocking(true)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(self.path)?)?;
        let (greeting, phase) = match self.handshake.complete() {
            Some((id, request, _)) => (with_newline(request), Phase::Greeting(id.to_owned())),
            None => (Vec::new(), Phase::Serving),
        };
        let lines = LineBuffer::of_server(self.max_reply_bytes);
        Ok(Server { socket, lines, greeting: greeting.into(), phase, is_heard: false, is_deaf: false })
    }

    fn note_unreachable(&mut self, error: &io::Error) {
        let now = Instant::now();
        if !self.outage.is_on() {
            let at = self.path.display();
            let how = trying_again(self.reached_by.map(|by| by.saturating_duration_since(now)));
            (self.say)(format_args!("cannot reach the server at unix:{at}: {error}; {how}"));
        }
        let retry_at = now + self.outage.prolong();
        self.link = Link::Down { retry_at };
        match self.reached_by {
            Some(by) if by <= now => self.give_up(error),
            Some(by) => self.link = Link::Down { retry_at: retry_at.min(by) },
            None => {}
        }
    }

    /// Answers the requests that wait, and ends. Without any, the next one is waited for, as nobody would hear of it.
    fn give_up(&mut self, error: &io::Error) {
        let requests: Vec<_> = self.unsent.iter().filter_map(|line| id_of_request(&line.bytes)).collect();
        if requests.is_empty() {
            return;
        }
        self.unsent.clear();
        self.unsent_bytes = 0;
        self.unanswered.extend(requests.into_iter().map(|id| (id, Failure::Unreachable)));
        let target = format!("unix:{}", self.path.display());
        self.no_server = Some(ShimError::NoServer { target, why: error.to_string() });
        self.link = Link::Over;
    }

    /// Takes messages of the client as far as there is room for them.
    fn take_from_client(&mut self) {
        while self.wants_client() {
            match self.client.next_line() {
                Some(Line::Whole(line)) => self.admit(line),
                Some(Line::TooLong(outline)) => {
                    let limit_bytes = self.client.max_bytes();
                    (self.say)(format_args!("a message of the client is longer than {limit_bytes} bytes"));
                    if let Some(id) = outline.id.filter(|_| outline.has_method) {
                        self.unanswered.push((id.into(), Failure::TooLong { limit_bytes }));
                    }
                }
                None if self.client.is_ended() => return self.end_client(),
                None => return,
            }
        }
    }

    fn wants_client(&self) -> bool {
        match &self.link {
            Link::Up(Server { phase: Phase::Serving, .. }) => self.unsent.is_empty(),
            Link::Down { .. } => self.unanswered.len() < MAX_UNANSWERED,
            Link::Up(_) | Link::Over => false,
        }
    }

    /// Keeps a message to be sent, or while the server is down answers it with an error if it does not fit.
    fn admit(&mut self, line: Vec<u8>) {
        if let Link::Down { retry_at } = &mut self.link {
            // The server may be back, and somebody waits for it now.
            *retry_at = Instant::now();
            if self.unsent_bytes + line.len() > MAX_UNSENT_BYTES {
                self.unanswered.extend(id_of_request(&line).map(|id| (id, Failure::Unreachable)));
                return;
            }
        }
        self.unsent_bytes += line.len();
        self.unsent.push_back(line.into());
    }

    /// The client sends no more: what it has asked for is still answered.
    fn end_client(&mut self) {
        match &mut self.link {
            Link::Up(server) => {
                // A server that is gone already shows when it is read from.
                let _ = server.socket.shutdown(Shutdown::Write);
                server.phase = Phase::Draining;
            }
            Link::Down { .. } | Link::Over => {
                let requests = self.unsent.drain(..).filter_map(|line| id_of_request(&line.bytes));
                self.unanswered.extend(requests.map(|id| (id, Failure::Unreachable)));
                self.link = Link::Over;
            }
        }
    }

    /// What the client gets next: errors that the shim owes it, then what the server sent.
    fn next_reply(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((id, why)) = self.unanswered.pop() {
                let answer = match (why, &self.no_server) {
                    (Failure::Unreachable, Some(error)) => lost(&id, &error.to_string()),
                    (why, _) => why.answer(&id),
                };
                return Some(with_newline(&answer));
            }
            let Link::Up(server) = &mut self.link else { return None };
            match server.lines.next_line() {
                Some(Line::Whole(line)) => {
                    if let Some(line) = self.hear(line) {
                        return Some(line);
                    }
                }
                Some(Line::TooLong(_)) => self.lose_server(&io::Error::other("its message is too long")),
                None if server.lines.is_ended() => self.lose_server(&io::ErrorKind::ConnectionReset.into()),
                None => return None,
            }
        }
    }

    /// Notes a line of the server; those that answer the repeated handshake are not for the client.
    fn hear(&mut self, line: Vec<u8>) -> Option<Vec<u8>> {
        let Link::Up(server) = &mut self.link else { return None };
        server.is_heard = true;
        if self.outage.end() {
            (self.say)(format_args!("the server at unix:{} is back", self.path.display()));
        }
        if let Phase::Greeting(request) = &server.phase {
            if Outline::of(&line).id.as_deref() == Some(request) {
                server.phase = Phase::Serving;
                let initialized =
                    self.handshake.complete().map(|(.., initialized)| with_newline(initialized));
                server.greeting = initialized.unwrap_or_default().into();
            }
            return None;
        }
        if !self.in_flight.is_empty() {
            let outline = Outline::of(&line);
            if let Some(id) = outline.id.filter(|_| !outline.has_method) {
                self.in_flight.end(&id);
            }
        }
        Some(line)
    }

    /// The connection is gone, and with it what was in flight.
    fn lose_server(&mut self, error: &io::Error) {
        let Link::Up(server) = std::mem::replace(&mut self.link, Link::Over) else { return };
        self.unsent.iter_mut().take(1).for_each(|first| first.sent = 0);
        let is_over = matches!(server.phase, Phase::Draining);
        let why = if is_over { Failure::Ended } else { Failure::Restarted };
        self.unanswered.extend(self.in_flight.take().into_iter().map(|id| (id, why)));
        if is_over {
            return;
        }
        if server.is_heard && matches!(server.phase, Phase::Serving) {
            self.link = Link::Down { retry_at: Instant::now() };
        } else {
            // One that closes each connection without a word is not tried without a pause.
            self.note_unreachable(error);
        }
    }

    /// Waits until something can be read or written; `None` when it is time to stop.
    fn wait(&self, stop: BorrowedFd<'_>) -> io::Result<Option<Ready>> {
        let mut descriptors = SmallVec::<[PollFd<'_>; 4]>::new();
        let mut add = |descriptor, flags: PollFlags| {
            // What is not waited for is left out, as it would still be told when its peer is gone.
            (!flags.is_empty()).then(|| {
                descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
                descriptors.len() - 1
            })
        };
        let when = |is_wanted: bool, flags| if is_wanted { flags } else { PollFlags::empty() };
        let reads_client = self.wants_client() && !self.client.is_ended();
        let stop = add(stop, PollFlags::IN);
        let client = add(rustix::stdio::stdin(), when(reads_client, PollFlags::IN));
        let output = add(self.output.descriptor(), when(!self.reply.is_done(), PollFlags::OUT));
        let server = match &self.link {
            Link::Up(server) => {
                let reads = when(self.reply.is_done(), PollFlags::IN);
                add(server.socket.as_fd(), reads | when(self.is_sending(server), PollFlags::OUT))
            }
            Link::Down { .. } | Link::Over => None,
        };
        match poll(&mut descriptors, self.pause().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let found = |at: Option<usize>| at.map_or(PollFlags::empty(), |at| descriptors[at].revents());
        let any = |at| !found(at).is_empty();
        let ready = Ready {
            client: any(client),
            server: self.reply.is_done() && !found(server).difference(PollFlags::OUT).is_empty(),
            output: any(output),
        };
        Ok((!any(stop)).then_some(ready))
    }

    fn is_sending(&self, server: &Server) -> bool {
        let has_more = matches!(server.phase, Phase::Serving) && !self.unsent.is_empty();
        !server.is_deaf && (has_more || !server.greeting.is_done())
    }

    /// How long to wait at most: until the next attempt to reach the server.
    fn pause(&self) -> Option<Timespec> {
        let Link::Down { retry_at } = self.link else { return None };
        let pause = retry_at.saturating_duration_since(Instant::now()).min(Duration::from_mins(1));
        Timespec::try_from(pause).ok()
    }

    fn read(&mut self, ready: &Ready) -> Result<(), ShimError> {
        if ready.client {
            self.client.fill(rustix::stdio::stdin())?;
        }
        if let Link::Up(server) = &mut self.link
            && ready.server
            && let Err(error) = server.lines.fill(&server.socket)
        {
            self.lose_server(&error);
        }
        Ok(())
    }

    /// Writes what its reader takes now; `true` when a message is gone, and there is room for the next.
    fn write(&mut self, ready: &mut Ready) -> Result<bool, ShimError> {
        let may_write = std::mem::take(&mut ready.output) || !self.output.blocks();
        let mut is_gone = false;
        if may_write && !self.reply.is_done() {
            is_gone = self.reply.write(|bytes| self.output.write(bytes))?;
        }
        Ok(self.send() || is_gone)
    }

    /// Writes to the server; `true` when a message is sent.
    fn send(&mut self) -> bool {
        let Link::Up(server) = &mut self.link else { return false };
        let is_greeting = !server.greeting.is_done();
        let message = match self.unsent.front_mut() {
            _ if server.is_deaf => None,
            _ if is_greeting => Some(&mut server.greeting),
            first => first.filter(|_| matches!(server.phase, Phase::Serving)),
        };
        let Some(message) = message else { return false };
        match message.write(|bytes| or_later(rustix::io::write(&server.socket, bytes))) {
            Ok(true) if is_greeting => true,
            Ok(true) => {
                if let Some(Outgoing { bytes: line, .. }) = self.unsent.pop_front() {
                    self.unsent_bytes -= line.len();
                    self.note_sent(&line);
                }
                true
            }
            Ok(false) => false,
            Err(_) => {
                server.is_deaf = true;
                false
            }
        }
    }

    fn note_sent(&mut self, line: &[u8]) {
        let id = if line.len() > MAX_HANDSHAKE_BYTES {
            id_of_request(line)
        } else {
            let summary = Summary::of(line);
            self.handshake.watch(&summary, line.trim_ascii_end());
            summary.id.filter(|_| summary.method.is_some())
        };
        if let Some(id) = id {
            self.in_flight.begin(&id);
        }
    }
}

fn id_of_request(line: &[u8]) -> Option<String> {
    let outline = Outline::of(line);
    outline.id.filter(|_| outline.has_method).map(String::from)
}

fn with_newline(message: &[u8]) -> Vec<u8> {
    [message, b"\n"].concat()
}
