//! The server as a child process: starts it, keeps the last lines of its stderr and ends it.
//!
//! Owns the process and its stderr; does not know the protocol. The child gets its own process group, so that Ctrl-C at
//! the terminal reaches only the client, which then ends the server in order.

use super::error::ClientError;
use super::line::{LineError, LineReader};
use crate::lock::lock;
use crate::visible;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The most lines of stderr that are kept to explain a failure.
const KEPT_LINES: usize = 12;
/// Bytes of the longest line of stderr that is kept.
const KEPT_LINE_BYTES: usize = 64 * 1024;
/// How long stderr may stay open after the process ended: one of its children may hold it.
const STDERR_TIMEOUT: Duration = Duration::from_secs(1);
/// The most characters of a line that are shown.
const SHOWN_CHARS: usize = 300;

/// The command that starts a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCommand {
    /// Program, looked up in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// A running server.
pub(super) struct ServerProcess {
    child: Child,
    group: Option<Pid>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts the server with its stdin and stdout connected to the caller.
    pub(super) fn start(command: &ServerCommand) -> Result<(Self, ChildStdout, ChildStdin), ClientError> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| start_error(command, source))?;
        // invariant: the three streams were asked for above, and are taken only here.
        let stdin = child.stdin.take().expect("stdin is piped");
        // invariant: as above.
        let stdout = child.stdout.take().expect("stdout is piped");
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let listener =
            child.stderr.take().map(|stderr| tokio::spawn(read_stderr(stderr, Arc::clone(&last_lines))));
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok((Self { child, group, last_lines, listener }, stdout, stdin))
    }

    /// The last lines that the server wrote to stderr.
    pub(super) fn last_lines(&self) -> Vec<String> {
        lock(&self.last_lines).iter().cloned().collect()
    }

    /// Waits up to `patience` for the process to end, and gives its status.
    pub(super) async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let status = timeout(patience, self.child.wait()).await.ok()?.ok();
        // The pipe may still hold what the process wrote just before it ended.
        if let Some(listener) = self.listener.take() {
            let _ = timeout(STDERR_TIMEOUT, listener).await;
        }
        status
    }

    /// Waits for the process to end after its stdin was closed; then sends SIGTERM, then SIGKILL.
    pub(super) async fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        if let Some(status) = self.ended(patience).await {
            return Some(status);
        }
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(group) = self.group {
                tracing::debug!(?signal, "the server did not end by itself");
                let _ = kill_process_group(group, signal);
            }
            if let Some(status) = self.ended(patience).await {
                return Some(status);
            }
        }
        None
    }
}

fn start_error(command: &ServerCommand, source: std::io::Error) -> ClientError {
    let program = command.program.to_string_lossy().into_owned();
    match source.kind() {
        ErrorKind::NotFound => ClientError::CommandNotFound { program },
        _ => ClientError::Start { program, source },
    }
}

/// Reads stderr to its end, so that the server never blocks on it, and keeps the last lines.
async fn read_stderr(stderr: ChildStderr, last_lines: Arc<Mutex<VecDeque<String>>>) {
    let mut reader = LineReader::new(stderr, KEPT_LINE_BYTES);
    loop {
        match reader.next_line().await {
            Ok(Some(line)) => {
                let text: String = String::from_utf8_lossy(line).chars().take(SHOWN_CHARS).collect();
                let text = visible::line(&text.replace('\t', "    "));
                tracing::debug!(target: "mcpool::client::server_stderr", "{text}");
                let mut kept = lock(&last_lines);
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(text);
            }
            // An endless line must not stop the reading, so its parts are dropped.
            Err(LineError::TooLong) => reader.skip(),
            Ok(None) | Err(LineError::Io(_)) => return,
        }
    }
}
