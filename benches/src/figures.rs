//! What runs have shown, and how it is told: a median with its spread, quantiles of a latency.
//!
//! Knows numbers only. Latencies are in nanoseconds, in histograms, so that no run keeps each of them.

use hdrhistogram::Histogram;
use std::fmt;
use std::time::Duration;

/// Longest latency that is told apart, in nanoseconds.
const MAX_LATENCY_NS: u64 = 60_000_000_000;

/// An empty histogram of nanoseconds, up to a minute, to three digits.
pub fn histogram() -> Histogram<u64> {
    // invariant: the bounds are in order, and there are at most five digits.
    Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).expect("valid bounds")
}

/// What one thread of a client has counted.
#[derive(Clone)]
pub struct Tally {
    /// Right answers while it was measured.
    pub answers: u64,
    /// Answers 429 and 503.
    pub refused: u64,
    /// Requests that began later than they were to, by more than [`LATE`].
    pub late: u64,
    /// Requests that were due and never began, because all that may be in flight was.
    pub unsent: u64,
    /// Latency of each right answer, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// From here on a request counts as late.
pub const LATE: Duration = Duration::from_millis(1);

impl Default for Tally {
    fn default() -> Self {
        Self { answers: 0, refused: 0, late: 0, unsent: 0, latency: histogram() }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, refused, late, unsent, latency } = self; // a histogram has a hundred thousand counts
        let quantiles = Quantiles::of(latency);
        write!(out, "{answers} answers, {refused} refused, {late} late, {unsent} unsent, {quantiles:?}")
    }
}

impl Tally {
    /// Adds what another thread has counted.
    pub fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.refused += other.refused;
        self.late += other.late;
        self.unsent += other.unsent;
        self.latency += &other.latency;
    }

    /// Counts a right answer to a request whose time was `since` ago.
    pub fn answered(&mut self, since: Duration) {
        self.answers += 1;
        self.latency.saturating_record(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1));
    }
}

/// What a run has shown.
#[derive(Debug)]
pub struct Figures {
    /// What all threads of the client have counted.
    pub tally: Tally,
    /// The time that was measured.
    pub elapsed: Duration,
    /// CPU time of the server while it was measured.
    pub server_cpu: Duration,
    /// CPU time of this process in the same time.
    pub client_cpu: Duration,
}

impl Figures {
    /// Right answers a second.
    pub fn rate(&self) -> f64 {
        self.tally.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// Seconds of CPU time that a million answers cost the server.
    pub fn server_cpu_per_million(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.tally.answers.max(1) as f64
    }

    /// The part of the client's threads that was busy: near 1 the client is what is measured.
    pub fn client_load(&self, threads: usize) -> f64 {
        self.client_cpu.as_secs_f64() / self.elapsed.as_secs_f64() / threads as f64
    }
}

/// Figures of several rounds: the one in the middle, and how far the others are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The figure in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How many there are.
    pub rounds: usize,
}

impl Spread {
    /// The spread of some figures, `None` of none.
    ///
    /// ```
    /// use mcpool_benches::figures::Spread;
    ///
    /// let spread = Spread::of(&[9.0, 1.0, 5.0]).ok_or("no figures")?;
    /// assert_eq!((spread.least, spread.median, spread.most), (1.0, 5.0, 9.0));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self { median, least, most, rounds: sorted.len() })
    }

    /// A figure of which there is only one.
    pub fn one(figure: f64) -> Self {
        Self { median: figure, least: figure, most: figure, rounds: 1 }
    }
}

/// How long answers took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// Half of them at most so long.
    pub p50: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p999: f64,
}

impl Quantiles {
    /// The quantiles of a histogram of nanoseconds, `None` of an empty one.
    pub fn of(latency: &Histogram<u64>) -> Option<Self> {
        let micros = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        (!latency.is_empty()).then(|| Self { p50: micros(0.5), p99: micros(0.99), p999: micros(0.999) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(figure: f64, expected: f64) -> bool {
        (figure - expected).abs() < 1e-9
    }

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 9.0]).expect("figures");
        assert!(is(spread.median, 3.0) && is(spread.least, 1.0) && is(spread.most, 9.0));
        assert_eq!(spread.rounds, 4);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[7.0]), Some(Spread::one(7.0)));
    }

    #[test]
    fn tallies_of_threads_add_up() {
        let mut sum = Tally::default();
        let mut one = Tally { refused: 1, late: 2, unsent: 3, ..Tally::default() };
        for millis in 1..=100 {
            one.answered(Duration::from_millis(millis));
        }
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.answers, sum.refused, sum.late, sum.unsent, sum.latency.len()), (200, 2, 4, 6, 200));
        let quantiles = Quantiles::of(&sum.latency).expect("answers");
        assert!((quantiles.p50 - 50_000.0).abs() < 100.0 && (quantiles.p99 - 99_000.0).abs() < 100.0);
        assert_eq!(Quantiles::of(&histogram()), None);
    }

    #[test]
    fn figures_are_per_time_and_per_answer() {
        let tally = Tally { answers: 500, ..Tally::default() };
        let (elapsed, cpu) = (Duration::from_millis(500), Duration::from_millis(250));
        let figures = Figures { tally, elapsed, server_cpu: cpu, client_cpu: cpu };
        assert!(is(figures.rate(), 1000.0) && is(figures.server_cpu_per_million(), 500.0));
        assert!(is(figures.client_load(2), 0.25));
    }
}
