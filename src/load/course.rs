//! The course of one test: rates, or the times of a trace.

use super::pace::Pace;
use super::replay::Replay;
use std::time::Instant;

/// When requests begin.
pub(super) enum Course {
    /// At a rate, or whenever there is room.
    Rates(Pace),
    /// When those of a trace came.
    Recorded(Replay),
}

impl Course {
    /// Whether no request begins any more. `down_since` says since when no connection takes requests.
    pub(super) fn is_over(&self, now: Instant, down_since: Option<Instant>) -> bool {
        match self {
            Self::Rates(pace) => pace.is_over(now),
            Self::Recorded(replay) => replay.is_over(now, down_since),
        }
    }

    /// When the next request is to begin; `None` in a closed loop, and at the end.
    pub(super) fn next_time(&self) -> Option<Instant> {
        match self {
            Self::Rates(pace) => pace.next_time(),
            Self::Recorded(replay) => replay.next_time(),
        }
    }

    /// Ends it; gives how many requests that count were due before and did not begin.
    pub(super) fn end(&mut self, now: Instant) -> u64 {
        match self {
            Self::Rates(pace) => pace.end(now),
            Self::Recorded(replay) => replay.overdue(now),
        }
    }

    /// How many requests are to begin until `at`; `None` in a closed loop.
    pub(super) fn scheduled_until(&self, at: Instant) -> Option<f64> {
        match self {
            Self::Rates(pace) => pace.scheduled_until(at),
            Self::Recorded(replay) => Some(replay.scheduled_until(at)),
        }
    }
}
