//! When requests are to begin: at once when the one before is answered (closed loop), or at their time (open loop).
//!
//! Time is an argument. Invariant: an open loop's requests have their times whatever the server does; each time is
//! given out once, in order, and latency counts from it, so that a server that stands still is not asked less (no
//! coordinated omission). How many may be in flight is for the caller to bound; what that bound delays is late.

use std::time::{Duration, Instant};

/// How long a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The part that does not count.
    pub warm_up: Duration,
    /// The part that counts.
    pub measured: Duration,
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection asks once.
    Once,
    /// Each asks again once it is answered.
    Closed(Span),
    /// Requests begin at a rate, on whichever connection is free.
    Open {
        /// Requests a second.
        rate: f64,
        /// How long.
        span: Span,
    },
}

impl Pace {
    /// The time at which it begins to count, and that at which it ends: `None` for [`Pace::Once`].
    pub fn window(self, now: Instant) -> (Instant, Option<Instant>) {
        match self {
            Self::Once => (now, None),
            Self::Closed(span) | Self::Open { span, .. } => {
                (now + span.warm_up, Some(now + span.warm_up + span.measured))
            }
        }
    }
}

/// The times of an open loop, or of one thread's share of it.
#[derive(Debug, Clone)]
pub struct Schedule {
    begins: Instant,
    ends: Instant,
    /// Seconds between two requests of this share.
    interval: f64,
    /// Seconds until the first.
    offset: f64,
    next: u64,
}

impl Schedule {
    /// The share `index` of `shares` of a loop of `rate` requests a second from `begins` to `ends`.
    ///
    /// ```
    /// use mcpool_benches::schedule::Schedule;
    /// use std::time::{Duration, Instant};
    ///
    /// let begins = Instant::now();
    /// let mut schedule = Schedule::new(begins, begins + Duration::from_secs(1), 100.0, 0, 1);
    /// let late = begins + Duration::from_millis(15);
    /// assert_eq!(schedule.take_due(late), Some(begins));
    /// assert_eq!(schedule.take_due(late), Some(begins + Duration::from_millis(10)));
    /// assert_eq!(schedule.take_due(late), None);
    /// assert_eq!(schedule.until_next(late), Some(Duration::from_millis(5)));
    /// ```
    pub fn new(begins: Instant, ends: Instant, rate: f64, index: usize, shares: usize) -> Self {
        let interval = shares as f64 / rate.max(0.001);
        Self { begins, ends, interval, offset: interval * index as f64 / shares as f64, next: 0 }
    }

    fn time(&self, index: u64) -> Instant {
        self.begins + Duration::from_secs_f64(self.offset + self.interval * index as f64)
    }

    /// The time of the next request, if it has come. None comes at the end or after it.
    pub fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.time(self.next);
        if due > now || due >= self.ends {
            return None;
        }
        self.next += 1;
        Some(due)
    }

    /// How long until the next request is due; `None` when there is none any more.
    pub fn until_next(&self, now: Instant) -> Option<Duration> {
        let due = self.time(self.next);
        (due < self.ends).then(|| due.saturating_duration_since(now))
    }

    /// How many are due and not given out.
    pub fn overdue(&self, now: Instant) -> u64 {
        let until = now.min(self.ends).saturating_duration_since(self.begins).as_secs_f64() - self.offset;
        let mut due = (until / self.interval).max(0.0) as u64 + 2;
        // The clock counts whole nanoseconds: the times themselves decide at the edge.
        while due > 0 && (self.time(due - 1) > now || self.time(due - 1) >= self.ends) {
            due -= 1;
        }
        due.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn shares_of_a_loop_are_the_whole_loop() {
        let begins = Instant::now();
        let times = |index, shares| {
            let mut schedule = Schedule::new(begins, begins + SECOND, 1000.0, index, shares);
            std::iter::from_fn(|| schedule.take_due(begins + SECOND * 2)).collect::<Vec<_>>()
        };
        let whole = times(0, 1);
        assert_eq!(whole.len(), 1000);
        let mut shares: Vec<_> = (0..4).flat_map(|index| times(index, 4)).collect();
        shares.sort_unstable();
        assert_eq!(shares.len(), whole.len());
        for (one, other) in shares.iter().zip(&whole) {
            let apart = one.duration_since(*other).max(other.duration_since(*one));
            assert!(apart < Duration::from_micros(1), "{apart:?}");
        }
    }

    #[test]
    fn a_stall_delays_requests_and_omits_none() {
        let begins = Instant::now();
        let mut schedule = Schedule::new(begins, begins + SECOND, 100.0, 0, 1);
        while schedule.take_due(begins + Duration::from_millis(200)).is_some() {}
        // Nothing is taken for 300 ms.
        let now = begins + Duration::from_millis(500);
        assert_eq!(schedule.overdue(now), 30);
        let first = schedule.take_due(now).expect("overdue");
        assert!(now - first > Duration::from_millis(280), "latency counts from the time it was due");
        assert_eq!(schedule.overdue(now), 29);
    }

    #[test]
    fn nothing_is_due_after_the_end() {
        let begins = Instant::now();
        let mut schedule = Schedule::new(begins, begins + SECOND, 10.0, 0, 1);
        assert_eq!(schedule.until_next(begins), Some(Duration::ZERO));
        let taken = std::iter::from_fn(|| schedule.take_due(begins + SECOND * 5)).count();
        assert_eq!((taken, schedule.until_next(begins + SECOND)), (10, None));
        assert_eq!(schedule.overdue(begins + SECOND * 5), 0);
        let untouched = Schedule::new(begins, begins + SECOND, 10.0, 0, 1);
        assert_eq!(untouched.overdue(begins + SECOND * 5), 10);
    }

    #[test]
    fn the_warm_up_comes_before_what_counts() {
        let now = Instant::now();
        let span = Span { warm_up: SECOND, measured: SECOND * 2 };
        assert_eq!(Pace::Once.window(now), (now, None));
        assert_eq!(Pace::Closed(span).window(now), (now + SECOND, Some(now + SECOND * 3)));
        assert_eq!(Pace::Open { rate: 1.0, span }.window(now), (now + SECOND, Some(now + SECOND * 3)));
    }
}
