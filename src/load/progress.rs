//! How a load test is doing, each second.

use std::time::Duration;

/// The last second of a test that runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadProgress {
    /// Whether the server is still being warmed up.
    pub is_warm_up: bool,
    /// How much of the time that counts is over.
    pub elapsed: Duration,
    /// How long it goes on; `None` when a count ends it.
    pub duration: Option<Duration>,
    /// Right answers in the last second.
    pub rate: f64,
    /// Median latency in the last second, in microseconds.
    pub p50_us: f64,
    /// All but one in twenty.
    pub p95_us: f64,
    /// All but one in a hundred.
    pub p99_us: f64,
    /// Failures so far.
    pub failed: u64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Resident memory of the server, where it can be seen.
    pub server_rss_bytes: Option<u64>,
}
