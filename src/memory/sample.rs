//! One second of a server, as the black box stores it and as readers get it.
//!
//! [`Record`] is the stored form: of a fixed size, in coarse units. [`Sample`] is the same for readers. Pure: what was
//! read is an argument. Invariant: making and merging records allocates nothing.

use super::ledger::Line;
use super::report::PressureLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parts of the ledger that a record has room for.
pub(super) const MAX_PARTS: usize = 24;
const KIB: u64 = 1024;
/// Unit of latencies.
const LATENCY_UNIT_NS: u64 = 100;
/// What was not known.
const NONE: u32 = u32::MAX;
const NONE_SHORT: u16 = u16::MAX;

/// A server over one second, or over ten of them that lie further back.
///
/// Sizes are of the end of a second, rounded down to KiB; of ten seconds, each figure is the highest, and the parts are
/// those of the second with most resident memory. Counts are what came in the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When it was taken, in milliseconds since 1970 (UTC).
    pub at_unix_ms: u64,
    /// The time that it covers, which ended then.
    pub span_ms: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Blocks handed out by the allocator, where it counts them.
    pub heap_bytes: Option<u64>,
    /// KiB of each part, in the order of [`History::parts`](super::History::parts).
    pub parts_kib: Vec<u32>,
    /// Connections that were open.
    pub connections: u64,
    /// Sessions that were kept.
    pub sessions: u64,
    /// Requests that waited for something.
    pub in_flight: u64,
    /// Messages that came.
    pub messages: u64,
    /// Error answers and results with `isError`.
    pub errors: u64,
    /// Work refused because memory was short.
    pub refused: u64,
    /// What half of the messages of the last 10 to 20 seconds took at most, in nanoseconds.
    pub p50_ns: Option<u64>,
    /// The same for 99 % of them.
    pub p99_ns: Option<u64>,
    /// Processor time that the process used.
    pub cpu_ms: u64,
    /// The level of memory pressure.
    pub pressure: PressureLevel,
    /// Time that tasks of the machine waited for memory; absent where the kernel does not tell.
    pub machine: Option<MemoryStalls>,
    /// The control group of the process; absent where the kernel does not tell.
    pub group: Option<GroupSample>,
}

/// Share of time in which tasks waited for memory, over 10 s, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryStalls {
    /// Some task waited.
    pub some_avg10: f64,
    /// All of them did; 0 where the kernel does not tell.
    pub full_avg10: f64,
    /// Whether some task waited for 200 ms of two seconds since the sample before: at once, where the averages follow
    /// slowly. Absent where the process may set no trigger.
    #[serde(default)]
    pub has_stalled: Option<bool>,
}

/// The control group of the process in one second: whether it was short of memory, whatever the machine had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupSample {
    /// Memory that the group was charged with, the kernel's part included.
    pub current_bytes: Option<u64>,
    /// Time that its tasks waited for memory.
    pub stalls: Option<MemoryStalls>,
    /// What happened in it since the sample before.
    pub events: Option<GroupEvents>,
}

/// Counts of `memory.events`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupEvents {
    /// Times that tasks had to give memory back as the group was above `memory.high`.
    pub high: u64,
    /// Times that the group came to `memory.max`.
    pub max: u64,
    /// Times that it could not get below.
    pub oom: u64,
    /// Processes of it that the kernel killed for that.
    pub oom_kill: u64,
}

impl GroupEvents {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            high: self.high.saturating_sub(before.high),
            max: self.max.saturating_sub(before.max),
            oom: self.oom.saturating_sub(before.oom),
            oom_kill: self.oom_kill.saturating_sub(before.oom_kill),
        }
    }
}

/// What is counted from the start of the process on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) messages: u64,
    pub(super) errors: u64,
    pub(super) refused: u64,
    pub(super) cpu_ms: u64,
    pub(super) events: Option<GroupEvents>,
}

/// What was read for one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'r> {
    pub(super) at_unix_ms: u64,
    pub(super) span_ms: u64,
    pub(super) rss_bytes: u64,
    pub(super) heap_bytes: Option<u64>,
    pub(super) connections: u64,
    pub(super) sessions: u64,
    pub(super) in_flight: u64,
    /// p50 and p99 in nanoseconds.
    pub(super) latencies: Option<(u64, u64)>,
    pub(super) pressure: PressureLevel,
    pub(super) machine: Option<MemoryStalls>,
    pub(super) group_bytes: Option<u64>,
    pub(super) group: Option<MemoryStalls>,
    pub(super) totals: Totals,
    pub(super) lines: &'r [Line],
}

