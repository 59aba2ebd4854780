//! When a burst is over, by the bytes of the heap alone: then the allocator can return pages.

/// What must have been freed to be worth a purge: it costs each thread about a millisecond.
const FALL_BYTES: u64 = 256 * 1024;
/// A heap that becomes smaller by more than this is still falling.
const STEP_BYTES: u64 = 64 * 1024;

/// The course of the heap, looked at each second.
#[derive(Debug, Default)]
pub(super) struct HeapFall {
    /// The highest since the last purge.
    high_bytes: u64,
    before_bytes: u64,
}

impl HeapFall {
    /// Whether much was freed since the heap was at its highest, and no more is being freed. Says so once.
    pub(super) fn is_over(&mut self, bytes: u64) -> bool {
        let still_falls = bytes + STEP_BYTES < std::mem::replace(&mut self.before_bytes, bytes);
        if still_falls || self.high_bytes.saturating_sub(bytes) < FALL_BYTES {
            self.high_bytes = self.high_bytes.max(bytes);
            return false;
        }
        self.high_bytes = bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heaps in units of 100 KiB, one a second, and the seconds at which a purge is due.
    #[test]
    fn a_purge_is_due_once_when_the_heap_has_fallen_and_no_longer_falls() {
        let rows: [(&[u64], &[usize]); 5] = [
            (&[1, 2, 3, 4], &[]),
            (&[9, 9, 9, 2, 2, 2, 2], &[4]),
            (&[9, 7, 5, 3, 1, 1, 1], &[5]),
            (&[9, 8, 8, 7, 7, 6, 6, 6], &[6]),
            (&[1, 9, 1, 9, 1, 1, 5, 1, 1], &[5, 8]),
        ];
        for (heaps, want) in rows {
            let mut fall = HeapFall::default();
            let due: Vec<usize> =
                (0..heaps.len()).filter(|second| fall.is_over(heaps[*second] * 100 * 1024)).collect();
            assert_eq!(due, want, "{heaps:?}");
        }
    }
}
