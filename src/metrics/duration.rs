//! Histograms of durations, in the buckets that OpenTelemetry asks of MCP servers.
//!
//! The first bucket ends at 10 ms, and nearly all requests fall into it. So moments come from the kernel's coarse
//! clock, which ticks every few milliseconds: reading it takes 8 to 11 ns, reading the exact one 22 to 28. A single
//! duration is wrong by up to a tick. Sums are right on average, as requests begin at any point of a tick. Invariant:
//! recording allocates nothing.

use super::counter::Counter;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper ends of the buckets, in seconds: those of `mcp.server.operation.duration` in OpenTelemetry's semantic
/// conventions for MCP. Longer durations fall into one more bucket.
pub const DURATION_BOUNDS_S: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// A moment of the coarse clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    ns: u64,
}

impl Moment {
    /// The moment of the clock's last tick.
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        Self { ns: time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs() }
    }

    /// The moment now, as this platform has no coarse clock.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        Self { ns: BEGUN.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64 }
    }

    /// The moment in milliseconds, for an atomic. It is never 0, and repeats after 49 days.
    pub(crate) const fn to_ms(self) -> u32 {
        match (self.ns / 1_000_000) as u32 {
            0 => 1,
            ms => ms,
        }
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
    sum_ns: AtomicU64,
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
        // Most requests take no time on the coarse clock.
        if ns > 0 {
            self.sum_ns.fetch_add(ns, Ordering::Relaxed);
        }
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
        Durations { counts, sum_s: self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9 }
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
    fn the_coarse_clock_goes_on() {
        let begun = Moment::now();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let ns = Moment::now().ns_since(begun);
        assert!(ns >= 30_000_000, "{ns}");
        assert_eq!(begun.ns_since(Moment { ns: begun.ns + 1 }), 0);
        assert_eq!(Moment { ns: 1 << 32 }.to_ms(), 4_294);
        assert_eq!(Moment { ns: 0 }.to_ms(), 1);
    }
}
