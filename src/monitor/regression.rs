//! Whether something takes longer than usual, and for how long it has.
//!
//! A window counts as slow if it is beyond the noise of its band and by at least [`MIN_EFFECT`]. Slow is what had
//! [`SLOW_OF`] slow windows of the last [`WINDOWS`]; it ends when at most [`STILL_SLOW`] of them are, so that it does not
//! flicker at the edge. What lasts less than a minute is not worth a word.

use super::baseline::{Baseline, band_of};
use std::collections::VecDeque;

/// Windows that count.
pub(super) const WINDOWS: usize = 12;
/// So many of them must be slow.
const SLOW_OF: usize = 7;
/// It is over when at most so many are.
const STILL_SLOW: usize = 2;
/// A window with fewer calls says little.
const MIN_CALLS: u64 = 20;
/// Slower by a twentieth is nothing that anybody notices.
const MIN_EFFECT: f64 = 0.08;
/// Standard deviations beyond which a window is no noise.
const NOISE_BAND: f64 = 3.0;

/// One window of ten seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) calls: u64,
    pub(super) p50_ns: u64,
    pub(super) p95_ns: u64,
}

/// How much slower something is than usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Regression {
    /// By which factor: the median of the slow windows.
    pub(super) factor: f64,
    /// What it takes, and what it usually takes, at the load of the last slow window.
    pub(super) ns: f64,
    pub(super) usual_ns: f64,
    /// The quantile that this is about: 50 or 95.
    pub(super) quantile: u8,
}

/// The windows of one method or tool, and what is usual for it.
#[derive(Debug)]
pub(super) struct Detector {
    pub(super) baseline: Baseline,
    recent: VecDeque<Recent>,
    is_slow: bool,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    window: Window,
    band: usize,
    /// The factors of p50 and p95, if there is something to compare with; 0 where they are not beyond the noise.
    factors: Option<[f64; 2]>,
}

impl Default for Detector {
    fn default() -> Self {
        // All its room at once: what is allocated must not depend on how long something has been observed.
        Self { baseline: Baseline::default(), recent: VecDeque::with_capacity(WINDOWS), is_slow: false }
    }
}

impl Detector {
    /// Compares a window with what is usual. Returns the regression that there is now.
    pub(super) fn observe(&mut self, window: Window) -> Option<Regression> {
        if window.calls < MIN_CALLS {
            return self.regression();
        }
        let band = band_of(window.calls);
        let factors = self.baseline.usual(band).map(|usual| {
            let beyond = |ns: u64, usual_ns: f64, noise: f64| {
                let effect = (ns.max(1) as f64 / usual_ns).ln();
                let limit = (NOISE_BAND * noise).max(MIN_EFFECT.ln_1p());
                if effect > limit { effect.exp() } else { 0.0 }
            };
            [
                beyond(window.p50_ns, usual.p50_ns, usual.p50_noise),
                beyond(window.p95_ns, usual.p95_ns, usual.p95_noise),
            ]
        });
        if self.recent.len() == WINDOWS {
            // Learnt late, so that what leads to a regression is not learnt as usual.
            let oldest = self.recent.pop_front();
            if let Some(Recent { window, band, .. }) = oldest.filter(|_| !self.is_slow) {
                self.baseline.learn(band, window.p50_ns, window.p95_ns);
            }
        }
        self.recent.push_back(Recent { window, band, factors });
        let slow = (0..2).map(|quantile| self.slow_windows(quantile)).max().unwrap_or(0);
        self.is_slow = if self.is_slow { slow > STILL_SLOW } else { slow >= SLOW_OF };
        self.regression()
    }

    fn slow_windows(&self, quantile: usize) -> usize {
        let factors = self.recent.iter().filter_map(|recent| recent.factors);
        factors.filter(|factors| factors[quantile] > 0.0).count()
    }

    fn regression(&self) -> Option<Regression> {
        if !self.is_slow {
            return None;
        }
        let at = usize::from(self.slow_windows(1) > self.slow_windows(0));
        let is_slow = |recent: &&Recent| recent.factors.is_some_and(|factors| factors[at] > 0.0);
        let slow = || self.recent.iter().filter(is_slow);
        let mut factors: Vec<f64> = slow().filter_map(|recent| recent.factors).map(|both| both[at]).collect();
        let last = slow().next_back()?;
        let usual = self.baseline.usual(last.band)?;
        Some(Regression {
            factor: super::robust::median(&mut factors),
            ns: [last.window.p50_ns, last.window.p95_ns][at] as f64,
            usual_ns: [usual.p50_ns, usual.p95_ns][at],
            quantile: [50, 95][at],
        })
    }

