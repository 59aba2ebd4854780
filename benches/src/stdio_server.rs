//! An MCP server on standard input and output, as a process of its own: started, greeted, asked, weighed and ended.
//!
//! Knows lines and Linux (`/proc`), and of the protocol only the handshake. Both pipes are on one event queue, so
//! that whoever writes much never waits for a server that does not read. Invariant: a server ends with its
//! [`StdioServer`].

use crate::calls::{INITIALIZE, INITIALIZED};
use crate::server_process::{Memory, cpu, memory, peak_rss_kib};
use mio::unix::pipe::{Receiver, Sender};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time without a byte from the server.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take to end when its input ends.
const END_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 256 * 1024;

/// A running server.
#[derive(Debug)]
pub struct StdioServer {
    child: Child,
    input: Option<Sender>,
    output: Receiver,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    /// `taken <= scanned <= filled <= buffer.len()`: what was read is before `filled`, what was given out before
    /// `taken`, and between `taken` and `scanned` no line ends.
    taken: usize,
    scanned: usize,
    filled: usize,
}

impl StdioServer {
    /// Starts a server; what it says on standard error is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the server has no pipes"));
        };
        let (mut input, mut output) = (Sender::from(input), Receiver::from(output));
        input.set_nonblocking(true)?;
        output.set_nonblocking(true)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut input, Token(0), Interest::WRITABLE)?;
        poll.registry().register(&mut output, Token(1), Interest::READABLE)?;
        let (events, buffer) = (Events::with_capacity(8), vec![0; READ_BYTES]);
        Ok(Self { child, input: Some(input), output, poll, events, buffer, taken: 0, scanned: 0, filled: 0 })
    }

    /// Starts a server and opens a session of the legacy era.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub fn greet(command: &mut Command) -> io::Result<Self> {
        let mut server = Self::start(command)?;
        server.ask(INITIALIZE)?;
        server.say(INITIALIZED.as_bytes())?;
        Ok(server)
    }

    /// Writes a line and waits for a line.
    ///
    /// # Errors
    /// When the server is gone or says nothing.
    pub fn ask(&mut self, line: &str) -> io::Result<Vec<u8>> {
        self.say(line.as_bytes())?;
        loop {
            if let Some(line) = self.take_line() {
                return Ok(line.to_vec());
            }
            if !self.read()? {
                self.wait(Some(SILENCE))?;
            }
        }
    }

    /// Writes a line, and reads meanwhile.
    fn say(&mut self, line: &[u8]) -> io::Result<()> {
        let line = [line, b"\n"].concat();
        let mut written = 0;
        while written < line.len() {
            let wrote = self.write(&line[written..])?;
            written += wrote;
            if wrote == 0 && !self.read()? {
                self.wait(Some(SILENCE))?;
            }
        }
        Ok(())
    }

    /// Writes as much as the pipe takes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(input) = &mut self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match input.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads what there is, up to a bound; whether there was anything.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        self.make_room();
        match self.output.read(&mut self.buffer[self.filled..]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed its output")),
            Ok(read) => {
                self.filled += read;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves what is left to the front, and grows where that is not enough.
    fn make_room(&mut self) {
        if self.taken > 0 {
            self.buffer.copy_within(self.taken..self.filled, 0);
            self.scanned -= self.taken;
            self.filled -= self.taken;
            self.taken = 0;
        }
        if self.buffer.len() - self.filled < READ_BYTES / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }

    /// The next line that has come whole, without its end.
    pub(crate) fn take_line(&mut self) -> Option<&[u8]> {
        let Some(found) = memchr::memchr(b'\n', &self.buffer[self.scanned..self.filled]) else {
            self.scanned = self.filled;
            return None;
        };
        let line = self.taken..self.scanned + found;
        self.taken = line.end + 1;
        self.scanned = self.taken;
        Some(&self.buffer[line])
    }

    /// Waits until a pipe is ready, or for some time; whether one is.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.poll.poll(&mut self.events, timeout)?;
        let is_ready = !self.events.is_empty();
        if !is_ready && timeout.is_some_and(|timeout| timeout >= SILENCE) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server says nothing"));
        }
        Ok(is_ready)
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(&self) -> io::Result<Memory> {
        memory(self.child.id())
    }

    /// CPU time that it has taken so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu(self.child.id())
    }

    /// The most it has held since it began, in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_rss_kib(&self) -> io::Result<i64> {
        peak_rss_kib(self.child.id())
    }
}

impl Drop for StdioServer {
    fn drop(&mut self) {
        self.input = None;
        let asked = Instant::now();
        while asked.elapsed() < END_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            // What it still says must not keep it.
            let _ = self.read();
            (self.taken, self.scanned) = (self.filled, self.filled);
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_whole_however_long() {
        let mut server = StdioServer::start(&mut Command::new("cat")).expect("started");
        for bytes in [0, 1, 100, 70_000, 3_000_000] {
            let line = "x".repeat(bytes);
            assert_eq!(server.ask(&line).expect("an answer"), line.as_bytes());
        }
        assert!(server.memory().expect("alive").private_kib > 0);
        assert!(server.peak_rss_kib().expect("alive") > 0);
    }

    #[test]
    fn a_server_that_ends_is_an_error_and_leaves_nothing() {
        let ended = StdioServer::greet(&mut Command::new("true"));
        assert!(ended.is_err());
        let server = StdioServer::start(&mut Command::new("cat")).expect("started");
        let id = server.child.id();
        drop(server);
        assert!(memory(id).is_err(), "it ended with its owner");
    }
}
