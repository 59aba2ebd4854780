//! What grew between two reports: in all, for each connection and request, by whom, and which setting changed.
//!
//! Pure functions of two reports. A figure is beyond the tolerance if it grew by its share and by a floor as well: small
//! figures differ from run to run. Invariant: equal reports differ in nothing.

use super::layout::{Cell, Column, Page, Section};
use crate::limits::units::{bytes, duration, grouped, latency};
use crate::memory::{LatencyReport, LatencyWindow, MemoryReport, PoolReport};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Version of a difference as JSON.
const SCHEMA: &str = "mcpool.report-diff/1";
/// Requests from which a figure for each request counts.
const ENOUGH_REQUESTS: u64 = 1_000;
/// Latencies from which their quantile counts.
const ENOUGH_CALLS: u64 = 100;
/// Most rows of a group that are shown as text; JSON has all of them.
const MAX_SHOWN: usize = 12;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureUnit {
    /// Bytes in all.
    Bytes,
    /// Bytes of one object.
    BytesEach,
    /// Nanoseconds.
    Ns,
    /// A share, 0 to 1.
    Share,
}

impl FigureUnit {
    /// What a figure may grow by, whatever its size.
    const fn floor(self) -> f64 {
        match self {
            Self::Bytes => 256.0 * 1024.0,
            Self::BytesEach => 64.0,
            Self::Ns => 20_000.0,
            Self::Share => 0.02,
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Bytes | Self::BytesEach => bytes(value.max(0.0).round() as u64),
            Self::Ns => latency(value.max(0.0).round() as u64),
            Self::Share => format!("{:.1} %", value * 100.0),
        }
    }
}

/// Where a figure belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureGroup {
    /// The process in all.
    Process,
    /// What one connection, session or request takes.
    Each,
    /// A line of the ledger.
    Ledger,
    /// A connection or session; compared within one process alone, as others number theirs anew.
    Client,
    /// The 95th percentile of a kind of latency, a method or a tool.
    Latency,
    /// Misses among the acquires of a pool.
    Pool,
}

impl FigureGroup {
    /// The heading of its table, and the name of what the rows are.
    const fn titles(self) -> [&'static str; 2] {
        match self {
            Self::Process => ["The process", "process"],
            Self::Each => ["For each connection, session and request", "each"],
            Self::Ledger => ["The lines of the ledger", "part"],
            Self::Client => ["What connections and sessions hold", "client"],
            Self::Latency => ["Latencies: 95 % were at most this", "latency"],
            Self::Pool => ["Pools: misses among all that was asked for", "pool"],
        }
    }
}

/// One figure in both reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureChange {
    /// Where it belongs.
    pub group: FigureGroup,
    /// Its name.
    pub name: String,
    /// What it counts.
    pub unit: FigureUnit,
    /// In the earlier report; absent where it was not there.
    pub before: Option<f64>,
    /// In the later report.
    pub after: Option<f64>,
    /// Whether it grew by more than the tolerance.
    pub is_beyond: bool,
}

impl FigureChange {
    fn growth(&self) -> f64 {
        self.after.unwrap_or_default() - self.before.unwrap_or_default()
    }

    fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// The setting.
    pub name: String,
    /// Its value before.
    pub before: Option<u64>,
    /// Its value after.
    pub after: Option<u64>,
}

/// What differs between two reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// `mcpool.report-diff/1`.
    pub schema: &'static str,
    /// When the earlier report was made.
    pub before_unix_ms: u64,
    /// When the later one was.
    pub after_unix_ms: u64,
    /// Whether both are of one run of a server.
    pub is_same_process: bool,
    /// What a figure may grow by, as a share of what it was.
    pub tolerance: f64,
    /// The figures that differ, by group; those that grew most come first.
    pub figures: Vec<FigureChange>,
    /// The settings that differ.
    pub settings: Vec<SettingChange>,
}

/// Compares two reports; figures may grow by the share `tolerance`.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::difference;
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let before = server.memory().report();
/// let difference = difference(&before, &before, 0.0);
/// assert!(difference.is_same_process && difference.figures.is_empty());
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn difference(before: &MemoryReport, after: &MemoryReport, tolerance: f64) -> Difference {
    let is_same_process = before.server.pid == after.server.pid
        && started(before).abs_diff(started(after)) < 5_000
        && before.server.name == after.server.name;
    let mut figures = Vec::new();
    let mut group = |group, unit, was: Figures, is: Figures| {
        figures.extend(pairs(group, unit, was, is, tolerance).filter(FigureChange::is_changed));
    };
    group(FigureGroup::Process, FigureUnit::Bytes, process(before), process(after));
    group(FigureGroup::Each, FigureUnit::BytesEach, each(before), each(after));
    group(FigureGroup::Each, FigureUnit::Ns, cpu_each(before), cpu_each(after));
    group(FigureGroup::Ledger, FigureUnit::Bytes, ledger(before), ledger(after));
    if is_same_process {
        group(FigureGroup::Client, FigureUnit::Bytes, clients(before), clients(after));
    }
    let (was, is) = latencies(before, after);
    group(FigureGroup::Latency, FigureUnit::Ns, was, is);
    group(FigureGroup::Pool, FigureUnit::Share, misses(before), misses(after));
    if is_same_process {
        figures.extend(growth_each(before, after, tolerance));
    }
    figures.sort_by(|one, other| {
        one.group.cmp(&other.group).then_with(|| other.growth().total_cmp(&one.growth()))
    });
    Difference {
        schema: SCHEMA,
        before_unix_ms: before.taken_unix_ms,
        after_unix_ms: after.taken_unix_ms,
        is_same_process,
        tolerance,
        figures,
        settings: settings(before, after),
    }
}

