//! When the requests of a trace begin again, and on which connection.
//!
//! Time is an argument. Invariants: latency counts from the time of the trace, whatever the server does; requests of one
//! recorded connection begin on one connection, in their order; taking one allocates nothing.

use super::report::{ReplayReport, SkippedReport};
use super::request::Era;
use super::step::LoadStep;
use super::trace::{LoadTrace, TracedOperation, TracedRequest};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The end of a list.
const NONE: u32 = u32::MAX;
/// A server that takes no connection for so long is not waited for at the end.
const AWAY: Duration = Duration::from_secs(1);

/// What is made of a trace in an era.
pub(super) struct ReplayPlan {
    /// One for each operation of the trace.
    pub(super) steps: Vec<LoadStep>,
    pub(super) requests: Vec<PlannedRequest>,
    pub(super) report: ReplayReport,
}

/// A request that is to begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedRequest {
    /// Nanoseconds since the first one.
    at_ns: u64,
    peer: u32,
    shape: u32,
    /// The number of the next request of the same connection.
    next: u32,
    is_replaced: bool,
}

impl ReplayPlan {
    /// The requests of a trace that exist in `era`; arguments of the tools in `replaced` are those given there.
    pub(super) fn of(trace: &LoadTrace, era: Era, replaced: &[LoadStep]) -> Self {
        let replacement =
            |operation: &TracedOperation| replaced.iter().find(|one| one.is_for_tool_of(&operation.step));
        let exists: Vec<bool> = trace.operations.iter().map(|one| exists_in(era, one.method)).collect();
        let is_replaced: Vec<bool> = trace.operations.iter().map(|one| replacement(one).is_some()).collect();
        let operation = |request: &TracedRequest| trace.operation_of(request.shape);
        let played = trace.requests.iter().filter(|request| exists[operation(request)]);
        let first_us = played.clone().next().map_or(0, |request| request.at_us);
        let mut requests = Vec::with_capacity(played.clone().count());
        requests.extend(played.map(|request| PlannedRequest {
            at_ns: (request.at_us.saturating_sub(first_us) as f64 * 1e3 / trace.speed) as u64,
            peer: request.peer,
            shape: request.shape,
            next: NONE,
            is_replaced: is_replaced[operation(request)],
        }));
        let steps = trace.operations.iter().map(|one| replacement(one).unwrap_or(&one.step).clone());
        let report = report(trace, &requests);
        Self { steps: steps.collect(), requests, report }
    }

    /// How long the requests take to begin.
    pub(super) fn span(&self) -> Duration {
        Duration::from_nanos(self.requests.last().map_or(0, |request| request.at_ns))
    }
}

/// What a report says of the trace, if these requests of it are made.
fn report(trace: &LoadTrace, requests: &[PlannedRequest]) -> ReplayReport {
    let count = |is_meant: &dyn Fn(&PlannedRequest) -> bool| {
        requests.iter().filter(|request| is_meant(request)).count() as u64
    };
    let mut skipped = trace.skipped.clone();
    let of_other_era = (trace.requests.len() - requests.len()) as u64;
    if of_other_era > 0 {
        skipped.insert("of methods that this revision does not have", of_other_era);
    }
    ReplayReport {
        trace: trace.path.display().to_string(),
        speed: trace.speed,
        peers: trace.peers() as u64,
        recorded: requests.len() as u64 + skipped.values().sum::<u64>(),
        skipped: skipped
            .iter()
            .map(|(why, count)| SkippedReport { why: (*why).to_owned(), count: *count })
            .collect(),
        redacted: count(&|request| trace.is_redacted(request.shape) && !request.is_replaced),
        replaced: count(&|request| request.is_replaced),
        dropped_in_recording: trace.dropped,
        is_torn: trace.is_torn,
        stopped: trace.stopped.clone(),
    }
}

fn exists_in(era: Era, method: crate::protocol::Method) -> bool {
    match era {
        Era::Modern => method.is_modern(),
        Era::Legacy => method.is_legacy(),
    }
}

/// A request that begins now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    /// When it was to begin.
    pub(super) origin: Instant,
    pub(super) lane: usize,
    /// The number of its parameters in the trace.
    pub(super) shape: u32,
    /// Its arguments are those of the test.
    pub(super) is_replaced: bool,
}

/// The requests of one connection that did not begin yet.
#[derive(Debug, Clone, Copy)]
struct Lane {
    /// The number of the first of them.
    next: u32,
    /// How many of them are due.
    due: u32,
}

/// The course of a replay.
pub(super) struct Replay {
    begins: Instant,
    requests: Vec<PlannedRequest>,
    /// The number of the first request that is not due.
    not_due: usize,
    lanes: Vec<Lane>,
    /// Lanes with requests that are due, the one that waits longest first.
    waiting: VecDeque<usize>,
    waiting_requests: u64,
    /// How long after the last time is waited for connections that are full.
    patience: Duration,
}

impl Replay {
    /// A replay over so many lanes.
    pub(super) fn new(
        begins: Instant,
        mut requests: Vec<PlannedRequest>,
        lanes: usize,
        patience: Duration,
    ) -> Self {
        let mut all = vec![Lane { next: NONE, due: 0 }; lanes.max(1)];
        for number in (0..requests.len()).rev() {
            let lane = &mut all[requests[number].peer as usize % lanes.max(1)];
            requests[number].next = std::mem::replace(&mut lane.next, number as u32);
        }
        let waiting = VecDeque::with_capacity(all.len());
        Self { begins, requests, not_due: 0, lanes: all, waiting, waiting_requests: 0, patience }
    }

