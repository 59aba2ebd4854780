//! When the allocator should return pages: when a burst is over, by the bytes of the heap, and when it holds many pages
//! beyond the heap, by what is resident.

/// What must have been freed to be worth a purge: it costs each thread about a millisecond.
const FALL_BYTES: u64 = 256 * 1024;
/// A heap that becomes smaller by more than this is still falling.
const STEP_BYTES: u64 = 64 * 1024;

/// Looks between a purge and the one after it. What connections that end, and the purge itself, free on other threads than
/// it was allocated on is in no purge before.
const LOOKS_TO_CLOSE: u8 = 2;

/// The course of the heap, looked at each second.
#[derive(Debug, Default)]
pub(super) struct HeapFall {
    /// The highest since the last purge.
    high_bytes: u64,
    before_bytes: u64,
    /// Looks until the purge that closes the burst; 0 if none is due.
    to_close: u8,
}

impl HeapFall {
    /// Whether much was freed since the heap was at its highest, and no more is being freed. Says so once, and once more
    /// when the last of the burst has gone.
    pub(super) fn is_over(&mut self, bytes: u64) -> bool {
        let still_falls = bytes + STEP_BYTES < std::mem::replace(&mut self.before_bytes, bytes);
        if still_falls || self.high_bytes.saturating_sub(bytes) < FALL_BYTES {
            self.high_bytes = self.high_bytes.max(bytes);
            let is_waiting = self.to_close > 0;
            self.to_close = self.to_close.saturating_sub(1);
            return is_waiting && self.to_close == 0;
        }
        self.high_bytes = bytes;
        self.to_close = LOOKS_TO_CLOSE;
        true
    }
}

/// Pages beyond the blocks of the heap, above the least there ever were, that are worth a purge.
const SLACK_BYTES: u64 = 256 * 1024;
/// A purge that lowers them by less was of no use.
const USEFUL_BYTES: u64 = 64 * 1024;
/// The most looks from a purge of no use to the next: live blocks hold the pages, and a purge does not move them.
const MAX_LOOKS: u8 = 64;

/// The resident pages beyond the blocks of the heap, looked at each second.
///
/// What comes free a little at a time after a burst, as timers of its connections end, is no fall of the heap. But the
/// allocator keeps an empty page of each size for each thread: 2 MiB were kept so.
#[derive(Debug)]
pub(super) struct Slack {
    least_bytes: u64,
    heap_bytes: u64,
    /// What there was at the last purge.
    purged_bytes: u64,
    /// Looks to pass over until the next purge, and how many that was the last time.
    looks_left: u8,
    looks: u8,
}

impl Default for Slack {
    fn default() -> Self {
        Self { least_bytes: u64::MAX, heap_bytes: 0, purged_bytes: u64::MAX, looks_left: 0, looks: 1 }
    }
}

impl Slack {
    /// Whether pages should be returned: there are many beyond the heap, which rests.
    pub(super) fn is_due(&mut self, heap_bytes: u64, anonymous_bytes: u64) -> bool {
        let slack = anonymous_bytes.saturating_sub(heap_bytes);
        self.least_bytes = self.least_bytes.min(slack);
        let is_resting =
            std::mem::replace(&mut self.heap_bytes, heap_bytes).abs_diff(heap_bytes) <= STEP_BYTES;
        if slack < self.least_bytes + SLACK_BYTES {
            (self.looks_left, self.looks, self.purged_bytes) = (0, 1, u64::MAX);
            return false;
        }
        self.looks_left = self.looks_left.saturating_sub(1);
        if !is_resting || self.looks_left > 0 {
            return false;
        }
        let was_useful = slack + USEFUL_BYTES <= self.purged_bytes;
        self.looks = if was_useful { 1 } else { (self.looks * 2).min(MAX_LOOKS) };
        (self.looks_left, self.purged_bytes) = (self.looks, slack);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heaps in units of 100 KiB, one a second, and the seconds at which a purge is due.
    #[test]
    fn a_purge_is_due_when_the_heap_has_fallen_and_no_longer_falls_and_once_more() {
        let rows: [(&[u64], &[usize]); 5] = [
            (&[1, 2, 3, 4], &[]),
            (&[9, 9, 9, 2, 2, 2, 2, 2, 2, 2], &[4, 6]),
            (&[9, 7, 5, 3, 1, 1, 1, 1, 1, 1], &[5, 7]),
            (&[9, 8, 8, 7, 7, 6, 6, 6], &[6]),
            (&[1, 9, 1, 9, 1, 1, 5, 1, 1, 1, 1, 1], &[5, 7, 8, 10]),
        ];
        for (heaps, want) in rows {
            let mut fall = HeapFall::default();
            let due: Vec<usize> =
                (0..heaps.len()).filter(|second| fall.is_over(heaps[*second] * 100 * 1024)).collect();
            assert_eq!(due, want, "{heaps:?}");
        }
    }

    /// Slacks in units of 100 KiB beside a heap that rests, one a second, and the seconds at which a purge is due.
    #[test]
    fn pages_beyond_a_heap_that_rests_are_returned_as_long_as_that_is_of_use() {
        let rows: [(&[u64], &[usize]); 3] = [
            (&[5, 5, 6, 7, 6, 5], &[]),
            // Each purge is of use.
            (&[5, 40, 30, 20, 8, 5, 5], &[1, 2, 3, 4]),
            // Live blocks hold the pages.
            (&[4, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20], &[1, 2, 4, 8, 16]),
        ];
        for (slacks, want) in rows {
            let mut slack = Slack::default();
            let looks = slacks.iter().enumerate();
            let due: Vec<usize> = looks
                .filter(|(_, bytes)| slack.is_due(1 << 20, (1 << 20) + **bytes * 100 * 1024))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(due, want, "{slacks:?}");
        }
    }

    #[test]
    fn pages_beyond_a_heap_that_moves_are_left() {
        let mut slack = Slack::default();
        assert!(!slack.is_due(1 << 20, 1 << 20));
        for second in 1..100 {
            let heap_bytes = (1 << 20) + second % 2 * 128 * 1024;
            assert!(!slack.is_due(heap_bytes, heap_bytes + (4 << 20)));
        }
        assert!(!slack.is_due(1 << 20, 5 << 20), "it has just fallen");
        assert!(slack.is_due(1 << 20, 5 << 20));
    }
}
