//! One moment of a history beside the one a minute before it, as a table.
//!
//! Pure: how a moment is written, in which zone, is an argument.

use super::layout::{Cell, Column, Page, Section};
use crate::limits::units::{bytes, duration, grouped, latency};
use crate::memory::{GroupSample, History, MemoryStalls, Sample, ServerFacts};
use serde::Serialize;
use std::cmp::Reverse;
use std::io::{self, Write};

/// The version of a moment's JSON.
pub const MOMENT_SCHEMA: &str = "mcpool.moment/1";
/// How far the nearest sample may be from the moment that is asked for: a second and a half of ten-second samples.
const REACH_MS: u64 = 15_000;
/// How far the other one lies back.
const BEFORE_MS: u64 = 60_000;
/// Most parts that are shown.
const TOP: usize = 12;

/// A sample, and the one a minute before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// [`MOMENT_SCHEMA`].
    pub schema: &'static str,
    /// The server.
    pub server: ServerFacts,
    /// The limit of its resident memory.
    pub limit_bytes: Option<u64>,
    /// Names of the parts, in the order of [`Sample::parts_kib`].
    pub parts: Vec<String>,
    /// The sample nearest to the moment that was asked for.
    pub at: Sample,
    /// The one a minute before it, as far as the history reaches.
    pub before: Option<Sample>,
}

impl Moment {
    /// The moment of a history, in milliseconds since 1970; `None` where the history has none within 15 seconds of it.
    pub fn of(history: &History, unix_ms: u64) -> Option<Self> {
        let at = history.at(unix_ms, REACH_MS)?.clone();
        let before = history.at(at.at_unix_ms.saturating_sub(BEFORE_MS), REACH_MS);
        Some(Self {
            schema: MOMENT_SCHEMA,
            server: history.server.clone(),
            limit_bytes: history.limit_bytes,
            parts: history.parts.clone(),
            before: before.filter(|before| before.at_unix_ms < at.at_unix_ms).cloned(),
            at,
        })
    }

