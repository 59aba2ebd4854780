//! Latencies in the buckets of [`super::buckets`], recorded by many threads without an allocation.
//!
//! Threads record in four shards, which [`LatencyHistogram::drain`] merges. A shard is 7 KiB, and is there once a thread
//! of it has recorded: until the next [`LatencyHistogram::prepare`] that thread records in another one. Invariant:
//! recording allocates nothing but the first shard.

use super::buckets::{BUCKETS, bucket_of};
use super::counter::{SHARDS, shard};
use super::sketch::Sketch;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

type Counts = [AtomicU32; BUCKETS];

/// Latencies that were recorded since the last [`LatencyHistogram::drain`].
#[derive(Debug, Default)]
pub(crate) struct LatencyHistogram {
    shards: [OnceLock<Box<Counts>>; SHARDS],
    /// A bit for each shard that its threads recorded elsewhere because it was not there.
    wanted: AtomicU32,
}

impl LatencyHistogram {
    /// Records `count` latencies of so many nanoseconds.
    #[inline]
    pub(crate) fn record(&self, ns: u64, count: u32) {
        let own = shard();
        let bucket = bucket_of(ns);
        match self.shards[own].get() {
            Some(counts) => counts[bucket].fetch_add(count, Ordering::Relaxed),
            None => self.record_elsewhere(own, bucket, count),
        };
    }

    #[cold]
    fn record_elsewhere(&self, own: usize, bucket: usize, count: u32) -> u32 {
        let counts = match self.shards.iter().find_map(OnceLock::get) {
            Some(counts) => counts,
            None => self.shard(own),
        };
        self.wanted.fetch_or(1 << own, Ordering::Relaxed);
        counts[bucket].fetch_add(count, Ordering::Relaxed)
    }

    fn shard(&self, number: usize) -> &Counts {
        self.shards[number].get_or_init(|| Box::new([const { AtomicU32::new(0) }; BUCKETS]))
    }

    /// Makes the shards that were missed.
    pub(crate) fn prepare(&self) {
        if self.wanted.load(Ordering::Relaxed) == 0 {
            return;
        }
        let wanted = self.wanted.swap(0, Ordering::Relaxed);
        for number in (0..SHARDS).filter(|number| wanted & 1 << number != 0) {
            self.shard(number);
        }
    }

    /// Whether something was ever recorded.
    pub(crate) fn is_used(&self) -> bool {
        self.shards.iter().any(|shard| shard.get().is_some())
    }

    /// Moves the latencies into `sketch`.
    pub(crate) fn drain(&self, sketch: &mut Sketch) {
        self.for_each(sketch, |count| {
            // Most buckets are empty, and a swap costs more than a look.
            if count.load(Ordering::Relaxed) == 0 { 0 } else { count.swap(0, Ordering::Relaxed) }
        });
    }

    /// Copies the latencies into `sketch`.
    pub(crate) fn copy(&self, sketch: &mut Sketch) {
        self.for_each(sketch, |count| count.load(Ordering::Relaxed));
    }

    fn for_each(&self, sketch: &mut Sketch, take: impl Fn(&AtomicU32) -> u32) {
        for counts in self.shards.iter().filter_map(OnceLock::get) {
            for (bucket, count) in counts.iter().enumerate() {
                sketch.add(bucket as u32, take(count));
            }
        }
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().filter_map(OnceLock::get).count() * size_of::<Counts>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_record_is_drained_once() {
        let histogram = LatencyHistogram::default();
        assert!(!histogram.is_used());
        for _ in 0..2 {
            std::thread::scope(|scope| {
                for thread in 1..=8 {
                    let histogram = &histogram;
                    scope.spawn(move || (0..1_000).for_each(|_| histogram.record(thread * 1_000_000, 1)));
                }
            });
            histogram.prepare();
        }
        assert!(histogram.bytes() <= SHARDS * size_of::<Counts>());
        let (mut copied, mut drained, mut rest) = (Sketch::default(), Sketch::default(), Sketch::default());
        histogram.copy(&mut copied);
        histogram.drain(&mut drained);
        histogram.drain(&mut rest);
        assert_eq!((copied.count(), drained.count(), rest.count()), (16_000, 16_000, 0));
        assert!((drained.quantile_ns(0.5) as f64 / 4.5e6 - 1.0).abs() < 0.15, "{}", drained.quantile_ns(0.5));
    }

    #[test]
    fn a_shard_is_made_when_its_thread_asked_for_it() {
        let histogram = LatencyHistogram::default();
        histogram.record(5, 3);
        assert_eq!(histogram.bytes(), size_of::<Counts>());
        histogram.prepare();
        assert_eq!(histogram.bytes(), size_of::<Counts>());
        // Other shards' threads: of eight threads in a row, at least three have shards of their own.
        let others: Vec<_> = (0..8).map(|_| std::thread::spawn(shard)).collect();
        for other in others {
            histogram.record_elsewhere(other.join().expect("a number"), 7, 1);
        }
        histogram.prepare();
        assert!(histogram.bytes() > size_of::<Counts>());
        let mut all = Sketch::default();
        histogram.drain(&mut all);
        assert_eq!(all.count(), 11);
    }
}
