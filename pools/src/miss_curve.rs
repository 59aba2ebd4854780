//! [`MissCurve`]: the hits that a pool would have had at each capacity, from one pass over its acquires and returns.
//! The literature counts misses; hits are their complement.
//!
//! Stack distances in the sense of Mattson, Gecsei, Slutz and Traiger ("Evaluation techniques for storage
//! hierarchies", 1970), for objects of which one is as good as the other. Think of the idle objects as a stack of
//! unlimited height. A return pushes, an acquire pops, and each object remembers how high the stack rose while it
//! lay there. A full pool may drop its lowest object. So a pool of capacity `c` still holds an object exactly if the
//! stack never rose `c` or more places above it. The object that is popped is a
//! hit at every capacity from `highest - place + 1` up, and one count for each such need is the whole curve.
//!
//! Each step is O(1): a popped object hands its highest mark to the one beneath it, which saw the same rise.
//! **Invariant:** marks of the stack grow from the bottom up by at least one a place, and none is below its place.

use crate::lasting::lasting;
use std::collections::VecDeque;

/// Values up to this are counted one by one, larger ones in sixteen steps for each doubling.
///
/// Buckets end at powers of two and at their sixteenths, as 34, 128 and 136: capacities are chosen so, and a bucket that
/// ended one before would leave out just the need that such a capacity serves.
const EXACT: u64 = 32;
const STEPS: u64 = 16;
/// Enough for every capacity up to 2^21.
const BUCKETS: usize = (1 + EXACT + STEPS * 16) as usize;

/// Counts of whole numbers: exact up to 32, within a sixteenth above. A count takes four bytes, as every pool has four
/// histograms; so a bucket stops counting at 2^24, more than one window holds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[f32; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0.0; BUCKETS]) }
    }
}

impl Histogram {
    /// Adds a value that stands for `weight` of its kind.
    #[inline]
    pub(crate) fn add(&mut self, value: u64, weight: f32) {
        self.counts[bucket(value)] += weight;
    }

    /// Adds `other`, and empties it.
    pub(crate) fn drain_from(&mut self, other: &mut Self) {
        for (count, new) in self.counts.iter_mut().zip(other.counts.iter_mut()) {
            *count += std::mem::take(new);
        }
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        self.counts.iter_mut().for_each(|count| *count *= factor as f32);
    }

    /// Each bucket that is not empty: the largest value in it, and its count.
    pub(crate) fn filled(&self) -> impl DoubleEndedIterator<Item = (u64, f64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0.0)
            .map(|(at, n)| (largest(at), f64::from(*n)))
    }

    /// Sum of the buckets of which every value is at most `limit`.
    pub(crate) fn up_to(&self, limit: u64) -> f64 {
        self.filled().take_while(|(value, _)| *value <= limit).map(|(_, count)| count).sum()
    }
}

fn bucket(value: u64) -> usize {
    if value <= EXACT {
        return value as usize;
    }
    let before = value - 1;
    let octave = u64::from(before.ilog2()) - u64::from(EXACT.ilog2());
    let step = (before >> (octave + 1)) - STEPS;
    ((1 + EXACT + octave * STEPS + step) as usize).min(BUCKETS - 1)
}

fn largest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket <= EXACT {
        return bucket;
    }
    let (octave, step) = ((bucket - EXACT - 1) / STEPS, (bucket - EXACT - 1) % STEPS);
    (STEPS + step + 1) << (octave + 1)
}

/// Hits of every capacity at once, counted as acquires and returns come.
///
/// ```
/// use mcpool_pools::MissCurve;
///
/// let mut curve = MissCurve::new(100);
/// (0..3).for_each(|_| curve.acquire()); // three in use: nothing was idle
/// (0..3).for_each(|_| curve.release());
/// (0..3).for_each(|_| curve.acquire()); // a pool of three hits three times, a pool of one hits once
/// assert_eq!(curve.hit_ratio(3), Some(0.5));
/// assert_eq!(curve.hit_ratio(1), Some(1.0 / 6.0));
/// ```
#[derive(Debug, Clone)]
pub struct MissCurve {
    /// For each object of the stack, from the bottom up: the highest the stack has been since it was put there.
    highest: VecDeque<u64>,
    /// Height of the stack, the objects beneath `highest` included.
    height: u64,
    max_capacity: usize,
    needs: Histogram,
    /// Acquires that no capacity up to `max_capacity` would have served.
    cold: f64,
    /// How many acquires each one stands for.
    weight: f32,
}

