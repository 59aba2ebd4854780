//! The errors of a client, in words that help a user to fix them.

use crate::visible;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a server could not be started or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The command does not exist.
    #[error("cannot start the server: no program {program:?} (is it installed, and in PATH?)")]
    CommandNotFound {
        /// The program looked for.
        program: String,
    },
    /// The command exists but could not be started.
    #[error("cannot start the server {program:?}: {source}")]
    Start {
        /// The program.
        program: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The server ended before it answered.
    #[error("the server ended ({status}) before it answered{}", quoted(stderr))]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its stderr.
        stderr: Vec<String>,
    },
    /// The server closed its stdout, or it could not be read any more.
    #[error("the server closed the connection before it answered{}", quoted(stderr))]
    Closed {
        /// The last lines of its stderr.
        stderr: Vec<String>,
    },
    /// The server wrote a line beyond the limit.
    #[error(
        "the server sent a message of more than {limit_bytes} bytes: raise the limit (max_reply_bytes) or ask for less"
    )]
    MessageTooLong {
        /// Longest message accepted.
        limit_bytes: usize,
    },
    /// The server answered with a JSON-RPC error.
    #[error("the server refused {method}: {} (code {code})", visible::line(message))]
    Protocol {
        /// The method of the request.
        method: String,
        /// JSON-RPC error code.
        code: i64,
        /// The message of the server.
        message: String,
        /// The error's `data`, as JSON text.
        data: Option<String>,
    },
    /// The answer of the server breaks the protocol.
    #[error("the server's answer to {method} is not what the protocol says: {source}")]
    Malformed {
        /// The method of the request.
        method: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
    /// The server supports no revision that this client supports.
    #[error(
        "the server speaks protocol revision {}; this client speaks 2026-07-28 and 2024-11-05 to 2025-11-25",
        visible::line(offered)
    )]
    Revision {
        /// The revisions that it offered.
        offered: String,
    },
    /// The server listed its tools without end.
    #[error("the server's tool list did not end after {pages} pages")]
    EndlessList {
        /// Pages read.
        pages: usize,
    },
    /// The pages of the server's list of tools are longer than one message may be.
    #[error("the server's tool list is longer than {limit_bytes} bytes: it cannot be shown")]
    ListTooLong {
        /// Longest list accepted, all pages together.
        limit_bytes: usize,
    },
    /// The server asked for something that this client did not declare.
    #[error("the server answered {method} with {result_type:?}, which this client cannot continue")]
    ResultType {
        /// The method of the request.
        method: String,
        /// The answer's `resultType`.
        result_type: String,
    },
    /// Neither answer nor progress came in time.
    #[error("no answer to {method} within {} ms{}", after.as_millis(), quoted(stderr))]
    TimedOut {
        /// The method of the request.
        method: String,
        /// How long the client waited.
        after: Duration,
        /// The last lines of the server's stderr.
        stderr: Vec<String>,
    },
}

/// The last lines of the server's stderr, below the message.
fn quoted(stderr: &[String]) -> String {
    if stderr.is_empty() {
        return String::new();
    }
    format!("; it said:\n  {}", stderr.join("\n  "))
}
