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
mod refusal;
mod relay;
mod signals;
mod target;

use super::line::LineReader;
use crate::limits::Limits;
use crate::stdio::StdioStreams;
use std::time::Duration;

pub use error::ShimError;
pub use relay::run as run_unix;
pub use signals::termination;
pub use target::HttpTarget;

/// How long a server that was never there is waited for, unless it is said otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Connects standard input and output to a server of Streamable HTTP until standard input ends.
///
/// When the server ends, requests in flight are answered with an error, and the shim tries again as long as its client
/// is connected. One that was never reached within `patience` is given up: requests that wait are answered with an error,
/// or else the first one that comes, and the shim ends.
///
/// # Errors
/// When standard input or output cannot be used, and [`ShimError::NoServer`].
pub async fn run_http(target: &HttpTarget, patience: Duration) -> Result<(), ShimError> {
    let StdioStreams { input, output, flags: _restored } = StdioStreams::open()?;
    let limits = Limits::default();
    let lines = LineReader::new(input, limits.max_frame_bytes);
    http::run(target, lines, output, &limits, patience).await
}
