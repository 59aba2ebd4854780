//! Whether memory grows in a straight line: bytes against how many things keep them.
//!
//! A fit by least squares. Its slope is what one thing costs; `r²` says how much of the growth the line explains,
//! so that what grows with the square of the number, or in leaps, does not pass for a cost each.

use std::fmt;

/// The least `r²` of a straight line: queues and maps double their tables, and no more than that is forgiven.
pub const MIN_R_SQUARED: f64 = 0.999;

/// A straight line through points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Bytes for each thing.
    pub slope: f64,
    /// Bytes where there is nothing.
    pub start: f64,
    /// The share of the growth that the line explains, 0 to 1.
    pub r_squared: f64,
}

impl Line {
    /// The line nearest to `points`: how many things, and the bytes that they keep.
    ///
    /// ```
    /// use mcpool_memtests::growth::Line;
    ///
    /// let line = Line::through(&[(10, 1_100), (100, 10_100), (1_000, 100_100)]);
    /// assert_eq!((line.slope.round(), line.start.round()), (100.0, 100.0));
    /// assert!(line.r_squared > 0.999_999);
    /// ```
    ///
    /// # Panics
    /// With fewer than three different counts, which any line would fit.
    pub fn through(points: &[(usize, usize)]) -> Self {
        let different = points.windows(2).filter(|pair| pair[0].0 != pair[1].0).count() + 1;
        assert!(different >= 3, "{different} counts do not tell a line from a curve");
        let of = points.len() as f64;
        let mean_count = points.iter().map(|(count, _)| *count as f64).sum::<f64>() / of;
        let mean_bytes = points.iter().map(|(_, bytes)| *bytes as f64).sum::<f64>() / of;
        let deviations =
            points.iter().map(|(count, bytes)| (*count as f64 - mean_count, *bytes as f64 - mean_bytes));
        let (mut counts, mut both, mut all) = (0.0, 0.0, 0.0);
        for (count, bytes) in deviations {
            counts += count * count;
            both += count * bytes;
            all += bytes * bytes;
        }
        let slope = both / counts;
        let explained = if all > 0.0 { slope * both / all } else { 1.0 };
        Self { slope, start: mean_bytes - slope * mean_count, r_squared: explained }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} B each and {:.0} B to begin with (r² {:.6})", self.slope, self.start, self.r_squared)
    }
}

/// The line through `points`, if that is what they are on, and each of `what` costs at most `allowed` bytes.
///
/// # Errors
/// Tells what is wrong, with the points and the line: for [`Watch::fail`](crate::Watch::fail).
pub fn straight(what: &str, points: &[(usize, usize)], allowed: usize) -> Result<Line, String> {
    let line = Line::through(points);
    let fault = if line.r_squared < MIN_R_SQUARED {
        format!("no straight line (r² below {MIN_R_SQUARED})")
    } else if line.slope > allowed as f64 {
        format!("steeper than {allowed} B each")
    } else if line.slope <= 0.0 {
        // What costs nothing was not there, or was not seen.
        "no growth at all".to_owned()
    } else {
        return Ok(line);
    };
    Err(format!("{what}: {fault}: {line}, through {points:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];

    fn points(bytes: impl Fn(usize) -> usize) -> Vec<(usize, usize)> {
        COUNTS.into_iter().map(|count| (count, bytes(count))).collect()
    }

    #[test]
    fn a_cost_each_is_a_straight_line() {
        let line = straight("connections", &points(|count| 768 * count + 4_000), 1_024).expect("straight");
        assert_eq!((line.slope.round(), line.start.round()), (768.0, 4_000.0));
        // A table that doubles beside it.
        let doubling = points(|count| 768 * count + 8 * count.next_power_of_two());
        straight("connections", &doubling, 1_024).expect("straight enough");
    }

    #[test]
    fn what_is_not_straight_too_steep_or_not_seen_is_found() {
        for (points, fault) in [
            (points(|count| 100 * count + count * count / 64), "connections: no straight line"),
            (points(|count| 1_025 * count), "connections: steeper than 1024 B each: 1025.0 B each"),
            (points(|_| 64), "connections: no growth at all"),
        ] {
            let error = straight("connections", &points, 1_024).expect_err(fault);
            assert!(error.starts_with(fault), "{error}");
        }
    }

    #[test]
    #[should_panic(expected = "do not tell a line from a curve")]
    fn two_points_are_too_few() {
        Line::through(&[(1, 1), (2, 2), (2, 3)]);
    }
}
