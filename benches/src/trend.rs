//! Whether a figure that is sampled over time stays where it is: its slope and its band.
//!
//! Slope: least squares over all samples given, so that neither the first nor the last decides alone.

use crate::slopes::per_unit;

/// How a figure went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Change per minute, in the unit of the figure.
    pub slope_per_minute: f64,
    /// The least that was seen.
    pub least: f64,
    /// The most that was seen.
    pub most: f64,
}

impl Trend {
    /// The trend of samples, each a time in seconds and a figure; `None` of fewer than two.
    ///
    /// ```
    /// use mcpool_benches::trend::Trend;
    ///
    /// let trend = Trend::of(&[(0.0, 10.0), (30.0, 11.0), (60.0, 12.0)]).ok_or("too few samples")?;
    /// assert!((trend.slope_per_minute - 2.0).abs() < 1e-9);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn of(samples: &[(f64, f64)]) -> Option<Self> {
        if samples.len() < 2 {
            return None;
        }
        let figures = samples.iter().map(|(_, figure)| *figure);
        Some(Self {
            slope_per_minute: per_unit(samples).unwrap_or_default() * 60.0,
            least: figures.clone().fold(f64::INFINITY, f64::min),
            most: figures.fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The samples after the first fifth, in which a server takes its size.
pub fn settled(samples: &[(f64, f64)]) -> &[(f64, f64)] {
    &samples[samples.len() / 5..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope(figure: impl Fn(f64) -> f64) -> f64 {
        let samples: Vec<_> = (0..600).map(|second| (f64::from(second), figure(f64::from(second)))).collect();
        Trend::of(settled(&samples)).expect("samples").slope_per_minute
    }

    #[test]
    fn a_leak_is_told_from_a_wave_and_from_the_start() {
        assert!((slope(|second| 5_000.0 + second * 0.1) - 6.0).abs() < 1e-6);
        assert!(slope(|second| 5_000.0 + (second * 0.7).sin() * 100.0).abs() < 0.5);
        assert!(slope(|second| second.min(100.0) * 50.0).abs() < 1e-6);
    }

    #[test]
    fn the_band_is_what_was_seen() {
        let trend = Trend::of(&[(0.0, 3.0), (1.0, 9.0), (2.0, 6.0)]).expect("samples");
        assert!((trend.least - 3.0).abs() < f64::EPSILON && (trend.most - 9.0).abs() < f64::EPSILON);
        assert_eq!(Trend::of(&[(0.0, 3.0)]), None);
        let same_time = Trend::of(&[(1.0, 3.0), (1.0, 4.0)]).expect("samples");
        assert!(same_time.slope_per_minute.abs() < f64::EPSILON);
    }
}
