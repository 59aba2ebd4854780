//! [`LoadTestReport`]: what a load test has shown, as data.
//!
//! Tables, pages and comparisons read a report and nothing else. Invariant: a report that is written and read again is
//! the same report.

use super::failure::FailureKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the report's schema; a reader refuses others.
pub const SCHEMA: &str = "mcpool.load-test/2";

/// What a load test has shown. Latencies are in microseconds and count from the time at which a request was to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadTestReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// When the test began, in milliseconds since 1970 (UTC).
    pub begun_unix_ms: u64,
    /// What was asked of whom, and how.
    pub scenario: ScenarioFacts,
    /// The time in which requests began that count.
    pub measured_ms: f64,
    /// Why the test ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// All requests together.
    pub requests: RequestCounts,
    /// How long right answers took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyReport>,
    /// The same with the requests that timed out, and the time that was waited for them; absent where none did.
    /// Expectations look at this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_with_time_outs: Option<LatencyReport>,
    /// The requests by what they asked for.
    pub operations: Vec<LoadOperationReport>,
    /// What failed, by kind; kinds without a failure are left out.
    pub failures: Vec<FailureReport>,
    /// How the first request of the warm-up failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up_example: Option<String>,
    /// The first message that answered nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexpected_example: Option<String>,
    /// Each second of the test.
    pub seconds: Vec<SecondReport>,
    /// How the server came back after a spike; absent where the pattern has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryReport>,
    /// What was replayed; absent where the test made requests of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayReport>,
    /// What the server took, where it can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerUse>,
    /// What the generator itself took, and whether it was the bottleneck.
    pub generator: GeneratorUse,
    /// What the test had to show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<ExpectationReport>,
}

/// What was asked of whom, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioFacts {
    /// Its name.
    pub name: String,
    /// The server.
    pub target: String,
    /// How bytes moved.
    pub transport: String,
    /// The revision of the protocol.
    pub revision: String,
    /// The course of the load.
    pub pattern: String,
    /// Connections, sockets over HTTP.
    pub connections: u64,
    /// Requests in flight on each, at most.
    pub in_flight: u64,
    /// The time that does not count.
    pub warm_up_ms: u64,
    /// How long a request may take until it fails.
    pub time_out_ms: u64,
}

/// What was replayed, and what of the trace was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayReport {
    /// The file of the trace.
    pub trace: String,
    /// So many times as fast as it was recorded.
    pub speed: f64,
    /// Sessions of the trace, and connections without one.
    pub peers: u64,
    /// Requests in the trace, with those that were skipped.
    pub recorded: u64,
    /// Requests that were not made again, by the reason.
    pub skipped: Vec<SkippedReport>,
    /// Requests whose arguments or name were redacted, and which were made with others of the same lengths: many
    /// servers answer them with `isError`.
    pub redacted: u64,
    /// Requests with arguments that the test gave in place of the recorded ones.
    pub replaced: u64,
    /// Requests that the recorder had no room for.
    pub dropped_in_recording: u64,
    /// The trace ends amid a line.
    pub is_torn: bool,
    /// Why the recorder stopped before the server did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// Requests of a trace that were not made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedReport {
    /// Which they are.
    pub why: String,
    /// How many.
    pub count: u64,
}

/// How many requests there were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestCounts {
    /// Requests that were to begin; in a closed loop, those that did.
    pub scheduled: u64,
    /// Requests that began.
    pub begun: u64,
    /// Requests with the right answer.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were waited for when the test was stopped.
    pub unanswered: u64,
    /// Requests of the warm-up that failed or had no answer.
    pub warm_up_failed: u64,
    /// Requests that were due and never began, as all that may be in flight was.
    pub dropped: u64,
    /// Requests that began more than a millisecond after their time.
    pub late: u64,
    /// Messages of the server that answered nothing.
    pub unexpected: u64,
    /// Connections that broke or were refused.
    pub broken_connections: u64,
    /// Right answers a second.
    pub rate: f64,
    /// Failed and dropped requests among all that were scheduled, 0 to 1.
    pub error_ratio: f64,
}

/// How long requests took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyReport {
    /// How many requests these are.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// The standard deviation.
    pub deviation_us: f64,
    /// Half of them took at most so long.
    pub p50_us: f64,
    /// All but one in ten.
    pub p90_us: f64,
    /// All but one in twenty.
    pub p95_us: f64,
    /// All but one in a hundred.
    pub p99_us: f64,
    /// All but one in a thousand.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The distribution: each quantile (0 to 1) with its latency.
    pub quantiles: Vec<QuantilePoint>,
}

