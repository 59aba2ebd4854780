//! Durations of requests and sessions, by method and error: the metrics that OpenTelemetry's semantic conventions
//! ask of MCP servers (`mcp.server.operation.duration`, `mcp.server.session.duration`).
//!
//! Invariants: unknown methods share one name, and so do errors beyond a limit, so that no peer can make this grow; a
//! request without an error allocates nothing once its method was used before.

use crate::lock::lock;
use crate::memory::{OperationReport, lasting};
use crate::metrics::DurationHistogram;
use crate::protocol::Method;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use crate::server::state::call_state::{CallState, Failure};

/// The name of unknown methods, and of errors beyond [`MAX_FAILURES`].
const OTHER: &str = "_OTHER";
/// How many different failures have a histogram of their own.
const MAX_FAILURES: usize = 64;

/// Durations of all operations of a server.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    /// By number of the method plus one; the first is for unknown methods. Allocated at their first use, as most are
    /// never used.
    good: [OnceLock<Box<DurationHistogram>>; Method::COUNT + 1],
    failed: Mutex<BTreeMap<(usize, Option<Failure>), DurationHistogram>>,
    sessions: OnceLock<Box<DurationHistogram>>,
}

impl Operations {
    /// Records an operation that took `ns` nanoseconds.
    pub(crate) fn note(&self, call: &CallState, ns: u64) {
        match call.failure() {
            None => self.good[call.method_number()].get_or_init(|| lasting(Box::default)).record(ns),
            Some(failure) => self.note_failed(call.method_number(), failure, ns),
        }
    }

    #[cold]
    fn note_failed(&self, method: usize, failure: Failure, ns: u64) {
        let mut failed = lock(&self.failed);
        let key = (method, Some(failure));
        let is_one_too_many = failed.len() >= MAX_FAILURES && !failed.contains_key(&key);
        let entry = failed.entry(if is_one_too_many { (0, None) } else { key });
        lasting(|| entry.or_default()).record(ns);
    }

    /// Records a session that ended.
    pub(crate) fn note_session(&self, ns: u64) {
        self.sessions.get_or_init(|| lasting(Box::default)).record(ns);
    }

    /// The operations that happened at least once.
    pub(crate) fn report(&self) -> Vec<OperationReport> {
        let mut names = [OTHER; Method::COUNT + 1];
        for method in Method::ALL {
            names[method as usize + 1] = method.as_str();
        }
        let good = names.iter().zip(&self.good).filter_map(|(name, histogram)| {
            Some(OperationReport::new(name, None, &histogram.get()?.snapshot()))
        });
        let mut reports: Vec<_> = good.collect();
        let failed = lock(&self.failed);
        reports.extend(failed.iter().map(|((method, failure), histogram)| {
            let failure = failure.map_or_else(|| OTHER.to_owned(), |failure| failure.to_string());
            OperationReport::new(names[*method], Some(failure), &histogram.snapshot())
        }));
        reports
    }

    /// Durations of the sessions that ended.
    pub(crate) fn report_sessions(&self) -> Option<OperationReport> {
        self.sessions.get().map(|sessions| OperationReport::new("", None, &sessions.snapshot()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::call_state::Caller;

    fn ended(operations: &Operations, method: Option<Method>, failure: Option<Failure>) {
        let call = CallState::default();
        call.begin(Caller::default());
        call.note_method(method);
        if let Some(failure) = failure {
            call.fail(failure);
        }
        operations.note(&call, 1_000);
    }

    #[test]
    fn operations_are_reported_by_method_and_error() {
        let operations = Operations::default();
        ended(&operations, Some(Method::Ping), None);
        ended(&operations, Some(Method::Ping), None);
        ended(&operations, Some(Method::ToolsCall), Some(Failure::Tool));
        ended(&operations, None, Some(Failure::Code(-32601)));
        let reports = operations.report();
        let told: Vec<_> = reports
            .iter()
            .map(|report| {
                (report.method.as_str(), report.error.as_deref(), report.counts.iter().sum::<u64>())
            })
            .collect();
        let want = [("ping", None, 2), ("_OTHER", Some("-32601"), 1), ("tools/call", Some("tool_error"), 1)];
        assert_eq!(told, want);
    }

    #[test]
    fn many_different_errors_share_one_histogram() {
        let operations = Operations::default();
        for code in 1..=1_000 {
            ended(&operations, Some(Method::ToolsCall), Some(Failure::Code(code)));
        }
        let reports = operations.report();
        assert_eq!(reports.len(), MAX_FAILURES + 1);
        let other = reports.iter().find(|report| report.method == OTHER).expect("a last one for the rest");
        assert_eq!(other.counts.iter().sum::<u64>(), 1_000 - MAX_FAILURES as u64);
    }
}
