//! What stands first in a report: what the server costs, what it does for whom, what is wrong, and what to do.
//!
//! Sentences of the figures that the sections below have in full, and of what [`super::doctor`] finds.

use super::doctor::{Finding, Severity, diagnose};
use super::layout::{Cell, Column, Section, Sentence};
use crate::limits::units::{bytes, duration, grouped, latency, round_duration};
use crate::memory::{
    ClientReport, LatencyKind, LatencyReport, LatencyWindow, MemoryReport, OperationReport, ToolSpot,
};
use std::cmp::Reverse;
use std::fmt::Write;

/// Most clients and tools that are shown.
const TOP: usize = 10;
/// What stands for a method that no server has.
const OTHER_METHOD: &str = "_OTHER";
/// Most findings that are told here.
const MAX_FINDINGS: usize = 3;
/// Most holders of memory that are named here.
const MAX_HOLDERS: usize = 3;
/// The windows whose latencies are told, in seconds: the first of them in which something came.
const WINDOWS_S: [u64; 3] = [60, 300, 3_600];
/// The kinds that stand for all requests, best first.
const OVERALL: [LatencyKind; 2] = [LatencyKind::RoundTrip, LatencyKind::Message];

/// What a reader wants to know first.
pub(super) fn glance(report: &MemoryReport) -> Section {
    let facts = [costs(report), serves(report), holders(report)];
    let notes = facts.into_iter().flatten().chain(verdict(report)).collect();
    Section { title: "At a glance".to_owned(), columns: Vec::new(), rows: Vec::new(), notes }
}

/// Memory, and the processor's time.
fn costs(report: &MemoryReport) -> Option<Sentence> {
    let usage = &report.usage;
    let resident = usage.rss_bytes?;
    let mut text = format!("Costs: {} of memory", bytes(resident));
    let more = [
        usage.private_bytes.map(|own| format!("{} of it private", bytes(own))),
        usage.peak_rss_bytes.map(|peak| format!("{} at the most", bytes(peak))),
    ];
    let more: Vec<String> = more.into_iter().flatten().collect();
    if !more.is_empty() {
        let _ = write!(text, " ({})", more.join(", "));
    }
    if let Some(cpu_ms) = usage.cpu_ms {
        let percent = cpu_ms as f64 * 100.0 / report.uptime_ms.max(1) as f64;
        let (took, in_all) = (duration(cpu_ms), duration(report.uptime_ms));
        let _ = write!(text, ", and {took} of CPU time in {in_all}: {percent:.1} % of a processor");
    }
    Some(vec![Cell::text(text + ".")])
}

/// Requests, how long they take, and how many of them fail.
fn serves(report: &MemoryReport) -> Option<Sentence> {
    let all = requests(report);
    if all == 0 {
        return None;
    }
    let mut text = "Serves: ".to_owned();
    if let Some((rate, window)) = overall(report) {
        let _ = write!(
            text,
            "{rate} requests a second in the last {}, half of them within {} and 99 % within {}; ",
            round_duration(window.window_s.saturating_mul(1_000)),
            latency(window.p50_ns),
            latency(window.p99_ns)
        );
    }
    let failed = grouped(count(report, true));
    let _ = write!(text, "{} since the start, {failed} of them with an error.", grouped(all));
    Some(vec![Cell::text(text)])
}

fn holders(report: &MemoryReport) -> Option<Sentence> {
    let largest: Vec<_> = report.parts.iter().filter(|part| part.bytes > 0).take(MAX_HOLDERS).collect();
    let mut sentence = vec![Cell::text("Most of the memory: ")];
    for (at, part) in largest.iter().enumerate() {
        sentence.extend([
            Cell::text(if at == 0 { "" } else { "; " }),
            Cell::name(&part.name),
            Cell::text(format!(" {}", bytes(part.bytes))),
        ]);
    }
    sentence.push(Cell::text("."));
    (!largest.is_empty()).then_some(sentence)
}

/// What is wrong, worst first, each with what to do.
fn verdict(report: &MemoryReport) -> Vec<Sentence> {
    let diagnosis = diagnose(report);
    let checked = diagnosis.passed.len() + diagnosis.findings.len();
    let mut notes: Vec<Sentence> = diagnosis.findings.iter().take(MAX_FINDINGS).map(told).collect();
    match diagnosis.findings.len() {
        0 => notes.push(vec![Cell::text(format!("Wrong: nothing that {checked} rules look for."))]),
        found => {
            let more = found.saturating_sub(MAX_FINDINGS);
            let more = if more == 0 { String::new() } else { format!("{more} more findings, and ") };
            notes
                .push(vec![Cell::text(format!("`mcpool doctor` has {more}why, the evidence and the cost."))]);
        }
    }
    notes
}

fn told(finding: &Finding) -> Sentence {
    let severity = match finding.severity {
        Severity::Critical => "Wrong (critical)",
        Severity::Warning => "Wrong",
        Severity::Hint => "Hint",
    };
    let setting = finding.setting.as_ref().map(|setting| format!(" Setting: {setting}")).unwrap_or_default();
    vec![Cell::text(format!("{severity}: {} Do: {}{setting}", finding.problem, finding.remedy))]
}

/// Requests that ended since the start: the sum of those of the clients, where they are counted.
pub(super) fn requests(report: &MemoryReport) -> u64 {
    count(report, false)
}

