//! The shim: connects a client that can only start a command to a running server.
//!
//! It copies standard input to the server, and what the server sends to standard output. It understands just enough to
//! survive a restart of the server: it remembers the handshake, to repeat it, and which requests are in flight, to answer
//! them with an error.

mod http;
mod message;
mod unix;

use super::line::{LineError, LineReader};
use crate::limits::Limits;
use crate::stdio::{StdioStreams, UnusableStream};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt};

pub use http::HttpTarget;

/// Shortest and longest pause between two attempts to reach a server.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Where the server is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A Unix socket.
    Unix(PathBuf),
    /// An address of Streamable HTTP.
    Http(HttpTarget),
}

/// Why a shim ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShimError {
    /// Standard input or output cannot be used.
    #[error("cannot use standard {name}: {source}")]
    Standard {
        /// `input` or `output`.
        name: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("standard input or output broke: {0}")]
    Broken(#[from] io::Error),
    /// The target is no address.
    #[error("{0}")]
    Target(String),
}

impl From<UnusableStream> for ShimError {
    fn from(UnusableStream { name, source }: UnusableStream) -> Self {
        Self::Standard { name, source }
    }
}

/// Connects standard input and output to a server until standard input ends.
///
/// When the server ends, requests in flight are answered with an error, and the shim reconnects as long as its client is
/// connected.
///
/// # Errors
/// When standard input or output cannot be used. A server that cannot be reached is no error.
pub async fn run(target: &Target) -> Result<(), ShimError> {
    let StdioStreams { input, output, flags: _restored } = StdioStreams::open()?;
    let limits = Limits::default();
    let lines = LineReader::new(input, limits.max_frame_bytes);
    match target {
        Target::Unix(path) => unix::run(path, lines, output, &limits).await,
        Target::Http(target) => http::run(target, lines, output, &limits).await,
    }
}

/// Reads a line; `None` at the end. One that is too long is answered and skipped.
async fn next_line<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut LineReader<R>,
) -> Result<Option<Vec<u8>>, ShimError> {
    loop {
        match lines.next_line().await {
            Ok(None) => return Ok(None),
            Ok(Some([])) => {}
            Ok(Some(line)) => return Ok(Some(line.to_vec())),
            Err(LineError::TooLong) => {
                tracing::warn!(limit_bytes = lines.max_bytes(), "a message of the client is too long");
                lines.skip();
            }
            Err(LineError::Io(error)) => return Err(error.into()),
        }
    }
}

async fn write_line<W: AsyncWrite + Unpin>(output: &mut W, line: &[u8]) -> io::Result<()> {
    output.write_all(line).await?;
    output.write_all(b"\n").await?;
    output.flush().await
}

/// Waits longer after each failed attempt, and logs the first one.
struct Outage<'a> {
    what: &'a str,
    pause: Option<Duration>,
}

impl<'a> Outage<'a> {
    fn new(what: &'a str) -> Self {
        Self { what, pause: None }
    }

    async fn wait(&mut self, error: &io::Error) {
        let pause = match self.pause {
            None => {
                tracing::warn!("cannot reach the server at {}: {error}; trying again", self.what);
                MIN_PAUSE
            }
            Some(pause) => (pause * 2).min(MAX_PAUSE),
        };
        self.pause = Some(pause);
        tokio::time::sleep(pause).await;
    }

    fn end(&mut self) {
        if self.pause.take().is_some() {
            tracing::warn!("the server at {} is back", self.what);
        }
    }
}
