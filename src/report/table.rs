//! The report as a page of tables, in plain text and in Markdown.
//!
//! Owns which figures are shown, in which order and in which words; [`super::layout`] formats them. Empty parts are left
//! out. Invariant: both forms are made of the same sections.

use super::advised::advised;
use super::alert_table::alerts;
use super::latency_table::latencies;
use super::layout::{Align, Cell, Column, Page, Section, Sentence};
use super::overview;
use crate::limits::units::{bytes, duration, grouped};
use crate::memory::{KernelScope, MemoryReport, Part, PoolReport, PressureLevel};
use std::io;

/// Most connections, sessions and tools that are shown.
const TOP: usize = 10;
/// Most pools whose advice is given in words: more would be too long to read.
const MAX_REASONS: usize = 5;
/// Characters of a bar of 100 %.
const BAR_CELLS: f64 = 12.0;

/// Writes the report in lines of at most `width` columns; 80 show everything.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::write_table;
///
/// let report = Server::builder("demo", "1.0.0").build()?.memory().report();
/// let mut text = Vec::new();
/// write_table(&report, 80, &mut text)?;
/// assert!(!text.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When `out` cannot be written.
pub fn write_table(report: &MemoryReport, width: usize, out: &mut impl io::Write) -> io::Result<()> {
    page(report).write_plain(width, out)
}

/// Writes the report as Markdown, with a table for each part of it; names from outside cannot break it.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::write_markdown;
///
/// let report = Server::builder("demo", "1.0.0").build()?.memory().report();
/// let mut text = Vec::new();
/// write_markdown(&report, &mut text)?;
/// assert!(!text.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When `out` cannot be written.
pub fn write_markdown(report: &MemoryReport, out: &mut impl io::Write) -> io::Result<()> {
    page(report).write_markdown(out)
}

fn page(report: &MemoryReport) -> Page {
    let sections = [
        Some(overview::glance(report)),
        overview::clients(report).or_else(|| overview::uncounted_clients(report)),
        overview::calls(report),
        alerts(report),
        ledger(report),
        kernel(report),
        pools(report),
        pressure(report),
        connections(report),
        sessions(report),
        tools(report),
        latencies(report),
    ]
    .into_iter()
    .chain([applied(report)])
    .flatten()
    .collect();
    Page { headline: headline(report), sections }
}

pub(super) fn headline(report: &MemoryReport) -> Sentence {
    let (server, usage, pressure) = (&report.server, &report.usage, &report.pressure);
    let held = match (usage.rss_bytes, usage.heap_bytes) {
        (Some(rss), _) => format!("holds {}", bytes(rss)),
        (None, Some(heap)) => format!("holds {} of heap", bytes(heap)),
        (None, None) => format!("accounts for {}", bytes(usage.total_allocated_bytes)),
    };
    let limit = match (pressure.limit_bytes, usage.rss_bytes) {
        (Some(limit), Some(rss)) if limit > 0 => {
            let source = pressure.limit_source.as_deref().map(|source| format!(" ({source})"));
            let share = percent(rss as f64 / limit as f64);
            format!(", {share} of its limit of {}{}", bytes(limit), source.unwrap_or_default())
        }
        _ => String::new(),
    };
    let (version, pid, time) = (&server.version, server.pid, duration(report.uptime_ms));
    vec![
        Cell::name(&server.name),
        Cell::text(format!(" {version} (pid {pid}) {held} after {time}{limit}: pressure is ")),
        Cell::text(format!("{}.", level(pressure.level))),
    ]
}

