//! When memory and latencies changed in a record of many reports, told from noise.
//!
//! A pure function of reports; [`change_points`] decides what a change is.

use super::layout::{Cell, Column, Page, Section};
use crate::limits::units::{bytes, latency, rfc3339};
use crate::memory::{LatencyReport, MemoryReport};
use crate::monitor::{ChangeTerms, change_points};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;

/// Version of the changes as JSON.
const SCHEMA: &str = "mcpool.report-changes/1";
/// The window whose 95th percentile is followed, in seconds.
const WINDOW_S: u64 = 60;
/// Latencies in a window from which its quantile counts.
const ENOUGH_CALLS: u64 = 20;

/// What a series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesUnit {
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Ns,
}

/// A series that went on at another level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesChange {
    /// What it is a series of.
    pub series: String,
    /// What it counts.
    pub unit: SeriesUnit,
    /// The first report of the new level.
    pub at_unix_ms: u64,
    /// Mean before.
    pub before: f64,
    /// Mean after.
    pub after: f64,
    /// How often chance alone makes such a difference.
    pub p: f64,
    /// What else differs between the two reports beside the change: another process, version or setting.
    pub with: Vec<String>,
}

/// All changes of a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordChanges {
    /// `mcpool.report-changes/1`.
    pub schema: &'static str,
    /// Reports that were looked at.
    pub reports: usize,
    /// The changes, earliest first.
    pub changes: Vec<SeriesChange>,
}

/// The changes in reports, oldest first.
///
/// ```
/// use mcpool::Server;
/// use mcpool::monitor::ChangeTerms;
/// use mcpool::report::record_changes;
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let reports = [server.memory().report(), server.memory().report()];
/// assert!(record_changes(&reports, ChangeTerms::default()).changes.is_empty(), "two reports are no series");
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn record_changes(reports: &[MemoryReport], terms: ChangeTerms) -> RecordChanges {
    let mut series: BTreeMap<(SeriesUnit, String), Vec<(usize, f64)>> = BTreeMap::new();
    for (at, report) in reports.iter().enumerate() {
        for (unit, name, value) in values(report) {
            series.entry((unit, name)).or_default().push((at, value));
        }
    }
    let mut changes = Vec::new();
    for ((unit, name), points) in series {
        let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
        for found in change_points(&values, terms) {
            let (first, last) = (points[found.at].0, points[found.at - 1].0);
            changes.push(SeriesChange {
                series: name.clone(),
                unit,
                at_unix_ms: reports[first].taken_unix_ms,
                before: found.before,
                after: found.after,
                p: found.p,
                with: differences(&reports[last], &reports[first]),
            });
        }
    }
    changes.sort_by_key(|change| change.at_unix_ms);
    RecordChanges { schema: SCHEMA, reports: reports.len(), changes }
}

/// The values of a report that are followed.
fn values(report: &MemoryReport) -> impl Iterator<Item = (SeriesUnit, String, f64)> + '_ {
    let usage = &report.usage;
    let memory = [("resident memory", usage.rss_bytes), ("heap", usage.heap_bytes)];
    let memory = memory
        .into_iter()
        .filter_map(|(name, figure)| Some((SeriesUnit::Bytes, name.to_owned(), figure? as f64)));
    let p95 = |latencies: &LatencyReport| {
        let window = latencies.windows.iter().find(|window| window.window_s == WINDOW_S)?;
        let name = format!("p95 of {} {}", latencies.kind.subject(), latencies.name);
        (window.count >= ENOUGH_CALLS)
            .then(|| (SeriesUnit::Ns, name.trim_end().to_owned(), window.p95_ns as f64))
    };
    memory.chain(report.latencies.iter().filter_map(p95))
}

/// What else changed between two reports.
fn differences(before: &MemoryReport, after: &MemoryReport) -> Vec<String> {
    let mut found = Vec::new();
    let (was, is) = (&before.server, &after.server);
    if was.version != is.version {
        found.push(format!("version {} became {}", was.version, is.version));
    } else if was.pid != is.pid {
        found.push("the server was started anew".to_owned());
    }
    for (name, value) in &after.settings {
        if let Some(old) = before.settings.get(name).filter(|old| *old != value) {
            found.push(format!("{name}: {old} became {value}"));
        }
    }
    found
}

impl SeriesChange {
    /// Whether there is more of it: none of the series is one of which more is better.
    pub fn is_worse(&self) -> bool {
        self.after > self.before
    }

    fn row(&self) -> Vec<Cell> {
        let show = |value: f64| match self.unit {
            SeriesUnit::Bytes => bytes(value as u64),
            SeriesUnit::Ns => latency(value as u64),
        };
        let when = rfc3339(self.at_unix_ms);
        vec![
            Cell::name(&self.series),
            Cell::text(when.get(..19).unwrap_or_default().replace('T', " ")),
            Cell::text(show(self.before)),
            Cell::text(show(self.after)),
            Cell::text(format!("{:+.0} %", (self.after / self.before - 1.0) * 100.0)),
        ]
    }
}

impl RecordChanges {
    /// Whether nothing got worse.
    pub fn is_fine(&self) -> bool {
        !self.changes.iter().any(SeriesChange::is_worse)
    }

    /// Writes them in lines of at most `width` columns.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write(&self, width: usize, out: &mut impl io::Write) -> io::Result<()> {
        let headline = format!("{} changes of level in {} reports.", self.changes.len(), self.reports);
        let notes = self.changes.iter().filter(|change| !change.with.is_empty()).map(|change| {
            vec![
                Cell::name(&change.series),
                Cell::text(" changed when "),
                Cell::name(&change.with.join("; ")),
            ]
        });
        let columns = vec![
            Column::name("series"),
            Column::figure("since (UTC)", 1),
            Column::figure("before", 0),
            Column::figure("after", 0),
            Column::figure("change", 0),
        ];
        let section = Section {
            title: "Changes".to_owned(),
            columns,
            rows: self.changes.iter().map(SeriesChange::row).collect(),
            notes: notes.collect(),
        };
        let sections = section.unless_empty().into_iter().collect();
        Page { headline: vec![Cell::text(headline)], sections }.write_plain(width, out)
    }
}
