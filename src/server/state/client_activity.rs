//! What the clients of one name did since the start: their requests, how these ended, and how long they took.
//!
//! Invariant: counting allocates nothing; less than a KiB for each name.

use crate::memory::ClientReport;
use crate::metrics::CoarseHistogram;
use crate::traffic::{EndedRequest, RequestResult};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of the clients of one name.
#[derive(Debug, Default)]
pub(crate) struct ClientActivity {
    requests: AtomicU64,
    errors: AtomicU64,
    answer_bytes: AtomicU64,
    busy_us: AtomicU64,
    latencies: CoarseHistogram,
}

impl ClientActivity {
    /// Counts a request that ended.
    pub(crate) fn note(&self, request: &EndedRequest<'_>) {
        let ns = u64::try_from(request.took.as_nanos()).unwrap_or(u64::MAX);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.answer_bytes.fetch_add(request.answer_bytes as u64, Ordering::Relaxed);
        self.busy_us.fetch_add(ns / 1_000, Ordering::Relaxed);
        let is_error = matches!(
            request.result,
            RequestResult::Error(_) | RequestResult::ToolError | RequestResult::Refused(_)
        );
        if is_error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.latencies.record(ns);
    }

    /// The counts, under a name; nothing if no request ended.
    pub(crate) fn report(&self, name: &str) -> Option<ClientReport> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let requests = load(&self.requests);
        if requests == 0 {
            return None;
        }
        let sketch = self.latencies.sketch();
        Some(ClientReport {
            name: name.to_owned(),
            requests,
            errors: load(&self.errors),
            answer_bytes: load(&self.answer_bytes),
            busy_ms: load(&self.busy_us) / 1_000,
            p50_ns: sketch.quantile_ns(0.5),
            p99_ns: sketch.quantile_ns(0.99),
            sessions: 0,
            session_bytes: 0,
        })
    }
}
