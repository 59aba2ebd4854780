//! Load tests of servers that are right, and of scripted ones that are wrong in each way that is told apart.

#[path = "load/batches.rs"]
mod batches;
#[path = "load/changes.rs"]
mod changes;
#[cfg(feature = "tls")]
#[path = "load/encrypted.rs"]
mod encrypted;
#[path = "load/http.rs"]
mod http;
#[path = "load/lines.rs"]
mod lines;
#[path = "load/own_server.rs"]
mod own_server;
#[path = "load/peer.rs"]
mod peer;
#[cfg(feature = "cli")]
#[path = "load/program.rs"]
mod program;
#[cfg(feature = "cli")]
#[path = "load/replay.rs"]
mod replay;
#[path = "load/schema.rs"]
mod schema;

use mcpool::load::{Era, FailureKind, LoadStep, LoadTarget, LoadTestReport, LoadTestScenario, LoadTestSuite};
use serde_json::{Map, json};
use std::time::Duration;

/// A scenario that ends by count, so that no machine is too slow for it.
fn counted(target: LoadTarget, era: Era, count: u64) -> LoadTestScenario {
    LoadTestScenario::new("test", target).era(era).count(count).warm_up(Duration::ZERO)
}

fn echo() -> LoadStep {
    LoadStep::call("echo", json!({"text": "{{text 20}}"}).as_object().cloned().expect("an object"))
}

fn ping() -> LoadStep {
    LoadStep::method("ping", Map::new())
}

fn run(scenario: &LoadTestScenario) -> LoadTestReport {
    LoadTestSuite::new().run(scenario, |_| ()).expect("the test begins")
}

/// How many requests failed in each way.
fn failures(report: &LoadTestReport) -> Vec<(FailureKind, u64)> {
    report.failures.iter().map(|failure| (failure.kind, failure.count)).collect()
}

/// Each request that was scheduled has one outcome.
fn assert_adds_up(report: &LoadTestReport) {
    let counts = &report.requests;
    assert_eq!(counts.begun, counts.answered + counts.failed + counts.unanswered, "{counts:?}");
    assert_eq!(counts.scheduled, counts.begun + counts.dropped, "{counts:?}");
    let by_step: u64 = report.operations.iter().map(|step| step.answered + step.failed).sum();
    assert_eq!(by_step, counts.answered + counts.failed, "{:?}", report.operations);
    let by_kind: u64 = report.failures.iter().map(|failure| failure.count).sum();
    assert_eq!(by_kind, counts.failed, "{:?}", report.failures);
}