pub(super) fn ledger(report: &MemoryReport) -> Option<Section> {
    let usage = &report.usage;
    let total: u64 = report.parts.iter().map(|part| part.bytes).fold(0, u64::saturating_add);
    let rows = report.parts.iter().filter(|part| is_shown(part)).map(|part| {
        let share = if total == 0 { 0.0 } else { part.bytes as f64 / total as f64 };
        vec![
            Cell::name(&part.name),
            Cell::text(bytes(part.bytes)),
            Cell::text(percent(share)),
            Cell::text("#".repeat((share * BAR_CELLS).round() as usize)),
            Cell::text(bytes(part.peak_bytes)),
            Cell::text(part.count.map(grouped).unwrap_or_default()),
            Cell::text(if part.is_heap { "heap" } else { "pages" }),
        ]
    });
    let title = match (usage.error_ratio, usage.rss_bytes) {
        (Some(error), Some(rss)) => {
            let held = usage.held_ratio.map(|held| format!(", {} by holders", percent(held)));
            format!(
                "Ledger: {} explained of {} resident ({}){}",
                bytes(usage.explained_bytes),
                bytes(rss),
                signed_percent(error),
                held.unwrap_or_default()
            )
        }
        _ => format!("Ledger: {} in all", bytes(total)),
    };
    let columns = vec![
        Column::name("part"),
        Column::figure("bytes", 0),
        Column::figure("share", 1),
        Column { is_plain_only: true, align: Align::Left, ..Column::figure("", 4) },
        Column::figure("peak", 2),
        Column::figure("count", 3),
        Column { align: Align::Left, ..Column::figure("on", 5) },
    ];
    let notes = process(report).into_iter().chain(traffic(report)).collect();
    Section { title, columns, rows: rows.collect(), notes }.unless_empty()
}

/// What the kernel holds beside the process.
pub(super) fn kernel(report: &MemoryReport) -> Option<Section> {
    let rows = report.kernel.iter().map(|part| {
        let scope = match part.scope {
            KernelScope::Process => "this process",
            KernelScope::Network => "network namespace",
            KernelScope::Group => "control group",
        };
        vec![
            Cell::name(&part.name),
            Cell::text(bytes(part.bytes)),
            Cell::text(part.count.map(grouped).unwrap_or_default()),
            Cell::text(scope),
        ]
    });
    let columns = vec![
        Column::name("kernel"),
        Column::figure("bytes", 0),
        Column::figure("count", 2),
        Column { align: Align::Left, ..Column::figure("of", 1) },
    ];
    let title = "Kernel: not in the resident memory".to_owned();
    Section { title, columns, rows: rows.collect(), notes: Vec::new() }.unless_empty()
}

/// Whether a part ever held anything.
pub(super) fn is_shown(part: &Part) -> bool {
    part.bytes > 0 || part.peak_bytes > 0
}

fn process(report: &MemoryReport) -> Option<Sentence> {
    let usage = &report.usage;
    let sizes = [
        ("heap", usage.heap_bytes),
        ("of it not written to", usage.unwritten_bytes.filter(|bytes| *bytes > 0)),
        ("committed", usage.committed_bytes),
        ("stacks", usage.stack_bytes),
        ("resident at most", usage.peak_rss_bytes),
        ("huge pages", usage.huge_page_bytes.filter(|bytes| *bytes > 0)),
    ];
    let mut facts: Vec<String> =
        sizes.iter().filter_map(|(name, size)| size.map(|size| format!("{name} {}", bytes(size)))).collect();
    facts.extend(usage.threads.map(|threads| format!("{} threads", grouped(threads))));
    facts.extend(usage.open_descriptors.map(|count| format!("{} descriptors", grouped(count))));
    facts.extend(usage.cpu_ms.map(|ms| format!("{} of CPU time", duration(ms))));
    sentence("Process", &facts)
}

fn traffic(report: &MemoryReport) -> Option<Sentence> {
    let traffic = &report.traffic;
    let counts = [
        ("frames", traffic.frames),
        ("connections", traffic.connections),
        ("sessions", traffic.sessions),
        ("in flight", traffic.in_flight),
        ("subscriptions", traffic.subscriptions),
        ("tasks", traffic.tasks),
        ("decoded in two passes", traffic.two_pass),
        ("protocol errors", traffic.protocol_errors),
        ("tool errors", traffic.tool_errors),
        ("notifications dropped", traffic.dropped_notifications),
    ];
    let shown = counts.iter().filter(|(_, count)| *count > 0);
    sentence("Traffic", &shown.map(|(name, count)| format!("{name} {}", grouped(*count))).collect::<Vec<_>>())
}

fn sentence(about: &str, facts: &[String]) -> Option<Sentence> {
    (!facts.is_empty()).then(|| vec![Cell::text(format!("{about}: {}.", facts.join(", ")))])
}

