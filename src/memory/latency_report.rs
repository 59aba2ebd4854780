//! How long things took over the last seconds, minutes and the last hour, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Latencies of one kind, in windows that end now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyReport {
    /// What was measured.
    pub kind: LatencyKind,
    /// The method or the tool; empty for the other kinds.
    pub name: String,
    /// Shortest window first; a window without latencies is left out.
    pub windows: Vec<LatencyWindow>,
}

/// What a latency is measured of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyKind {
    /// A message, from its bytes to its answer or to where it has to wait: decoding, checks, and the handler as far as it
    /// goes at once.
    Message,
    /// Finding the request that an answer, a cancellation or the end of a wait belongs to.
    Correlation,
    /// A request that need not wait, from its last byte read to the last byte of its answer written. Of the writes on a
    /// busy connection one in eight is measured.
    RoundTrip,
    /// A handshake: `initialize` or `server/discover`.
    Negotiation,
    /// Requests of one method that were answered without an error, waits included; calls of tools are apart.
    Method,
    /// Calls of one tool, waits included, also those that ended with `isError`.
    Tool,
}

impl LatencyKind {
    /// What an alert calls it.
    pub(crate) const fn subject(self) -> &'static str {
        match self {
            Self::Message => "messages",
            Self::Correlation => "correlation",
            Self::RoundTrip => "round trips",
            Self::Negotiation => "negotiation",
            Self::Method => "method",
            Self::Tool => "tool",
        }
    }

    /// The kind as a report spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Correlation => "correlation",
            Self::RoundTrip => "round_trip",
            Self::Negotiation => "negotiation",
            Self::Method => "method",
            Self::Tool => "tool",
        }
    }
}

/// The latencies of one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyWindow {
    /// Length of the window in seconds: 10, 60, 300 or 3600.
    pub window_s: u64,
    /// The time that it covers now: between a half and the whole of it; of the first one, up to twice.
    pub covered_ms: u64,
    /// Latencies in it.
    pub count: u64,
    /// Half of them are at most this, in nanoseconds, with two significant digits.
    pub p50_ns: u64,
    /// 95 %.
    pub p95_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}
