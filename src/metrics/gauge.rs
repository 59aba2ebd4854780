//! A figure that goes up and down.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of something there is at the moment.
///
/// ```
/// let requests = mcpool::metrics::Gauge::default();
/// requests.add(2);
/// requests.subtract(1);
/// assert_eq!(requests.now(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Gauge {
    value: CachePadded<AtomicU64>,
}

impl Gauge {
    /// There is more.
    pub fn add(&self, amount: u64) {
        self.value.fetch_add(amount, Ordering::Relaxed);
    }

    /// There is less; never less than was added.
    pub fn subtract(&self, amount: u64) {
        let before = self.value.fetch_sub(amount, Ordering::Relaxed);
        debug_assert!(before >= amount, "{before} - {amount}");
    }

    /// How much there is.
    pub fn now(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}