pub(super) fn pools(report: &MemoryReport) -> Option<Section> {
    let (used, unused): (Vec<_>, Vec<_>) = report.pools.iter().partition(|pool| is_used(pool));
    // The sum of the column: the budget is read at another moment.
    let sum = |of: fn(&PoolReport) -> u64| report.pools.iter().map(of).fold(0, u64::saturating_add);
    let (all, idle) = (sum(|pool| pool.owned_bytes), sum(|pool| pool.idle_bytes));
    let title = if report.budget.limit_bytes > 0 {
        let budget = bytes(report.budget.limit_bytes);
        format!("Pools: {} in all, {} of it idle, of at most {budget}", bytes(all), bytes(idle))
    } else {
        "Pools".to_owned()
    };
    let columns = vec![
        Column::name("pool"),
        Column::figure("in use", 0),
        Column::figure("idle", 1),
        Column::figure("capacity", 0),
        Column::figure("hit %", 0),
        Column::figure("1m", 4),
        Column::figure("1h", 5),
        Column::figure("p99", 3),
        Column::figure("max", 3),
        Column::figure("bytes", 2),
    ];
    let mut notes = advice(report, MAX_REASONS);
    notes.extend(unused_note(&unused));
    Section { title, columns, rows: used.into_iter().map(|pool| pool_row(report, pool)).collect(), notes }
        .unless_empty()
}

/// Names the pools that were never used.
pub(super) fn unused_note(pools: &[&PoolReport]) -> Option<Sentence> {
    let mut note = vec![Cell::text(format!("Unused ({}): ", pools.len()))];
    for (at, pool) in pools.iter().enumerate() {
        note.extend([Cell::text(if at == 0 { "" } else { ", " }), Cell::name(&pool.name)]);
    }
    note.push(Cell::text("."));
    (!pools.is_empty()).then_some(note)
}

pub(super) fn is_used(pool: &PoolReport) -> bool {
    pool.hits > 0 || pool.misses > 0 || pool.in_use > 0 || pool.idle > 0 || pool.owned_bytes > 0
}

fn pool_row(report: &MemoryReport, pool: &PoolReport) -> Vec<Cell> {
    let capacity = match advised(report, pool) {
        Some(advised) => format!("{} -> {}", grouped(pool.capacity), grouped(advised)),
        None => grouped(pool.capacity),
    };
    let ratio = |ratio: Option<f64>| Cell::text(ratio.map_or_else(|| "-".to_owned(), hit_percent));
    vec![
        Cell::name(&pool.name),
        Cell::text(grouped(pool.in_use)),
        Cell::text(grouped(pool.idle)),
        Cell::text(capacity),
        ratio(pool.hit_ratio_now),
        ratio(pool.hit_ratio_1m),
        ratio(pool.hit_ratio_1h),
        Cell::text(grouped(pool.demand.p99)),
        Cell::text(grouped(pool.demand.max)),
        Cell::text(bytes(pool.owned_bytes)),
    ]
}

/// The reasons for new capacities, at most `most`: the pools with most misses first.
pub(super) fn advice(report: &MemoryReport, most: usize) -> Vec<Sentence> {
    let mut changes: Vec<_> = report
        .pools
        .iter()
        .filter_map(|pool| Some((pool, advised(report, pool)?, pool.advice.as_ref()?)))
        .collect();
    changes.sort_by_key(|(pool, ..)| std::cmp::Reverse(pool.misses));
    let shown = changes.iter().take(most).map(|(pool, advised, advice)| {
        let setting = pool.setting.as_deref().unwrap_or_default();
        vec![
            Cell::text("Advice for "),
            Cell::name(&pool.name),
            Cell::text(format!(" ({setting} = {advised}): {}", advice.reason)),
        ]
    });
    let mut notes: Vec<_> = shown.collect();
    if let more @ 1.. = changes.len().saturating_sub(most) {
        notes.push(vec![Cell::text(format!("Advice for {more} more is in the JSON report."))]);
    }
    notes
}

pub(super) fn pressure(report: &MemoryReport) -> Option<Section> {
    let pressure = &report.pressure;
    let [_, elevated, critical] = pressure.entered;
    let mut facts = Vec::new();
    if elevated > 0 || critical > 0 {
        facts.push(format!("entered elevated {} x, critical {} x", grouped(elevated), grouped(critical)));
    }
    if pressure.refused > 0 {
        facts.push(format!("work refused {} x", grouped(pressure.refused)));
    }
    if let Some(limit) = pressure.cgroup_limit_bytes.filter(|limit| Some(*limit) != pressure.limit_bytes) {
        facts.push(format!("the cgroup's own limit is {}", bytes(limit)));
    }
    if let Some(waited) = pressure.psi_some_avg10.filter(|waited| *waited > 0.0) {
        facts.push(format!("tasks waited for memory {waited:.1} % of the last 10 s"));
    }
    let rows = pressure.reclaimed.iter().filter(|step| step.runs > 0).map(|step| {
        vec![Cell::name(&step.step), Cell::text(grouped(step.runs)), Cell::text(bytes(step.bytes))]
    });
    Section {
        title: format!("Pressure: {}", level(pressure.level)),
        columns: vec![Column::name("given back by"), Column::figure("runs", 0), Column::figure("bytes", 0)],
        rows: rows.collect(),
        notes: sentence("Since the start", &facts).into_iter().collect(),
    }
    .unless_empty()
}

