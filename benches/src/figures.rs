//! What rounds have shown, and how it is told: a median with its spread, quantiles of a latency.
//!
//! Knows numbers only.

use mcpool::load::LatencyReport;

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
    /// The middle of each quantile over some rounds, `None` of none.
    ///
    /// ```
    /// use mcpool_benches::figures::Quantiles;
    ///
    /// let round = |p999| Quantiles { p50: 1.0, p99: 2.0, p999 };
    /// let middle = Quantiles::middle(&[round(9.0), round(3.0), round(4.0)]);
    /// assert_eq!(middle, Some(round(4.0)));
    /// ```
    pub fn middle(rounds: &[Self]) -> Option<Self> {
        let middle =
            |of: fn(&Self) -> f64| Some(Spread::of(&rounds.iter().map(of).collect::<Vec<_>>())?.median);
        let p50 = middle(|quantiles| quantiles.p50)?;
        Some(Self { p50, p99: middle(|quantiles| quantiles.p99)?, p999: middle(|quantiles| quantiles.p999)? })
    }
}

impl From<&LatencyReport> for Quantiles {
    fn from(latency: &LatencyReport) -> Self {
        Self { p50: latency.p50_us, p99: latency.p99_us, p999: latency.p999_us }
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
        assert_eq!((Spread::of(&[]), Quantiles::middle(&[])), (None, None));
        assert_eq!(Spread::of(&[7.0]), Some(Spread::one(7.0)));
    }
}
