//! How many lines of a log are about requests that are refused before they are read.
//!
//! Whoever is refused pays nothing for it, and a flood of them would fill the disk: so a second has a bounded number of such
//! lines, and each says how many were left out before it; what is left when a flood is over is said without one.

use std::time::{Duration, Instant};

/// Lines in a second: with the longest lines, less than a megabyte in a minute.
const MOST_LINES: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// The lines of the second at hand.
#[derive(Debug, Default)]
pub(super) struct RefusedLines {
    begun: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl RefusedLines {
    /// Counts a request that is refused. Returns how many have no line since the last one; `None` if this one has none
    /// either.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= SECOND) {
            (self.begun, self.lines) = (Some(now), 0);
        }
        if self.lines >= MOST_LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// Notes a line that was to say how many have none, and was lost with them.
    pub(super) fn note_lost(&mut self, left_out: u64) {
        self.left_out += left_out;
    }

    /// When to ask [`RefusedLines::overdue`]: `None` unless some are left out, or will be if there are more.
    pub(super) fn asks_in(&self, now: Instant) -> Option<Duration> {
        let begun = self.begun.filter(|_| self.left_out > 0 || self.lines >= MOST_LINES)?;
        Some(SECOND.saturating_sub(now.saturating_duration_since(begun)))
    }

    /// How many have no line and are not told, once their second is over: the flood may be, too.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<u64> {
        if self.asks_in(now).is_none_or(|left| !left.is_zero()) {
            return None;
        }
        // The next one begins a second of its own.
        self.begun = None;
        self.left()
    }

    /// How many have no line and are not told.
    pub(super) fn left(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.left_out)).filter(|left_out| *left_out > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_few_lines_and_each_is_counted() {
        let (mut lines, begun) = (RefusedLines::default(), Instant::now());
        let (mut written, mut left_out) = (0, 0);
        for ms in 0..10_000 {
            if let Some(before) = lines.count(begun + Duration::from_millis(ms)) {
                written += 1;
                left_out += before;
            }
        }
        assert_eq!((written, left_out), (200, 9 * 980), "the last 980 are told with the next");
        assert_eq!(lines.count(begun + Duration::from_mins(1)), Some(980));
        assert_eq!(lines.count(begun), Some(0), "a clock that stands still does no harm");
    }

    #[test]
    fn what_a_flood_leaves_is_told_when_its_second_is_over() {
        let (mut lines, begun) = (RefusedLines::default(), Instant::now());
        assert_eq!((lines.asks_in(begun), lines.overdue(begun)), (None, None), "nobody was refused");
        assert_eq!(lines.count(begun), Some(0));
        assert_eq!(lines.asks_in(begun), None, "there is a line for all");
        (1..MOST_LINES).for_each(|_| assert_eq!(lines.count(begun), Some(0)));
        let soon = begun + Duration::from_millis(400);
        assert_eq!(lines.asks_in(soon), Some(Duration::from_millis(600)), "more would have none");
        (0..7).for_each(|_| assert_eq!(lines.count(soon), None));
        assert_eq!(lines.overdue(soon), None, "the next one may tell them");
        assert_eq!(lines.overdue(begun + SECOND), Some(7));
        assert_eq!((lines.asks_in(begun + SECOND), lines.left()), (None, None), "told once");
        assert_eq!(lines.count(begun + SECOND), Some(0));
        lines.note_lost(3);
        assert_eq!(lines.asks_in(begun + SECOND), Some(SECOND));
        assert_eq!(lines.left(), Some(3), "the end waits for nothing");
    }
}
