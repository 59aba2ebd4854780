//! The black box: what happened in each of the last seconds, always recorded, in a fixed number of bytes.
//!
//! Two rings: 1,120 records of a second (18 minutes 40 seconds), and 368 of ten seconds (a little more than an hour).
//! Their room, 256 KiB at most, is reserved at the start and a line of the ledger; its pages come as it fills. Invariant:
//! recording allocates nothing.

use super::sample::{MAX_PARTS, Reading, Record, Sample, Totals};
use crate::limits::price::BLACK_BOX_BYTES;
use mcpool_pools::lasting;

/// Records of a second.
const SECONDS: usize = 1_120;
/// Records of ten seconds.
const TENS: usize = 368;
const BYTES: usize = (SECONDS + TENS) * size_of::<Record>();
const _: () = assert!(BYTES as u64 <= BLACK_BOX_BYTES && BYTES > 250 * 1024);

/// The records so far.
#[derive(Debug)]
pub(super) struct BlackBox {
    seconds: Ring,
    tens: Ring,
    /// The ten seconds that are under way.
    open: Option<Record>,
    parts: PartNames,
    /// What was counted at the last record.
    totals: Totals,
    last_unix_ms: Option<u64>,
}

/// Names of the parts, in the order in which they came.
#[derive(Debug)]
struct PartNames {
    names: [&'static str; MAX_PARTS],
    count: usize,
}

impl PartNames {
    /// The number of a part; a new one gets the next, as long as there is room.
    fn number_of(&mut self, name: &'static str) -> Option<usize> {
        if let Some(number) = self.names.iter().take(self.count).position(|known| *known == name) {
            return Some(number);
        }
        let number = self.count;
        *self.names.get_mut(number)? = name;
        self.count += 1;
        Some(number)
    }
}

/// The newest records.
#[derive(Debug)]
struct Ring {
    records: Vec<Record>,
    /// Where the next record goes once the ring is full: where the oldest is.
    oldest: usize,
    most: usize,
}

impl Ring {
    fn new(most: usize) -> Self {
        // Written when it is needed, and not here, as a page that nobody has written to takes no memory.
        Self { records: Vec::with_capacity(most), oldest: 0, most }
    }

    fn push(&mut self, record: Record) {
        if self.records.len() < self.most {
            self.records.push(record);
        } else if let Some(oldest) = self.records.get_mut(self.oldest) {
            *oldest = record;
            self.oldest = (self.oldest + 1) % self.most;
        }
    }

    /// Oldest first.
    fn iter(&self) -> impl DoubleEndedIterator<Item = &Record> {
        let (newer, older) = self.records.split_at(self.oldest);
        older.iter().chain(newer)
    }
}

impl BlackBox {
    pub(super) fn new() -> Self {
        let (seconds, tens) = lasting(|| (Ring::new(SECONDS), Ring::new(TENS)));
        Self {
            seconds,
            tens,
            open: None,
            parts: PartNames { names: [""; MAX_PARTS], count: 0 },
            totals: Totals::default(),
            last_unix_ms: None,
        }
    }

    /// Bytes reserved for the records.
    pub(super) const fn bytes() -> usize {
        BYTES
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.seconds.records.len() + self.tens.records.len()
    }

    /// Records what was read, since the record before.
    pub(super) fn record(&mut self, mut reading: Reading<'_>) {
        let last = self.last_unix_ms.replace(reading.at_unix_ms);
        reading.span_ms = last.map_or(reading.span_ms, |last| reading.at_unix_ms.saturating_sub(last));
        let parts = &mut self.parts;
        let record = Record::new(&reading, &self.totals, |name| parts.number_of(name));
        self.totals = reading.totals;
        self.seconds.push(record);
        self.open = Some(match self.open {
            Some(open) if open.ten() == record.ten() => open.merge(record),
            Some(open) => {
                self.tens.push(open);
                record
            }
            None => record,
        });
    }

    /// Refusals up to the last record.
    pub(super) fn refused(&self) -> u64 {
        self.totals.refused
    }

    /// Names of the parts, in the order of [`Sample::parts_kib`].
    pub(super) fn names(&self) -> &[&'static str] {
        &self.parts.names[..self.parts.count]
    }