impl Difference {
    /// Whether no figure grew by more than the tolerance.
    pub fn is_within(&self) -> bool {
        self.figures.iter().all(|figure| !figure.is_beyond)
    }

    /// Writes it in lines of at most `width` columns.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write(&self, width: usize, out: &mut impl io::Write) -> io::Result<()> {
        let ms = self.after_unix_ms.saturating_sub(self.before_unix_ms);
        let of = if self.is_same_process { "one run" } else { "two runs" };
        let beyond = self.figures.iter().filter(|figure| figure.is_beyond).count();
        let verdict = match beyond {
            0 => "nothing grew beyond it".to_owned(),
            count => format!("{count} figure(s) grew beyond it (!)"),
        };
        let headline = format!(
            "Two reports of {of}, {} apart; tolerance {:.0} %: {verdict}.",
            duration(ms),
            self.tolerance * 100.0
        );
        let groups = self.figures.chunk_by(|one, other| one.group == other.group);
        let sections = groups.map(section).chain([settings_section(&self.settings)]).flatten().collect();
        Page { headline: vec![Cell::text(headline)], sections }.write_plain(width, out)
    }
}

fn section(figures: &[FigureChange]) -> Option<Section> {
    let [title, of] = figures.first()?.group.titles();
    // What is beyond is shown whatever its place.
    let shown =
        figures.iter().enumerate().filter(|(at, figure)| *at < MAX_SHOWN || figure.is_beyond).map(|(_, f)| f);
    let rows: Vec<Vec<Cell>> = shown.map(row).collect();
    let hidden = figures.len() - rows.len();
    let notes =
        if hidden > 0 { vec![vec![Cell::text(format!("{hidden} more: --json"))]] } else { Vec::new() };
    let columns = vec![
        Column::name(of),
        Column::figure("before", 0),
        Column::figure("after", 0),
        Column::figure("change", 0),
        Column::figure("", 0),
    ];
    Section { title: title.to_owned(), columns, rows, notes }.unless_empty()
}

fn row(figure: &FigureChange) -> Vec<Cell> {
    let shown =
        |value: Option<f64>| Cell::text(value.map_or_else(|| "-".to_owned(), |v| figure.unit.show(v)));
    let growth = figure.growth();
    let sign = if growth < 0.0 { "-" } else { "+" };
    vec![
        Cell::name(&figure.name),
        shown(figure.before),
        shown(figure.after),
        Cell::text(format!("{sign}{}", figure.unit.show(growth.abs()))),
        Cell::text(if figure.is_beyond { "!" } else { "" }),
    ]
}

fn settings_section(settings: &[SettingChange]) -> Option<Section> {
    let shown = |value: Option<u64>| Cell::text(value.map_or_else(|| "-".to_owned(), grouped));
    let rows = settings
        .iter()
        .map(|change| vec![Cell::name(&change.name), shown(change.before), shown(change.after)])
        .collect();
    let columns = vec![Column::name("setting"), Column::figure("before", 0), Column::figure("after", 0)];
    Section { title: "Settings that differ".to_owned(), columns, rows, notes: Vec::new() }.unless_empty()
}

type Figures = BTreeMap<String, f64>;

/// The figures of both, side by side.
fn pairs(
    group: FigureGroup,
    unit: FigureUnit,
    before: Figures,
    mut after: Figures,
    tolerance: f64,
) -> impl Iterator<Item = FigureChange> {
    let mut both: Vec<(String, Option<f64>, Option<f64>)> = before
        .into_iter()
        .map(|(name, was)| {
            let is = after.remove(&name);
            (name, Some(was), is)
        })
        .collect();
    both.extend(after.into_iter().map(|(name, is)| (name, None, Some(is))));
    both.into_iter().map(move |(name, before, after)| {
        let is_beyond = is_beyond(unit, group, before, after, tolerance) && !name.starts_with("peak");
        FigureChange { group, name, unit, before, after, is_beyond }
    })
}

/// What was not there has not grown, but for memory: there, nothing is nothing.
fn is_beyond(
    unit: FigureUnit,
    group: FigureGroup,
    before: Option<f64>,
    after: Option<f64>,
    tolerance: f64,
) -> bool {
    let is_memory = matches!(group, FigureGroup::Ledger | FigureGroup::Client);
    let Some(after) = after else { return false };
    let Some(before) = before.or(is_memory.then_some(0.0)) else { return false };
    after > before * (1.0 + tolerance) && after - before > unit.floor()
}

fn started(report: &MemoryReport) -> u64 {
    report.taken_unix_ms.saturating_sub(report.uptime_ms)
}