/// A sample in its stored form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    at_unix_ms: u64,
    span_ms: u32,
    rss_kib: u32,
    heap_kib: u32,
    connections: u32,
    sessions: u32,
    in_flight: u32,
    messages: u32,
    errors: u32,
    refused: u32,
    p50: u32,
    p99: u32,
    cpu_ms: u32,
    group_kib: u32,
    /// Hundredths of a percent: some and full of the machine, some and full of the group.
    stalls: [u16; 4],
    /// high, max, oom, `oom_kill`.
    events: [u16; 4],
    /// How many records were merged into this one.
    merged: u16,
    level: PressureLevel,
    /// Two bits for the machine, and two for the group: whether there is a trigger, and whether it fired.
    fired: u8,
    parts_kib: [u32; MAX_PARTS],
}

/// Cut to what fits: figures beyond it are beyond any use.
fn cut(figure: u64) -> u32 {
    u32::try_from(figure).unwrap_or(NONE).min(NONE - 1)
}

fn cut_short(figure: u64) -> u16 {
    u16::try_from(figure).unwrap_or(NONE_SHORT).min(NONE_SHORT - 1)
}

fn optional(figure: Option<u64>) -> u32 {
    figure.map_or(NONE, cut)
}

fn known(figure: u32) -> Option<u64> {
    (figure != NONE).then_some(u64::from(figure))
}

/// The higher of two, where unknown is lower than all.
fn higher(one: u32, other: u32) -> u32 {
    optional(known(one).max(known(other)))
}

fn hundredths(stalls: Option<MemoryStalls>) -> [u16; 2] {
    let short = |percent: f64| cut_short((percent * 100.0) as u64);
    stalls.map_or([NONE_SHORT; 2], |stalls| [short(stalls.some_avg10), short(stalls.full_avg10)])
}

/// `fired` are the two bits of its trigger.
fn stalls(some: u16, full: u16, fired: u8) -> Option<MemoryStalls> {
    let percent = |hundredths: u16| f64::from(hundredths) / 100.0;
    (some != NONE_SHORT).then(|| MemoryStalls {
        some_avg10: percent(some),
        full_avg10: percent(full),
        has_stalled: (fired & TRIGGER_SET != 0).then_some(fired & TRIGGER_FIRED != 0),
    })
}

const TRIGGER_SET: u8 = 1;
const TRIGGER_FIRED: u8 = 2;

fn trigger_bits(stalls: Option<MemoryStalls>) -> u8 {
    match stalls.and_then(|stalls| stalls.has_stalled) {
        None => 0,
        Some(false) => TRIGGER_SET,
        Some(true) => TRIGGER_SET | TRIGGER_FIRED,
    }
}

