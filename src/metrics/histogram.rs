//! Latencies in the buckets of [`super::buckets`], recorded by many threads without an allocation.
//!
//! All threads share the counts. Latencies of one kind spread over so many buckets that threads seldom meet in a cache
//! line, and a set of counts for each of four threads took 28 KiB a kind, of which more was made as more threads came.

use super::buckets::{BUCKETS, bucket_of};
use super::sketch::Sketch;
use std::sync::atomic::{AtomicU32, Ordering};

/// Latencies that were recorded since the last [`LatencyHistogram::drain`]: 7 KiB.
#[derive(Debug)]
pub(crate) struct LatencyHistogram {
    counts: [AtomicU32; BUCKETS],
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU32::new(0) }; BUCKETS] }
    }
}

impl LatencyHistogram {
    /// Records `count` latencies of so many nanoseconds.
    #[inline]
    pub(crate) fn record(&self, ns: u64, count: u32) {
        self.counts[bucket_of(ns)].fetch_add(count, Ordering::Relaxed);
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
        for (bucket, count) in self.counts.iter().enumerate() {
            sketch.add(bucket as u32, take(count));
        }
    }
}

/// Neighbouring buckets that a coarse histogram joins: 2 to this power.
const COARSE_BITS: u32 = 3;
/// The count of a bucket at which all counts are halved, long before it would overflow.
const HALVED_AT: u32 = u32::MAX / 2;

/// Latencies of all time in less than a KiB: eight buckets for each power of two, so that a figure is at most a
/// sixteenth off.
#[derive(Debug)]
pub(crate) struct CoarseHistogram {
    counts: [AtomicU32; BUCKETS >> COARSE_BITS],
}

impl Default for CoarseHistogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU32::new(0) }; BUCKETS >> COARSE_BITS] }
    }
}

impl CoarseHistogram {
    /// Records a latency of so many nanoseconds.
    #[inline]
    pub(crate) fn record(&self, ns: u64) {
        if self.counts[bucket_of(ns) >> COARSE_BITS].fetch_add(1, Ordering::Relaxed) == HALVED_AT {
            self.halve();
        }
    }

    /// Keeps the shares of the buckets. What is recorded meanwhile may be lost: one in billions.
    #[cold]
    fn halve(&self) {
        for count in &self.counts {
            count.store(count.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
    }

    /// A copy of the latencies, each in the middle of its bucket.
    pub(crate) fn sketch(&self) -> Sketch {
        let mut sketch = Sketch::default();
        for (bucket, count) in self.counts.iter().enumerate() {
            let middle = ((bucket as u32) << COARSE_BITS) + (1 << COARSE_BITS) / 2;
            sketch.add(middle, count.load(Ordering::Relaxed));
        }
        sketch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_histogram_is_a_sixteenth_off_at_most_and_keeps_its_shares() {
        let histogram = CoarseHistogram::default();
        assert!(size_of::<CoarseHistogram>() < 1_024);
        (1..=10_000).for_each(|us| histogram.record(us * 1_000));
        for halved in [false, true] {
            let sketch = histogram.sketch();
            assert_eq!(sketch.count() < 10_000, halved);
            for (share, want) in [(0.5, 5e6), (0.99, 9.9e6)] {
                let error = sketch.quantile_ns(share) as f64 / want - 1.0;
                assert!(error.abs() < 0.08, "{share}: {error:+.3}");
            }
            histogram.halve();
        }
    }

    #[test]
    fn what_threads_record_is_drained_once() {
        let histogram = LatencyHistogram::default();
        for _ in 0..2 {
            std::thread::scope(|scope| {
                for thread in 1..=8 {
                    let histogram = &histogram;
                    scope.spawn(move || (0..1_000).for_each(|_| histogram.record(thread * 1_000_000, 1)));
                }
            });
        }
        let (mut copied, mut drained, mut rest) = (Sketch::default(), Sketch::default(), Sketch::default());
        histogram.copy(&mut copied);
        histogram.drain(&mut drained);
        histogram.drain(&mut rest);
        assert_eq!((copied.count(), drained.count(), rest.count()), (16_000, 16_000, 0));
        assert!((drained.quantile_ns(0.5) as f64 / 4.5e6 - 1.0).abs() < 0.15, "{}", drained.quantile_ns(0.5));
    }
}