pub(super) fn level(level: PressureLevel) -> &'static str {
    match level {
        PressureLevel::Normal => "normal",
        PressureLevel::Elevated => "elevated",
        PressureLevel::Critical => "critical",
    }
}

pub(super) fn connections(report: &MemoryReport) -> Option<Section> {
    let rows = report.hotspots.connections.iter().take(TOP).map(|spot| {
        let stalled = if spot.stalled_ms > 0 { duration(spot.stalled_ms) } else { String::new() };
        vec![
            Cell::name(&spot.peer),
            Cell::text(spot.number.to_string()),
            Cell::text(bytes(spot.bytes)),
            Cell::text(bytes(spot.queued_bytes)),
            Cell::text(stalled),
        ]
    });
    let columns = vec![
        Column::name("peer"),
        Column::figure("number", 1),
        Column::figure("bytes", 0),
        Column::figure("queued", 0),
        Column::figure("stalled", 0),
    ];
    top("Largest connections", columns, rows.collect())
}

pub(super) fn sessions(report: &MemoryReport) -> Option<Section> {
    let rows = report.hotspots.sessions.iter().take(TOP).map(|spot| {
        vec![
            Cell::text(spot.number.to_string()),
            Cell::name(&spot.client),
            Cell::text(bytes(spot.bytes)),
            Cell::text(duration(spot.idle_ms)),
        ]
    });
    let columns = vec![
        Column::name("number"),
        Column { align: Align::Left, ..Column::figure("client", 1) },
        Column::figure("bytes", 0),
        Column::figure("unused for", 0),
    ];
    top("Largest sessions", columns, rows.collect())
}

pub(super) fn tools(report: &MemoryReport) -> Option<Section> {
    let rows = report.hotspots.tools.iter().take(TOP).map(|spot| {
        vec![
            Cell::name(&spot.name),
            Cell::text(bytes(spot.max_arena_bytes)),
            Cell::text(grouped(spot.oversized_arenas)),
            Cell::text(grouped(spot.calls)),
            Cell::text(grouped(spot.two_pass)),
            Cell::text(bytes(spot.max_reply_bytes)),
            Cell::text(bytes(spot.reply_bytes)),
        ]
    });
    let columns = vec![
        Column::name("tool"),
        Column::figure("max arena", 0),
        Column::figure("oversized", 3),
        Column::figure("calls", 0),
        Column::figure("two-pass", 4),
        Column::figure("max reply", 1),
        Column::figure("replies", 2),
    ];
    top("Tools by their largest arena", columns, rows.collect())
}

fn top(title: &str, columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Option<Section> {
    Section { title: title.to_owned(), columns, rows, notes: Vec::new() }.unless_empty()
}

pub(super) fn applied(report: &MemoryReport) -> Option<Section> {
    let notes = report.applied.iter().map(|change| {
        vec![
            Cell::name(&change.what),
            Cell::text(format!(": {} -> {}: ", grouped(change.before), grouped(change.after))),
            Cell::text(&change.reason),
        ]
    });
    let title = "Applied by the last optimisation".to_owned();
    Section { title, columns: Vec::new(), rows: Vec::new(), notes: notes.collect() }.unless_empty()
}

pub(super) fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

fn signed_percent(ratio: f64) -> String {
    format!("{:+.1} %", ratio * 100.0)
}

/// A hit ratio in percent without its sign, rounded down: only a pool without misses has 100.
pub(super) fn hit_percent(ratio: f64) -> String {
    if ratio >= 1.0 {
        return "100".to_owned();
    }
    format!("{:.1}", (ratio * 1_000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_hits_are_a_hundred_percent() {
        for (ratio, want) in [(0.0, "0.0"), (0.5, "50.0"), (0.99999, "99.9"), (1.0, "100")] {
            assert_eq!(hit_percent(ratio), want);
        }
    }
}
