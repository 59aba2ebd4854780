//! A gauge: a figure that goes up and down.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// A figure that goes up and down.
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
    /// Adds to the figure.
    pub fn add(&self, amount: u64) {
        self.value.fetch_add(amount, Ordering::Relaxed);
    }

    /// Subtracts from the figure, at most what was added before.
    pub fn subtract(&self, amount: u64) {
        let before = self.value.fetch_sub(amount, Ordering::Relaxed);
        debug_assert!(before >= amount, "{before} - {amount}");
    }

    /// The figure now.
    pub fn now(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}
