//! How near the limit the process is: three levels with hysteresis.
//!
//! Pure: measurements and time are arguments. The documentation of [`crate::memory`] has a table of what each level
//! does. Invariant: the level rises at once; it falls one step at a time, after [`CALM`] below its threshold.

use super::report::PressureLevel;
use std::time::{Duration, Instant};

/// How far below its threshold the level falls, in percent points.
const GAP_PERCENT: u64 = 10;
/// How long memory must have been below.
const CALM: Duration = Duration::from_secs(5);
/// Share of time in which tasks wait for memory, in percent, above which the level is elevated whatever the limit is:
/// the machine is short of memory.
const PSI_ELEVATED: f64 = 10.0;

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) rss_bytes: u64,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) psi_some_avg10: Option<f64>,
}

/// The level, and since when memory is low enough for it to fall.
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

    /// Updates the level by a measurement, and returns it.
    pub(crate) fn update(&mut self, measurement: Measurement, now: Instant) -> PressureLevel {
        let reached = self.level_at(measurement, 0);
        if reached > self.level {
            self.level = reached;
            self.calm_since = None;
            return reached;
        }
        if self.level_at(measurement, GAP_PERCENT) >= self.level {
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
    fn level_at(&self, measurement: Measurement, gap: u64) -> PressureLevel {
        let used_percent = match measurement.limit_bytes {
            Some(limit) if limit > 0 => measurement.rss_bytes.saturating_mul(100) / limit,
            _ => 0,
        };
        if measurement.limit_bytes.is_some() && used_percent >= self.critical_percent.saturating_sub(gap) {
            return PressureLevel::Critical;
        }
        let is_short = measurement.psi_some_avg10.is_some_and(|psi| psi > PSI_ELEVATED);
        let is_near =
            measurement.limit_bytes.is_some() && used_percent >= self.elevated_percent.saturating_sub(gap);
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
            let measurement = Measurement { rss_bytes: rss, limit_bytes: Some(100), psi_some_avg10: None };
            assert_eq!(pressure.update(measurement, now), want, "at {second} s with {rss} %");
        }
    }

    #[test]
    fn without_a_limit_only_waiting_for_memory_counts() {
        let mut pressure = Pressure::new(75, 90);
        let measurement = Measurement { rss_bytes: u64::MAX, limit_bytes: None, psi_some_avg10: Some(1.0) };
        assert_eq!(pressure.update(measurement, Instant::now()), Normal);
        let waits = Measurement { psi_some_avg10: Some(30.0), ..measurement };
        assert_eq!(pressure.update(waits, Instant::now()), Elevated);
    }

    /// A load that crosses a threshold every two seconds changes the level once.
    #[test]
    fn a_square_wave_does_not_make_it_flutter() {
        let (begun, mut pressure, mut changes, mut last) = (Instant::now(), Pressure::new(75, 90), 0, Normal);
        for second in 0..600 {
            let rss = if second % 4 < 2 { 95 } else { 40 };
            let measurement = Measurement { rss_bytes: rss, limit_bytes: Some(100), psi_some_avg10: None };
            let level = pressure.update(measurement, begun + Duration::from_secs(second));
            changes += usize::from(level != last);
            last = level;
        }
        assert_eq!(changes, 1);
    }
}