    fn time(&self, request: &PlannedRequest) -> Instant {
        self.begins + Duration::from_nanos(request.at_ns)
    }

    /// Notes what is due at `now`.
    fn advance(&mut self, now: Instant) {
        while let Some(request) = self.requests.get(self.not_due)
            && self.time(request) <= now
        {
            let index = request.peer as usize % self.lanes.len();
            let lane = &mut self.lanes[index];
            lane.due += 1;
            if lane.due == 1 {
                self.waiting.push_back(index);
            }
            self.waiting_requests += 1;
            self.not_due += 1;
        }
    }

    /// The next request that is due on a lane with room.
    pub(super) fn take(&mut self, now: Instant, has_room: impl Fn(usize) -> bool) -> Option<Recorded> {
        self.advance(now);
        for _ in 0..self.waiting.len() {
            let index = self.waiting.pop_front()?;
            if !has_room(index) {
                self.waiting.push_back(index);
                continue;
            }
            let request = self.requests[self.lanes[index].next as usize];
            let lane = &mut self.lanes[index];
            lane.next = request.next;
            lane.due -= 1;
            if lane.due > 0 {
                self.waiting.push_back(index);
            }
            self.waiting_requests -= 1;
            let PlannedRequest { shape, is_replaced, .. } = request;
            return Some(Recorded { origin: self.time(&request), lane: index, shape, is_replaced });
        }
        None
    }

    /// Whether no request begins any more: all did, the server is away since a moment, or the connections are full for too
    /// long.
    pub(super) fn is_over(&self, now: Instant, down_since: Option<Instant>) -> bool {
        let last = self.requests.last().map_or(self.begins, |request| self.time(request));
        let is_away = down_since.is_some_and(|since| now >= since + AWAY);
        self.not_due == self.requests.len()
            && (self.waiting_requests == 0 || is_away || now >= last + self.patience)
    }

    /// When the next request falls due that does not wait already.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.requests.get(self.not_due).map(|request| self.time(request))
    }

    /// How many requests are due at `now` and did not begin.
    pub(super) fn overdue(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.waiting_requests
    }

    /// How many requests are to begin until `at`.
    pub(super) fn scheduled_until(&self, at: Instant) -> f64 {
        self.requests.partition_point(|request| self.time(request) <= at) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn replay(begins: Instant, lanes: usize, all: &[(u64, u32)]) -> Replay {
        let requests = all.iter().enumerate().map(|(shape, (ms, peer))| PlannedRequest {
            at_ns: ms * 1_000_000,
            peer: *peer,
            shape: shape as u32,
            next: NONE,
            is_replaced: false,
        });
        Replay::new(begins, requests.collect(), lanes, MS * 100)
    }

    fn taken(replay: &mut Replay, now: Instant, has_room: impl Fn(usize) -> bool) -> Vec<(u32, usize)> {
        std::iter::from_fn(|| replay.take(now, &has_room)).map(|begun| (begun.shape, begun.lane)).collect()
    }

    #[test]
    fn requests_begin_at_their_times_on_the_lane_of_their_connection() {
        let begins = Instant::now();
        let mut replay = replay(begins, 2, &[(0, 0), (5, 1), (5, 2), (7, 1), (20, 3)]);
        assert_eq!(taken(&mut replay, begins, |_| true), [(0, 0)]);
        assert_eq!(replay.next_time(), Some(begins + MS * 5));
        assert_eq!(taken(&mut replay, begins + MS * 10, |_| true), [(1, 1), (2, 0), (3, 1)]);
        assert!((replay.scheduled_until(begins + MS * 10) - 4.0).abs() < f64::EPSILON);
        assert!(!replay.is_over(begins + MS * 10, Some(begins)), "a server may come back");
        assert_eq!(taken(&mut replay, begins + MS * 20, |_| true), [(4, 1)]);
        assert!(replay.is_over(begins + MS * 20, None) && replay.next_time().is_none());
    }

    /// A full connection delays its own requests, in their order, and no others; their times stay.
    #[test]
    fn a_full_connection_delays_only_its_own_requests() {
        let begins = Instant::now();
        let mut replay = replay(begins, 2, &[(0, 0), (1, 0), (2, 1), (3, 0), (4, 1)]);
        let now = begins + MS * 50;
        assert_eq!(taken(&mut replay, now, |lane| lane == 1), [(2, 1), (4, 1)]);
        assert_eq!(replay.overdue(now), 3);
        assert!(
            !replay.is_over(now, None) && replay.is_over(begins + MS * 104, None),
            "it waits for so long"
        );
        let first = replay.take(now, |_| true).expect("due");
        assert_eq!((first.shape, first.origin), (0, begins));
        assert_eq!(taken(&mut replay, now, |_| true), [(1, 0), (3, 0)]);
        assert!(replay.is_over(now, None));
    }

    /// The end of a trace is not put off for a server that is gone.
    #[test]
    fn a_server_that_is_away_is_not_waited_for_at_the_end() {
        let begins = Instant::now();
        let mut replay = Replay { patience: AWAY * 30, ..replay(begins, 1, &[(0, 0), (50, 0)]) };
        assert_eq!(replay.overdue(begins + MS * 60), 2);
        let since = Some(begins + MS * 20);
        assert!(!replay.is_over(begins + MS * 60, since) && !replay.is_over(begins + AWAY * 2, None));
        assert!(replay.is_over(begins + AWAY + MS * 20, since));
    }
}
