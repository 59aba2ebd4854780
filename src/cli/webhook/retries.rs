//! When a delivery that failed is tried again: later each time, at moments that differ between servers.
//!
//! Pure: time and chance are arguments. Invariant: nothing is tried for longer than [`PATIENCE`].

use std::time::{Duration, Instant};

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);
/// How long a delivery is tried.
pub(super) const PATIENCE: Duration = Duration::from_mins(15);

/// The attempts of one delivery.
#[derive(Debug, Clone)]
pub(super) struct Retries {
    begun: Instant,
    pub(super) failures: u32,
}

impl Retries {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, failures: 0 }
    }

    /// The pause before the next attempt, after one that failed; `None` to give up. `chance` is 0 to 1; `asked` is what
    /// the receiver asked for.
    pub(super) fn pause(&mut self, now: Instant, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        // Half of it is sure, so that a receiver that comes back is not met by all at once.
        let pause = doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        let pause = pause.max(asked.unwrap_or_default().min(LONGEST_ASKED));
        let is_in_time = now.saturating_duration_since(self.begun) + pause <= PATIENCE;
        is_in_time.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_end_after_a_quarter_of_an_hour() {
        let begun = Instant::now();
        for chance in [0.0, 0.3, 1.0] {
            let (mut retries, mut now, mut pauses) = (Retries::new(begun), begun, Vec::new());
            while let Some(pause) = retries.pause(now, None, chance) {
                now += pause;
                pauses.push(pause.as_secs_f64());
            }
            let share = 0.5 + chance / 2.0;
            let want = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0].map(|pause| pause * share);
            assert!(pauses.iter().zip(want).all(|(found, want)| (found - want).abs() < 1e-6), "{pauses:?}");
            assert!(now - begun <= PATIENCE && now - begun + LONGEST_PAUSE >= PATIENCE, "{pauses:?}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_but_not_for_any() {
        let begun = Instant::now();
        let pause = |asked| Retries::new(begun).pause(begun, asked, 1.0);
        assert_eq!(pause(Some(Duration::from_secs(30))), Some(Duration::from_secs(30)));
        assert_eq!(pause(Some(Duration::ZERO)), Some(FIRST_PAUSE));
        assert_eq!(pause(Some(Duration::from_hours(9))), Some(LONGEST_ASKED));
        let late = begun + Duration::from_secs(14 * 60 + 40);
        assert_eq!(Retries::new(begun).pause(late, Some(Duration::from_secs(30)), 1.0), None);
    }
}
