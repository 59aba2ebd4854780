//! Contents of unknown length: whatever the pieces they come in, they are the same, and are charged once.

use mcpool_pools::{
    BufferConfig, BufferLease, BufferPool, LeasedBudget, MemoryBudget, PoolControl, Segments,
};
use proptest::collection::vec;
use proptest::prelude::*;

const KIB: usize = 1024;
const SEGMENT: usize = 64 * KIB;

fn charged(limit_bytes: usize) -> (BufferPool, MemoryBudget) {
    let budget = MemoryBudget::new(limit_bytes);
    let leased = LeasedBudget { budget: budget.clone(), from_bytes: SEGMENT + 1 };
    (BufferPool::new(BufferConfig { leased: Some(leased), ..BufferConfig::default() }), budget)
}

fn in_use(pool: &BufferPool) -> usize {
    pool.classes().map(|class| class.snapshot().in_use).sum::<u64>() as usize
}

/// Bytes that tell where they are.
fn byte_at(at: usize) -> u8 {
    (at / 7 + at / 257) as u8
}

/// Contents on their way in: those that are whole segments, and the one that is being filled.
struct Growing {
    pool: BufferPool,
    segments: Segments,
    last: BufferLease,
    /// The most that was charged.
    peak_bytes: usize,
}

impl Growing {
    fn new(pool: &BufferPool) -> Self {
        Self { pool: pool.clone(), segments: Segments::default(), last: pool.acquire(SEGMENT), peak_bytes: 0 }
    }

    /// Appends bytes as they come; `false` if there is no room for more.
    fn append(&mut self, mut bytes: &[u8], budget: &MemoryBudget) -> bool {
        while !bytes.is_empty() {
            if self.last.len() == self.last.capacity() {
                if self.segments.try_push(&self.pool, &mut self.last).is_err() {
                    return false;
                }
                assert!(self.last.is_empty(), "an empty one to go on with");
                self.peak_bytes = self.peak_bytes.max(budget.used_bytes());
            }
            let room = self.last.capacity() - self.last.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.last.extend_from_slice(now);
            bytes = later;
        }
        true
    }
}

proptest! {
    // Megabytes each.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_gives_the_same_bytes_charged_once(
        cuts in vec(1_usize..200 * KIB, 1..24),
        rest in 0_usize..KIB,
    ) {
        let (pool, budget) = charged(usize::MAX >> 1);
        let bytes: Vec<u8> = (0..cuts.iter().sum()).map(byte_at).collect();
        let mut growing = Growing::new(&pool);
        let mut left = &bytes[..];
        for cut in &cuts {
            let (now, later) = left.split_at(*cut);
            prop_assert!(growing.append(now, &budget));
            left = later;
        }
        let end = growing.last.len();
        prop_assert_eq!(growing.segments.len() + end, bytes.len());
        let pieces: Vec<u8> = growing.segments.pieces().chain([&growing.last[..]]).flatten().copied().collect();
        prop_assert!(pieces == bytes, "piece by piece");
        // What follows the end belongs to somebody else.
        growing.last.resize(end + rest, b'#');
        let is_long = !growing.segments.is_empty();
        let whole = growing.segments.join(&pool, &growing.last[..end]);
        prop_assert!(whole[..] == bytes[..], "joined");
        prop_assert_eq!((growing.segments.len(), whole.capacity()), (0, bytes.len()));
        prop_assert_eq!(budget.used_bytes(), if is_long { bytes.len() } else { 0 });
        let most_bytes = Segments::most_bytes(bytes.len());
        prop_assert!(growing.peak_bytes <= most_bytes, "{} of {}", growing.peak_bytes, most_bytes);
        prop_assert_eq!(most_bytes, bytes.len() + 2 * SEGMENT);
        drop((growing, whole));
        prop_assert_eq!((budget.used_bytes(), in_use(&pool)), (0, 0));
    }

    #[test]
    fn a_refusal_leaves_all_as_it_was(room in 0..40 * SEGMENT, bytes in 0..40 * SEGMENT) {
        let (pool, budget) = charged(room);
        let bytes: Vec<u8> = (0..bytes).map(byte_at).collect();
        let mut growing = Growing::new(&pool);
        let came = growing.append(&bytes, &budget);
        let used_bytes = budget.used_bytes();
        prop_assert!(used_bytes <= room, "{} of {}", used_bytes, room);
        let here: Vec<u8> = growing.segments.pieces().chain([&growing.last[..]]).flatten().copied().collect();
        prop_assert!(bytes.starts_with(&here) && (here.len() == bytes.len()) == came);
        if !came {
            prop_assert_eq!(growing.last.len(), growing.last.capacity());
            prop_assert!(Segments::most_bytes(here.len()) > room, "there was room");
            // What is full can still become one, or be pushed when there is room.
            budget.set_limit_bytes(usize::MAX >> 1);
            prop_assert!(growing.append(&bytes[here.len()..], &budget));
        }
        let end = growing.last.len();
        let whole = growing.segments.join(&pool, &growing.last[..end]);
        prop_assert!(whole[..] == bytes[..]);
        growing.segments.clear();
        drop((growing, whole));
        prop_assert_eq!((budget.used_bytes(), in_use(&pool)), (0, 0));
    }
}

#[test]
fn segments_are_freed_and_not_kept_and_what_is_forgotten_is_not_charged() {
    let (pool, budget) = charged(8 * SEGMENT);
    let mut growing = Growing::new(&pool);
    assert!(growing.append(&vec![1; 4 * SEGMENT + 1], &budget));
    assert_eq!(budget.used_bytes(), 6 * SEGMENT, "the contents, the next segment and the one that is copied");
    let next = growing.segments.next(&pool);
    assert_eq!((next.len(), next.capacity()), (0, SEGMENT));
    drop(next);
    growing.segments.clear();
    assert_eq!((growing.segments.len(), budget.used_bytes()), (0, 0));
    drop(growing);
    let idle: Vec<_> = pool.classes().map(PoolControl::snapshot).filter(|class| class.idle > 0).collect();
    assert_eq!(idle.len(), 1, "the first one, which is an ordinary buffer: {idle:?}");
    assert_eq!(idle[0].idle_bytes, SEGMENT as u64);
}

#[test]
fn without_a_budget_nothing_is_charged_or_refused() {
    let pool = BufferPool::default();
    let mut growing = Growing::new(&pool);
    assert!(growing.append(&vec![1; 100 * SEGMENT], &MemoryBudget::new(0)));
    let end = growing.last.len();
    assert_eq!(growing.segments.join(&pool, &growing.last[..end]).len(), 100 * SEGMENT);
}

#[test]
fn a_first_segment_that_is_charged_itself_is_charged_once() {
    for (limit_bytes, has_room) in [(3 * SEGMENT, true), (3 * SEGMENT - 1, false)] {
        let budget = MemoryBudget::new(limit_bytes);
        let leased = LeasedBudget { budget: budget.clone(), from_bytes: SEGMENT };
        let pool = BufferPool::new(BufferConfig { leased: Some(leased), ..BufferConfig::default() });
        let mut growing = Growing::new(&pool);
        assert_eq!(growing.append(&vec![1; SEGMENT + 1], &budget), has_room);
        assert_eq!(budget.used_bytes(), if has_room { 3 * SEGMENT } else { SEGMENT }, "{limit_bytes}");
        drop(growing);
        assert_eq!(budget.used_bytes(), 0);
    }
}
