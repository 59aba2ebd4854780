//! Medians, and a sample that stands for all of a long time in bounded room.

/// The median of values, which are put in order; 0 for none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if !below.is_empty() && values.len().is_multiple_of(2) {
        let lower = values[..middle].iter().copied().fold(f64::MIN, f64::max);
        return f64::midpoint(lower, upper);
    }
    upper
}

/// What the median absolute deviation of a normal distribution is multiplied by to get its standard deviation.
const NORMAL: f64 = 1.4826;

/// The median of a sample, and a standard deviation that outliers do not move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) deviation: f64,
}

impl Spread {
    pub(super) fn of(sample: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = sample.collect();
        let middle = median(&mut values);
        for value in &mut values {
            *value = (*value - middle).abs();
        }
        Self { median: middle, deviation: NORMAL * median(&mut values) }
    }
}

/// Most values of a [`Sample`].
pub(super) const MAX_VALUES: usize = 128;

/// Values from the whole of a long time. When it is full, every other one is dropped and new ones are taken half as often,
/// so that the last hour counts no more than any before it.
#[derive(Debug, Clone)]
pub(super) struct Sample<T> {
    values: Vec<T>,
    /// One of so many is taken.
    stride: u32,
    /// How many were passed over since the last one.
    passed: u32,
}

impl<T> Default for Sample<T> {
    fn default() -> Self {
        Self { values: Vec::new(), stride: 1, passed: 0 }
    }
}

impl<T> Sample<T> {
    /// Takes a value, or passes it over. Returns whether it was taken.
    pub(super) fn add(&mut self, value: T) -> bool {
        self.passed += 1;
        if self.passed < self.stride {
            return false;
        }
        self.passed = 0;
        if self.values.len() == MAX_VALUES {
            let mut is_kept = false;
            self.values.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride = self.stride.saturating_mul(2);
        }
        if self.values.capacity() == 0 {
            self.values.reserve_exact(MAX_VALUES);
        }
        self.values.push(value);
        true
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// Heap bytes.
    pub(super) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        for (values, want) in [
            (vec![], 0.0),
            (vec![3.0], 3.0),
            (vec![4.0, 1.0], 2.5),
            (vec![9.0, 1.0, 2.0], 2.0),
            (vec![4.0, 3.0, 1.0, 2.0], 2.5),
        ] {
            assert!((median(&mut values.clone()) - want).abs() < 1e-12, "{values:?}");
        }
    }

    #[test]
    fn outliers_do_not_move_the_spread() {
        let calm = Spread::of((0..100).map(f64::from));
        let wild = Spread::of((0..90).map(f64::from).chain([1e9; 10]));
        assert!((calm.median - 49.5).abs() < 1e-9 && (wild.median - 49.5).abs() < 1e-9, "{calm:?} {wild:?}");
        assert!((wild.deviation / calm.deviation - 1.0).abs() < 0.3, "{calm:?} {wild:?}");
    }

    #[test]
    fn a_sample_stands_for_all_of_the_time() {
        let mut sample = Sample::default();
        for value in 0..100_000 {
            sample.add(f64::from(value));
        }
        let values = sample.values();
        assert!((MAX_VALUES / 2..=MAX_VALUES).contains(&values.len()));
        assert!(values.is_sorted() && values[0] < 2_000.0 && values[values.len() - 1] > 98_000.0);
        assert!((Spread::of(values.iter().copied()).median / 50_000.0 - 1.0).abs() < 0.05);
        assert_eq!(sample.bytes(), MAX_VALUES * 8);
    }
}
