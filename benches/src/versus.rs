//! What is measured of the peers, and how: one module a question, each giving sheets with a column for each peer.
//!
//! Fair by these rules: one generator for all, that of `mcpool load`; the rounds of all peers take turns, so that what
//! else the machine does falls on all alike; each round has a warm-up that does not count; figures are medians with their
//! spread. Invariant: a peer that fails is left out of the rest of that question with its reason, and never stops the
//! others.

pub mod burst;
pub mod growth;
pub mod idle;
pub mod open_loop;
pub mod sessions;
pub mod start;
pub mod throughput;
pub mod toolsets;
pub mod track;

use crate::calls::Call;
use crate::peers::{Peer, Peers, Site};
use crate::sheet::Sheet;
use mcpool::load::{FailureKind, LoadTestReport, LoadTestScenario, LoadTestSuite};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// The questions, in the order in which they are asked.
pub const QUESTIONS: [&str; 9] =
    ["start", "idle", "sessions", "stdio", "http", "open", "burst", "growth", "toolsets"];

/// How long a round goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The part that does not count.
    pub warm_up: Duration,
    /// The part that counts.
    pub measured: Duration,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Rounds of what is repeated.
    pub rounds: usize,
    /// Length of a round.
    pub span: Span,
    /// Length of the warm-up over pipes, where each round starts its server.
    pub stdio_warm_up: Duration,
    /// Length of a round of the open loop, where low rates need time for their quantiles.
    pub open_span: Span,
    /// To what a round grows at most for a server that has few answers.
    pub longest: Duration,
    /// Whether each call is made in each way; otherwise middle sizes are left out, and large ones are few at once.
    pub is_whole: bool,
    /// How often each server is started.
    pub starts: usize,
    /// How often what rests is weighed, each time on a fresh server.
    pub weighings: usize,
    /// Until a server rests.
    pub settle: Duration,
    /// Connections over HTTP that are asked over.
    pub connections: Vec<usize>,
    /// Sessions that idle, ascending.
    pub sessions: Vec<usize>,
    /// Connections of the burst.
    pub burst_connections: usize,
    /// Requests of the burst over pipes.
    pub burst_frames: usize,
    /// How long the tools of all toolsets are called in turn before the servers are weighed again.
    pub mix: Duration,
}

impl Extent {
    /// All that is promised: some twenty minutes.
    pub fn full() -> Self {
        Self {
            rounds: 3,
            span: span(100, 400),
            stdio_warm_up: Duration::from_secs(2),
            open_span: span(100, 600),
            longest: Duration::from_secs(2),
            is_whole: true,
            starts: 15,
            weighings: 3,
            settle: Duration::from_secs(1),
            connections: vec![1, 16, 256, 1000],
            sessions: vec![100, 1000, 5000],
            burst_connections: 1000,
            burst_frames: 200,
            mix: Duration::from_mins(1),
        }
    }

    /// Enough to see where things stand: some minutes.
    pub fn quick() -> Self {
        Self {
            span: span(30, 100),
            stdio_warm_up: Duration::from_secs(1),
            open_span: span(30, 150),
            longest: Duration::from_millis(800),
            is_whole: false,
            starts: 3,
            weighings: 1,
            settle: Duration::from_millis(700),
            connections: vec![16, 256],
            sessions: vec![100, 1000],
            burst_connections: 200,
            burst_frames: 50,
            mix: Duration::from_secs(5),
            ..Self::full()
        }
    }
}

impl Extent {
    /// Whether a call is made with so many requests in flight.
    pub fn asks(&self, call: &Call, in_flight: usize) -> bool {
        let is_small = call.bytes() <= SMALLEST_FILE;
        is_small || self.is_whole || call.bytes() >= LARGE_BYTES && in_flight <= MOST_LARGE
    }

    /// The length of a round over pipes.
    pub fn stdio_span(&self) -> Span {
        Span { warm_up: self.stdio_warm_up, ..self.span }
    }

    /// The same in words.
    pub fn terms(&self, threads: usize) -> String {
        let Span { warm_up, measured } = self.span;
        format!(
            "{} rounds of {} ms, up to {} ms where a server has fewer answers than there are requests in flight, after \
             {} ms of warm-up, {} ms over stdio, where each round starts its server; of {} ms in the open loop; {} \
             starts, {} weighings {} ms after the last answer; {threads} threads a server over HTTP where that can be \
             chosen",
            self.rounds,
            measured.as_millis(),
            self.longest.as_millis(),
            warm_up.as_millis(),
            self.stdio_warm_up.as_millis(),
            self.open_span.measured.as_millis(),
            self.starts,
            self.weighings,
            self.settle.as_millis()
        )
    }
}

fn span(warm_up_ms: u64, measured_ms: u64) -> Span {
    Span { warm_up: Duration::from_millis(warm_up_ms), measured: Duration::from_millis(measured_ms) }
}

