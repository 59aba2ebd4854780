//! How near the limit the process is, as a level that does not flutter.
//!
//! A pure function of what was measured: time is an argument and nothing is read here. What each level does is a
//! table in the documentation of [`crate::memory`]. Invariant: a level falls by one step at a time, and only after
//! [`CALM`] below its threshold; it rises at once.

use super::report::PressureLevel;
use std::time::{Duration, Instant};

/// How far below its threshold a level is left, in percent points.
const GAP_PERCENT: u64 = 10;
/// How long it must have been below.
const CALM: Duration = Duration::from_secs(5);
/// Waiting for memory in more than this share of the time is pressure too, whatever the limit says: the machine
/// is short. In percent.
const PSI_ELEVATED: f64 = 10.0;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) rss_bytes: u64,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) psi_some_avg10: Option<f64>,
}

/// The level, and since when it could fall.
#[derive(Debug, Clone)]
pub(crate) struct Pressure {
    level: PressureLevel,
    calm_since: Option<Instant>,
    elevated_percent: u64,
    critical_percent: u64,
}

impl Pressure {
    pub(crate) fn new(elevated_percent: usize, critical_percent: usize) -> Self {
        Self {
            level: PressureLevel::Normal,
            calm_since: None,
            elevated_percent: elevated_percent as u64,
            critical_percent: critical_percent as u64,
        }
    }

    /// The level after this measurement.
    pub(crate) fn judge(&mut self, measured: Measured, now: Instant) -> PressureLevel {
        let reached = self.level_at(measured, 0);
        if reached > self.level {
            self.level = reached;
            self.calm_since = None;
            return reached;
        }
        if self.level_at(measured, GAP_PERCENT) >= self.level {
            self.calm_since = None;
            return self.level;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= CALM {
            self.calm_since = None;
            self.level = match self.level {
                PressureLevel::Critical => PressureLevel::Elevated,
                PressureLevel::Elevated | PressureLevel::Normal => PressureLevel::Normal,
            };
        }
        self.level
    }

    /// The level by thresholds that lie `gap` percent points lower.
    fn level_at(&self, measured: Measured, gap: u64) -> PressureLevel {
        let used_percent = match measured.limit_bytes {
            Some(limit) if limit > 0 => measured.rss_bytes.saturating_mul(100) / limit,
            _ => 0,
        };
        if measured.limit_bytes.is_some() && used_percent >= self.critical_percent.saturating_sub(gap) {
            return PressureLevel::Critical;
        }
        let is_short = measured.psi_some_avg10.is_some_and(|psi| psi > PSI_ELEVATED);
        let is_near =
            measured.limit_bytes.is_some() && used_percent >= self.elevated_percent.saturating_sub(gap);
        if is_short || is_near { PressureLevel::Elevated } else { PressureLevel::Normal }
    }
}

#[cfg(test)]
mod tests {
    use super::PressureLevel::{Critical, Elevated, Normal};
    use super::*;

    #[test]
    fn levels_rise_at_once_and_fall_step_by_step() {
        let begun = Instant::now();
        let mut pressure = Pressure::new(75, 90);
        // Seconds, percent of the limit in use, the level that follows.
        for (second, rss, want) in [
            (0, 74, Normal),
            (1, 75, Elevated),
            (2, 66, Elevated),
            (60, 66, Elevated),
            (61, 95, Critical),
            (62, 79, Critical),
            (66, 79, Critical),
            (67, 79, Elevated),
            (68, 79, Elevated),
            (70, 50, Elevated),
            (73, 70, Elevated),
            (74, 50, Elevated),
            (78, 50, Elevated),
            (79, 50, Normal),
        ] {
            let now = begun + Duration::from_secs(second);
            let measured = Measured { rss_bytes: rss, limit_bytes: Some(100), psi_some_avg10: None };
            assert_eq!(pressure.judge(measured, now), want, "at {second} s with {rss} %");
        }
    }

    #[test]
    fn without_a_limit_only_waiting_for_memory_counts() {
        let mut pressure = Pressure::new(75, 90);
        let measured = Measured { rss_bytes: u64::MAX, limit_bytes: None, psi_some_avg10: Some(1.0) };
        assert_eq!(pressure.judge(measured, Instant::now()), Normal);
        let waits = Measured { psi_some_avg10: Some(30.0), ..measured };
        assert_eq!(pressure.judge(waits, Instant::now()), Elevated);
    }

    /// A load that swings across a threshold each second changes the level once, not each second.
    #[test]
    fn a_square_wave_does_not_make_it_flutter() {
        let (begun, mut pressure, mut changes, mut last) = (Instant::now(), Pressure::new(75, 90), 0, Normal);
        for second in 0..600 {
            let rss = if second % 4 < 2 { 95 } else { 40 };
            let measured = Measured { rss_bytes: rss, limit_bytes: Some(100), psi_some_avg10: None };
            let level = pressure.judge(measured, begun + Duration::from_secs(second));
            changes += usize::from(level != last);
            last = level;
        }
        assert_eq!(changes, 1);
    }
}
