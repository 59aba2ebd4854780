//! Every bound of the process, and what follows from it.
//!
//! ONE list, [`LimitOption::ALL`], feeds the fields of [`Limits`], the flags, the environment variables and the TOML
//! keys. `list.rs` has the list, `units.rs` knows how figures are written, and this file derives the rest: durations,
//! relations between settings, and the capacities of pools, each a sum with one line for each holder as in
//! `src/message_pool.zig` of `TigerBeetle`. Where a value came from is known to `cli` alone. Invariant: after
//! [`Limits::validate`] no setting contradicts another.

mod list;
pub(crate) mod price;
mod threads;
pub(crate) mod units;

pub use list::{LimitOption, Limits, LimitsError};
pub use units::Unit;

use std::time::Duration;

/// Deepest nesting of arrays and objects in a frame; fixed, and equal to that of `serde_json`, so that what
/// one of the two decoders accepts the other accepts too.
pub const MAX_DEPTH: usize = 128;

/// Longest path that a tool takes, as it is written and once it is absolute; fixed, as the system takes no
/// longer one.
pub const MAX_PATH_BYTES: usize = 4_096;

/// Most names in a path, fixed: more than a process may usually hold directories open (1,024), so that no walk
/// leans on that, and few enough that looking each of them up takes milliseconds.
pub const MAX_PATH_DEPTH: usize = 1_200;

/// One line of a derived capacity: a place that may hold objects of the pool, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The place, as the memory report prints it.
    pub name: &'static str,
    /// Objects that it may hold at once.
    pub count: usize,
}

impl Limits {
    /// Sets what follows from the memory limit and is not set, in a process that may grow by `room_bytes`.
    pub(crate) fn divide(&mut self, room_bytes: u64) {
        self.set_shares(room_bytes);
        // Validated before: whoever sets larger arenas wants them kept.
        let arena_bytes = self.arena_retain_bytes;
        self.pool_budget_bytes = self.pool_budget_bytes.map(|bytes| bytes.max(arena_bytes));
    }

    /// Who holds messages: request slots with their frame, arena and call state.
    pub fn message_holders(&self) -> [Holder; 2] {
        [
            // Slots of requests that wait for something other than the CPU.
            Holder { name: "InFlight", count: self.max_concurrent_requests },
            // The slot that is being polled for the first time.
            Holder { name: "serve loop", count: 1 },
        ]
    }

    /// Who holds arenas: exactly those that hold messages.
    pub fn arena_holders(&self) -> [Holder; 2] {
        self.message_holders()
    }

    /// Who holds buffers.
    pub fn buffer_holders(&self) -> [Holder; 5] {
        [
            // The frame that each waiting request borrows its arguments from.
            Holder { name: "InFlight.frame", count: self.max_concurrent_requests },
            // The frame that is served at once.
            Holder { name: "serve loop.frame", count: 1 },
            // The buffer that bytes are read into.
            Holder { name: "FrameReader", count: 1 },
            // One buffer is filled with answers while another is being written.
            Holder { name: "Outbox", count: 2 },
            // What a thread reads a file into.
            Holder { name: "blocking threads", count: self.max_blocking_threads },
        ]
    }

    /// Who holds owned messages.
    pub fn owned_message_holders(&self) -> [Holder; 1] {
        // Work moved to a thread takes its arguments along.
        [Holder { name: "blocking threads", count: self.max_blocking_threads }]
    }

