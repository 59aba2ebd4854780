//! What a load test counts while it runs: answers, failures and latencies, by operation and by second.
//!
//! Latencies are in nanoseconds, in histograms, so that no run keeps each of them. Invariant: counting allocates
//! nothing; room for seconds is made beforehand, and the course ends after [`MAX_SECONDS`].

use super::failure::FailureKind;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Longest latency that is distinguished, in nanoseconds.
const MAX_LATENCY_NS: u64 = 300_000_000_000;
/// The most seconds that the course of a test is kept for.
pub(super) const MAX_SECONDS: usize = 7_200;
/// How many parts of equal length a test has.
pub(super) const WINDOWS: u32 = 20;
/// A request that begins later than this after its time is late.
pub(super) const LATE: Duration = Duration::from_millis(1);
const KINDS: usize = FailureKind::ALL.len();

/// A histogram of nanoseconds to so many digits.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    // invariant: the bounds are in order, and there are at most five digits.
    Histogram::new_with_bounds(1, MAX_LATENCY_NS, digits).expect("valid bounds")
}

pub(super) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
}

/// Counts of one operation.
pub(super) struct OperationTally {
    /// Of right answers.
    pub(super) latency: Histogram<u64>,
    pub(super) answered: u64,
    failed: [u64; KINDS],
    window: Histogram<u64>,
    pub(super) windows: Vec<Window>,
}

/// A part of a test: right answers of one operation, and their quantiles 0.5 and 0.95 in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) answered: u64,
    pub(super) p50_ns: u64,
    pub(super) p95_ns: u64,
}

impl OperationTally {
    pub(super) fn failed(&self, kind: FailureKind) -> u64 {
        self.failed[kind as usize]
    }

    pub(super) fn all_failed(&self) -> u64 {
        self.failed.iter().sum()
    }
}

/// One second of a test.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Second {
    pub(super) begun: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// Quantiles 0.5, 0.95, 0.99 and the most, in nanoseconds.
    pub(super) latency_ns: [u64; 4],
}

/// All counts of a test.
pub(super) struct Tally {
    pub(super) operations: Vec<OperationTally>,
    /// Requests that began.
    pub(super) begun: u64,
    /// Requests that began later than they were to.
    pub(super) late: u64,
    /// Requests that were due and never began, as all that may be in flight was.
    pub(super) dropped: u64,
    /// Requests of which nobody knows what would have become, as the test was stopped.
    pub(super) unanswered: u64,
    /// Requests of the warm-up that failed or had no answer.
    pub(super) warm_up_failed: u64,
    /// How the first of them failed.
    pub(super) warm_up_failure: Option<FailureKind>,
    /// Messages that answer no request that waits: made-up ids, and what is no message.
    pub(super) unexpected: u64,
    /// How much later than it could have the generator began a request: its own fault, not the server's.
    pub(super) generator_lag: Histogram<u64>,
    /// How long was waited for requests that timed out.
    pub(super) time_outs: Histogram<u64>,
    pub(super) seconds: Vec<Second>,
    second: Second,
    second_latency: Histogram<u64>,
}

impl Tally {
    pub(super) fn new(operations: usize) -> Self {
        let operation = || OperationTally {
            latency: histogram(3),
            answered: 0,
            failed: [0; KINDS],
            // Finer than the least change that a comparison tells.
            window: histogram(3),
            windows: Vec::with_capacity(WINDOWS as usize),
        };
        Self {
            operations: (0..operations).map(|_| operation()).collect(),
            begun: 0,
            late: 0,
            dropped: 0,
            unanswered: 0,
            warm_up_failed: 0,
            warm_up_failure: None,
            unexpected: 0,
            generator_lag: histogram(2),
            time_outs: histogram(3),
            seconds: Vec::with_capacity(MAX_SECONDS),
            second: Second::default(),
            second_latency: histogram(2),
        }
    }

    /// Counts a request that was to begin `lateness` ago and, in an open loop, could have begun `lag` ago.
    pub(super) fn begun(&mut self, lateness: Duration, lag: Option<Duration>) {
        self.begun += 1;
        self.second.begun += 1;
        self.late += u64::from(lateness > LATE);
        if let Some(lag) = lag {
            record(&mut self.generator_lag, lag);
        }
    }

