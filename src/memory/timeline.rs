//! Memory over time, for as long as the process runs, in a bounded number of points.
//!
//! Capacity for all points is allocated at the start, so that adding a point does not allocate. When it is full, every
//! other point is dropped and new ones come half as often. Invariant: points are in the order of time.

use super::ledger::Line;
use super::report::TimelinePoint;
use std::time::{Duration, Instant};

/// Most points.
const MAX_POINTS: usize = 120;
/// Most names of lines.
const MAX_NAMES: usize = 20;

/// The points so far.
#[derive(Debug)]
pub(super) struct Timeline {
    points: Vec<Point>,
    names: Vec<&'static str>,
    interval: Duration,
    last: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at_ms: u64,
    rss_bytes: u64,
    /// KiB of each name, in their order.
    kib: [u32; MAX_NAMES],
}

impl Timeline {
    pub(super) fn new() -> Self {
        let (points, names) = (Vec::with_capacity(MAX_POINTS), Vec::with_capacity(MAX_NAMES));
        Self { points, names, interval: Duration::from_secs(1), last: None }
    }

    /// Whether the next point is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval)
    }

    /// Adds a point; names beyond the twentieth are left out.
    pub(super) fn add(&mut self, now: Instant, at_ms: u64, rss_bytes: u64, lines: &[Line]) {
        self.last = Some(now);
        if self.points.len() == MAX_POINTS {
            let mut is_kept = false;
            self.points.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.interval *= 2;
        }
        let mut kib = [0; MAX_NAMES];
        for line in lines {
            let known = self.names.iter().position(|name| *name == line.name);
            let index = known.or_else(|| {
                (self.names.len() < MAX_NAMES).then(|| {
                    self.names.push(line.name);
                    self.names.len() - 1
                })
            });
            if let Some(index) = index {
                kib[index] = u32::try_from(line.bytes / 1024).unwrap_or(u32::MAX);
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
    fn a_long_time_has_few_points() {
        let (start, mut timeline) = (Instant::now(), Timeline::new());
        for second in 0..100_000 {
            let now = start + Duration::from_secs(second);
            if timeline.is_due(now) {
                let lines = [Line { name: "held", bytes: second * 1024, count: None }];
                timeline.add(now, second * 1_000, second, &lines);
            }
        }
        let points = timeline.report();
        assert!((MAX_POINTS / 2..=MAX_POINTS).contains(&points.len()), "{}", points.len());
        assert_eq!((points[0].at_ms, points[0].parts[0].1), (0, 0));
        assert!(points.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms));
        let last = points.last().expect("points");
        assert!(last.at_ms > 98_000_000 && last.parts == [("held".to_owned(), last.at_ms / 1_000 * 1024)]);
    }
}