fn process(report: &MemoryReport) -> Figures {
    let usage = &report.usage;
    [
        ("resident", usage.rss_bytes),
        ("private", usage.private_bytes),
        ("peak resident", usage.peak_rss_bytes),
        ("heap", usage.heap_bytes),
        ("held from the system", usage.committed_bytes),
    ]
    .into_iter()
    .filter_map(|(name, figure)| Some((name.to_owned(), figure? as f64)))
    .collect()
}

/// What one object of a kind takes, of the lines of the ledger that are counted.
fn each(report: &MemoryReport) -> Figures {
    let counted = report.parts.iter().filter_map(|part| {
        let count = part.count.filter(|count| *count > 0)?;
        Some((format!("one of {}", part.name), part.bytes as f64 / count as f64))
    });
    let mut figures: Figures = counted.collect();
    let mut add = |name: &str, sum: u64, count: u64| {
        if count > 0 {
            figures.insert(name.to_owned(), sum as f64 / count as f64);
        }
    };
    add("connection, buffers and all", report.usage.connection_bytes, report.traffic.connections);
    add("request in flight", report.usage.correlation_bytes, report.traffic.in_flight);
    figures
}

fn cpu_each(report: &MemoryReport) -> Figures {
    let (requests, cpu_ms) = (requests(report), report.usage.cpu_ms);
    let name = "processor time of a request".to_owned();
    cpu_ms
        .filter(|_| requests >= ENOUGH_REQUESTS)
        .map(|ms| (name, ms as f64 * 1e6 / requests as f64))
        .into_iter()
        .collect()
}

/// What each request between the two reports left behind.
fn growth_each(before: &MemoryReport, after: &MemoryReport, tolerance: f64) -> Option<FigureChange> {
    let requests = requests(after).checked_sub(requests(before)).filter(|count| *count >= ENOUGH_REQUESTS)?;
    let grown = after.usage.heap_bytes?.saturating_sub(before.usage.heap_bytes?);
    let each = grown as f64 / requests as f64;
    // All of it is growth: there is nothing that it may be a share of.
    let is_beyond = grown as f64 > FigureUnit::Bytes.floor() && each > tolerance;
    (grown > 0).then(|| FigureChange {
        group: FigureGroup::Each,
        name: "heap left behind by a request".to_owned(),
        unit: FigureUnit::BytesEach,
        before: Some(0.0),
        after: Some(each),
        is_beyond,
    })
}

fn requests(report: &MemoryReport) -> u64 {
    let counts = report.operations.iter().flat_map(|operation| &operation.counts);
    counts.fold(0, |sum, count| sum.saturating_add(*count))
}

fn ledger(report: &MemoryReport) -> Figures {
    report.parts.iter().map(|part| (part.name.clone(), part.bytes as f64)).collect()
}

fn clients(report: &MemoryReport) -> Figures {
    let connections = &report.hotspots.connections;
    let connections =
        connections.iter().map(|spot| (format!("{} #{}", spot.peer, spot.number), spot.bytes as f64));
    let sessions = &report.hotspots.sessions;
    let sessions = sessions.iter().map(|spot| (format!("session #{}", spot.number), spot.bytes as f64));
    connections.chain(sessions).collect()
}

/// The 95th percentiles over the longest window that both have enough of.
fn latencies(before: &MemoryReport, after: &MemoryReport) -> (Figures, Figures) {
    let (mut was, mut is) = (Figures::new(), Figures::new());
    for latencies in &after.latencies {
        let same = |other: &&LatencyReport| (other.kind, &other.name) == (latencies.kind, &latencies.name);
        let Some(earlier) = before.latencies.iter().find(same) else { continue };
        let enough = |window: &&LatencyWindow| window.count >= ENOUGH_CALLS;
        let common = latencies.windows.iter().rev().filter(enough).find_map(|window| {
            let other = earlier.windows.iter().find(|other| other.window_s == window.window_s);
            Some((other.filter(enough)?.p95_ns, window.p95_ns))
        });
        if let Some((before_ns, after_ns)) = common {
            let name = format!("{} {}", latencies.kind.subject(), latencies.name);
            was.insert(name.trim_end().to_owned(), before_ns as f64);
            is.insert(name.trim_end().to_owned(), after_ns as f64);
        }
    }
    (was, is)
}

fn acquires(pool: &PoolReport) -> u64 {
    pool.hits.saturating_add(pool.misses)
}

fn misses(report: &MemoryReport) -> Figures {
    let used = report.pools.iter().filter(|pool| acquires(pool) >= ENOUGH_REQUESTS);
    used.map(|pool| (pool.name.clone(), pool.misses as f64 / acquires(pool) as f64)).collect()
}

fn settings(before: &MemoryReport, after: &MemoryReport) -> Vec<SettingChange> {
    let names: BTreeSet<&String> = before.settings.keys().chain(after.settings.keys()).collect();
    let change = |name: &String| SettingChange {
        name: name.clone(),
        before: before.settings.get(name).copied(),
        after: after.settings.get(name).copied(),
    };
    names.into_iter().map(change).filter(|change| change.before != change.after).collect()
}
