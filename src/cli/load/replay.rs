//! The trace of a replay, and how many connections it has where nobody says.

use crate::cli::error::CliError;
use crate::load::LoadTrace;
use std::path::Path;

const MAX_CONNECTIONS: usize = 16;
/// Requests in flight on a connection of lines, and sockets in the place of one over HTTP.
const IN_FLIGHT: usize = 64;
const HTTP_SOCKETS: usize = 4;

/// Reads a trace.
pub(super) fn read(path: &Path, speed: Option<f64>) -> Result<LoadTrace, CliError> {
    let trace = LoadTrace::read(path).and_then(|trace| trace.speed(speed.unwrap_or(1.0)));
    trace.map_err(|error| CliError::Usage(error.to_string()))
}

/// Connections, and requests in flight on each.
pub(super) fn sockets(trace: &LoadTrace, is_http: bool) -> (usize, usize) {
    let connections = trace.peers().clamp(1, MAX_CONNECTIONS);
    (connections, if is_http { HTTP_SOCKETS } else { IN_FLIGHT })
}
