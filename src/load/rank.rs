//! Whether two samples differ by more than chance: the rank-sum test, and medians.
//!
//! Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other" (1947),
//! with the normal approximation and its correction for ties. Ranks and medians ask for no shape of the distribution, and
//! one window that a neighbour disturbed weighs no more than another.

/// The probability of ranks that differ so much or more, in either direction, where both samples come from the same
/// source. 1 when a sample is empty or all values are the same.
pub(super) fn probability_of_chance(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|value| (*value, true)).chain(b.iter().map(|value| (*value, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut first) = (0.0, 0.0, 0);
    while first < all.len() {
        let same = all[first..].iter().take_while(|entry| entry.0.total_cmp(&all[first].0).is_eq()).count();
        // Ranks begin at 1; equal values share the mean of theirs.
        let rank = first as f64 + f64::midpoint(same as f64, 1.0);
        rank_sum += rank * all[first..first + same].iter().filter(|entry| entry.1).count() as f64;
        ties += (same as f64).powi(3) - same as f64;
        first += same;
    }
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    // It is no number where there are fewer than two values.
    if variance.is_nan() || variance <= 0.0 {
        return 1.0;
    }
    let distance = (rank_sum - n * (n + 1.0) / 2.0 - n * m / 2.0).abs();
    // Half a rank less: the sum goes in steps, the normal distribution does not.
    two_tails((distance - 0.5).max(0.0) / variance.sqrt())
}

/// The value in the middle, 0 of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

/// The median distance from the median, as a share of it: how much windows differ by themselves.
pub(super) fn spread(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    let middle = median(&mut values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&mut distances) / middle.max(f64::MIN_POSITIVE)
}

/// The probability of a normal value as far as `z` from the mean or farther, on either side.
pub(super) fn two_tails(z: f64) -> f64 {
    // Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26: off by less than 1.5e-7.
    const TERMS: [f64; 5] = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / 0.327_591_1_f64.mul_add(x, 1.0);
    let sum = TERMS.iter().fold(0.0, |sum: f64, term| sum.mul_add(t, *term));
    (sum * t * (-x * x).exp()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// Values around 1 that differ by a tenth or so.
    fn sample(random: &mut Random, length: usize) -> Vec<f64> {
        (0..length)
            .map(|_| (0..4).map(|_| 0.9 + random.below(1_000) as f64 / 5_000.0).sum::<f64>() / 4.0)
            .collect()
    }

    #[test]
    fn known_samples_have_their_known_probability() {
        // U = 0, z = (12.5 - 0.5) / sqrt(5 * 5 * 11 / 12) = 2.507.
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((probability_of_chance(&low, &high) - 0.012_2).abs() < 1e-4);
        assert!((two_tails(1.959_964) - 0.05).abs() < 1e-6 && (two_tails(0.0) - 1.0).abs() < 1e-6);
        assert!((probability_of_chance(&[1.0; 5], &[1.0; 7]) - 1.0).abs() < 1e-12);
        assert!((probability_of_chance(&[], &low) - 1.0).abs() < 1e-12);
        assert!((spread(&[9.0, 10.0, 10.0, 11.0, 100.0]) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn chance_is_as_probable_as_it_says() {
        let mut random = Random(7);
        let count = |random: &mut Random, factor: f64| {
            let mut found = 0;
            for _ in 0..2_000 {
                let (a, b) = (sample(random, 20), sample(random, 20));
                let b: Vec<f64> = b.iter().map(|value| value * factor).collect();
                found += usize::from(probability_of_chance(&a, &b) < 0.01);
            }
            found
        };
        let (same, slower) = (count(&mut random, 1.0), count(&mut random, 1.2));
        assert!((5..=40).contains(&same), "one in a hundred, not {same} of 2,000");
        assert!(slower > 1_990, "{slower}");
    }
}
