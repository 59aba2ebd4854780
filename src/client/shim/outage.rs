//! The pauses between attempts to reach a server that is down.

use std::time::Duration;

/// Shortest and longest pause between two attempts to reach a server.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// What the shim does about a server that cannot be reached: for how long it tries, if it was never there.
pub(super) fn trying_again(left: Option<Duration>) -> String {
    match left {
        None => "trying again".to_owned(),
        Some(left) if left.is_zero() => "it is not waited for".to_owned(),
        // The part of a second that the first attempt took is not worth a word.
        Some(left) => format!("waiting {} s for it", left.as_secs_f64().ceil()),
    }
}

/// Attempts that failed one after the other.
#[derive(Debug, Default)]
pub(super) struct Outage {
    pause: Option<Duration>,
}

impl Outage {
    /// Tells whether the last attempt failed.
    pub(super) fn is_on(&self) -> bool {
        self.pause.is_some()
    }

    /// Notes a failed attempt, and gives the pause after it: a longer one each time.
    pub(super) fn prolong(&mut self) -> Duration {
        let pause = self.pause.map_or(MIN_PAUSE, |pause| (pause * 2).min(MAX_PAUSE));
        self.pause = Some(pause);
        pause
    }

    /// Notes that the server was reached, and tells whether there was an outage.
    pub(super) fn end(&mut self) -> bool {
        self.pause.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_server_is_waited_for_is_said() {
        let left = |ms| trying_again(Some(Duration::from_millis(ms)));
        assert_eq!(
            [trying_again(None), left(0), left(9_990)],
            ["trying again", "it is not waited for", "waiting 10 s for it"]
        );
    }

    #[test]
    fn pauses_double_up_to_two_seconds_and_begin_anew() {
        let mut outage = Outage::default();
        let pauses: Vec<u128> = (0..8).map(|_| outage.prolong().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert!(outage.is_on() && outage.end() && !outage.end());
        assert_eq!(outage.prolong(), MIN_PAUSE);
    }
}
