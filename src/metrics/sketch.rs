//! A window of latencies in a kilobyte: as many buckets as were seen, and wider ones where there are too many.
//!
//! Buckets are those of [`super::buckets`]. A sketch that is full joins each two neighbours, which halves its
//! resolution: latencies over a factor of two keep two significant digits, over a factor of four half of that.
//! Invariants: buckets ascend, none of them is empty; adding allocates nothing.

use super::buckets::least_ns;

/// Most buckets.
const CELLS: usize = 128;

/// The latencies of a window.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    buckets: [u16; CELLS],
    counts: [u32; CELLS],
    len: u8,
    /// How often neighbours were joined.
    shift: u8,
    /// The highest bucket, before any were joined.
    highest: u32,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { buckets: [0; CELLS], counts: [0; CELLS], len: 0, shift: 0, highest: 0 }
    }
}

impl Sketch {
    /// Adds latencies to a bucket of the histogram.
    pub(super) fn add(&mut self, bucket: u32, count: u32) {
        if count == 0 {
            return;
        }
        self.highest = self.highest.max(bucket);
        loop {
            let (own, len) = ((bucket >> self.shift) as u16, usize::from(self.len));
            // Most come in ascending order.
            let at = match self.buckets[..len].last() {
                Some(last) if *last < own => Err(len),
                _ => self.buckets[..len].binary_search(&own),
            };
            match at {
                Ok(at) => {
                    self.counts[at] = self.counts[at].saturating_add(count);
                    return;
                }
                Err(_) if len == CELLS => self.join_neighbours(),
                Err(at) => {
                    self.buckets.copy_within(at..len, at + 1);
                    self.counts.copy_within(at..len, at + 1);
                    (self.buckets[at], self.counts[at]) = (own, count);
                    self.len += 1;
                    return;
                }
            }
        }
    }

    fn join_neighbours(&mut self) {
        self.shift += 1;
        let len = usize::from(std::mem::take(&mut self.len));
        for at in 0..len {
            let (bucket, count) = (self.buckets[at] >> 1, self.counts[at]);
            let last = usize::from(self.len).checked_sub(1).filter(|last| self.buckets[*last] == bucket);
            if let Some(last) = last {
                self.counts[last] = self.counts[last].saturating_add(count);
            } else {
                let next = usize::from(self.len);
                (self.buckets[next], self.counts[next]) = (bucket, count);
                self.len += 1;
            }
        }
    }

    /// Adds the latencies of another window.
    pub(crate) fn merge(&mut self, other: &Self) {
        while self.shift < other.shift {
            self.join_neighbours();
        }
        let highest = self.highest.max(other.highest);
        let len = usize::from(other.len);
        for (bucket, count) in other.buckets[..len].iter().zip(&other.counts[..len]) {
            // The middle of what was joined.
            let half = (1_u32 << other.shift) >> 1;
            self.add((u32::from(*bucket) << other.shift) + half, *count);
        }
        self.highest = highest;
    }

    /// How many latencies there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts[..usize::from(self.len)].iter().map(|count| u64::from(*count)).sum()
    }

    /// The latency in nanoseconds that a share of all does not exceed, 0 to 1; 0 for none.
    pub(crate) fn quantile_ns(&self, share: f64) -> u64 {
        let wanted = (share * self.count() as f64).ceil().max(1.0);
        let mut below = 0.0;
        for at in 0..usize::from(self.len) {
            let count = f64::from(self.counts[at]);
            if below + count >= wanted {
                let (bucket, shift) = (u64::from(self.buckets[at]), self.shift);
                let (least, next) = (least_ns(bucket << shift), least_ns((bucket + 1) << shift));
                // As if the latencies of a bucket were spread evenly over it.
                let into = (wanted - below - 0.5) / count;
                return least + ((next - least) as f64 * into) as u64;
            }
            below += count;
        }
        0
    }

    /// How many latencies are above so many nanoseconds, to a bucket's width.
    pub(crate) fn count_above(&self, ns: u64) -> u64 {
        let len = usize::from(self.len);
        let cells = self.buckets[..len].iter().zip(&self.counts[..len]);
        let above = cells.filter(|(bucket, _)| least_ns(u64::from(**bucket) << self.shift) >= ns);
        above.map(|(_, count)| u64::from(*count)).sum()
    }

    /// The highest latency in nanoseconds, or the middle of its bucket; 0 for none.
    pub(crate) fn highest_ns(&self) -> u64 {
        let bucket = u64::from(self.highest);
        if self.len == 0 { 0 } else { u64::midpoint(least_ns(bucket), least_ns(bucket + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::buckets::bucket_of;

    fn sketch_of(latencies: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        latencies.for_each(|ns| sketch.add(bucket_of(ns) as u32, 1));
        sketch
    }

    fn assert_near(found: u64, want: u64, share: f64) {
        let error = found as f64 / want as f64 - 1.0;
        assert!(error.abs() <= share, "{found} is {error:+.4} from {want}");
    }

    #[test]
    fn quantiles_of_a_narrow_window_have_two_digits() {
        let sketch = sketch_of((10_000..20_000).map(|us| us * 1_000));
        assert_eq!(sketch.count(), 10_000);
        for (share, want) in [(0.5, 15_000_000), (0.95, 19_500_000), (0.99, 19_900_000)] {
            assert_near(sketch.quantile_ns(share), want, 0.01);
        }
        assert_near(sketch.highest_ns(), 19_999_000, 0.01);
        assert_near(sketch.count_above(15_000_000), 5_000, 0.04);
        assert_eq!((sketch.count_above(0), sketch.count_above(30_000_000)), (10_000, 0));
        assert_eq!((Sketch::default().quantile_ns(0.5), Sketch::default().highest_ns()), (0, 0));
    }

    #[test]
    fn a_wide_window_has_wider_buckets_and_loses_nothing() {
        let steps = (0..20_000_u32).map(|step| (1_000.0 * 1.000_8_f64.powf(f64::from(step))) as u64);
        let sorted: Vec<u64> = steps.clone().collect();
        let sketch = sketch_of(steps);
        assert_eq!(sketch.count(), 20_000);
        for share in [0.1, 0.5, 0.95, 0.99] {
            assert_near(sketch.quantile_ns(share), sorted[(share * 20_000.0) as usize - 1], 0.08);
        }
        assert_near(sketch.highest_ns(), sorted[19_999], 0.01);
    }

    #[test]
    fn windows_merge_in_either_order() {
        let narrow = sketch_of((1_000..1_100).map(|us| us * 1_000));
        let wide = sketch_of((0..300_u32).map(|step| (500.0 * 1.06_f64.powf(f64::from(step))) as u64));
        let (mut one, mut other) = (narrow.clone(), wide.clone());
        one.merge(&wide);
        other.merge(&narrow);
        assert_eq!((one.count(), other.count()), (400, 400));
        assert_eq!((one.highest_ns(), other.highest_ns()), (wide.highest_ns(), wide.highest_ns()));
        for share in [0.1, 0.5, 0.9] {
            assert_near(one.quantile_ns(share), other.quantile_ns(share), 0.1);
        }
    }
}
