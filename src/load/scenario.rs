//! [`LoadTestScenario`]: what is asked of whom, how often and for how long.

use super::pattern::LoadPattern;
use super::pin::LoadPin;
use super::request::Era;
use super::step::LoadStep;
use super::target::LoadTarget;
use super::trace::LoadTrace;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most connections, and the most requests in flight on one.
const MAX_CONNECTIONS: usize = 100_000;
const MAX_IN_FLIGHT: usize = 100_000;
const MAX_BATCH: usize = 100_000;

/// A command may have to fetch its server from a package registry before it starts.
const GREETING_TIME_OUT: Duration = Duration::from_mins(1);

/// A load test.
///
/// ```no_run
/// use mcpool::load::{LoadPattern, LoadStep, LoadTarget, LoadTestScenario, LoadTestSuite};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let arguments = serde_json::json!({"message": "{{text 100}}"}).as_object().cloned().unwrap_or_default();
/// let scenario = LoadTestScenario::new("echo", LoadTarget::parse("http://127.0.0.1:3000/mcp")?)
///     .pattern(LoadPattern::Constant { rate: 500.0 })
///     .duration(Duration::from_secs(30))
///     .connections(16)
///     .step(LoadStep::call("echo", arguments));
/// let report = LoadTestSuite::new().run(&scenario, |_progress| ())?;
/// println!("{:.0} a second, {} failed", report.requests.rate, report.requests.failed);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LoadTestScenario {
    pub(super) name: String,
    pub(super) target: LoadTarget,
    pub(super) era: Option<Era>,
    pub(super) bearer_token: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) pattern: LoadPattern,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    pub(super) count: Option<u64>,
    pub(super) connections: usize,
    pub(super) in_flight: usize,
    pub(super) time_out: Duration,
    pub(super) greeting_time_out: Duration,
    pub(super) settle: Duration,
    pub(super) pid: Option<u32>,
    pub(super) churn: bool,
    pub(super) pin: Option<LoadPin>,
    pub(super) steps: Vec<LoadStep>,
    pub(super) trace: Option<Arc<LoadTrace>>,
}

