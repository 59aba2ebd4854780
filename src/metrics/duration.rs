//! Histograms of durations, in the buckets that OpenTelemetry asks of MCP servers.
//!
//! The first bucket ends at 10 ms, and nearly all requests fall into it. Reading the exact clock takes 22 to 36 ns, the
//! kernel's coarse one, which ticks every few milliseconds, 6 to 11. Most requests take microseconds, so they need the
//! exact one; who serves many messages in a row reads it once for each, as one's end is the next one's beginning.
//! Invariant: recording allocates nothing.

use super::counter::Counter;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Upper ends of the buckets, in seconds: those of `mcp.server.operation.duration` in OpenTelemetry's semantic
/// conventions for MCP. Longer durations fall into one more bucket.
pub const DURATION_BOUNDS_S: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// A moment of the clock that never goes back.
///
/// ```
/// use mcpool::metrics::Moment;
///
/// let begun = Moment::now();
/// assert!(Moment::now().ns_since(begun) < 3_600_000_000_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    ns: u64,
}

impl Moment {
    /// The moment now. It is never the default, which stands for none.
    ///
    /// The clock of the standard library is read, which is that of libc. In a program that is linked statically, rustix does
    /// not find where the kernel lets clocks be read without a system call, and would make one for each message.
    pub fn now() -> Self {
        static ORIGIN: LazyLock<(Instant, u64)> =
            LazyLock::new(|| (Instant::now(), Moment::of(rustix::time::ClockId::Monotonic).ns));
        let (origin, ns) = &*ORIGIN;
        Self { ns: ns + origin.elapsed().as_nanos() as u64 }
    }

    /// The last tick of the coarse clock, up to some milliseconds ago: for what takes seconds.
    #[cfg(target_os = "linux")]
    pub fn coarse() -> Self {
        Self::of(rustix::time::ClockId::MonotonicCoarse)
    }

    /// The moment now, as this platform has no coarse clock.
    #[cfg(not(target_os = "linux"))]
    pub fn coarse() -> Self {
        Self::now()
    }

    fn of(clock: rustix::time::ClockId) -> Self {
        let time = rustix::time::clock_gettime(clock);
        Self { ns: (time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()).max(1) }
    }

    /// The moment as a number, for an atomic.
    pub(crate) const fn to_ns(self) -> u64 {
        self.ns
    }

    /// The moment of such a number; `None` for that of the default.
    pub(crate) const fn from_ns(ns: u64) -> Option<Self> {
        if ns == 0 { None } else { Some(Self { ns }) }
    }

    /// This moment, or `other` where this one stands for none.
    pub(crate) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        Self::from_ns(self.ns).unwrap_or_else(other)
    }

    /// Nanoseconds since an earlier moment.
    pub const fn ns_since(self, earlier: Self) -> u64 {
        self.ns.saturating_sub(earlier.ns)
    }
}

/// Durations of one kind of operation.
///
/// ```
/// use mcpool::metrics::DurationHistogram;
///
/// let pings = DurationHistogram::default();
/// pings.record(2_000_000);
/// pings.record(30_000_000);
/// let seen = pings.snapshot();
/// assert_eq!((seen.counts[0], seen.counts[2], seen.count()), (1, 1, 2));
/// assert!((seen.sum_s - 0.032).abs() < 1e-9);
/// ```
#[derive(Debug, Default)]
pub struct DurationHistogram {
    /// Durations in the first bucket, which are nearly all; in a sharded counter for that reason.
    quick: Counter,
    slow: [AtomicU64; DURATION_BOUNDS_S.len()],
    sum_ns: Counter,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// How many durations ended in each bucket; the last one has no upper end.
    pub counts: [u64; DURATION_BOUNDS_S.len() + 1],
    /// All durations together, in seconds.
    pub sum_s: f64,
}

impl Durations {
    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl DurationHistogram {
    /// Records a duration in nanoseconds.
    pub fn record(&self, ns: u64) {
        self.sum_ns.add(ns);
        let seconds = ns as f64 / 1e9;
        if seconds <= DURATION_BOUNDS_S[0] {
            return self.quick.add(1);
        }
        let bucket = DURATION_BOUNDS_S[1..].partition_point(|bound| *bound < seconds);
        self.slow[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// The durations recorded so far.
    pub fn snapshot(&self) -> Durations {
        let mut counts = [0; DURATION_BOUNDS_S.len() + 1];
        counts[0] = self.quick.total();
        for (count, slow) in counts[1..].iter_mut().zip(&self.slow) {
            *count = slow.load(Ordering::Relaxed);
        }
        Durations { counts, sum_s: self.sum_ns.total() as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_bucket_that_ends_at_or_above_it() {
        let histogram = DurationHistogram::default();
        for ns in [0, 10_000_000, 10_000_001, 20_000_000, 300_000_000_000, 300_000_000_001] {
            histogram.record(ns);
        }
        let seen = histogram.snapshot();
        assert_eq!((seen.counts[0], seen.counts[1]), (2, 2));
        assert_eq!((seen.counts[13], seen.counts[14]), (1, 1));
        assert_eq!(seen.count(), 6);
    }

    #[test]
    fn both_clocks_go_on_and_agree() {
        let (begun, coarse) = (Moment::now(), Moment::coarse());
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (exact_ns, coarse_ns) = (Moment::now().ns_since(begun), Moment::coarse().ns_since(coarse));
        assert!(exact_ns >= 50_000_000 && coarse_ns >= 30_000_000, "{exact_ns}, {coarse_ns}");
        assert!(Moment::coarse().ns_since(begun) >= 30_000_000);
        assert_eq!(begun.ns_since(Moment { ns: begun.ns + 1 }), 0);
        assert_eq!(Moment::from_ns(begun.to_ns()), Some(begun));
        assert_eq!(Moment::default().or_else(|| begun), begun);
        assert_eq!(begun.or_else(Moment::now), begun);
    }
}
