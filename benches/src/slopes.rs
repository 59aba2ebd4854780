//! How a cost grows with the work: its exponent, and what each further unit of work adds.
//!
//! Both by least squares over all points, so that neither the first nor the last decides alone. Knows numbers only.

/// The power of the work that a cost grows with: 0 for one that does not, 1 for one in proportion. `None` of fewer
/// than two points, or where a figure is not above zero.
///
/// ```
/// use mcpool_benches::slopes::exponent;
///
/// let in_proportion = exponent(&[(1.0, 3.0), (10.0, 30.0), (100.0, 300.0)]).ok_or("too few points")?;
/// assert!((in_proportion - 1.0).abs() < 1e-9);
/// # Ok::<(), &str>(())
/// ```
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(work, cost)| *work <= 0.0 || *cost <= 0.0) {
        return None;
    }
    per_unit(&points.iter().map(|(work, cost)| (work.ln(), cost.ln())).collect::<Vec<_>>())
}

/// What a further unit of work costs. `None` of fewer than two points, or where the work is the same in all.
pub fn per_unit(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_work = points.iter().map(|(work, _)| work).sum::<f64>() / count;
    let mean_cost = points.iter().map(|(_, cost)| cost).sum::<f64>() / count;
    let shared: f64 = points.iter().map(|(work, cost)| (work - mean_work) * (cost - mean_cost)).sum();
    let spread: f64 = points.iter().map(|(work, _)| (work - mean_work).powi(2)).sum();
    (points.len() > 1 && spread > 0.0).then(|| shared / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(figure: Option<f64>, expected: f64) -> bool {
        figure.is_some_and(|figure| (figure - expected).abs() < 1e-9)
    }

    #[test]
    fn growth_is_told_from_its_points() {
        let points = |cost: fn(f64) -> f64| [1.0, 10.0, 100.0].map(|work| (work, cost(work)));
        assert!(is(exponent(&points(|_| 7.0)), 0.0));
        assert!(is(exponent(&points(|work| 0.5 * work)), 1.0));
        assert!(is(exponent(&points(|work| 3.0 * work.powi(2))), 2.0));
        assert!(is(per_unit(&points(|work| 100.0 + 0.25 * work)), 0.25));
        assert!(is(per_unit(&points(|work| 100.0 - work)), -1.0));
    }

    #[test]
    fn what_has_no_slope_has_none() {
        assert_eq!(exponent(&[(1.0, 1.0)]), None);
        assert_eq!(exponent(&[(1.0, 0.0), (2.0, 1.0)]), None, "zero has no logarithm");
        assert_eq!(per_unit(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(per_unit(&[]), None);
    }
}
