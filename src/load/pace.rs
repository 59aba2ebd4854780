//! Which request may begin now, and whether more are to come.
//!
//! Time is an argument. In an open loop requests begin at their times, in a closed one whenever there is room.

use super::schedule::Schedule;
use std::time::{Duration, Instant};

/// The course of one test.
pub(super) struct Pace {
    /// `None` in a closed loop.
    schedule: Option<Schedule>,
    /// Requests that are to begin earlier warm the server up.
    counts_from: Instant,
    /// No request begins at this moment or later.
    ends: Option<Instant>,
    /// How many requests that count are left.
    left: u64,
}

/// A request that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// When it was to begin: latency counts from here.
    pub(super) origin: Instant,
    pub(super) counts: bool,
}

impl Pace {
    pub(super) fn new(
        schedule: Option<Schedule>,
        counts_from: Instant,
        ends: Option<Instant>,
        count: Option<u64>,
    ) -> Self {
        Self { schedule, counts_from, ends, left: count.unwrap_or(u64::MAX) }
    }

    /// The next request, if it may begin at `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Begin> {
        if self.is_over(now) {
            return None;
        }
        let origin = match &mut self.schedule {
            Some(schedule) => schedule.take_due(now)?,
            None => now,
        };
        let counts = origin >= self.counts_from;
        self.left -= u64::from(counts);
        Some(Begin { origin, counts })
    }

    /// Whether no request begins any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.left == 0
            || self.ends.is_some_and(|ends| now >= ends)
            || self.schedule.as_ref().is_some_and(|schedule| schedule.next_time().is_none())
    }

    /// When the next request of an open loop is to begin.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.schedule.as_ref().and_then(Schedule::next_time)
    }

    /// How many requests of an open loop are to begin until `at`, the warm-up included.
    pub(super) fn scheduled_until(&self, at: Instant) -> Option<f64> {
        self.schedule.as_ref().map(|schedule| schedule.scheduled_until(at))
    }

    pub(super) fn is_open(&self) -> bool {
        self.schedule.is_some()
    }

    /// Ends it; gives how many requests that count were due before and did not begin.
    pub(super) fn end(&mut self, now: Instant) -> u64 {
        let due = |schedule: &Schedule| {
            let until = self.ends.map_or(now, |ends| ends.min(now));
            // What is due at that very moment counts.
            let before = self.counts_from.checked_sub(Duration::from_nanos(1)).unwrap_or(self.counts_from);
            schedule.overdue(until).saturating_sub(schedule.overdue(before)).min(self.left)
        };
        let dropped = self.schedule.as_ref().map_or(0, due);
        self.left = 0;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Segment;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open(begins: Instant, count: Option<u64>) -> Pace {
        let schedule = Schedule::new(begins, &[Segment::even(3.0, 10.0)]);
        Pace::new(Some(schedule), begins + SECOND, Some(begins + SECOND * 3), count)
    }

    fn taken(pace: &mut Pace, now: Instant) -> (usize, usize) {
        let all: Vec<_> = std::iter::from_fn(|| pace.take(now)).collect();
        (all.len(), all.iter().filter(|begin| begin.counts).count())
    }

    #[test]
    fn the_warm_up_comes_before_what_counts() {
        let begins = Instant::now();
        let mut pace = open(begins, None);
        assert_eq!(taken(&mut pace, begins + Duration::from_millis(950)), (10, 0));
        assert_eq!(pace.next_time(), Some(begins + SECOND));
        assert_eq!(taken(&mut pace, begins + SECOND * 2 + SECOND / 20), (11, 11));
        assert!(!pace.is_over(begins + SECOND * 2) && pace.is_over(begins + SECOND * 3));
        assert_eq!(pace.end(begins + SECOND * 9), 9, "from 2.1 s to 2.9 s");
        assert_eq!(pace.take(begins + SECOND * 2), None);
    }

    #[test]
    fn what_was_dropped_within_the_warm_up_does_not_count() {
        let begins = Instant::now();
        let mut pace = open(begins, None);
        assert_eq!(pace.end(begins + SECOND * 3), 20);
        let mut pace = open(begins, None);
        assert_eq!(pace.end(begins + SECOND * 2 + SECOND / 20), 11, "ended early");
    }

    #[test]
    fn a_count_ends_a_loop_of_either_kind() {
        let begins = Instant::now();
        let mut pace = open(begins, Some(3));
        assert_eq!(taken(&mut pace, begins + SECOND * 2), (13, 3));
        assert!(pace.is_over(begins + SECOND * 2));
        let mut pace = Pace::new(None, begins, None, Some(3));
        assert!(!pace.is_open());
        assert_eq!(taken(&mut pace, begins + SECOND * 60), (3, 3));
    }

    #[test]
    fn a_closed_loop_begins_whenever_there_is_room() {
        let begins = Instant::now();
        let mut pace = Pace::new(None, begins + SECOND, Some(begins + SECOND * 2), None);
        let begin = |at, counts| Some(Begin { origin: at, counts });
        assert_eq!(pace.take(begins), begin(begins, false));
        assert_eq!(pace.take(begins + SECOND), begin(begins + SECOND, true));
        assert_eq!(pace.take(begins + SECOND * 2), None);
        assert_eq!(pace.end(begins + SECOND * 2), 0);
    }
}
