//! How many lines of a log are about requests that are refused before they are read.
//!
//! Whoever is refused pays nothing for it, and a flood of them would fill the disk: so a second has a bounded number of such
//! lines, and each says how many were left out before it.

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
}
