//! Whether a requirement is violated, and how badly.
//!
//! A 95th percentile within a limit allows one latency in twenty to be above it. The burn rate is how many times as many
//! are. It is read over two windows at once, as chapter 5 of Google's Site Reliability Workbook advises: the longer one
//! says that it matters, the shorter one that it still goes on (<https://sre.google/workbook/alerting-on-slos/>).

use super::alert::Severity;

/// The share of latencies that a 95th percentile allows above its limit.
const ALLOWED: f64 = 0.05;
/// Windows with fewer latencies say little about a percentile.
const MIN_COUNT: u64 = 100;
/// Burn rate at which somebody should act now: half of all are above the limit.
const CRITICAL_RATE: f64 = 10.0;
/// Burn rate at which somebody should have a look.
const WARNING_RATE: f64 = 1.5;

/// The latencies of a window, and those of them above the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OverLimit {
    /// All of them.
    pub count: u64,
    /// Those above the limit.
    pub above: u64,
}

impl OverLimit {
    /// How many times as many are above the limit as are allowed.
    fn burn_rate(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.above as f64 / self.count as f64 / ALLOWED }
    }
}

/// How a requirement is violated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Violation {
    pub(super) severity: Severity,
    /// The share of latencies above the limit.
    pub(super) above: f64,
    /// Length of the window in which they are.
    pub(super) window_s: u64,
}

/// The violation that windows of ten seconds, one and five minutes show.
pub(super) fn violation([short, minute, long]: [OverLimit; 3]) -> Option<Violation> {
    let both = |longer: OverLimit, shorter: OverLimit, rate: f64| {
        longer.count >= MIN_COUNT && longer.burn_rate() >= rate && shorter.burn_rate() >= rate
    };
    let of = |severity, window: OverLimit, window_s| {
        Some(Violation { severity, above: window.burn_rate() * ALLOWED, window_s })
    };
    if both(minute, short, CRITICAL_RATE) {
        return of(Severity::Critical, minute, 60);
    }
    if both(long, minute, WARNING_RATE) && short.burn_rate() >= 1.0 {
        return of(Severity::Warning, long, 300);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(shares: [f64; 3], counts: [u64; 3]) -> [OverLimit; 3] {
        [0, 1, 2].map(|at| OverLimit { count: counts[at], above: (shares[at] * counts[at] as f64) as u64 })
    }

    #[test]
    fn a_violation_is_long_enough_to_matter_and_still_goes_on() {
        let many = [1_000, 6_000, 30_000];
        for (shares, counts, want) in [
            ([0.04, 0.04, 0.04], many, None),
            ([0.08, 0.08, 0.08], many, Some((Severity::Warning, 300))),
            // It is over.
            ([0.0, 0.08, 0.08], many, None),
            // It began just now.
            ([1.0, 0.2, 0.04], many, None),
            ([1.0, 0.6, 0.12], many, Some((Severity::Critical, 60))),
            // Of few latencies, one is soon too many.
            ([1.0, 0.6, 0.6], [1, 6, 30], None),
            ([1.0, 0.6, 0.6], [1, 6, 100], Some((Severity::Warning, 300))),
            ([0.0; 3], [0; 3], None),
        ] {
            let found = violation(windows(shares, counts));
            let told = found.map(|found| (found.severity, found.window_s));
            assert_eq!(told, want, "{shares:?} of {counts:?}");
        }
        let found = violation(windows([0.1; 3], many)).expect("a violation");
        assert!((found.above - 0.1).abs() < 1e-9, "{found:?}");
    }
}
