//! What a server should hold, as figures with their units.

use serde::{Deserialize, Serialize};

/// What a server should hold under the load that it is made for. The monitor of a running server and load tests compare
/// what they measure with the same figures.
///
/// ```
/// use mcpool::monitor::PerformanceRequirements;
///
/// let stricter = PerformanceRequirements { max_message_p95_us: 500, ..PerformanceRequirements::PRODUCTION };
/// assert!(stricter.max_message_p95_us < PerformanceRequirements::PRODUCTION.max_message_p95_us);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerformanceRequirements {
    /// 95 % of the messages are processed within so many microseconds.
    pub max_message_p95_us: u64,
    /// For 95 % of the requests, finding what they belong to takes at most so many microseconds.
    pub max_correlation_p95_us: u64,
    /// 95 % of the requests are answered within so many microseconds after their bytes came.
    pub max_round_trip_p95_us: u64,
    /// 95 % of the handshakes are answered within so many milliseconds.
    pub max_negotiation_p95_ms: u64,
    /// Messages a second that are held for minutes.
    pub min_sustained_messages_per_s: u64,
    /// Messages a second that are held for a burst.
    pub min_burst_messages_per_s: u64,
    /// Connections at once.
    pub min_connections: u64,
    /// Requests in flight at once on each of them.
    pub min_requests_per_connection: u64,
    /// Memory of a busy connection.
    pub max_busy_connection_bytes: u64,
    /// Memory of an idle connection.
    pub max_idle_connection_bytes: u64,
    /// Memory of a request that waits, beside its frame.
    pub max_pending_request_bytes: u64,
    /// Use of all processors that the server may use, in percent.
    pub max_cpu_percent: u64,
    /// The longest message that is accepted has at least so many bytes.
    pub min_message_bytes: u64,
    /// The longest batch that is accepted has at least so many messages.
    pub min_batch_messages: u64,
    /// A connection is established within so many milliseconds.
    pub max_connect_ms: u64,
    /// A server that is told to end has ended within so many milliseconds.
    pub max_shutdown_ms: u64,
    /// Failed requests (time-outs and refusals are failures) in a million.
    pub max_failed_per_million: u64,
}

impl PerformanceRequirements {
    /// What a server in production should hold.
    pub const PRODUCTION: Self = Self {
        max_message_p95_us: 1_000,
        max_correlation_p95_us: 100,
        max_round_trip_p95_us: 5_000,
        max_negotiation_p95_ms: 100,
        min_sustained_messages_per_s: 10_000,
        min_burst_messages_per_s: 50_000,
        min_connections: 1_000,
        min_requests_per_connection: 100,
        max_busy_connection_bytes: 1 << 20,
        max_idle_connection_bytes: 1 << 10,
        max_pending_request_bytes: 1 << 10,
        max_cpu_percent: 80,
        min_message_bytes: 10 << 20,
        min_batch_messages: 1_000,
        max_connect_ms: 1_000,
        max_shutdown_ms: 30_000,
        max_failed_per_million: 1_000,
    };
}

impl Default for PerformanceRequirements {
    /// [`PerformanceRequirements::PRODUCTION`].
    fn default() -> Self {
        Self::PRODUCTION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_as_in_production() {
        let read: PerformanceRequirements =
            serde_json::from_str(r#"{"max_cpu_percent": 50}"#).expect("one figure");
        assert_eq!(read, PerformanceRequirements { max_cpu_percent: 50, ..Default::default() });
        let unknown = serde_json::from_str::<PerformanceRequirements>(r#"{"max_cpu": 50}"#);
        assert!(unknown.is_err_and(|error| error.to_string().contains("max_cpu_percent")));
    }
}