    /// Counts a right answer to a request whose time was `latency` ago.
    pub(super) fn answered(&mut self, operation: usize, latency: Duration) {
        let Some(counts) = self.operations.get_mut(operation) else { return };
        counts.answered += 1;
        self.second.answered += 1;
        record(&mut counts.latency, latency);
        record(&mut counts.window, latency);
        record(&mut self.second_latency, latency);
    }

    /// Ends a part of the test; those beyond the last one are none.
    pub(super) fn end_window(&mut self) {
        for OperationTally { window, windows, .. } in &mut self.operations {
            if windows.len() < WINDOWS as usize {
                windows.push(Window {
                    answered: window.len(),
                    p50_ns: window.value_at_quantile(0.5),
                    p95_ns: window.value_at_quantile(0.95),
                });
            }
            window.reset();
        }
    }

    /// Counts a failure of a request whose time was `latency` ago.
    pub(super) fn failed(&mut self, operation: usize, kind: FailureKind, latency: Duration) {
        let Some(counts) = self.operations.get_mut(operation) else { return };
        counts.failed[kind as usize] += 1;
        self.second.failed += 1;
        if kind == FailureKind::TimeOut {
            record(&mut self.time_outs, latency);
        }
    }

    /// Counts a failure of a request of the warm-up.
    pub(super) fn warm_up_failed(&mut self, kind: FailureKind) {
        self.warm_up_failed += 1;
        self.warm_up_failure.get_or_insert(kind);
    }

    /// Counts a request that was waited for when the test was stopped.
    pub(super) fn unanswered(&mut self, counts: bool) {
        if counts {
            self.unanswered += 1;
        } else {
            self.warm_up_failed += 1;
        }
    }

    /// Ends a second.
    pub(super) fn end_second(&mut self) {
        let at = |quantile| self.second_latency.value_at_quantile(quantile);
        self.second.latency_ns = [at(0.5), at(0.95), at(0.99), self.second_latency.max()];
        if self.seconds.len() < MAX_SECONDS {
            self.seconds.push(self.second);
        }
        self.second = Second::default();
        self.second_latency.reset();
    }

    pub(super) fn answers(&self) -> u64 {
        self.operations.iter().map(|operation| operation.answered).sum()
    }

    pub(super) fn failures(&self) -> u64 {
        self.operations.iter().map(OperationTally::all_failed).sum()
    }

    /// The latencies of all operations together.
    pub(super) fn all_latency(&self) -> Histogram<u64> {
        let mut all = histogram(3);
        for operation in &self.operations {
            all += &operation.latency;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn operations_are_counted_apart_and_together() {
        let mut tally = Tally::new(2);
        for number in 1..=100 {
            tally.answered(0, MS * number);
        }
        tally.answered(1, MS);
        tally.failed(1, FailureKind::ToolError, MS);
        tally.failed(1, FailureKind::TimeOut, MS * 5_000);
        assert_eq!((tally.answers(), tally.failures()), (101, 2));
        assert_eq!(tally.operations[1].failed(FailureKind::ToolError), 1);
        assert_eq!(tally.operations[0].all_failed(), 0);
        let (all, time_outs) = (tally.all_latency(), &tally.time_outs);
        assert_eq!((all.len(), time_outs.len()), (101, 1), "what timed out was not answered");
        assert!(time_outs.max() >= 4_990_000_000 && all.max() <= 101_000_000, "{}", all.max());
    }

    #[test]
    fn each_second_has_its_own_figures() {
        let mut tally = Tally::new(1);
        tally.begun(MS * 2, Some(MS));
        tally.answered(0, MS * 10);
        tally.end_second();
        tally.begun(MS / 2, None);
        tally.failed(0, FailureKind::Transport, MS);
        tally.end_second();
        let seen: Vec<_> = tally.seconds.iter().map(|s| (s.begun, s.answered, s.failed)).collect();
        assert_eq!((seen, tally.late), (vec![(1, 1, 0), (1, 0, 1)], 1));
        assert!(tally.seconds[0].latency_ns[3] >= 9_900_000 && tally.seconds[1].latency_ns == [0; 4]);
    }

    #[test]
    fn a_test_of_days_keeps_a_bounded_course() {
        let mut tally = Tally::new(1);
        for _ in 0..MAX_SECONDS + 10 {
            tally.end_second();
        }
        assert_eq!((tally.seconds.len(), tally.seconds.capacity()), (MAX_SECONDS, MAX_SECONDS));
    }
}