impl MissCurve {
    /// A curve up to `max_capacity`. It keeps a word for each object that was ever idle at once, up to that.
    pub fn new(max_capacity: usize) -> Self {
        let (highest, needs) = (VecDeque::new(), Histogram::default());
        Self { highest, height: 0, max_capacity, needs, cold: 0.0, weight: 1.0 }
    }

    /// A curve of a pool that has so many objects idle already.
    pub(crate) fn with_idle(max_capacity: usize, idle: usize) -> Self {
        // Room is allocated now, so that few of the coming returns have to allocate.
        const ROOM: usize = 64;
        let mut curve = Self::new(max_capacity);
        curve.highest.reserve_exact(ROOM.min(max_capacity + 1));
        (0..idle).for_each(|_| curve.release());
        curve
    }

    /// Counts an acquire.
    pub fn acquire(&mut self) {
        match self.pop() {
            Some(need) => self.needs.add(need, self.weight),
            None => self.cold += f64::from(self.weight),
        }
    }

    /// Counts the return of an object that the pool may keep.
    pub fn release(&mut self) {
        self.height += 1;
        if self.highest.len() == self.highest.capacity() {
            lasting(|| self.highest.reserve(1));
        }
        self.highest.push_back(self.height);
        if self.highest.len() > self.max_capacity {
            self.highest.pop_front();
        }
    }

    /// Counts that idle objects were freed until at most `keep` were left, in a pool of any capacity.
    ///
    /// The objects that stay are the upper ones: a pool that holds any of the stack holds its top.
    ///
    /// ```
    /// # use mcpool_pools::MissCurve;
    /// let mut curve = MissCurve::new(100);
    /// curve.acquire();
    /// curve.release();
    /// curve.trim(0);
    /// curve.acquire(); // a miss at every capacity
    /// assert_eq!(curve.hit_ratio(100), Some(0.0));
    /// ```
    pub fn trim(&mut self, keep: usize) {
        while self.highest.len() > keep {
            self.highest.pop_front();
        }
    }

    /// From now on each acquire stands for so many.
    pub(crate) fn set_weight(&mut self, weight: f32) {
        self.weight = weight;
    }

    /// Moves the stack as [`MissCurve::acquire`] does, and counts nothing.
    pub(crate) fn skip_acquire(&mut self) {
        self.pop();
    }

    /// Removes the topmost object. Returns the capacity that it needed.
    fn pop(&mut self) -> Option<u64> {
        let highest = self.highest.pop_back()?;
        let need = highest - self.height + 1;
        self.height -= 1;
        if let Some(beneath) = self.highest.back_mut() {
            *beneath = (*beneath).max(highest);
        }
        Some(need)
    }

    /// Acquires so far.
    pub fn acquires(&self) -> f64 {
        self.needs.up_to(u64::MAX) + self.cold
    }

    /// Hits among all acquires if the pool had had this capacity, 0 to 1; `None` before the first acquire.
    ///
    /// Exact for capacities up to 32 and at the upper end of each larger bucket: the powers of two and their sixteenths.
    /// Between them, the value of the next lower end, less than a sixteenth below: never too high.
    /// [`MissCurve::points`] lists the ends that count something.
    pub fn hit_ratio(&self, capacity: usize) -> Option<f64> {
        let acquires = self.acquires();
        (acquires > 0.0).then(|| self.needs.up_to(capacity as u64) / acquires)
    }

    /// The capacities at which the hit ratio rises, and the ratio there.
    pub fn points(&self) -> Vec<(u64, f64)> {
        let acquires = self.acquires();
        let mut hits = 0.0;
        let rise = |(capacity, count): (u64, f64)| {
            hits += count;
            (capacity, hits / acquires)
        };
        self.needs.filled().map(rise).collect()
    }

    /// Adds what `window` counted, and empties it.
    pub(crate) fn drain_from(&mut self, window: &mut Self) {
        self.needs.drain_from(&mut window.needs);
        self.cold += std::mem::take(&mut window.cold);
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        self.needs.scale(factor);
        self.cold *= factor;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_their_largest() {
        let mut last = 0;
        for value in 0..200_000 {
            let at = bucket(value);
            assert!(at == last || at == last + 1, "{value}");
            assert!(largest(at) >= value && largest(at) - value <= value / STEPS, "{value}");
            assert_eq!(bucket(largest(at)), at);
            last = at;
        }
        for doubling in 0..=21 {
            let value = 1 << doubling;
            assert_eq!(largest(bucket(value)), value, "capacities are powers of two");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
