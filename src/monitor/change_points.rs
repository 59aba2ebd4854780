//! Change points: where a series goes on at another level, told from noise.
//!
//! The E-divisive statistic (D. S. Matteson and N. A. James, "A nonparametric approach for multiple change point analysis
//! of multivariate data", JASA 109, 2014) says where a series is split best. Whether a split counts is decided by
//! Student's t-test and a least magnitude, as Apache Otava does: a permutation test would give another answer at each
//! look. Pure functions. Invariant: each change that is returned passes both tests against its neighbours.

use serde::Serialize;

/// Values on each side of a change, at least.
const MIN_SEGMENT: usize = 6;
/// A split is looked for further as long as chance makes it less often than this.
const WEAK_P: f64 = 0.01;
/// Most values that are looked at: the work grows with their square.
const MAX_VALUES: usize = 4_096;

/// What counts as a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangeTerms {
    /// Chance makes it less often than this.
    pub max_p: f64,
    /// The mean changes by this share at least.
    pub least_magnitude: f64,
}

impl Default for ChangeTerms {
    /// One in ten thousand, and 5 %.
    fn default() -> Self {
        Self { max_p: 0.000_1, least_magnitude: 0.05 }
    }
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChangePoint {
    /// The first value of the new level.
    pub at: usize,
    /// Mean before, back to the change before.
    pub before: f64,
    /// Mean after, up to the next change.
    pub after: f64,
    /// How often chance alone makes such a difference.
    pub p: f64,
}

/// The changes of level of a series, in their order. Of a longer series the last 4,096 values are looked at.
///
/// ```
/// use mcpool::monitor::{ChangeTerms, change_points};
///
/// let level = |at: usize| if at < 30 { 100.0 } else { 120.0 };
/// let series: Vec<f64> = (0..60).map(|at| level(at) + (at % 7) as f64).collect();
/// let found = change_points(&series, ChangeTerms::default());
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].at, 30);
/// ```
pub fn change_points(series: &[f64], terms: ChangeTerms) -> Vec<ChangePoint> {
    let skipped = series.len().saturating_sub(MAX_VALUES);
    let values = &series[skipped..];
    if values.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let mut splits = Vec::new();
    split(values, 0, &mut splits);
    splits.sort_unstable();
    let points = strongest(values, splits, terms);
    points.into_iter().map(|point| ChangePoint { at: point.at + skipped, ..point }).collect()
}

/// Splits at the best place, and both parts again, as long as the parts differ.
fn split(values: &[f64], offset: usize, splits: &mut Vec<usize>) {
    let mut waiting = vec![(values, offset)];
    while let Some((values, offset)) = waiting.pop() {
        let Some(at) = best_split(values) else { continue };
        let (left, right) = values.split_at(at);
        if p_value(left, right) <= WEAK_P {
            splits.push(offset + at);
            waiting.extend([(left, offset), (right, offset + at)]);
        }
    }
}

/// Removes the weakest split until all that are left count, and computes them anew each time: a segment grows when its
/// neighbour joins it.
fn strongest(values: &[f64], mut splits: Vec<usize>, terms: ChangeTerms) -> Vec<ChangePoint> {
    loop {
        let ends = splits.iter().copied().skip(1).chain([values.len()]);
        let begins = [0].into_iter().chain(splits.iter().copied());
        let points: Vec<ChangePoint> = begins
            .zip(&splits)
            .zip(ends)
            .map(|((begin, at), end)| {
                let (left, right) = (&values[begin..*at], &values[*at..end]);
                ChangePoint { at: *at, before: mean(left), after: mean(right), p: p_value(left, right) }
            })
            .collect();
        let counts = |point: &ChangePoint| {
            let change = (point.after - point.before).abs();
            point.p <= terms.max_p && change > 0.0 && change >= point.before.abs() * terms.least_magnitude
        };
        let weakest = (0..points.len())
            .filter(|at| !counts(&points[*at]))
            .max_by(|one, other| points[*one].p.total_cmp(&points[*other].p));
        match weakest {
            Some(at) => drop(splits.remove(at)),
            None => return points,
        }
    }
}

