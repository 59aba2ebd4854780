//! When the requests of an open loop are to begin.
//!
//! Time is an argument. Invariant: requests have their times whatever the server does; each time is given out once, in
//! order, and latency counts from it, so that a server that stands still is not asked less (no coordinated omission, as
//! Gil Tene calls it). How many may be in flight is for the caller to bound; what that bound delays is late.

use super::pattern::Segment;
use std::time::{Duration, Instant};

/// The times of an open loop.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    begins: Instant,
    segments: Vec<Stretch>,
    /// The segment that `next` is in.
    current: usize,
    /// The number of the next request.
    next: u64,
    /// How many requests there are.
    total: u64,
}

/// A segment and what came before it.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    segment: Segment,
    starts_s: f64,
    requests_before: f64,
    requests_after: f64,
}

impl Schedule {
    /// A loop that begins at `begins`.
    pub(super) fn new(begins: Instant, segments: &[Segment]) -> Self {
        let (mut starts_s, mut requests_before) = (0.0, 0.0);
        let mut stretches = Vec::with_capacity(segments.len());
        for segment in segments {
            let requests_after = requests_before + segment.requests();
            stretches.push(Stretch { segment: *segment, starts_s, requests_before, requests_after });
            starts_s += segment.seconds;
            requests_before = requests_after;
        }
        // The request that falls on the very end is not one of them; sums of floats are off by a little.
        let total = (requests_before - 1e-6).ceil().max(0.0) as u64;
        Self { begins, segments: stretches, current: 0, next: 0, total }
    }

    /// When request `number` is to begin; it lies in segment `at_least` or a later one.
    fn time(&self, number: u64, at_least: usize) -> Option<(Instant, usize)> {
        if number >= self.total {
            return None;
        }
        let number = number as f64;
        let last = self.segments.len().checked_sub(1)?;
        let later = self.segments.get(at_least..).unwrap_or_default();
        let found = later.iter().position(|stretch| number < stretch.requests_after);
        let index = found.map_or(last, |found| at_least + found);
        let stretch = self.segments.get(index)?;
        let within = stretch.segment.seconds_until(number - stretch.requests_before);
        let seconds = stretch.starts_s + within.clamp(0.0, stretch.segment.seconds);
        Some((self.begins + Duration::from_secs_f64(seconds), index))
    }

