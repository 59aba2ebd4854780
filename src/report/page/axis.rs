//! The axes of a chart: the position of each value, and the values that are labelled.
//!
//! Invariant: every position is finite and between the ends of the axis.

use crate::limits::units::bytes;

/// Steps of a clock, in seconds: what times are marked at.
const CLOCK_S: [u64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];

/// The height of a line of text in a chart.
pub(super) const LABEL_HEIGHT: f64 = 14.0;
/// What is left free beside a text.
pub(super) const LABEL_GAP: f64 = 6.0;
/// The most that a character takes on average: fonts differ, and this is a wide one in bold.
const CHAR_WIDTH: f64 = 7.6;

/// The most that a text of a chart takes, in units of the drawing.
pub(super) fn label_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHAR_WIDTH
}

/// One direction of a plot.
pub(super) struct Axis {
    /// Where zero is, in units of the drawing.
    from: f64,
    /// Where the largest value is.
    to: f64,
    /// The largest value.
    end: f64,
    is_log: bool,
}

impl Axis {
    /// Equal distances are equal differences.
    pub(super) fn linear(from: f64, to: f64, end: f64) -> Self {
        Self { from, to, end: end.max(f64::MIN_POSITIVE), is_log: false }
    }

    /// Equal distances are equal ratios of one more than the value, so that zero has a place.
    pub(super) fn log(from: f64, to: f64, end: f64) -> Self {
        Self { from, to, end: end.max(1.0), is_log: true }
    }

    /// Where `value` is.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.is_log { value.ln_1p() / self.end.ln_1p() } else { value / self.end };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.from + (self.to - self.from) * share
    }

    /// Zero and powers of two, at least `gap` apart.
    pub(super) fn powers(&self, gap: f64) -> Vec<u64> {
        let mut kept: Vec<u64> = vec![0];
        for value in (0..u64::BITS).map(|power| 1 << power).take_while(|value| *value as f64 <= self.end) {
            let last = kept.last().copied().unwrap_or_default();
            if (self.at(value as f64) - self.at(last as f64)).abs() >= gap {
                kept.push(value);
            }
        }
        kept
    }
}

/// Round sizes from zero to the first that is not below `largest`: at most five steps.
pub(super) fn sizes(largest: u64) -> Vec<u64> {
    let step = (largest / 4).max(1).checked_next_power_of_two().unwrap_or(1 << 63);
    let steps = largest.max(1).div_ceil(step);
    (0..=steps).map(|at| step.saturating_mul(at)).collect()
}

/// What stands beside a round size.
pub(super) fn size_mark(size: u64) -> String {
    bytes(size).replace(".0 ", " ")
}

/// Round times from `first_ms` to `last_ms`, at most `most` of them or so.
pub(super) fn times(first_ms: u64, last_ms: u64, most: u64) -> Vec<u64> {
    let span_s = last_ms.saturating_sub(first_ms) / 1_000;
    let is_enough = |step: &u64| span_s / step <= most;
    let days = || (span_s / most.max(1)).div_ceil(86_400).max(1).saturating_mul(86_400);
    let step_ms = CLOCK_S.into_iter().find(is_enough).unwrap_or_else(days).saturating_mul(1_000);
    let first = first_ms.div_ceil(step_ms);
    (first..=last_ms / step_ms).map(|at| at.saturating_mul(step_ms)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_lies_on_the_axis() {
        for axis in [Axis::linear(10.0, 90.0, 0.0), Axis::linear(90.0, 10.0, 7.0), Axis::log(10.0, 90.0, 0.0)]
        {
            for value in [0.0, -1.0, -3.0, 1.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let at = axis.at(value);
                assert!((10.0..=90.0).contains(&at), "{value}: {at}");
            }
        }
    }

    #[test]
    fn equal_ratios_are_equal_distances() {
        let axis = Axis::log(0.0, 300.0, 7.0);
        let at = [0.0, 1.0, 3.0, 7.0].map(|value| axis.at(value).round());
        assert!(
            at.iter().zip([0.0, 100.0, 200.0, 300.0]).all(|(at, want)| (at - want).abs() < 1e-9),
            "{at:?}"
        );
        assert_eq!(axis.powers(50.0), [0, 1, 2, 4]);
        assert_eq!(axis.powers(60.0), [0, 1, 4]);
    }

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(sizes(0), [0, 1]);
        assert_eq!(sizes(1_000), [0, 256, 512, 768, 1_024]);
        assert_eq!(times(1_000, 23_000, 5), [5_000, 10_000, 15_000, 20_000]);
        assert_eq!(times(5, 5, 5), [0_u64; 0]);
        for largest in [1, 3, 5, 1 << 20, (1 << 40) + 1, u64::MAX] {
            let marks = sizes(largest);
            assert!((2..=6).contains(&marks.len()) && *marks.last().expect("marks") >= largest, "{marks:?}");
            assert!(times(0, largest, 6).len() <= 8);
        }
    }
}
