//! A server that a load test starts for itself, with the last lines of its stderr; it ends with its [`Child`].
//!
//! Not the process of `client`, whose pipes belong to a runtime: the generator has an event queue of its own.

use crate::client::ServerCommand;
use crate::lock::lock;
use crate::visible;
use mio::unix::pipe::{Receiver, Sender};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The most lines of stderr that are kept, and the most bytes of each.
const KEPT_LINES: usize = 8;
const KEPT_LINE_BYTES: u64 = 1024;
/// How long a server may take to end after its input ended, and again after SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the last words of a server that ended may take to arrive.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// A running server.
pub(super) struct Child {
    child: std::process::Child,
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

impl Child {
    /// Starts a server that is spoken to through its pipes.
    pub(super) fn start(command: &ServerCommand) -> io::Result<(Self, Receiver, Sender)> {
        let mut child = Self::spawn(command, Stdio::piped, Stdio::piped)?;
        let (Some(input), Some(output)) = (child.child.stdin.take(), child.child.stdout.take()) else {
            return Err(io::Error::other("the server has no pipes"));
        };
        let (input, output) = (Sender::from(input), Receiver::from(output));
        input.set_nonblocking(true)?;
        output.set_nonblocking(true)?;
        Ok((child, output, input))
    }

    /// Starts a server that listens elsewhere.
    pub(super) fn start_listener(command: &ServerCommand) -> io::Result<Self> {
        Self::spawn(command, Stdio::null, Stdio::null)
    }

    /// Starts a process in a group of its own, so that Ctrl-C reaches the load test only.
    fn spawn(command: &ServerCommand, input: fn() -> Stdio, output: fn() -> Stdio) -> io::Result<Self> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .stdin(input())
            .stdout(output())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = child.stderr.take();
        let child = Self { child, last_lines: Arc::clone(&last_lines) };
        if let Some(stderr) = stderr {
            // It ends when the last process that has the pipe does.
            thread::Builder::new()
                .name("stderr".to_owned())
                .spawn(move || keep_lines(stderr, &last_lines))?;
        }
        Ok(child)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Why the server is gone, with what it said last.
    pub(super) fn last_words(&mut self) -> String {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                _ if begun.elapsed() > LAST_WORDS_TIMEOUT => break None,
                _ => thread::sleep(Duration::from_millis(2)),
            }
        };
        if status.is_some() {
            thread::sleep(Duration::from_millis(20));
        }
        let lines = lock(&self.last_lines);
        let said =
            if lines.is_empty() { String::new() } else { format!("; it said last:\n  {}", joined(&lines)) };
        match status {
            Some(status) => format!("the server ended ({status}){said}"),
            None => format!("the server closed its output{said}"),
        }
    }

    /// Asks the server to end.
    pub(super) fn terminate(&self) {
        if let Some(process) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(process, Signal::TERM);
        }
    }

    /// How the server ended, if it does within this time.
    pub(super) fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Err(_) => return None,
                Ok(None) if begun.elapsed() > patience => return None,
                Ok(None) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Ends the server, whose input was closed.
    pub(super) fn end(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        for signal in [Signal::TERM, Signal::KILL] {
            if self.ended_within(END_TIMEOUT).is_some() {
                return;
            }
            if let Some(group) = group {
                let _ = kill_process_group(group, signal);
            }
        }
        let _ = self.ended_within(END_TIMEOUT);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn joined(lines: &VecDeque<String>) -> String {
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n  ")
}

/// Reads stderr to its end, so that the server never waits for it.
fn keep_lines(stderr: ChildStderr, last_lines: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(KEPT_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let mut lines = lock(last_lines);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(visible::line(text.trim_end()));
    }
}
