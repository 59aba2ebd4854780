//! The panes: what each shows of a report, as a table that can be sorted and filtered.

use crate::limits::units::{bytes, duration, grouped, latency};
use crate::memory::{LatencyKind, LatencyReport, LatencyWindow, MemoryReport};
use crate::visible;
use std::cmp::Ordering;
use std::iter;

/// The error of calls whose tool said that they failed: they are among the calls of that tool.
const TOOL_ERROR: &str = "tool_error";

/// One pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Overview,
    Clients,
    Pools,
    Ledger,
    Tools,
    Alerts,
}

/// A row: what is shown in each column, and what it is sorted by.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
}

/// One cell.
pub(super) struct Cell {
    pub(super) shown: String,
    order: f64,
}

/// A column: its title, and how early it is dropped where there is no room (0: never).
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) rank: u8,
    /// It holds sentences, and takes the room that is left.
    pub(super) is_text: bool,
}

const fn column(title: &'static str, rank: u8) -> Column {
    Column { title, rank, is_text: false }
}

const fn text(title: &'static str) -> Column {
    Column { title, rank: 0, is_text: true }
}

const CLIENTS: [Column; 4] =
    [column("client", 0), column("holds", 0), column("unread", 1), column("waits", 2)];
const POOLS: [Column; 6] = [
    column("pool", 0),
    column("hits", 0),
    column("in use", 2),
    column("size", 0),
    column("advised", 0),
    column("bytes", 1),
];
const LEDGER: [Column; 4] =
    [column("memory of", 0), column("bytes", 0), column("peak", 1), column("count", 2)];
const TOOLS: [Column; 6] = [
    column("tool or method", 0),
    column("calls 1m", 1),
    column("p50", 2),
    column("p95", 0),
    column("p99", 0),
    column("max", 3),
];
const ALERTS: [Column; 5] =
    [column("alert", 0), column("state", 0), column("since", 0), column("times", 1), text("what")];

impl Pane {
    pub(super) const ALL: [Self; 6] =
        [Self::Overview, Self::Clients, Self::Pools, Self::Ledger, Self::Tools, Self::Alerts];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Clients => "clients",
            Self::Pools => "pools",
            Self::Ledger => "ledger",
            Self::Tools => "tools",
            Self::Alerts => "alerts",
        }
    }

    pub(super) fn after(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    pub(super) fn before(self) -> Self {
        Self::ALL[(self as usize + Self::ALL.len() - 1) % Self::ALL.len()]
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            // It shows the beginning of the others.
            Self::Overview => &[],
            Self::Clients => &CLIENTS,
            Self::Pools => &POOLS,
            Self::Ledger => &LEDGER,
            Self::Tools => &TOOLS,
            Self::Alerts => &ALERTS,
        }
    }

    /// The rows of a report in the pane's own order: what needs attention first.
    pub(super) fn rows(self, report: &MemoryReport) -> Vec<Row> {
        match self {
            Self::Overview => Vec::new(),
            Self::Clients => clients(report),
            Self::Pools => pools(report),
            Self::Ledger => ledger(report),
            Self::Tools => tools(report),
            Self::Alerts => alerts(report),
        }
    }
}

impl Row {
    /// Whether the row has the text in one of its cells.
    pub(super) fn has(&self, text: &str) -> bool {
        self.cells.iter().any(|cell| cell.shown.to_lowercase().contains(text))
    }

    /// Names from a to z, figures from the largest.
    pub(super) fn compare(&self, other: &Self, column: usize) -> Ordering {
        let (one, other) = (&self.cells[column], &other.cells[column]);
        other.order.total_cmp(&one.order).then_with(|| one.shown.cmp(&other.shown))
    }
}

impl Cell {
    /// A name, which may come from anywhere.
    fn name(name: &str) -> Self {
        Self { shown: visible::line(name), order: 0.0 }
    }

    fn figure(shown: String, order: u64) -> Self {
        Self { shown, order: order as f64 }
    }

    fn bytes(count: u64) -> Self {
        Self::figure(bytes(count), count)
    }

    fn count(count: u64) -> Self {
        Self::figure(grouped(count), count)
    }

    fn none() -> Self {
        Self { shown: "-".to_owned(), order: -1.0 }
    }
}