    /// All samples, oldest first: those of ten seconds, and then those of a second. No moment is in two of them.
    pub(super) fn samples(&self) -> Vec<Sample> {
        // Records are counted back from the newest one: moments would not do, as clocks are set back at times.
        let (mut behind, kept) = (self.open.map_or(0, |open| open.merged()), self.seconds.records.len());
        let (mut older, mut covered) = (Vec::new(), 0);
        for ten in self.tens.iter().rev() {
            let until = behind;
            behind += ten.merged();
            if behind > kept {
                covered = covered.max(kept.saturating_sub(until));
                older.push(ten);
            }
        }
        let seconds = self.seconds.iter().skip(covered);
        older.into_iter().rev().chain(seconds).map(|record| record.sample(self.parts.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Line;
    use super::super::report::PressureLevel;
    use super::super::sample::{GroupEvents, MemoryStalls};
    use super::*;

    const BEGUN_MS: u64 = 1_700_000_000_000;

    fn reading(second: u64, lines: &[Line]) -> Reading<'_> {
        Reading {
            at_unix_ms: BEGUN_MS + second * 1_000,
            span_ms: 400,
            rss_bytes: (10_000 + second) * 1024,
            heap_bytes: None,
            connections: second,
            sessions: 2,
            in_flight: u64::from(second == 7) * 300,
            latencies: (second > 1).then_some((second * 1_000, u64::MAX)),
            pressure: if second == 3 { PressureLevel::Critical } else { PressureLevel::Normal },
            machine: Some(MemoryStalls { some_avg10: 1.25, full_avg10: 0.5, has_stalled: Some(second == 4) }),
            group_bytes: None,
            group: None,
            totals: Totals {
                messages: second * 10,
                errors: second,
                refused: second / 100,
                cpu_ms: second * 5,
                events: Some(GroupEvents { high: second * 2, ..GroupEvents::default() }),
            },
            lines,
        }
    }

    fn filled(seconds: u64) -> BlackBox {
        let mut black_box = BlackBox::new();
        for second in 0..seconds {
            let lines = [
                Line { name: "held", bytes: second * 1024, count: None },
                Line { name: "kept", bytes: 5_000, count: None },
            ];
            black_box.record(reading(second, &lines));
        }
        black_box
    }

    #[test]
    fn a_sample_says_what_was_read_and_what_came_since_the_one_before() {
        let black_box = filled(8);
        let samples = black_box.samples();
        assert_eq!((samples.len(), black_box.names()), (8, ["held", "kept"].as_slice()));
        assert_eq!((samples[0].span_ms, samples[0].messages, samples[0].group), (400, 0, None));
        let last = &samples[7];
        assert_eq!((last.at_unix_ms, last.span_ms), (BEGUN_MS + 7_000, 1_000));
        assert_eq!(
            (last.rss_bytes, last.heap_bytes, last.parts_kib.as_slice()),
            (10_007 * 1024, None, [7, 4].as_slice())
        );
        assert_eq!((last.messages, last.errors, last.refused, last.cpu_ms), (10, 1, 0, 5));
        assert_eq!((last.p50_ns, last.p99_ns), (Some(7_000), Some(u64::from(u32::MAX - 1) * 100)));
        assert_eq!(
            (samples[1].p50_ns, samples[3].pressure, last.in_flight),
            (None, PressureLevel::Critical, 300)
        );
        assert_eq!(
            last.machine,
            Some(MemoryStalls { some_avg10: 1.25, full_avg10: 0.5, has_stalled: Some(false) })
        );
        assert_eq!(samples[4].machine.and_then(|stalls| stalls.has_stalled), Some(true));
        let group = last.group.expect("events were counted");
        assert_eq!((group.current_bytes, group.stalls), (None, None));
        assert_eq!(group.events, Some(GroupEvents { high: 2, ..GroupEvents::default() }));
    }

    /// Whatever the time, each moment of the last hour is in one sample, and nothing was allocated for it.
    #[test]
    fn an_hour_is_there_and_no_moment_of_it_twice() {
        for seconds in [9, 11, 1_119, 1_120, 1_121, 1_125, 2_000, 3_600, 4_795, 4_796, 4_797, 10_000] {
            let black_box = filled(seconds);
            let samples = black_box.samples();
            let covered_ms: u64 = samples.iter().skip(1).map(|sample| sample.span_ms).sum();
            let (first, last) = (&samples[0], &samples[samples.len() - 1]);
            assert_eq!(covered_ms, last.at_unix_ms - first.at_unix_ms, "{seconds} s");
            assert_eq!(last.at_unix_ms, BEGUN_MS + (seconds - 1) * 1_000);
            assert!(samples.windows(2).all(|two| two[1].at_unix_ms - two[1].span_ms == two[0].at_unix_ms));
            assert!(
                covered_ms + 10_000 >= (seconds - 1).min(3_600) * 1_000,
                "{covered_ms} ms of {seconds} s"
            );
            let messages: u64 = samples.iter().skip(1).map(|sample| sample.messages).sum();
            assert_eq!(messages * 100, covered_ms, "{seconds} s");
            let of_a_second = samples.iter().filter(|sample| sample.span_ms == 1_000).count() as u64;
            assert!(of_a_second >= (seconds - 1).min(1_110), "{of_a_second} of {seconds} s");
            assert!(black_box.len() <= SECONDS + TENS);
        }
    }

    #[test]
    fn ten_seconds_have_the_highest_of_each_figure_and_the_sums() {
        let black_box = filled(5_000);
        let samples = black_box.samples();
        let ten = samples.iter().find(|sample| sample.span_ms == 10_000).expect("ten seconds");
        let second = (ten.at_unix_ms - BEGUN_MS) / 1_000;
        assert_eq!((ten.rss_bytes, ten.connections), ((10_000 + second) * 1024, second));
        assert_eq!((ten.messages, ten.errors, ten.cpu_ms), (100, 10, 50));
        assert_eq!(ten.parts_kib, [second as u32, 4]);
        assert_eq!(ten.group.and_then(|group| group.events).expect("events").high, 20);
        let merged = filled(10);
        let open = merged.open.expect("under way").sample(2);
        assert_eq!((open.in_flight, open.pressure), (300, PressureLevel::Critical));
        assert_eq!(open.machine.and_then(|stalls| stalls.has_stalled), Some(true));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut black_box = filled(1_500);
        for second in 0..1_000 {
            black_box.record(reading(second, &[]));
        }
        let samples = black_box.samples();
        let of_a_second = samples.iter().filter(|sample| sample.span_ms <= 1_000).count();
        assert!(of_a_second >= 1_100, "{of_a_second}");
        assert!(samples.len() < SECONDS + TENS, "{}", samples.len());
    }

    #[test]
    fn parts_beyond_the_room_are_left_out() {
        const NAMES: [&str; 26] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
            "t", "u", "v", "w", "x", "y", "z",
        ];
        let lines = NAMES.map(|name| Line { name, bytes: 1024, count: None });
        let mut black_box = BlackBox::new();
        black_box.record(reading(1, &lines));
        assert_eq!(black_box.names(), &NAMES[..MAX_PARTS]);
        assert_eq!(black_box.samples()[0].parts_kib, [1; MAX_PARTS]);
    }
}
