//! Recording only: what happened, counted where it happens. Judging is for those above.

mod counter;
mod duration;
mod gauge;

pub use counter::Counter;
pub use duration::{DURATION_BOUNDS_S, DurationHistogram, Durations, Moment};
pub use gauge::Gauge;

/// The counters of one server. Each is cheap to add to from any thread.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Frames taken in.
    pub frames: Counter,
    /// Calls of tools whose arguments were decoded in the same pass as their envelope.
    pub one_pass_messages: Counter,
    /// Calls of tools whose arguments came before the names they depend on, or not at all.
    pub two_pass_messages: Counter,
    /// Messages copied because they had to outlive their frame.
    pub owned_messages: Counter,
    /// Requests that were not done at the first poll.
    pub parked_requests: Counter,
    /// Requests that wait at the moment.
    pub requests_in_flight: Gauge,
    /// Heap bytes of the requests that wait, their frames aside.
    pub in_flight_bytes: Gauge,
    /// Requests stopped by their client.
    pub cancelled_requests: Counter,
    /// Error answers.
    pub protocol_errors: Counter,
    /// Results with `isError`.
    pub tool_errors: Counter,
    /// Sessions opened that can be found by an id.
    pub sessions_opened: Counter,
    /// Of these, sessions that ended without their client saying so: expired, or evicted.
    pub sessions_expired: Counter,
    /// Notifications not sent: the client reads too slowly, or takes no stream that could carry them.
    pub dropped_notifications: Counter,
}