fn clients(report: &MemoryReport) -> Vec<Row> {
    // What sessions and subscriptions of one client take together: the sessions below are parts of it.
    let clients = report.hotspots.clients.iter().map(|spot| Row {
        cells: vec![
            Cell::name(&format!("{}, all sessions", spot.client)),
            Cell::bytes(spot.bytes),
            Cell::none(),
            Cell::none(),
        ],
    });
    let connections = report.hotspots.connections.iter().map(|spot| Row {
        cells: vec![
            Cell::name(&format!("{} #{}", spot.peer, spot.number)),
            Cell::bytes(spot.bytes),
            Cell::bytes(spot.queued_bytes),
            Cell::figure(duration(spot.stalled_ms), spot.stalled_ms),
        ],
    });
    let sessions = report.hotspots.sessions.iter().map(|spot| Row {
        cells: vec![
            Cell::name(&format!("session #{}", spot.number)),
            Cell::bytes(spot.bytes),
            Cell::none(),
            Cell::figure(duration(spot.idle_ms), spot.idle_ms),
        ],
    });
    let mut rows: Vec<Row> = clients.chain(connections).chain(sessions).collect();
    rows.sort_by(|one, other| one.compare(other, 1));
    rows
}

fn pools(report: &MemoryReport) -> Vec<Row> {
    let mut pools: Vec<_> = report.pools.iter().collect();
    pools.sort_by_key(|pool| std::cmp::Reverse((pool.owned_bytes, pool.hits.saturating_add(pool.misses))));
    let rows = pools.into_iter().map(|pool| {
        let ratio = pool.hit_ratio_1m.or(pool.hit_ratio_1h);
        let hits = ratio
            .map_or_else(Cell::none, |ratio| Cell { shown: format!("{:.1} %", ratio * 100.0), order: ratio });
        let advice = pool.advice.as_ref().filter(|advice| advice.confidence > 0.0);
        Row {
            cells: vec![
                Cell::name(&pool.name),
                hits,
                Cell::count(pool.in_use),
                Cell::count(pool.capacity),
                advice.map_or_else(Cell::none, |advice| Cell::count(advice.capacity)),
                Cell::bytes(pool.owned_bytes),
            ],
        }
    });
    rows.collect()
}

fn ledger(report: &MemoryReport) -> Vec<Row> {
    let mut parts: Vec<_> =
        report.parts.iter().filter(|part| part.bytes > 0 || part.peak_bytes > 0).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    let rows = parts.into_iter().map(|part| Row {
        cells: vec![
            Cell::name(&part.name),
            Cell::bytes(part.bytes),
            Cell::bytes(part.peak_bytes),
            part.count.map_or_else(Cell::none, Cell::count),
        ],
    });
    rows.collect()
}

fn tools(report: &MemoryReport) -> Vec<Row> {
    let named = report
        .latencies
        .iter()
        .filter(|latencies| matches!(latencies.kind, LatencyKind::Tool | LatencyKind::Method));
    let minute = |windows: &[LatencyWindow]| {
        windows.iter().find(|window| window.window_s == 60).or_else(|| windows.last()).copied()
    };
    let mut used: Vec<_> =
        named.filter_map(|latencies| Some((latencies, minute(&latencies.windows)?))).collect();
    used.sort_by_key(|(_, window)| std::cmp::Reverse(window.p95_ns));
    let time = |ns| Cell::figure(latency(ns), ns);
    let rows = used.into_iter().map(|(latencies, window)| Row {
        cells: vec![
            Cell::name(if is_other(latencies) { "(all other tools)" } else { &latencies.name }),
            Cell::count(window.count),
            time(window.p50_ns),
            time(window.p95_ns),
            time(window.p99_ns),
            time(window.max_ns),
        ],
    });
    rows.chain(refused(report)).collect()
}

/// Whether these are the tools beyond those that are told apart.
fn is_other(latencies: &LatencyReport) -> bool {
    latencies.kind == LatencyKind::Tool && latencies.name == "_OTHER"
}

/// Requests that no tool or method was reached with, as calls of tools that do not exist: they have no latency.
fn refused(report: &MemoryReport) -> impl Iterator<Item = Row> {
    let errors = report.operations.iter().filter_map(|operation| {
        let error = operation.error.as_deref().filter(|error| *error != TOOL_ERROR)?;
        let count = operation.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let method = if operation.method == "_OTHER" { "unknown method" } else { &operation.method };
        Some(format!("{method} {error}, {} in all", grouped(count)))
    });
    errors.map(|name| Row {
        cells: iter::once(Cell::name(&name))
            .chain(iter::repeat_with(Cell::none).take(TOOLS.len() - 1))
            .collect(),
    })
}

fn alerts(report: &MemoryReport) -> Vec<Row> {
    let rows = report.alerts.iter().map(|alert| {
        let state = if alert.is_active() { alert.severity.name() } else { "over" };
        let ago = report.taken_unix_ms.saturating_sub(alert.resolved_unix_ms.unwrap_or(alert.since_unix_ms));
        Row {
            cells: vec![
                Cell::name(&alert.subject),
                Cell::name(state),
                Cell::figure(duration(ago), ago),
                Cell::count(u64::from(alert.times)),
                Cell::name(&format!("{}. Likely cause: {}", alert.what, alert.cause)),
            ],
        }
    });
    rows.collect()
}
