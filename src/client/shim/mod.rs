//! The shim: connects a client that can only start a command to a running server.
//!
//! It copies standard input to the server, and what the server sends to standard output. It understands just enough to
//! survive a restart of the server: it remembers the handshake, to repeat it, and which requests are in flight, to
//! answer them with an error.

mod error;
mod http;
mod lines;
mod message;
mod outage;
mod unix;

use super::line::LineReader;
use crate::limits::Limits;
use crate::stdio::StdioStreams;
use std::path::PathBuf;

pub use error::ShimError;
pub use http::HttpTarget;

/// Where the server is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A Unix socket.
    Unix(PathBuf),
    /// An address of Streamable HTTP.
    Http(HttpTarget),
}

/// Connects standard input and output to a server until standard input ends.
///
/// When the server ends, requests in flight are answered with an error, and the shim reconnects as long as its client
/// is connected.
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
