//! An MCP server on standard input and output, as a process of its own: started, greeted, asked once, weighed and ended.
//!
//! Knows lines, and of the protocol only the handshake. One message is on its way at a time, which the pipes hold; load
//! is made by `mcpool::load`, which starts its servers itself. Invariant: a server ends with its [`StdioServer`].

use crate::server_process::{Memory, memory};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The line that opens a connection of the legacy era.
pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"benches","version":"1"}}}"#;
/// The line that says that it is open.
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// How long it may take to answer.
const SILENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// How long it may take to end when its input ends.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub struct StdioServer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl StdioServer {
    /// Starts a server; what it says on standard error is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (input, Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the server has no pipes"));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Starts a server and opens a session of the legacy era.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub fn greet(command: &mut Command) -> io::Result<Self> {
        let mut server = Self::start(command)?;
        server.ask(INITIALIZE)?;
        server.say(INITIALIZED)?;
        Ok(server)
    }

    /// Writes a line and waits for a line.
    ///
    /// # Errors
    /// When the server is gone or says nothing for 30 s.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.say(line)?;
        if poll(&mut [PollFd::new(self.output.get_ref(), PollFlags::IN)], Some(&SILENCE))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server says nothing"));
        }
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed its output"));
        }
        Ok(answer)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
        input.write_all(format!("{line}\n").as_bytes())
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(&self) -> io::Result<Memory> {
        memory(self.child.id())
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
    fn a_line_comes_back_whole() {
        let mut server = StdioServer::start(&mut Command::new("cat")).expect("started");
        for bytes in [0, 1, 100, 30_000] {
            let line = "x".repeat(bytes);
            assert_eq!(server.ask(&line).expect("an answer"), line + "\n");
        }
        assert!(server.memory().expect("alive").private_kib > 0);
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
