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

#[cfg(test)]
mod tests {
    use super::*;

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
