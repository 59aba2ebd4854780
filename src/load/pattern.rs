//! How many requests a second a load test makes, as time goes by.
//!
//! A pattern becomes [`Segment`]s, in which the rate changes evenly; `schedule` turns those into times.

use std::time::Duration;

/// The course of a load.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LoadPattern {
    /// Each connection asks again as soon as it is answered. It shows how much a server does at most; its latency
    /// says little, since a slow server is asked less.
    Closed,
    /// The same rate all the time.
    Constant {
        /// Requests a second.
        rate: f64,
    },
    /// The rate rises (or falls) evenly.
    Ramp {
        /// Requests a second at the start.
        from: f64,
        /// Requests a second at the end.
        to: f64,
    },
    /// A base rate with one burst, which begins at a third of the duration.
    Spike {
        /// Requests a second before and after.
        base: f64,
        /// Requests a second in the burst.
        peak: f64,
        /// How long the burst lasts.
        lasts: Duration,
    },
    /// The rate rises in steps of equal length.
    Step {
        /// Requests a second on the first step.
        from: f64,
        /// Requests a second on the last step.
        to: f64,
        /// How many steps there are.
        steps: u32,
    },
}

/// A time in which the rate goes evenly from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Segment {
    pub(super) seconds: f64,
    /// Requests a second.
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Segment {
    pub(super) fn even(seconds: f64, rate: f64) -> Self {
        Self { seconds, from: rate, to: rate }
    }

    /// How many requests fall into it.
    pub(super) fn requests(&self) -> f64 {
        self.requests_until(self.seconds)
    }

    /// How many requests fall into its first `seconds`.
    pub(super) fn requests_until(&self, seconds: f64) -> f64 {
        let rise = (self.to - self.from) / self.seconds.max(f64::MIN_POSITIVE);
        self.from.mul_add(seconds, rise * seconds * seconds / 2.0)
    }

    /// After how many seconds `requests` of it have fallen due: the inverse of [`Segment::requests_until`].
    pub(super) fn seconds_until(&self, requests: f64) -> f64 {
        let rise = (self.to - self.from) / self.seconds.max(f64::MIN_POSITIVE);
        // The root of `rise / 2 t^2 + from t = requests`, in the form that does not cancel for a small rise.
        let root = (self.from.mul_add(self.from, 2.0 * rise * requests)).max(0.0).sqrt();
        let sum = self.from + root;
        if sum > 0.0 { 2.0 * requests / sum } else { self.seconds }
    }
}

impl LoadPattern {
    /// The rates over `duration`, `None` for a closed loop, which has none.
    pub(super) fn segments(&self, duration: Duration) -> Option<Vec<Segment>> {
        let seconds = duration.as_secs_f64();
        Some(match *self {
            Self::Closed => return None,
            Self::Constant { rate } => vec![Segment::even(seconds, rate)],
            Self::Ramp { from, to } => vec![Segment { seconds, from, to }],
            Self::Spike { base, peak, lasts } => {
                let before = seconds / 3.0;
                let burst = lasts.as_secs_f64().min(seconds - before);
                let after = seconds - before - burst;
                vec![Segment::even(before, base), Segment::even(burst, peak), Segment::even(after, base)]
            }
            Self::Step { from, to, steps } => {
                let steps = steps.max(1);
                let rise = (to - from) / f64::from((steps - 1).max(1));
                let step =
                    |index| Segment::even(seconds / f64::from(steps), rise.mul_add(f64::from(index), from));
                (0..steps).map(step).collect()
            }
        })
    }

    /// The rate at the start, at which a server is warmed up.
    pub(super) fn first_rate(&self) -> Option<f64> {
        self.segments(Duration::from_secs(3)).and_then(|all| all.first().map(|segment| segment.from))
    }

    /// When its spike begins and ends, and the rate beside it.
    pub(super) fn spike(&self, duration: Duration) -> Option<(Duration, Duration, f64)> {
        let Self::Spike { base, .. } = *self else { return None };
        let segments = self.segments(duration)?;
        let [before, burst, _] = &segments[..] else { return None };
        let begins = Duration::from_secs_f64(before.seconds);
        Some((begins, begins + Duration::from_secs_f64(burst.seconds), base))
    }

