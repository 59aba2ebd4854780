//! What a server did between two of its reports.

use crate::memory::{LatencyKind, LatencyReport, LatencyWindow, MemoryReport};
use serde::Serialize;

/// Version of what `mcpool top --json` prints.
const SCHEMA: &str = "mcpool.top/1";
/// The kinds that stand for all requests, best first.
const OVERALL: [LatencyKind; 2] = [LatencyKind::RoundTrip, LatencyKind::Message];

/// One look at a server, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct TopSample<'r> {
    schema: &'static str,
    /// Time between the two reports.
    interval_ms: u64,
    /// What happened between them; absent where the server was started in between.
    rates: Option<Rates>,
    /// The later report.
    report: &'r MemoryReport,
}

impl<'r> TopSample<'r> {
    pub(super) fn new(before: &MemoryReport, report: &'r MemoryReport) -> Self {
        let interval_ms = report.taken_unix_ms.saturating_sub(before.taken_unix_ms);
        Self { schema: SCHEMA, interval_ms, rates: Rates::between(before, report), report }
    }
}

/// What happened each second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Requests that ended.
    pub(super) requests_per_s: f64,
    /// Those of them that ended with an error.
    pub(super) errors_per_s: f64,
    /// Frames taken in.
    pub(super) frames_per_s: f64,
    /// Requests cancelled by their clients.
    pub(super) cancelled_per_s: f64,
    /// Work refused because memory was short.
    pub(super) refused_per_s: f64,
    /// Processor time, in percent of one processor.
    pub(super) cpu_percent: Option<f64>,
}

impl Rates {
    /// `None` where the two are not of one process, or of one moment.
    pub(super) fn between(before: &MemoryReport, now: &MemoryReport) -> Option<Self> {
        let ms = now.uptime_ms.checked_sub(before.uptime_ms).filter(|ms| *ms > 0)?;
        if before.server.pid != now.server.pid {
            return None;
        }
        let per_s = |before: u64, now: u64| now.saturating_sub(before) as f64 * 1e3 / ms as f64;
        let cpu = before.usage.cpu_ms.zip(now.usage.cpu_ms);
        Some(Self {
            requests_per_s: per_s(requests(before, false), requests(now, false)),
            errors_per_s: per_s(requests(before, true), requests(now, true)),
            frames_per_s: per_s(before.traffic.frames, now.traffic.frames),
            cancelled_per_s: per_s(before.traffic.cancelled, now.traffic.cancelled),
            refused_per_s: per_s(before.pressure.refused, now.pressure.refused),
            cpu_percent: cpu.map(|(before, now)| per_s(before, now) / 10.0),
        })
    }
}

/// Requests that ended since the start, or those of them that ended with an error.
fn requests(report: &MemoryReport, is_error: bool) -> u64 {
    let counted = report.operations.iter().filter(|operation| !is_error || operation.error.is_some());
    counted.flat_map(|operation| &operation.counts).fold(0, |sum, count| sum.saturating_add(*count))
}

/// The latencies of all requests over the shortest window.
pub(super) fn overall(report: &MemoryReport) -> Option<&LatencyWindow> {
    let of = |kind| report.latencies.iter().find(move |latencies: &&LatencyReport| latencies.kind == kind);
    OVERALL.into_iter().filter_map(of).find_map(|latencies| latencies.windows.first())
}
