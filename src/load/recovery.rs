//! How long after a spike requests are answered again as fast as before it.
//!
//! Time is an argument, and noting an answer allocates nothing. Answers after the spike are looked at in blocks; the first
//! of two blocks in a row that are about as fast as before ends the recovery, so that one slow request does not
//! lengthen it, nor one fast request end it.

use super::report::RecoveryReport;
use super::tally::{histogram, record};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Blocks are those of about a tenth of a second, within these bounds.
const MIN_BLOCK: f64 = 5.0;
const MAX_BLOCK: f64 = 50.0;
/// As fast as before is: not slower than this many times as slow, or than so much slower.
const MUCH_SLOWER: u64 = 2;
const LITTLE_SLOWER_NS: u64 = 1_000_000;

/// Watches a spike and what follows it.
pub(super) struct Recovery {
    spike_begins: Instant,
    spike_ends: Instant,
    before: Histogram<u64>,
    block: Histogram<u64>,
    block_length: u64,
    /// When the block began that is being filled.
    block_begins: Instant,
    /// When the first of the blocks began that are fast, if the last one was.
    fast_since: Option<Instant>,
    recovered_at: Option<Instant>,
}

impl Recovery {
    /// Watches a spike between these times, before and after which there are `base_rate` requests a second.
    pub(super) fn new(spike_begins: Instant, spike_ends: Instant, base_rate: f64) -> Self {
        Self {
            spike_begins,
            spike_ends,
            before: histogram(2),
            block: histogram(2),
            block_length: (base_rate / 10.0).clamp(MIN_BLOCK, MAX_BLOCK) as u64,
            block_begins: spike_ends,
            fast_since: None,
            recovered_at: None,
        }
    }

    /// Notes an answer, or a request that was given up.
    pub(super) fn note(&mut self, origin: Instant, now: Instant, latency: Duration) {
        if now < self.spike_begins {
            record(&mut self.before, latency);
        } else if origin >= self.spike_begins && now >= self.spike_ends && self.recovered_at.is_none() {
            record(&mut self.block, latency);
            if self.block.len() >= self.block_length {
                self.end_block(now);
            }
        }
    }

    fn end_block(&mut self, now: Instant) {
        if self.block.value_at_quantile(0.9) <= self.fast_ns() {
            match self.fast_since {
                Some(since) => self.recovered_at = Some(since),
                None => self.fast_since = Some(self.block_begins),
            }
        } else {
            self.fast_since = None;
        }
        self.block.reset();
        self.block_begins = now;
    }

    fn fast_ns(&self) -> u64 {
        let before = self.before.value_at_quantile(0.9);
        (before * MUCH_SLOWER).max(before + LITTLE_SLOWER_NS)
    }

    /// What was seen; `None` when nothing was answered before the spike, so that nothing can be compared.
    pub(super) fn report(&self) -> Option<RecoveryReport> {
        let recovered = self.recovered_at.map(|at| at.saturating_duration_since(self.spike_ends));
        (!self.before.is_empty()).then(|| RecoveryReport {
            p90_before_us: self.before.value_at_quantile(0.9) as f64 / 1e3,
            recovered_ms: recovered.map(|time| time.as_secs_f64() * 1e3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A request each 10 ms: 2 ms before a spike from 1 s to 2 s, 500 ms from then on until `fast_from`.
    fn watched(fast_from: u32, slow_at: Option<u32>) -> RecoveryReport {
        let begins = Instant::now();
        let mut recovery = Recovery::new(begins + MS * 1_000, begins + MS * 2_000, 100.0);
        for at in (0..4_000).step_by(10) {
            let is_slow = (1_000..fast_from).contains(&at) || slow_at == Some(at);
            let latency = if is_slow { MS * 500 } else { MS * 2 };
            recovery.note(begins + MS * at, begins + MS * at + latency, latency);
        }
        recovery.report().expect("answers before")
    }

    #[test]
    fn it_is_over_when_answers_are_as_fast_as_before() {
        let report = watched(2_600, None);
        let recovered = report.recovered_ms.expect("recovered");
        // Slow answers to what began before 2,600 come until 3,100, among fast ones.
        assert!((1_000.0..1_400.0).contains(&recovered), "{recovered}");
        assert!((1_900.0..2_100.0).contains(&report.p90_before_us));
        assert!(watched(2_000, None).recovered_ms.expect("recovered") <= 700.0);
        assert_eq!(watched(9_000, None).recovered_ms, None);
        let one_slow = watched(2_600, Some(3_500)).recovered_ms.expect("recovered");
        assert!((one_slow - recovered).abs() < 1e-9);
    }

    #[test]
    fn nothing_before_is_nothing_to_compare_with() {
        let begins = Instant::now();
        assert!(Recovery::new(begins, begins + MS, 1.0).report().is_none());
    }
}