/// Where the measuring happens.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Who is measured.
    pub peers: &'a Peers,
    /// How much.
    pub extent: &'a Extent,
    begun: Instant,
    failures: RefCell<Vec<(Peer, String)>>,
    /// The last round of each thing.
    reports: RefCell<BTreeMap<String, LoadTestReport>>,
}

impl<'a> Stage<'a> {
    /// A stage on which nothing has happened.
    pub fn new(peers: &'a Peers, extent: &'a Extent) -> Self {
        Self {
            peers,
            extent,
            begun: Instant::now(),
            failures: RefCell::default(),
            reports: RefCell::default(),
        }
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When something fails that is no peer's fault.
    pub fn answer(&self, question: &str) -> io::Result<Vec<Sheet>> {
        match question {
            "start" => Ok(start::measure(self)),
            "idle" => Ok(idle::measure(self)),
            "sessions" => Ok(sessions::measure(self)),
            "stdio" => Ok(throughput::over_stdio(self)),
            "http" => Ok(throughput::over_http(self)),
            "open" => Ok(open_loop::measure(self)),
            "burst" => Ok(burst::measure(self)),
            "growth" => Ok(growth::measure(self)),
            "toolsets" => toolsets::measure(self),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no question `{question}`"))),
        }
    }

    /// Says on standard error how far it is.
    pub fn say(&self, text: &str) {
        eprintln!("[{:>5.0} s] {text}", self.begun.elapsed().as_secs_f64());
    }

    /// Those that serve a client on standard input and output.
    pub fn with_stdio(&self) -> Vec<Peer> {
        self.peers.present().filter(|peer| peer.has_stdio()).collect()
    }

    /// Those that serve HTTP. The floor with one worker only counts where speed is asked for.
    pub fn with_http(&self) -> Vec<Peer> {
        self.peers.present().filter(|peer| peer.has_http() && *peer != Peer::NginxAlone).collect()
    }

    /// Starts those of [`Stage::with_http`].
    pub fn sites(&self) -> Vec<Site> {
        self.started(self.with_http())
    }

    /// Starts some over HTTP.
    fn started(&self, peers: impl IntoIterator<Item = Peer>) -> Vec<Site> {
        let start = |peer| self.attempt(peer, "its start over HTTP", || self.peers.http(peer));
        peers.into_iter().filter_map(start).collect()
    }

    /// What comes of something that a peer does, or `None` when it fails, which is told.
    pub fn attempt<T>(&self, peer: Peer, what: &str, act: impl FnOnce() -> io::Result<T>) -> Option<T> {
        match act() {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                let failure = format!("{what}: {error}");
                self.say(&format!("{} failed at {failure}", peer.name()));
                self.failures.borrow_mut().push((peer, failure));
                None
            }
        }
    }

    /// Runs a load test.
    ///
    /// # Errors
    /// When the server cannot be greeted, goes away or answers wrongly. It may refuse.
    fn run(&self, scenario: &LoadTestScenario) -> io::Result<LoadTestReport> {
        let report = LoadTestSuite::new().run(scenario, |_progress| ()).map_err(io::Error::other)?;
        self.reports.borrow_mut().insert(report.scenario.name.clone(), report.clone());
        match fault(&report) {
            Some(fault) => Err(io::Error::other(fault)),
            None => Ok(report),
        }
    }

    /// Runs a load test for as long as it takes to have as many answers as there are requests in flight, so that each
    /// of them counts: `span` grows for a server that needs more time, and is kept for the next round. What was too
    /// short counts as warm-up.
    fn run_long_enough(
        &self,
        scenario: &LoadTestScenario,
        span: &mut Span,
        in_flight: usize,
    ) -> io::Result<LoadTestReport> {
        enough(span, self.extent.longest, in_flight, |span| {
            self.run(&scenario.clone().warm_up(span.warm_up).duration(span.measured))
        })
    }

    /// The last round of each thing that was asked of a server, by its name.
    pub fn reports(&self) -> Vec<LoadTestReport> {
        self.reports.borrow().values().cloned().collect()
    }

    /// All that failed.
    pub fn failures(&self) -> Vec<(Peer, String)> {
        self.failures.borrow().clone()
    }
}

/// Why a round says nothing about a server: it did not do what it was asked for. A refusal is an answer.
fn fault(report: &LoadTestReport) -> Option<String> {
    let mut failures = report.failures.iter().filter(|failure| failure.kind != FailureKind::Refused);
    if let Some(failure) = failures.next() {
        let example = failure.example.as_deref().unwrap_or_default();
        return Some(format!("{}, {} times: {example:.600}", failure.kind.name(), failure.count));
    }
    let said = report.unexpected_example.as_ref().map(|said| format!("it said {said:.600}"));
    said.or_else(|| report.ended_early.clone())
}