impl Record {
    /// The record of what was read, after `before` was counted; `part` gives the number of a line, if it has one.
    pub(super) fn new(
        reading: &Reading<'_>,
        before: &Totals,
        mut part: impl FnMut(&'static str) -> Option<usize>,
    ) -> Self {
        let totals = &reading.totals;
        let mut parts_kib = [0; MAX_PARTS];
        for line in reading.lines {
            if let Some(kib) = part(line.name).and_then(|number| parts_kib.get_mut(number)) {
                *kib = cut(line.bytes / KIB);
            }
        }
        let ([some, full], [group_some, group_full]) =
            (hundredths(reading.machine), hundredths(reading.group));
        // The first reading tells where the counts were, not what came.
        let events = totals.events.zip(before.events).map(|(now, before)| now.since(before));
        Self {
            at_unix_ms: reading.at_unix_ms,
            span_ms: cut(reading.span_ms),
            rss_kib: cut(reading.rss_bytes / KIB),
            heap_kib: optional(reading.heap_bytes.map(|bytes| bytes / KIB)),
            connections: cut(reading.connections),
            sessions: cut(reading.sessions),
            in_flight: cut(reading.in_flight),
            messages: cut(totals.messages.saturating_sub(before.messages)),
            errors: cut(totals.errors.saturating_sub(before.errors)),
            refused: cut(totals.refused.saturating_sub(before.refused)),
            p50: optional(reading.latencies.map(|(p50, _)| p50 / LATENCY_UNIT_NS)),
            p99: optional(reading.latencies.map(|(_, p99)| p99 / LATENCY_UNIT_NS)),
            cpu_ms: cut(totals.cpu_ms.saturating_sub(before.cpu_ms)),
            group_kib: optional(reading.group_bytes.map(|bytes| bytes / KIB)),
            stalls: [some, full, group_some, group_full],
            events: events.map_or([NONE_SHORT; 4], |events| {
                [events.high, events.max, events.oom, events.oom_kill].map(cut_short)
            }),
            merged: 1,
            level: reading.pressure,
            fired: trigger_bits(reading.machine) | trigger_bits(reading.group) << 2,
            parts_kib,
        }
    }

    /// This and the record that follows it, as one.
    pub(super) fn merge(self, next: Self) -> Self {
        let sum = |one: u32, other: u32| cut(u64::from(one) + u64::from(other));
        let mut events = [NONE_SHORT; 4];
        let mut highest = [NONE_SHORT; 4];
        for at in 0..4 {
            let of_both = |both: [u16; 2]| both.into_iter().filter(|figure| *figure != NONE_SHORT);
            let (counted, seen) = ([self.events[at], next.events[at]], [self.stalls[at], next.stalls[at]]);
            events[at] = of_both(counted)
                .map(u64::from)
                .reduce(|one, other| one + other)
                .map_or(NONE_SHORT, cut_short);
            highest[at] = of_both(seen).max().unwrap_or(NONE_SHORT);
        }
        let largest = if next.rss_kib >= self.rss_kib { next } else { self };
        Self {
            at_unix_ms: next.at_unix_ms,
            span_ms: sum(self.span_ms, next.span_ms),
            rss_kib: largest.rss_kib,
            heap_kib: higher(self.heap_kib, next.heap_kib),
            connections: self.connections.max(next.connections),
            sessions: self.sessions.max(next.sessions),
            in_flight: self.in_flight.max(next.in_flight),
            messages: sum(self.messages, next.messages),
            errors: sum(self.errors, next.errors),
            refused: sum(self.refused, next.refused),
            p50: higher(self.p50, next.p50),
            p99: higher(self.p99, next.p99),
            cpu_ms: sum(self.cpu_ms, next.cpu_ms),
            group_kib: higher(self.group_kib, next.group_kib),
            stalls: highest,
            events,
            merged: self.merged.saturating_add(next.merged),
            level: self.level.max(next.level),
            fired: self.fired | next.fired,
            parts_kib: largest.parts_kib,
        }
    }

    /// How many records were merged into this one, itself included.
    pub(super) fn merged(&self) -> usize {
        usize::from(self.merged)
    }

    /// Whole tens of seconds since 1970, in which the record was made.
    pub(super) fn ten(&self) -> u64 {
        self.at_unix_ms / 10_000
    }

    /// The record for readers, with so many parts.
    pub(super) fn sample(&self, parts: usize) -> Sample {
        let [some, full, group_some, group_full] = self.stalls;
        let [high, max, oom, oom_kill] = self.events.map(u64::from);
        let group = GroupSample {
            current_bytes: known(self.group_kib).map(|kib| kib * KIB),
            stalls: stalls(group_some, group_full, self.fired >> 2),
            events: (self.events[0] != NONE_SHORT).then_some(GroupEvents { high, max, oom, oom_kill }),
        };
        let is_told = group.current_bytes.is_some() || group.stalls.is_some() || group.events.is_some();
        Sample {
            at_unix_ms: self.at_unix_ms,
            span_ms: u64::from(self.span_ms),
            rss_bytes: u64::from(self.rss_kib) * KIB,
            heap_bytes: known(self.heap_kib).map(|kib| kib * KIB),
            parts_kib: self.parts_kib.iter().take(parts).copied().collect(),
            connections: u64::from(self.connections),
            sessions: u64::from(self.sessions),
            in_flight: u64::from(self.in_flight),
            messages: u64::from(self.messages),
            errors: u64::from(self.errors),
            refused: u64::from(self.refused),
            p50_ns: known(self.p50).map(|units| units * LATENCY_UNIT_NS),
            p99_ns: known(self.p99).map(|units| units * LATENCY_UNIT_NS),
            cpu_ms: u64::from(self.cpu_ms),
            pressure: self.level,
            machine: stalls(some, full, self.fired),
            group: is_told.then_some(group),
        }
    }
}
