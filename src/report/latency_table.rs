//! The section of latencies: one row for each kind, method and tool.

use super::layout::{Cell, Column, Section};
use crate::limits::units::{grouped, latency};
use crate::memory::{LatencyKind, LatencyReport, LatencyWindow, MemoryReport};
use std::cmp::Reverse;

/// Most methods and tools that are shown: those that took most time in the longest window.
const TOP: usize = 16;
/// The window that is shown in full, in seconds.
const SHOWN_S: u64 = 60;

pub(super) fn latencies(report: &MemoryReport) -> Option<Section> {
    let used = report.latencies.iter().filter(|latencies| !latencies.windows.is_empty());
    let (mut named, sums): (Vec<_>, Vec<_>) =
        used.partition(|latencies| matches!(latencies.kind, LatencyKind::Method | LatencyKind::Tool));
    named.sort_by_key(|latencies| Reverse(spent_ns(latencies)));
    named.truncate(TOP);
    let rows = sums.into_iter().chain(named).map(row);
    let columns = vec![
        Column::name("latency"),
        Column::figure("1m calls", 3),
        Column::figure("p50", 0),
        Column::figure("p95", 0),
        Column::figure("p99", 0),
        Column::figure("10s p99", 4),
        Column::figure("5m p99", 2),
        Column::figure("1h p99", 1),
    ];
    let title = "Latencies: the last minute, and p99 of other windows".to_owned();
    Section { title, columns, rows: rows.collect(), notes: Vec::new() }.unless_empty()
}

/// About the time that all calls of the longest window took together.
fn spent_ns(latencies: &LatencyReport) -> u64 {
    latencies.windows.last().map_or(0, |window| window.count.saturating_mul(window.p50_ns))
}

fn row(latencies: &LatencyReport) -> Vec<Cell> {
    let window = |window_s| latencies.windows.iter().find(move |window| window.window_s == window_s);
    let figure = |window: Option<&LatencyWindow>, figure: fn(&LatencyWindow) -> u64| {
        Cell::text(window.map_or_else(|| "-".to_owned(), |window| latency(figure(window))))
    };
    let minute = window(SHOWN_S);
    let name = match latencies.kind {
        LatencyKind::Method | LatencyKind::Tool => Cell::name(&latencies.name),
        sum => Cell::text(sum.subject()),
    };
    vec![
        name,
        Cell::text(minute.map_or_else(|| "-".to_owned(), |minute| grouped(minute.count))),
        figure(minute, |window| window.p50_ns),
        figure(minute, |window| window.p95_ns),
        figure(minute, |window| window.p99_ns),
        figure(window(10), |window| window.p99_ns),
        figure(window(300), |window| window.p99_ns),
        figure(window(3_600), |window| window.p99_ns),
    ]
}
