//! A counter for which threads do not contend.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Groups of threads.
const SHARDS: usize = 4;

/// A count that only grows, in one cache line for each of a few groups of threads: one shared atomic costs
/// seven times as much once two threads add to it.
///
/// ```
/// let frames = mcpool::metrics::Counter::default();
/// frames.add(2);
/// assert_eq!(frames.total(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Counter {
    shards: [CachePadded<AtomicU64>; SHARDS],
}

impl Counter {
    /// Adds to the count.
    pub fn add(&self, count: u64) {
        self.shards[shard()].fetch_add(count, Ordering::Relaxed);
    }

    /// The sum over all threads. It is exact if no thread adds at the same time.
    pub fn total(&self) -> u64 {
        self.shards.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }
}

/// The number of this thread's group.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn threads_add_up() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add(1)));
            }
        });
        assert_eq!(counter.total(), 8_000);
    }
}
