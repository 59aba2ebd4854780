//! The shim: connects a client that can only start a command to a running server.
//!
//! It copies standard input to the server, and what the server sends to standard output. It understands just enough to
//! survive a restart of the server: it remembers the handshake, to repeat it, and which requests are in flight, to
//! answer them with an error.
//!
//! To a Unix socket it is a loop around `poll`, without a runtime: each client of a server has a shim of its own, so it
//! must be small. `src/bin/mcpool-connect.rs` is a program that contains nothing else.

mod error;
mod http;
mod line_buffer;
mod lines;
mod message;
mod outage;
mod output;
mod relay;
mod signals;

use super::line::LineReader;
use crate::limits::Limits;
use crate::stdio::StdioStreams;

pub use error::ShimError;
pub use http::HttpTarget;
pub use relay::run as run_unix;
pub use signals::termination;

/// Connects standard input and output to a server of Streamable HTTP until standard input ends.
///
/// When the server ends, requests in flight are answered with an error, and the shim tries again as long as its client
/// is connected.
///
/// # Errors
/// When standard input or output cannot be used. A server that cannot be reached is no error.
pub async fn run_http(target: &HttpTarget) -> Result<(), ShimError> {
    let StdioStreams { input, output, flags: _restored } = StdioStreams::open()?;
    let limits = Limits::default();
    let lines = LineReader::new(input, limits.max_frame_bytes);
    http::run(target, lines, output, &limits).await
}