fn enough(
    span: &mut Span,
    longest: Duration,
    in_flight: usize,
    mut run: impl FnMut(Span) -> io::Result<LoadTestReport>,
) -> io::Result<LoadTestReport> {
    loop {
        let report = run(*span)?;
        let is_enough = report.requests.answered >= in_flight.max(LEAST_ANSWERS) as u64;
        if is_enough || span.measured >= longest {
            return Ok(report);
        }
        span.measured = (span.measured * 4).min(longest);
    }
}

/// Texts of up to so many bytes are small.
const SMALLEST_FILE: usize = 1 << 10;
/// Texts of so many bytes are asked for with so many in flight at most; a thousand of them at once are the burst.
const LARGE_BYTES: usize = 1 << 20;
const MOST_LARGE: usize = 16;
/// Answers without which a round says nothing.
const LEAST_ANSWERS: usize = 4;

/// KiB as MiB.
fn mib(kib: i64) -> f64 {
    kib as f64 / 1024.0
}

/// Bytes as MiB.
fn bytes_as_mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// A round with so many answers in a second, all of them after `us` microseconds.
#[cfg(test)]
pub(crate) fn report(answered: u64, us: f64) -> LoadTestReport {
    let latency = serde_json::json!({
        "count": answered, "mean_us": us, "deviation_us": 0.0, "p50_us": us, "p90_us": us, "p95_us": us,
        "p99_us": us, "p999_us": us, "max_us": us, "quantiles": [],
    });
    let report = serde_json::json!({
        "schema": mcpool::load::SCHEMA, "begun_unix_ms": 0,
        "scenario": {
            "name": "a round", "target": "", "transport": "", "revision": "", "pattern": "", "connections": 1,
            "in_flight": 1, "warm_up_ms": 0, "time_out_ms": 0,
        },
        "measured_ms": 1000.0,
        "requests": {
            "scheduled": answered + 100, "begun": answered, "answered": answered, "failed": 0, "unanswered": 0,
            "warm_up_failed": 0, "dropped": 100, "late": 50, "unexpected": 0, "broken_connections": 0,
            "rate": answered as f64, "error_ratio": 0.0,
        },
        "latency": (answered > 0).then_some(latency), "operations": [], "failures": [], "seconds": [],
        "server": {
            "pids": [1], "rss_before_bytes": 1, "rss_peak_bytes": 1, "settle_ms": 0,
            "cpu_per_request_us": (answered > 0).then(|| 1e6 / answered as f64),
        },
        "generator": { "version": "", "cpu_load": 0.5, "lag_p99_us": 0.0, "lag_max_us": 0.0 },
    });
    LoadTestReport::from_json(&report.to_string()).expect("a report")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the rounds that a server of so many answers a second is given.
    fn rounds(span: &mut Span, in_flight: usize, rate: f64) -> Vec<u128> {
        let mut lengths = Vec::new();
        let report = enough(span, Duration::from_secs(3), in_flight, |Span { measured, .. }| {
            lengths.push(measured.as_millis());
            Ok(report((measured.as_secs_f64() * rate) as u64, 1.0))
        });
        report.expect("figures");
        lengths
    }

    #[test]
    fn a_refusal_is_an_answer_and_nothing_else_is() {
        let mut report = report(9, 1.0);
        assert_eq!(fault(&report), None);
        let failure = |kind| mcpool::load::FailureReport { kind, count: 3, example: Some("no".to_owned()) };
        report.failures = vec![failure(FailureKind::Refused)];
        assert_eq!(fault(&report), None);
        report.failures.push(failure(FailureKind::ToolError));
        assert_eq!(fault(&report), Some("tool error, 3 times: no".to_owned()));
        report.failures.clear();
        report.ended_early = Some("it ended".to_owned());
        assert_eq!(fault(&report), Some("it ended".to_owned()));
    }

    #[test]
    fn slow_servers_get_the_time_that_they_need_and_no_more() {
        let mut span = span(10, 100);
        assert_eq!(rounds(&mut span.clone(), 64, 1e6), [100]);
        assert_eq!(rounds(&mut span.clone(), 64, 0.0), [100, 400, 1600, 3000]);
        assert_eq!(rounds(&mut span, 256, 350.0), [100, 400, 1600]);
        assert_eq!(rounds(&mut span, 256, 350.0), [1600], "the next round knows");
    }

    #[test]
    fn both_extents_ask_over_what_the_summary_tells() {
        for extent in [Extent::quick(), Extent::full()] {
            assert!([16, 256].iter().all(|count| extent.connections.contains(count)));
            assert!(extent.sessions.contains(&1000) && extent.sessions.is_sorted());
            assert!(extent.terms(2).contains("3 rounds of "));
            assert!(extent.asks(&Call::Echo(100), 1000) && extent.asks(&Call::Echo(LARGE_BYTES), 16));
            assert_eq!(extent.asks(&Call::Echo(10 << 10), 1), extent.is_whole);
        }
    }
}