/// A point of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantilePoint {
    /// The share of all requests, 0 to 1.
    pub quantile: f64,
    /// That share took at most so long.
    pub us: f64,
}

/// The requests of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadOperationReport {
    /// The method.
    pub method: String,
    /// The tool or prompt, where the method has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// How many messages each request is made of: a batch where it is more than one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub batch: u64,
    /// Requests with the right answer.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Those of them that timed out.
    pub timed_out: u64,
    /// How long right answers took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyReport>,
    /// Parts of the test of equal length: how they differ is the noise that a comparison has to do with.
    pub windows: Vec<WindowReport>,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// Right answers of one step in a part of a test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowReport {
    /// How many there were.
    pub answered: u64,
    /// Their median latency in microseconds.
    pub p50_us: f64,
    /// All but one in twenty.
    pub p95_us: f64,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// The kind.
    pub kind: FailureKind,
    /// How many requests failed so.
    pub count: u64,
    /// What the first of them was answered, or what the system said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// One second of a test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecondReport {
    /// Seconds since requests count, at the end of this one; 0 and less is warm-up.
    pub at_s: f64,
    /// Requests that were to begin in it; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<f64>,
    /// Requests that began in it.
    pub begun: u64,
    /// Right answers that came in it.
    pub answered: u64,
    /// Failures that were seen in it.
    pub failed: u64,
    /// Median latency of what was answered in it.
    pub p50_us: f64,
    /// All but one in twenty.
    pub p95_us: f64,
    /// All but one in a hundred.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Resident memory of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_bytes: Option<u64>,
}

/// How a server came back after a spike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryReport {
    /// Nine of ten requests before the spike took at most so long, in microseconds.
    pub p90_before_us: f64,
    /// So long after the end of the spike they took no more than about that; absent where they took more to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered_ms: Option<f64>,
}

/// What the server took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerUse {
    /// The processes that were watched, their children included in all figures.
    pub pids: Vec<u32>,
    /// Resident bytes before the load, with all connections open.
    pub rss_before_bytes: u64,
    /// The most resident bytes.
    pub rss_peak_bytes: u64,
    /// Resident bytes some time after the load, while the connections were still open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_after_bytes: Option<u64>,
    /// How long after the load that was.
    pub settle_ms: u64,
    /// Resident bytes that the connections (over HTTP in the legacy era: sessions) brought, each; known where the server
    /// was there before them, and there are fifty or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_connection: Option<f64>,
    /// Processor time while requests counted, among the processors that were busy: 1 is one of them all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_load: Option<f64>,
    /// Processor time for each right answer, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_per_request_us: Option<f64>,
    /// The processors that it may run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cpus: Option<String>,
}

/// What the generator took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorUse {
    /// The program that made the load.
    pub version: String,
    /// Share of one processor that it used while requests counted.
    pub cpu_load: f64,
    /// How much later than it could have it began requests: all but one in a hundred.
    pub lag_p99_us: f64,
    /// The longest such delay.
    pub lag_max_us: f64,
    /// Why the figures say more about the generator than about the server; absent when they don't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<String>,
    /// The processors that it may run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cpus: Option<String>,
}

/// Whether a test showed what it had to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationReport {
    /// The expectation, as `p99 <= 5ms`.
    pub expected: String,
    /// What was measured.
    pub found: String,
    /// The bound, as a figure; absent where a saved run does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// Whether it was met.
    pub is_met: bool,
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadLoadReportError {
    /// It is not JSON of this shape.
    #[error("this is no report of a load test: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is of another version.
    #[error(
        "the report has schema {found:?} and this program reads {SCHEMA:?}: use the mcpool that wrote it"
    )]
    OtherSchema {
        /// What the report says.
        found: String,
    },
}

impl LoadTestReport {
    /// Reads a report back.
    ///
    /// # Errors
    /// When the text is no report, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, ReadLoadReportError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema != SCHEMA {
            return Err(ReadLoadReportError::OtherSchema { found: head.schema });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// Whether the test had its full time and showed what it had to: its expectations, or else no failure at all.
    pub fn is_passed(&self) -> bool {
        let is_met = self.expectations.iter().all(|expectation| expectation.is_met);
        if self.expectations.is_empty() { self.is_flawless() } else { is_met && self.ended_early.is_none() }
    }

    /// Whether each request had its right answer, and the test its full time.
    pub fn is_flawless(&self) -> bool {
        let RequestCounts { answered, failed, dropped, unexpected, unanswered, warm_up_failed, .. } =
            self.requests;
        let faults = failed + dropped + unexpected + unanswered + warm_up_failed;
        answered > 0 && faults == 0 && self.ended_early.is_none()
    }
}
