//! Whether capacities that were tried on a running server stay: compares the time with them with what was before.
//!
//! A pure function of reports. What too little traffic says nothing about is no reason to go back.

use super::savings::Promise;
use crate::limits::units::latency;
use crate::memory::{LatencyKind, LatencyWindow, MemoryReport, PoolReport};
use serde::Serialize;

/// Acquires, and latencies, from which a share or a quantile counts.
const ENOUGH: u64 = 100;
/// What a hit ratio may miss its promise by.
const LESS_HITS: f64 = 0.02;
/// What the 95th percentile may grow by: as much again as a regression is told from, as a window is short.
const MORE_LATENCY: f64 = 1.4;
/// What it may grow by whatever its size, in nanoseconds.
const LATENCY_FLOOR_NS: u64 = 20_000;
/// The window of latencies that is compared, in seconds.
const WINDOW_S: u64 = 60;

/// Three looks at a server: before the change, just after it, and at the end of the trial.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'r> {
    /// Before the change.
    pub before: &'r MemoryReport,
    /// Just after it.
    pub begun: &'r MemoryReport,
    /// At the end.
    pub ended: &'r MemoryReport,
    /// The hit ratios that are expected.
    pub promises: &'r [Promise],
}

/// What comes of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialVerdict {
    /// Whether the capacities stay.
    pub is_kept: bool,
    /// Why not, or what was seen.
    pub reasons: Vec<String>,
}

impl Trial<'_> {
    /// What came of it.
    pub fn verdict(&self) -> TrialVerdict {
        let mut reasons: Vec<String> =
            [self.pressure(), self.alerts(), self.latency()].into_iter().flatten().collect();
        reasons.extend(self.promises.iter().filter_map(|promise| self.broken(promise)));
        if !reasons.is_empty() {
            return TrialVerdict { is_kept: false, reasons };
        }
        let acquires: u64 = self
            .ended
            .pools
            .iter()
            .filter_map(|pool| Some(self.window(pool)?.1))
            .fold(0, u64::saturating_add);
        let seen = if acquires < ENOUGH {
            format!("too little traffic to judge by ({acquires} acquires), and nothing got worse")
        } else {
            format!("{acquires} acquires, and nothing got worse")
        };
        TrialVerdict { is_kept: true, reasons: vec![seen] }
    }

    fn pressure(&self) -> Option<String> {
        let (before, ended) = (&self.before.pressure, &self.ended.pressure);
        if ended.level > before.level {
            return Some(format!("memory became short: pressure is {:?}", ended.level).to_lowercase());
        }
        let refused = ended.refused.saturating_sub(self.begun.pressure.refused);
        (refused > 0).then(|| format!("{refused} requests or connections were refused for lack of memory"))
    }

    fn alerts(&self) -> Option<String> {
        let is_new = |since: u64| since >= self.begun.taken_unix_ms;
        let alert =
            self.ended.alerts.iter().find(|alert| alert.is_active() && is_new(alert.since_unix_ms))?;
        Some(format!("an alert began: {} {}", alert.subject, alert.what))
    }

    fn latency(&self) -> Option<String> {
        let (before, ended) = (overall(self.before)?, overall(self.ended)?);
        let is_slower = ended.p95_ns as f64 > before.p95_ns as f64 * MORE_LATENCY
            && ended.p95_ns.saturating_sub(before.p95_ns) > LATENCY_FLOOR_NS;
        is_slower.then(|| {
            format!(
                "95 % of requests took {} before and take {} now",
                latency(before.p95_ns),
                latency(ended.p95_ns)
            )
        })
    }

    /// Hits and acquires of a pool since the change.
    fn window(&self, ended: &PoolReport) -> Option<(u64, u64)> {
        let begun = self.begun.pool(&ended.name)?;
        let hits = ended.hits.saturating_sub(begun.hits);
        Some((hits, hits.saturating_add(ended.misses.saturating_sub(begun.misses))))
    }

    fn broken(&self, promise: &Promise) -> Option<String> {
        let (hits, acquires) = self.window(self.ended.pool(&promise.pool)?)?;
        if acquires < ENOUGH {
            return None;
        }
        let ratio = hits as f64 / acquires as f64;
        (ratio < promise.hit_ratio - LESS_HITS).then(|| {
            format!(
                "pool {} has {:.1} % hits and not the {:.1} % that were expected",
                promise.pool,
                ratio * 100.0,
                promise.hit_ratio * 100.0
            )
        })
    }
}

/// The last minute of all requests, if there were enough.
fn overall(report: &MemoryReport) -> Option<&LatencyWindow> {
    let of = |kind| report.latencies.iter().find(move |latencies| latencies.kind == kind);
    let latencies = of(LatencyKind::RoundTrip).or_else(|| of(LatencyKind::Message))?;
    latencies.windows.iter().find(|window| window.window_s == WINDOW_S && window.count >= ENOUGH)
}