    /// Writes it as a table of lines of at most `width` columns; `clock` writes a moment for people.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write(&self, clock: &dyn Fn(u64) -> String, width: usize, out: &mut impl Write) -> io::Result<()> {
        let of_limit = match self.limit_bytes {
            Some(limit) if limit > 0 => {
                format!(" of {} ({} %)", bytes(limit), self.at.rss_bytes.saturating_mul(100) / limit)
            }
            _ => String::new(),
        };
        let headline = vec![
            Cell::name(&self.server.name),
            Cell::text(format!(" (pid {}) at {}: ", self.server.pid, clock(self.at.at_unix_ms))),
            Cell::text(format!("{} resident{of_limit}; pressure is ", bytes(self.at.rss_bytes))),
            Cell::text(format!("{:?}.", self.at.pressure).to_ascii_lowercase()),
        ];
        let sections = vec![
            self.section("What it held", self.held(), clock),
            self.section("What it did", self.done(), clock),
        ];
        Page { headline, sections }.write_plain(width, out)
    }

    fn section(&self, title: &str, rows: Vec<Row>, clock: &dyn Fn(u64) -> String) -> Section {
        let span = |sample: &Sample| duration(sample.span_ms);
        let before = self.before.as_ref().map_or_else(
            || "no sample of a minute before".to_owned(),
            |before| format!("{} (over {}) before", clock(before.at_unix_ms), span(before)),
        );
        let title =
            format!("{title}: {before}, {} (over {}) then", clock(self.at.at_unix_ms), span(&self.at));
        let columns = vec![
            Column::name(""),
            Column::figure("before", 1),
            Column::figure("then", 0),
            Column::figure("change", 0),
        ];
        let rows = rows.into_iter().map(Row::cells).collect();
        Section { title, columns, rows, notes: Vec::new() }
    }

    /// Memory in all, and the largest parts of either sample.
    fn held(&self) -> Vec<Row> {
        let mut rows = vec![
            self.row("resident", Unit::Bytes, |sample| Some(sample.rss_bytes as f64)),
            self.row("live heap", Unit::Bytes, |sample| sample.heap_bytes.map(|bytes| bytes as f64)),
            self.row("control group", Unit::Bytes, |sample| {
                sample.group.and_then(|group| group.current_bytes).map(|bytes| bytes as f64)
            }),
        ];
        let mut parts: Vec<Row> = self
            .parts
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let kib = |sample: &Sample| sample.parts_kib.get(number).copied();
                self.row(name, Unit::Bytes, |sample| kib(sample).map(|kib| f64::from(kib) * 1024.0))
            })
            .filter(|row| row.largest() > 0.0)
            .collect();
        parts.sort_by_key(|row| Reverse(row.largest() as u64));
        parts.truncate(TOP);
        rows.extend(parts);
        rows.into_iter().filter(Row::is_known).collect()
    }

    fn done(&self) -> Vec<Row> {
        let count = |name: &str, figure: fn(&Sample) -> u64| {
            self.row(name, Unit::Count, move |sample| Some(figure(sample) as f64))
        };
        let a_second = |count: u64, sample: &Sample| count as f64 * 1_000.0 / sample.span_ms.max(1) as f64;
        let stalls = |name: &str, stalls: fn(&Sample) -> Option<f64>| self.row(name, Unit::Percent, stalls);
        let group = |sample: &Sample| sample.group.and_then(|group: GroupSample| group.stalls);
        let events = |sample: &Sample| sample.group.and_then(|group| group.events);
        let of = |name: &str, figure: &dyn Fn(&Sample) -> Option<u64>| {
            self.row(name, Unit::Count, |sample| figure(sample).map(|count| count as f64))
        };
        let some = |stalls: MemoryStalls| stalls.some_avg10;
        let rows = vec![
            count("connections", |sample| sample.connections),
            count("sessions", |sample| sample.sessions),
            count("requests in flight", |sample| sample.in_flight),
            self.row("messages a second", Unit::Count, |sample| Some(a_second(sample.messages, sample))),
            count("errors", |sample| sample.errors),
            count("refused, memory was short", |sample| sample.refused),
            self.row("p50 of messages", Unit::Latency, |sample| sample.p50_ns.map(|ns| ns as f64)),
            self.row("p99 of messages", Unit::Latency, |sample| sample.p99_ns.map(|ns| ns as f64)),
            self.row("processor", Unit::Percent, |sample| Some(a_second(sample.cpu_ms, sample) / 10.0)),
            stalls("machine waits for memory", |sample| sample.machine.map(|stalls| stalls.some_avg10)),
            self.row("group waits for memory", Unit::Percent, |sample| group(sample).map(some)),
            of("group above memory.high", &|sample| events(sample).map(|events| events.high)),
            of("group at memory.max", &|sample| events(sample).map(|events| events.max)),
            of("killed in the group", &|sample| events(sample).map(|events| events.oom_kill)),
        ];
        rows.into_iter().filter(Row::is_known).collect()
    }

    fn row(&self, name: &str, unit: Unit, figure: impl Fn(&Sample) -> Option<f64>) -> Row {
        Row {
            name: name.to_owned(),
            unit,
            before: self.before.as_ref().and_then(&figure),
            then: figure(&self.at),
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Count,
    Latency,
    Percent,
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::Bytes => bytes(figure as u64),
            Self::Count => grouped(figure.round() as u64),
            Self::Latency => latency(figure as u64),
            Self::Percent => format!("{figure:.1} %"),
        }
    }
}

/// One figure of both samples.
struct Row {
    name: String,
    unit: Unit,
    before: Option<f64>,
    then: Option<f64>,
}

impl Row {
    fn is_known(&self) -> bool {
        self.before.is_some() || self.then.is_some()
    }

    fn largest(&self) -> f64 {
        self.before.unwrap_or_default().max(self.then.unwrap_or_default())
    }

    fn cells(self) -> Vec<Cell> {
        let Self { name, unit, before, then } = self;
        let show = |figure: Option<f64>| Cell::text(figure.map_or_else(|| "-".to_owned(), |f| unit.show(f)));
        let change = before.zip(then).map_or_else(String::new, |(before, then)| {
            let shown = unit.show((then - before).abs());
            match then.total_cmp(&before) {
                std::cmp::Ordering::Less => format!("-{shown}"),
                std::cmp::Ordering::Equal => "=".to_owned(),
                std::cmp::Ordering::Greater => format!("+{shown}"),
            }
        });
        vec![Cell::name(&name), show(before), show(then), Cell::text(change)]
    }
}