    /// How much more time the latest window took than is usual, in nanoseconds over all its calls.
    pub(super) fn excess_ns(&self) -> f64 {
        let Some(Recent { window, band, .. }) = self.recent.back() else { return 0.0 };
        let usual_ns = self.baseline.usual(*band).map_or(window.p50_ns as f64, |usual| usual.p50_ns);
        (window.p50_ns as f64 - usual_ns) * window.calls as f64
    }

    /// Heap bytes.
    pub(super) fn bytes(&self) -> usize {
        self.baseline.bytes() + self.recent.capacity() * size_of::<Recent>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of a day: load that follows the hour with bursts, and latencies of a lognormal kind that follow the load.
    struct Series {
        state: u64,
        window: u64,
        /// The rest of a burst, in windows.
        burst: u64,
    }

    impl Series {
        fn new(seed: u64) -> Self {
            Self { state: seed, window: 0, burst: 0 }
        }

        /// `splitmix64`, by Sebastiano Vigna, as a number from 0 to 1.
        fn uniform(&mut self) -> f64 {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// By Box and Muller.
        fn normal(&mut self) -> f64 {
            let (one, other) = (self.uniform().max(1e-12), self.uniform());
            (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
        }

        /// The next window, in which all takes `factor` times as long as usual.
        fn next(&mut self, factor: f64) -> Window {
            let hour = (self.window % 8_640) as f64 / 8_640.0;
            self.window += 1;
            if self.burst > 0 {
                self.burst -= 1;
            } else if self.uniform() < 1.0 / 360.0 {
                self.burst = 1 + (self.uniform() * 12.0) as u64;
            }
            let daily = 1.0 + 0.8 * (std::f64::consts::TAU * hour).sin();
            let bursting = if self.burst > 0 { 4.0 } else { 1.0 };
            let calls = 400.0 * daily * bursting * (0.2 * self.normal()).exp();
            // More load, longer queues; noise of the machine, and of a window's few calls.
            let middle = 50_000.0 * (1.0 + calls / 8_000.0) * (0.03 * self.normal()).exp() * factor;
            let error = 1.25 * 0.5 / calls.max(1.0).sqrt();
            let p50 = middle * (error * self.normal()).exp();
            let p95 = middle * (1.645 * 0.5_f64).exp() * (2.0 * error * self.normal()).exp();
            Window { calls: calls as u64, p50_ns: p50 as u64, p95_ns: p95 as u64 }
        }
    }

    const WEEK: usize = 7 * 8_640;

    /// How often a regression begins.
    fn alarms(detector: &mut Detector, windows: impl Iterator<Item = Window>) -> usize {
        let mut was_slow = false;
        windows
            .filter(|window| {
                let is_slow = detector.observe(*window).is_some();
                is_slow && !std::mem::replace(&mut was_slow, is_slow) || {
                    was_slow = is_slow;
                    false
                }
            })
            .count()
    }

    #[test]
    fn a_week_of_noise_raises_less_than_one_alarm() {
        let weeks = 2;
        let all: usize = (0..weeks)
            .map(|seed| {
                let mut series = Series::new(seed);
                alarms(&mut Detector::default(), (0..WEEK).map(|_| series.next(1.0)))
            })
            .sum();
        assert!(all < weeks as usize, "{all} alarms in {weeks} weeks");
    }

    #[test]
    fn a_fifth_slower_is_found_within_three_minutes_and_ends_when_it_ends() {
        for seed in 100..108 {
            let (mut series, mut detector) = (Series::new(seed), Detector::default());
            assert_eq!(alarms(&mut detector, (0..8_640).map(|_| series.next(1.0))), 0, "{seed}");
            let found = (1..=18).find_map(|at| detector.observe(series.next(1.2)).map(|found| (at, found)));
            let (_, regression) = found.unwrap_or_else(|| panic!("seed {seed}: nothing in three minutes"));
            assert!((1.1..1.35).contains(&regression.factor), "{seed}: {regression:?}");
            let over = (1..=18).find(|_| detector.observe(series.next(1.0)).is_none());
            assert!(over.is_some(), "seed {seed}: not over after three minutes");
        }
    }

    #[test]
    fn a_regression_is_not_learnt_as_usual() {
        let (mut series, mut detector) = (Series::new(7), Detector::default());
        alarms(&mut detector, (0..8_640).map(|_| series.next(1.0)));
        alarms(&mut detector, (0..8_640).map(|_| series.next(1.3)));
        let regression = detector.observe(series.next(1.3)).expect("still slow after a day");
        assert!((1.2..1.4).contains(&regression.factor), "{regression:?}");
        assert!(detector.excess_ns() > 0.0);
    }

    #[test]
    fn a_window_with_few_calls_says_nothing() {
        let mut detector = Detector::default();
        let bytes = detector.bytes();
        for _ in 0..1_000 {
            assert_eq!(detector.observe(Window { calls: 19, p50_ns: 1, p95_ns: 1 }), None);
        }
        assert_eq!(detector.bytes(), bytes);
    }
}
