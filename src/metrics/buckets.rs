//! The buckets of latencies: two significant digits from a microsecond to 275 s, as numbers.
//!
//! They are log-linear, as those of `HdrHistogram` (<http://hdrhistogram.org>): 64 for each power of two, so that a bucket
//! is at most a 64th of its values wide, and the middle of it at most a 128th from any of them.

/// Nanoseconds of the narrowest bucket: 2 to this power. Finer ones would tell durations apart that the clock cannot.
const UNIT_BITS: u32 = 5;
/// Buckets of each power of two: 2 to this power.
const SPLIT_BITS: u32 = 6;
/// All buckets. The last one has what took longer than its values as well.
pub(super) const BUCKETS: usize = 28 << SPLIT_BITS;

/// The number of a duration's bucket.
pub(super) fn bucket_of(ns: u64) -> usize {
    let units = ns >> UNIT_BITS;
    // Buckets below 128 have one unit each.
    let shift = (units | ((2 << SPLIT_BITS) - 1)).ilog2() - SPLIT_BITS;
    let bucket = (u64::from(shift) << SPLIT_BITS) + (units >> shift);
    bucket.min(BUCKETS as u64 - 1) as usize
}

/// The least duration of a bucket.
pub(super) fn least_ns(bucket: u64) -> u64 {
    let shift = (bucket >> SPLIT_BITS).saturating_sub(1);
    (bucket - (shift << SPLIT_BITS)) << shift << UNIT_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_a_bucket_that_is_narrower_than_a_hundredth_of_it() {
        let mut last = 0;
        for ns in (0..4_000_000).chain((4_000_000..600_000_000_000).step_by(37_000_003)) {
            let bucket = bucket_of(ns);
            assert!(bucket == last || bucket == last + 1 || ns >= 4_000_000, "{ns}: {last} -> {bucket}");
            last = bucket;
            let (from, next) = (least_ns(bucket as u64), least_ns(bucket as u64 + 1));
            assert!(from <= ns && (ns < next || bucket == BUCKETS - 1), "{ns}: {from}..{next}");
            // Half a bucket either way is what a figure may be wrong by.
            assert!(ns < 2_000 || (next - from) / 2 <= ns / 100, "{ns}: {from}..{next}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert!((250e9..300e9).contains(&(least_ns(BUCKETS as u64) as f64)));
    }
}