fn count(report: &MemoryReport, is_failed: bool) -> u64 {
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
    if !report.clients.is_empty() {
        let of = |client: &ClientReport| if is_failed { client.errors } else { client.requests };
        return sum(&mut report.clients.iter().map(of));
    }
    let counted = report.operations.iter().filter(|operation| !is_failed || operation.error.is_some());
    let requests = counted.filter(|operation| is_request(operation));
    sum(&mut requests.flat_map(|operation| &operation.counts).copied())
}

/// Whether it wants an answer: notifications do not, nor does what a client answers, which has no method.
fn is_request(operation: &OperationReport) -> bool {
    let is_answer = operation.method == OTHER_METHOD && operation.error.is_none();
    !is_answer && !operation.method.starts_with("notifications/")
}

/// Requests a second, and their latencies.
pub(super) fn overall(report: &MemoryReport) -> Option<(String, &LatencyWindow)> {
    let of = |kind| report.latencies.iter().find(move |latencies: &&LatencyReport| latencies.kind == kind);
    // Of round trips one in eight may be measured: messages are counted whole.
    let counted = of(LatencyKind::Message).or_else(|| of(LatencyKind::RoundTrip)).and_then(recent)?;
    let timed = OVERALL.into_iter().filter_map(of).find_map(recent)?;
    Some((rate(counted), timed))
}

/// The shortest window of at least a minute in which something came.
fn recent(latencies: &LatencyReport) -> Option<&LatencyWindow> {
    WINDOWS_S.iter().find_map(|window_s| latencies.windows.iter().find(|window| window.window_s == *window_s))
}

fn rate(window: &LatencyWindow) -> String {
    let per_second = window.count as f64 * 1e3 / window.covered_ms.max(1) as f64;
    let digits = match per_second {
        ..0.995 => 2,
        ..99.5 => 1,
        _ => return grouped(per_second.round() as u64),
    };
    format!("{per_second:.digits$}")
}

/// How to have counted what clients did.
pub(super) const UNCOUNTED: &str =
    "They are counted where requests are logged: by each server of sockets, and with --access-log FILE.";

/// Says of a server with requests whose clients are not counted how to have them counted.
pub(super) fn uncounted_clients(report: &MemoryReport) -> Option<Section> {
    if !report.clients.is_empty() || requests(report) == 0 {
        return None;
    }
    let (title, notes) = ("Clients by name: not counted".to_owned(), vec![vec![Cell::text(UNCOUNTED)]]);
    Some(Section { title, columns: Vec::new(), rows: Vec::new(), notes })
}

/// What clients did, by their names.
pub(super) fn clients(report: &MemoryReport) -> Option<Section> {
    let rows = report.clients.iter().take(TOP).map(|client| {
        vec![
            if client.name.is_empty() { Cell::text("(no name)") } else { Cell::name(&client.name) },
            Cell::text(grouped(client.requests)),
            Cell::text(grouped(client.errors)),
            Cell::text(latency(client.p50_ns)),
            Cell::text(latency(client.p99_ns)),
            Cell::text(duration(client.busy_ms)),
            Cell::text(bytes(client.answer_bytes)),
            Cell::text(grouped(client.sessions)),
            Cell::text(bytes(client.session_bytes)),
        ]
    });
    let columns = vec![
        Column::name("client"),
        Column::figure("requests", 0),
        Column::figure("errors", 0),
        Column::figure("p50", 2),
        Column::figure("p99", 0),
        Column::figure("took", 3),
        Column::figure("answers", 1),
        Column::figure("sessions", 4),
        Column::figure("holds", 1),
    ];
    let notes = more(report.clients.len(), "clients");
    Section { title: "Clients by name: since the start".to_owned(), columns, rows: rows.collect(), notes }
        .unless_empty()
}

/// How often tools are called, how that ends, and how long it takes.
pub(super) fn calls(report: &MemoryReport) -> Option<Section> {
    let mut tools: Vec<&ToolSpot> = report.hotspots.tools.iter().collect();
    tools.sort_by_key(|tool| Reverse(tool.calls));
    let rows = tools.iter().take(TOP).map(|tool| {
        let is_its =
            |latencies: &&LatencyReport| latencies.kind == LatencyKind::Tool && latencies.name == tool.name;
        let window = report.latencies.iter().find(is_its).and_then(recent);
        let figure =
            |figure: fn(&LatencyWindow) -> String| Cell::text(window.map_or_else(|| "-".to_owned(), figure));
        vec![
            Cell::name(&tool.name),
            Cell::text(grouped(tool.calls)),
            Cell::text(grouped(tool.errors)),
            figure(rate),
            figure(|window| latency(window.p50_ns)),
            figure(|window| latency(window.p99_ns)),
            figure(|window| round_duration(window.window_s.saturating_mul(1_000))),
        ]
    });
    let columns = vec![
        Column::name("tool"),
        Column::figure("calls", 0),
        Column::figure("errors", 0),
        Column::figure("a second", 1),
        Column::figure("p50", 1),
        Column::figure("p99", 0),
        Column::figure("in the last", 2),
    ];
    let title = "Calls by tool: since the start, and lately".to_owned();
    Section { title, columns, rows: rows.collect(), notes: more(tools.len(), "tools") }.unless_empty()
}

fn more(all: usize, what: &str) -> Vec<Sentence> {
    match all.saturating_sub(TOP) {
        0 => Vec::new(),
        more => vec![vec![Cell::text(format!("{more} more {what} are in the JSON report."))]],
    }
}