    /// The time of the next request, if it has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let (due, index) = self.time(self.next, self.current)?;
        if due > now {
            return None;
        }
        self.current = index;
        self.next += 1;
        Some(due)
    }

    /// The time of the next request; `None` when there is none any more.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.time(self.next, self.current).map(|(due, _)| due)
    }

    /// How many requests are due at `now` and not given out.
    pub(super) fn overdue(&self, now: Instant) -> u64 {
        // Times rise with numbers, so the first that is not due is found by halving.
        let is_due = |number| self.time(number, self.current).is_some_and(|(due, _)| due <= now);
        let (mut due, mut not_due) = (self.next, self.total.max(self.next));
        while due < not_due {
            let middle = u64::midpoint(due, not_due);
            if is_due(middle) { due = middle + 1 } else { not_due = middle }
        }
        due - self.next
    }

    /// How many requests are to begin from `begins` to `now`.
    pub(super) fn scheduled_until(&self, now: Instant) -> f64 {
        let mut left_s = now.saturating_duration_since(self.begins).as_secs_f64();
        let mut requests = 0.0;
        for Stretch { segment, .. } in &self.segments {
            let seconds = left_s.min(segment.seconds);
            requests += segment.requests_until(seconds);
            left_s -= seconds;
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::LoadPattern;
    use super::super::tally::Tally;
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const SECOND: Duration = Duration::from_secs(1);

    fn constant(begins: Instant, seconds: u64, rate: f64) -> Schedule {
        Schedule::new(begins, &[Segment::even(seconds as f64, rate)])
    }

    fn all(mut schedule: Schedule, until: Instant) -> Vec<Instant> {
        std::iter::from_fn(|| schedule.take_due(until)).collect()
    }

    #[test]
    fn requests_of_a_constant_rate_are_evenly_apart() {
        let begins = Instant::now();
        let mut schedule = constant(begins, 1, 100.0);
        let late = begins + Duration::from_millis(15);
        assert_eq!(schedule.take_due(late), Some(begins));
        assert_eq!(schedule.take_due(late), Some(begins + Duration::from_millis(10)));
        assert_eq!(schedule.take_due(late), None);
        assert_eq!(schedule.next_time(), Some(begins + Duration::from_millis(20)));
        assert_eq!(all(schedule, begins + SECOND * 9).len(), 98, "and the one at the end is none of them");
    }

    #[test]
    fn a_stall_delays_requests_and_omits_none() {
        let begins = Instant::now();
        let mut schedule = constant(begins, 1, 100.0);
        while schedule.take_due(begins + Duration::from_millis(199)).is_some() {}
        // Nothing is taken for 300 ms.
        let now = begins + Duration::from_millis(499);
        assert_eq!(schedule.overdue(now), 30);
        let first = schedule.take_due(now).expect("overdue");
        assert!(now - first > Duration::from_millis(280), "latency counts from the time it was due");
        assert_eq!(schedule.overdue(now), 29);
    }

    /// A server with one place that takes 1 ms for each request and stands still for a second, on a clock that goes
    /// only where the test moves it; the generator may have `in_flight` requests under way.
    fn against_a_server_that_stalls(in_flight: usize) -> Tally {
        let begins = Instant::now();
        let ms = Duration::from_millis;
        let mut schedule = constant(begins, 10, 100.0);
        let (mut under_way, mut tally) = (VecDeque::new(), Tally::new(1));
        let mut free_at = begins;
        for tick in 0..20_000 {
            let now = begins + ms(tick);
            while under_way.front().is_some_and(|(done, _)| *done <= now) {
                let (done, due): (Instant, Instant) = under_way.pop_front().expect("under way");
                tally.answered(0, done - due);
            }
            while under_way.len() < in_flight {
                let Some(due) = schedule.take_due(now) else { break };
                free_at = free_at.max(now) + ms(1);
                let stall = begins + ms(4_000)..begins + ms(5_000);
                if stall.contains(&free_at) {
                    free_at = stall.end;
                }
                under_way.push_back((free_at, due));
            }
        }
        tally
    }

    #[test]
    fn a_server_that_stands_still_for_a_second_shows_in_the_quantiles() {
        // A tenth of the time it stood still, so about a tenth of all requests waited, half of them for half a second.
        for in_flight in [1, 4, 1_000] {
            let tally = against_a_server_that_stalls(in_flight);
            let at = |quantile| tally.all_latency().value_at_quantile(quantile) / 1_000_000;
            assert_eq!(tally.all_latency().len(), 1_000, "each request counts, in flight {in_flight}");
            assert!(at(0.5) <= 2, "{}", at(0.5));
            assert!((400..=700).contains(&at(0.95)), "p95 {} ms, in flight {in_flight}", at(0.95));
            assert!((850..=1_010).contains(&at(0.99)), "p99 {} ms, in flight {in_flight}", at(0.99));
        }
    }

    #[test]
    fn a_pause_in_a_pattern_has_no_requests() {
        let begins = Instant::now();
        let segments = [Segment::even(1.0, 10.0), Segment::even(5.0, 0.0), Segment::even(1.0, 10.0)];
        let times = all(Schedule::new(begins, &segments), begins + SECOND * 9);
        assert_eq!(times.len(), 20);
        assert!(times[9] < begins + SECOND && times[10] >= begins + SECOND * 6, "{times:?}");
    }

    proptest! {
        #[test]
        fn times_are_in_order_and_as_many_as_the_rates_say(
            from in 0.0..500.0_f64, to in 1.0..500.0_f64, steps in 1..5_u32, is_ramp: bool,
        ) {
            let begins = Instant::now();
            let pattern = if is_ramp { LoadPattern::Ramp { from, to } } else { LoadPattern::Step { from, to, steps } };
            let segments = pattern.segments(SECOND * 4).expect("an open loop");
            let whole = all(Schedule::new(begins, &segments), begins + SECOND * 5);
            prop_assert!(whole.is_sorted());
            prop_assert!(whole.iter().all(|time| *time >= begins && *time <= begins + SECOND * 4));
            let wanted: f64 = segments.iter().map(Segment::requests).sum();
            prop_assert!((whole.len() as f64 - wanted).abs() <= 1.0, "{} for {wanted}", whole.len());
        }

        #[test]
        fn what_is_overdue_is_what_can_be_taken(
            rates in proptest::collection::vec(0.0..300.0_f64, 1..4), taken in 0..200_usize, at_ms in 0..5_000_u64,
        ) {
            let begins = Instant::now();
            let segments: Vec<_> = rates.iter().map(|rate| Segment::even(1.0, *rate)).collect();
            let mut schedule = Schedule::new(begins, &segments);
            for _ in 0..taken {
                let _ = schedule.take_due(begins + SECOND * 9);
            }
            let now = begins + Duration::from_millis(at_ms);
            prop_assert_eq!(schedule.overdue(now), all(schedule.clone(), now).len() as u64);
            let scheduled = Schedule::new(begins, &segments);
            let due = scheduled.overdue(now) as f64;
            prop_assert!((scheduled.scheduled_until(now) - due).abs() <= 1.0 + 1e-6);
        }
    }
}
