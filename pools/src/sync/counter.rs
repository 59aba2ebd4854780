//! Flags and counters that order nothing but themselves, so that all their accesses are relaxed.

use super::{AtomicU64, Ordering};

/// A switch that is read on each acquire and return, and seldom written. It is no part of loom's models, so it is
/// std's atomic there too.
#[derive(Default)]
pub(crate) struct Flag(std::sync::atomic::AtomicBool);

impl Flag {
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A number that any thread may change; relaxed, because a counter orders nothing but itself.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds and returns the new value; wraps, so that adding `n.wrapping_neg()` takes `n` away.
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::Relaxed).wrapping_add(n)
    }

    /// Raises the value to `value` if it is lower; one load when it is not.
    #[inline]
    pub(crate) fn raise(&self, value: u64) {
        if value > self.read() {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// Adds `n` if the sum stays within `limit`; otherwise returns the value that stood in the way.
    pub(crate) fn add_within(&self, n: u64, limit: u64) -> Result<u64, u64> {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| {
            value.checked_add(n).filter(|sum| *sum <= limit)
        })
    }
}

/// A counter of which one half has a single writer.
///
/// The owner's addition is a load and a store, 2 ns less than an atomic addition; everybody else adds to the
/// second half. Ownership passes between threads through [`IndexMap`](super::thread_index::IndexMap), which orders the writes of the old owner
/// before those of the new.
#[derive(Default)]
pub(crate) struct OwnedCounter {
    own: AtomicU64,
    others: AtomicU64,
}

impl OwnedCounter {
    /// Adds, and returns the new value of the half that it was added to.
    #[inline]
    pub(crate) fn add(&self, n: u64, owner: bool) -> u64 {
        if owner {
            let sum = self.own.load(Ordering::Relaxed).wrapping_add(n);
            self.own.store(sum, Ordering::Relaxed);
            sum
        } else {
            self.others.fetch_add(n, Ordering::Relaxed).wrapping_add(n)
        }
    }

    pub(crate) fn read(&self) -> u64 {
        self.own.load(Ordering::Relaxed).wrapping_add(self.others.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_counter_takes_no_more_than_its_limit() {
        let counter = Counter::new(5);
        assert_eq!(counter.add_within(5, 10), Ok(5));
        assert_eq!(counter.add_within(1, 10), Err(10));
        assert_eq!(counter.add_within(u64::MAX, u64::MAX), Err(10), "a sum that overflows");
        counter.raise(7);
        assert_eq!(counter.read(), 10);
        counter.add(3u64.wrapping_neg());
        assert_eq!(counter.read(), 7);
    }
}
