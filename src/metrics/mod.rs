//! Counters, gauges and histograms that the server updates where things happen. Reports read them elsewhere.

mod buckets;
mod counter;
mod duration;
mod gauge;
mod histogram;
mod sketch;
mod windows;

pub use counter::Counter;
pub use duration::{DURATION_BOUNDS_S, DurationHistogram, Durations, Moment};
pub use gauge::Gauge;
pub(crate) use histogram::CoarseHistogram;
pub(crate) use sketch::Sketch;
pub(crate) use windows::{LatencyWindows, SPAN_S, WINDOWS_S, first_span};

/// The metrics of one server. Every thread may update them cheaply.
///
/// ```
/// # fn main() -> Result<(), mcpool::BuildError> {
/// let server = mcpool::Server::builder("empty", "1.0.0").build()?;
/// assert_eq!(server.metrics().frames.total(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Metrics {
    /// Frames received.
    pub frames: Counter,
    /// Tool calls whose arguments were decoded in the same pass as their envelope.
    pub one_pass_messages: Counter,
    /// Tool calls whose arguments came before the name of the tool, or that had none.
    pub two_pass_messages: Counter,
    /// Messages that were copied because they had to outlive their frame.
    pub owned_messages: Counter,
    /// Requests that were not finished at their first poll.
    pub parked_requests: Counter,
    /// Requests that wait now.
    pub requests_in_flight: Gauge,
    /// Heap bytes of the waiting requests, without their frames.
    pub in_flight_bytes: Gauge,
    /// Requests that their client cancelled.
    pub cancelled_requests: Counter,
    /// Error answers.
    pub protocol_errors: Counter,
    /// Results with `isError`.
    pub tool_errors: Counter,
    /// Sessions opened that have an id.
    pub sessions_opened: Counter,
    /// Of these, sessions that expired or were evicted.
    pub sessions_expired: Counter,
    /// Notifications that were not sent, because the client reads too slowly or has no stream open for them.
    pub dropped_notifications: Counter,
}