    /// How long requests in flight may take to finish once the server is told to stop.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms as u64)
    }

    /// Shortest time between two progress notifications of one request.
    pub fn progress_interval(&self) -> Duration {
        Duration::from_millis(self.progress_interval_ms as u64)
    }

    /// How long the head of an HTTP request may take.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms as u64)
    }

    /// How long the body of an HTTP request may take.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms as u64)
    }

    /// Time between two looks at the pace of a body.
    pub(crate) fn body_interval(&self) -> Duration {
        self.header_timeout().min(self.body_timeout())
    }

    /// Bytes of a body that a peer has to send within [`Limits::body_interval`].
    pub(crate) fn least_body_bytes(&self) -> u64 {
        let bytes = self.body_interval().as_millis() * self.min_body_bytes_per_s as u128 / 1_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long a peer may take nothing of what is written to it.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms as u64)
    }

    /// Bytes that a peer has to take within [`Limits::write_timeout`]: one at least.
    pub fn least_write_bytes(&self) -> usize {
        (self.min_write_bytes_per_s.saturating_mul(self.write_timeout_ms) / 1_000).max(1)
    }

    /// How long a connection may stay open between two requests.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms as u64)
    }

    /// Silence after which a comment is sent on a stream.
    pub fn sse_keep_alive(&self) -> Duration {
        Duration::from_millis(self.sse_keep_alive_ms as u64)
    }

    /// How long an unused session is kept.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms as u64)
    }

    /// How long the events of a finished stream are kept.
    pub fn event_retention(&self) -> Duration {
        Duration::from_millis(self.event_retention_ms as u64)
    }

    /// How long a client may take to answer a request of ours.
    pub fn client_request_timeout(&self) -> Duration {
        Duration::from_millis(self.client_request_timeout_ms as u64)
    }

    /// How long a `requestState` is accepted.
    pub fn request_state_ttl(&self) -> Duration {
        Duration::from_millis(self.request_state_ttl_ms as u64)
    }

    /// How long a task is kept after it began.
    pub fn task_ttl(&self) -> Duration {
        Duration::from_millis(self.task_ttl_ms as u64)
    }

    /// How often clients are told to ask for a task.
    pub fn task_poll_interval(&self) -> Duration {
        Duration::from_millis(self.task_poll_interval_ms as u64)
    }

    /// Checks each setting's range and how they relate.
    ///
    /// # Errors
    /// Names the first setting out of range, or the first two that contradict each other, with their values.
    pub fn validate(&self) -> Result<(), LimitsError> {
        for option in LimitOption::ALL {
            option.check(option.load(self))?;
        }
        let at_most = |low: &str, high: &str, why| {
            let (low, high) = (LimitOption::invariant_named(low), LimitOption::invariant_named(high));
            let (low_value, high_value) = (low.load(self), high.load(self));
            if low_value <= high_value {
                return Ok(());
            }
            Err(LimitsError::Contradiction { low, low_value, high, high_value, why })
        };
        at_most(
            "max_frame_bytes",
            "max_reply_bytes",
            "what a client may write it must be able to read back",
        )?;
        at_most(
            "pressure_elevated_percent",
            "pressure_critical_percent",
            "what helps a little is tried before what hurts",
        )?;
        at_most("arena_retain_bytes", "pool_budget_bytes", "the budget must hold one idle arena")?;
        at_most("inline_read_bytes", "max_reply_bytes", "a file that is read at once must fit the answer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{KIB, MIB};

    #[test]
    fn each_relation_is_held() {
        let cases: [(&str, Limits); 4] = [
            (
                "pressure_elevated_percent = 95 % must not exceed pressure_critical_percent = 90 %",
                Limits { pressure_elevated_percent: 95, ..Limits::default() },
            ),
            (
                "max_frame_bytes = 10MiB must not exceed max_reply_bytes = 9MiB",
                Limits { max_reply_bytes: 9 * MIB, ..Limits::default() },
            ),
            (
                "arena_retain_bytes = 64MiB must not exceed pool_budget_bytes = 1MiB",
                Limits { arena_retain_bytes: 64 * MIB, pool_budget_bytes: Some(MIB), ..Limits::default() },
            ),
            (
                "inline_read_bytes = 64KiB must not exceed max_reply_bytes = 32KiB",
                Limits { max_reply_bytes: 32 * KIB, max_frame_bytes: 32 * KIB, ..Limits::default() },
            ),
        ];
        for (want, limits) in cases {
            let message = limits.validate().expect_err(want).to_string();
            assert!(message.starts_with(want), "{message}");
        }
    }

    #[test]
    fn shares_follow_from_the_memory_limit_unless_set() {
        for (room_bytes, arena_retain_bytes, want) in [
            (u64::MAX, 64 * KIB, (64 * MIB, 16 * MIB, 64 * MIB)),
            (512 << 20, 64 * KIB, (64 * MIB, 16 * MIB, 64 * MIB)),
            (60 << 20, 64 * KIB, (7 * MIB + 512 * KIB, 3 * MIB + 768 * KIB, 7 * MIB + 512 * KIB)),
            (4 << 20, 64 * KIB, (512 * KIB, 256 * KIB, 512 * KIB)),
            (4 << 20, MIB, (MIB, 256 * KIB, 512 * KIB)),
            (0, 0, (64 * KIB, 0, KIB)),
        ] {
            let mut limits = Limits { arena_retain_bytes, ..Limits::default() };
            limits.divide(room_bytes);
            let found = (limits.pool_budget_bytes(), limits.event_store_bytes(), limits.max_task_bytes());
            assert_eq!(found, want, "{room_bytes} {arena_retain_bytes}");
            limits.validate().expect("nothing contradicts");
        }
        // What is set stays, also where it is the most that it is by default.
        let mut limits = Limits { pool_budget_bytes: Some(64 * MIB), ..Limits::default() };
        limits.divide(8 << 20);
        assert_eq!((limits.pool_budget_bytes(), limits.max_task_bytes()), (64 * MIB, MIB));
    }

    #[test]
    fn capacities_are_the_sums_of_their_holders_unless_set() {
        let limits = Limits { max_concurrent_requests: 10, max_blocking_threads: 3, ..Limits::default() };
        assert_eq!(limits.message_capacity(), 11);
        assert_eq!(limits.arena_capacity(), 11);
        assert_eq!(limits.buffer_capacity(), 10 + 1 + 1 + 2 + 3);
        assert_eq!(limits.owned_message_capacity(), 3);
        let set = Limits { message_capacity: Some(5), ..limits };
        assert_eq!(set.message_capacity(), 5);
    }
}