/// Where the two parts differ most by the statistic; nothing where a series is too short, or all of it is equal.
///
/// With m values on the left and n on the right it is mn/(m+n) (2 E|X-Y| - E|X-X'| - E|Y-Y'|). The sums of distances
/// are kept while the place moves on, so the whole takes n^2 steps and no memory.
fn best_split(values: &[f64]) -> Option<usize> {
    let count = values.len();
    if count < 2 * MIN_SEGMENT {
        return None;
    }
    let distances = |of: &[f64], to: f64| of.iter().map(|value| (value - to).abs()).sum::<f64>();
    let mut within_left = 0.0;
    let mut within_right: f64 = (0..count).map(|at| distances(&values[at + 1..], values[at])).sum();
    let mut between = 0.0;
    let mut best = (0.0, None);
    for at in 1..=count - MIN_SEGMENT {
        // The value before the place goes from the right to the left.
        let moved = values[at - 1];
        let (to_left, to_right) = (distances(&values[..at - 1], moved), distances(&values[at..], moved));
        within_left += to_left;
        within_right -= to_right;
        between += to_right - to_left;
        if at < MIN_SEGMENT {
            continue;
        }
        let (m, n) = (at as f64, (count - at) as f64);
        let pairs = |of: f64| of * (of - 1.0) / 2.0;
        let energy = 2.0 * between / (m * n) - within_left / pairs(m) - within_right / pairs(n);
        let statistic = m * n / (m + n) * energy;
        if statistic > best.0 {
            best = (statistic, Some(at));
        }
    }
    best.1
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// How often chance makes two samples of one normal distribution differ so much: Student's test of two sides.
fn p_value(left: &[f64], right: &[f64]) -> f64 {
    let (m, n) = (left.len() as f64, right.len() as f64);
    let (of_left, of_right) = (mean(left), mean(right));
    let squares = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let freedom = m + n - 2.0;
    let variance = (squares(left, of_left) + squares(right, of_right)) / freedom;
    let difference = (of_left - of_right).abs();
    if difference <= 0.0 {
        return 1.0;
    }
    // Where neither part has any noise, the difference is no chance.
    if variance <= 0.0 {
        return 0.0;
    }
    let t = difference / (variance * (1.0 / m + 1.0 / n)).sqrt();
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularized incomplete beta function of `x`, by its continued fraction (Lentz's method).
fn incomplete_beta(first: f64, second: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let both = first + second;
    // The fraction converges fast on this side alone.
    if x > (first + 1.0) / (both + 2.0) {
        return 1.0 - incomplete_beta(second, first, 1.0 - x);
    }
    let of_gammas = ln_gamma(both) - ln_gamma(first) - ln_gamma(second);
    let front = (first * x.ln() + second * (1.0 - x).ln() + of_gammas).exp() / first;
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut upper, mut lower) = (1.0, 1.0 / away_from_zero(1.0 - both * x / (first + 1.0)));
    let mut fraction = lower;
    for step in 1..300 {
        let step = f64::from(step);
        let twice = first + 2.0 * step;
        let even = step * (second - step) * x / ((twice - 1.0) * twice);
        let odd = -(first + step) * (both + step) * x / (twice * (twice + 1.0));
        for numerator in [even, odd] {
            lower = 1.0 / away_from_zero(1.0 + numerator * lower);
            upper = away_from_zero(1.0 + numerator / upper);
            fraction *= upper * lower;
        }
        if (upper * lower - 1.0).abs() < 1e-12 {
            break;
        }
    }
    front * fraction
}

/// The logarithm of the gamma function, by Lanczos' approximation with seven terms (Numerical Recipes).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.120_865_097_386_617_9e-2,
        -0.539_523_938_495_3e-5,
    ];
    let base = x + 5.5;
    let sum = TERMS
        .iter()
        .enumerate()
        .fold(1.000_000_000_190_015, |sum, (at, term)| sum + term / (x + 1.0 + at as f64));
    (x + 0.5) * base.ln() - base + (2.506_628_274_631_000_5 * sum / x).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is the same in each run: uniform numbers, twelve of which make a normal one.
    struct Noise(u64);

    impl Noise {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }

        fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
            median * (sigma * self.normal()).exp()
        }
    }

    #[test]
    fn students_test_agrees_with_its_table() {
        // (degrees of freedom, t, both sides), from a table of quantiles.
        for (freedom, t, want) in [
            (10.0_f64, 2.228_f64, 0.05),
            (30.0, 2.750, 0.01),
            (5.0, 4.032, 0.01),
            (120.0, 3.373, 0.001),
            (1.0, 12.706, 0.05),
        ] {
            let p = incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t));
            assert!((p / want - 1.0).abs() < 0.01, "{freedom} {t}: {p}");
        }
        assert!((p_value(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]) - 1.0).abs() < 1e-9);
        assert!(p_value(&[1.0; 6], &[2.0; 6]) < 1e-9);
    }

    #[test]
    fn steps_are_found_where_they_are() {
        let mut noise = Noise(1);
        let levels = [(0, 100.0), (80, 120.0), (150, 95.0)];
        let series: Vec<f64> = (0..240)
            .map(|at| {
                let level = levels.iter().rev().find(|(begin, _)| at >= *begin).expect("a level").1;
                noise.lognormal(level, 0.05)
            })
            .collect();
        let found = change_points(&series, ChangeTerms::default());
        let places: Vec<usize> = found.iter().map(|point| point.at).collect();
        assert_eq!(places.len(), 2, "{found:?}");
        assert!((78..=82).contains(&places[0]) && (148..=152).contains(&places[1]), "{found:?}");
        assert!((found[0].after / found[0].before - 1.2).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn noise_is_no_change() {
        let mut noise = Noise(7);
        let mut false_alarms = 0;
        for _ in 0..100 {
            let series: Vec<f64> = (0..200).map(|_| noise.lognormal(50.0, 0.2)).collect();
            false_alarms += change_points(&series, ChangeTerms::default()).len();
        }
        assert!(false_alarms <= 2, "{false_alarms} in 100 series");
    }

    #[test]
    fn small_changes_and_short_series_do_not_count() {
        let step = |size: f64| -> Vec<f64> {
            (0..100).map(|at| if at < 50 { 100.0 } else { 100.0 + size } + f64::from(at % 3) * 0.1).collect()
        };
        assert_eq!(change_points(&step(4.0), ChangeTerms::default()), []);
        assert_eq!(change_points(&step(6.0), ChangeTerms::default()).len(), 1);
        assert_eq!(change_points(&step(6.0)[45..55], ChangeTerms::default()), []);
        assert_eq!(change_points(&[1.0; 50], ChangeTerms::default()), []);
        assert_eq!(change_points(&[f64::NAN; 50], ChangeTerms::default()), []);
        let long: Vec<f64> = (0..MAX_VALUES + 100).map(|at| if at < 2_000 { 1.0 } else { 2.0 }).collect();
        assert_eq!(change_points(&long, ChangeTerms::default())[0].at, 2_000);
    }
}
