//! Memory over time, for as long as the process runs, in a bounded number of points.
//!
//! Room for all points is made at the start, so that looking on allocates nothing. When it is full, every other point
//! goes and the rest lie twice as far apart. Invariant: points lie in the order of time.

use super::ledger::Line;
use super::report::TimelinePoint;
use std::time::{Duration, Instant};

/// Points that are kept.
const POINTS: usize = 120;
/// Different names of lines that are kept.
const NAMES: usize = 20;

/// The points so far.
#[derive(Debug)]
pub(super) struct Timeline {
    points: Vec<Point>,
    names: Vec<&'static str>,
    every: Duration,
    last: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at_ms: u64,
    rss_bytes: u64,
    /// KiB of each name, in their order.
    kib: [u32; NAMES],
}

impl Timeline {
    pub(super) fn new() -> Self {
        let (points, names) = (Vec::with_capacity(POINTS), Vec::with_capacity(NAMES));
        Self { points, names, every: Duration::from_secs(1), last: None }
    }

    /// Whether it is time for another point.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.every)
    }

    /// Adds a point; names beyond the twentieth are left out.
    pub(super) fn add(&mut self, now: Instant, at_ms: u64, rss_bytes: u64, lines: &[Line]) {
        self.last = Some(now);
        if self.points.len() == POINTS {
            let mut is_kept = false;
            self.points.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.every *= 2;
        }
        let mut kib = [0; NAMES];
        for line in lines {
            let known = self.names.iter().position(|name| *name == line.name);
            let place = known.or_else(|| {
                (self.names.len() < NAMES).then(|| {
                    self.names.push(line.name);
                    self.names.len() - 1
                })
            });
            if let Some(place) = place {
                kib[place] = u32::try_from(line.bytes / 1024).unwrap_or(u32::MAX);
            }
        }
        self.points.push(Point { at_ms, rss_bytes, kib });
    }

    pub(super) fn report(&self) -> Vec<TimelinePoint> {
        let parts = |point: &Point| {
            let named = self.names.iter().zip(&point.kib);
            named.map(|(name, kib)| ((*name).to_owned(), u64::from(*kib) * 1024)).collect()
        };
        let points = self.points.iter();
        points
            .map(|point| TimelinePoint {
                at_ms: point.at_ms,
                rss_bytes: point.rss_bytes,
                parts: parts(point),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_is_told_in_few_points() {
        let (begun, mut timeline) = (Instant::now(), Timeline::new());
        for second in 0..100_000 {
            let now = begun + Duration::from_secs(second);
            if timeline.is_due(now) {
                let lines = [Line { name: "held", bytes: second * 1024, count: None }];
                timeline.add(now, second * 1_000, second, &lines);
            }
        }
        let points = timeline.report();
        assert!((POINTS / 2..=POINTS).contains(&points.len()), "{}", points.len());
        assert_eq!((points[0].at_ms, points[0].parts[0].1), (0, 0));
        assert!(points.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms));
        let last = points.last().expect("points");
        assert!(last.at_ms > 98_000_000 && last.parts == [("held".to_owned(), last.at_ms / 1_000 * 1024)]);
    }
}
