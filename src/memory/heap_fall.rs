//! When a burst is over, by the bytes of the heap alone: then the allocator can return pages.

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
}