impl LoadTestScenario {
    /// A closed loop on one connection for ten seconds after one of warm-up; without a step it asks for what costs
    /// least: `ping`, or `server/discover` in the modern era.
    pub fn new(name: impl Into<String>, target: LoadTarget) -> Self {
        Self {
            name: name.into(),
            target,
            era: None,
            bearer_token: None,
            ca_file: None,
            pattern: LoadPattern::Closed,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            count: None,
            connections: 1,
            in_flight: 1,
            time_out: Duration::from_secs(30),
            greeting_time_out: GREETING_TIME_OUT,
            settle: Duration::ZERO,
            pid: None,
            churn: false,
            pin: None,
            steps: Vec::new(),
            trace: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The course of the load.
    #[must_use]
    pub fn pattern(mut self, pattern: LoadPattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// Speaks this era; otherwise the server is asked which it speaks.
    #[must_use]
    pub fn era(mut self, era: Era) -> Self {
        self.era = Some(era);
        self
    }

    /// Sends this token with each request over HTTP.
    #[must_use]
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.bearer_token = Some(token.into());
        self
    }

    /// Over `https://`, trusts the certificates in this PEM file and whom they sign for, in place of the public
    /// authorities. It is read when the test begins.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// The time at the start that does not count.
    #[must_use]
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// The time in which requests begin that count.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Ends after so many requests that count, in place of a duration.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How many requests may be in flight on each connection. Over HTTP each of them takes a socket.
    #[must_use]
    pub fn in_flight(mut self, in_flight: usize) -> Self {
        self.in_flight = in_flight;
        self
    }

    /// How long a request may take until it counts as failed.
    #[must_use]
    pub fn time_out(mut self, time_out: Duration) -> Self {
        self.time_out = time_out;
        self
    }

    /// How long the server may take to answer the greeting: a minute, if nothing is said.
    #[must_use]
    pub fn greeting_time_out(mut self, time_out: Duration) -> Self {
        self.greeting_time_out = time_out;
        self
    }

    /// How long after the load the memory of the server is read once more.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// The process of the server, where it is not started by the test.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Leaves after each answer without a word, and opens another connection; in the legacy era the session is left, too.
    #[must_use]
    pub fn churn(mut self, churn: bool) -> Self {
        self.churn = churn;
        self
    }

    /// Has the generator, and perhaps the server, run on some processors only.
    #[must_use]
    pub fn pin(mut self, pin: LoadPin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Adds something to be asked for.
    #[must_use]
    pub fn step(mut self, step: LoadStep) -> Self {
        self.steps.push(step);
        self
    }

    /// Makes the requests of a trace at their times, in place of a pattern and without a warm-up. Those of one recorded
    /// connection stay on one. Steps that call a tool give its arguments in place of the recorded ones.
    #[must_use]
    pub fn replay(mut self, trace: LoadTrace) -> Self {
        self.warm_up = Duration::ZERO;
        self.trace = Some(Arc::new(trace));
        self
    }

    /// The server that is asked.
    pub fn target(&self) -> &LoadTarget {
        &self.target
    }

    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let is_steady = matches!(self.pattern, LoadPattern::Closed | LoadPattern::Constant { .. });
        if let Some(fault) = self.trace.as_ref().and_then(|_| self.replay_fault()) {
            Some(fault)
        } else if !self.pattern.is_possible() {
            Some("a rate is a number of requests a second, more than 0")
        } else if self.count.is_some() && !is_steady {
            Some("a count goes with a constant rate or a closed loop; give this pattern a duration")
        } else if self.count == Some(0) || self.duration.is_zero() {
            Some("a test has one request at least, or some time")
        } else if self.connections == 0 || self.connections > MAX_CONNECTIONS {
            Some("connections are 1 to 100,000")
        } else if self.in_flight == 0 || self.in_flight > MAX_IN_FLIGHT {
            Some("requests in flight are 1 to 100,000 for each connection")
        } else if self.churn && self.in_flight > 1 {
            Some("with churn, one request is in flight on each connection: give more connections")
        } else if self.time_out.is_zero() || self.greeting_time_out.is_zero() {
            Some("the time-out is 0")
        } else if !self.steps.is_empty() && self.steps.iter().all(|step| step.weight == 0) {
            Some("each step has weight 0")
        } else if let Some(fault) = self.batch_fault() {
            Some(fault)
        } else if self.bearer_token.is_some() && !self.target.is_http() {
            Some("a token (--token-file) is sent over HTTP only")
        } else if self.ca_file.is_some() && !self.target.is_encrypted() {
            Some("certificates to trust (--ca-file) are for https://")
        } else if self.pid.is_some() && matches!(self.target, LoadTarget::Command(_)) {
            Some(
                "a process (--pid) is named where the server runs already; one that is started here is watched anyway",
            )
        } else if !self.settle.is_zero() && !self.is_seen() {
            Some("--settle reads the memory of a server: name its process with --pid")
        } else if self.pin.as_ref().is_some_and(LoadPin::has_server) && !self.is_seen() {
            Some("--pin GENERATOR/SERVER needs the process of the server: name it with --pid")
        } else if self.bearer_token.as_ref().is_some_and(|token| !is_header_text(token)) {
            Some("the token has characters that a header cannot carry")
        } else if self.steps.iter().any(|step| !step.tool().is_none_or(is_header_text)) {
            Some("the name of a tool has characters that a header cannot carry")
        } else {
            None
        }
    }

    /// Whether a step sends batches.
    pub(super) fn has_batches(&self) -> bool {
        self.steps.iter().any(|step| step.batch > 1)
    }

    /// What does not go with batches.
    fn batch_fault(&self) -> Option<&'static str> {
        if self.steps.iter().any(|step| step.batch == 0 || step.batch > MAX_BATCH) {
            Some("a batch has 1 to 100,000 messages")
        } else if self.has_batches() && self.era == Some(Era::Modern) {
            Some("only revision 2025-03-26 has batches: leave out the era, or make it legacy")
        } else if self.has_batches() && self.trace.is_some() {
            Some("the requests of a trace are made one by one: batches do not go with a replay")
        } else if self.has_batches() && self.steps.iter().any(|step| step.takes_any_id) {
            Some("the answers in a batch are told apart by their ids: any_id does not go with it")
        } else {
            None
        }
    }

    /// What does not go with a replay.
    fn replay_fault(&self) -> Option<&'static str> {
        if self.pattern != LoadPattern::Closed || self.count.is_some() || !self.warm_up.is_zero() {
            Some("a replay has the times of its trace: no pattern, count or warm-up goes with it")
        } else if self.churn {
            Some("a replay has the connections of its trace: churn does not go with it")
        } else if self.steps.iter().any(|step| step.method != "tools/call") {
            Some(
                "beside a replay a step is a call of a tool, whose arguments take the place of the recorded ones",
            )
        } else {
            None
        }
    }

    /// Whether the process of the server is known.
    fn is_seen(&self) -> bool {
        self.pid.is_some() || matches!(self.target, LoadTarget::Command(_))
    }

    /// The steps, or the cheapest one there is.
    pub(super) fn steps_in(&self, era: Era) -> Vec<LoadStep> {
        if !self.steps.is_empty() {
            return self.steps.clone();
        }
        let method = match era {
            Era::Modern => "server/discover",
            Era::Legacy => "ping",
        };
        vec![LoadStep::method(method, serde_json::Map::new())]
    }
}

fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