    /// The same pattern with all rates multiplied.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        match self {
            Self::Closed => Self::Closed,
            Self::Constant { rate } => Self::Constant { rate: rate * factor },
            Self::Ramp { from, to } => Self::Ramp { from: from * factor, to: to * factor },
            Self::Spike { base, peak, lasts } => {
                Self::Spike { base: base * factor, peak: peak * factor, lasts }
            }
            Self::Step { from, to, steps } => Self::Step { from: from * factor, to: to * factor, steps },
        }
    }

    /// Whether every rate in it can be scheduled.
    pub(super) fn is_possible(&self) -> bool {
        let is_rate = |rate: f64| rate.is_finite() && (0.0..=100_000_000.0).contains(&rate);
        match *self {
            Self::Closed => true,
            Self::Constant { rate } => is_rate(rate) && rate > 0.0,
            Self::Ramp { from, to } | Self::Step { from, to, .. } => {
                is_rate(from) && is_rate(to) && from + to > 0.0
            }
            Self::Spike { base, peak, .. } => is_rate(base) && is_rate(peak) && base + peak > 0.0,
        }
    }

    /// In words, for reports.
    pub(super) fn describe(&self) -> String {
        match *self {
            Self::Closed => "closed loop".to_owned(),
            Self::Constant { rate } => format!("{rate} a second"),
            Self::Ramp { from, to } => format!("ramp from {from} to {to} a second"),
            Self::Spike { base, peak, lasts } => {
                format!("{base} a second, with a spike of {peak} for {} s", lasts.as_secs_f64())
            }
            Self::Step { from, to, steps } => format!("{steps} steps from {from} to {to} a second"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests(pattern: LoadPattern, seconds: u64) -> f64 {
        let segments = pattern.segments(Duration::from_secs(seconds)).expect("an open loop");
        segments.iter().map(Segment::requests).sum()
    }

    #[test]
    fn each_pattern_makes_as_many_requests_as_its_rates_say() {
        let lasts = Duration::from_secs(2);
        for (pattern, want) in [
            (LoadPattern::Constant { rate: 100.0 }, 900.0),
            (LoadPattern::Ramp { from: 0.0, to: 100.0 }, 450.0),
            (LoadPattern::Spike { base: 10.0, peak: 1000.0, lasts }, 2070.0),
            (LoadPattern::Step { from: 10.0, to: 30.0, steps: 3 }, 180.0),
            (LoadPattern::Step { from: 10.0, to: 30.0, steps: 1 }, 90.0),
        ] {
            assert!((requests(pattern, 9) - want).abs() < 1e-6, "{pattern:?}: {}", requests(pattern, 9));
            assert!((requests(pattern.scaled(3.0), 9) - want * 3.0).abs() < 1e-6, "{pattern:?}");
        }
        assert_eq!(LoadPattern::Closed.segments(lasts), None);
    }

    #[test]
    fn a_spike_longer_than_what_is_left_ends_with_the_test() {
        let pattern = LoadPattern::Spike { base: 1.0, peak: 2.0, lasts: Duration::from_mins(1) };
        let segments = pattern.segments(Duration::from_secs(9)).expect("an open loop");
        let seconds: f64 = segments.iter().map(|segment| segment.seconds).sum();
        assert!((seconds - 9.0).abs() < 1e-9 && segments[2].seconds.abs() < 1e-9, "{segments:?}");
    }

    proptest! {
        #[test]
        fn times_and_counts_are_inverse(
            seconds in 0.01..1000.0_f64, from in 0.0..1e5_f64, to in 0.0..1e5_f64, part in 0.0..1.0_f64,
        ) {
            let segment = Segment { seconds, from, to };
            let requests = segment.requests() * part;
            let at = segment.seconds_until(requests);
            prop_assert!(at >= 0.0 && at <= seconds * (1.0 + 1e-6), "{at} of {seconds}");
            let again = segment.requests_until(at);
            prop_assert!((again - requests).abs() <= 1e-6 * segment.requests().max(1.0), "{again} for {requests}");
        }
    }
}
