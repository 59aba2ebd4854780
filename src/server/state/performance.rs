//! The monitor of a server: it is given the latencies of each ten seconds, and its alerts go to the log and to whoever
//! asked for them.

use crate::limits::Limits;
use crate::lock::lock;
use crate::memory::LatencyKind;
use crate::metrics::{LatencyWindows, Sketch, WINDOWS_S};
use crate::monitor::{
    Alert, Observation, OverLimit, PerformanceMonitor, PerformanceRequirements, SavedBaseline, Subject,
};
use crate::server::state::latencies::Latencies;
use std::fmt;
use std::sync::{Mutex, OnceLock};

/// Whoever wants alerts.
type AlertSink = Box<dyn Fn(&Alert) + Send + Sync>;

/// The monitor of a server.
pub(crate) struct Performance {
    monitor: Mutex<PerformanceMonitor>,
    sink: OnceLock<AlertSink>,
    /// What is 0 is not required.
    requirements: PerformanceRequirements,
}

impl Performance {
    pub(crate) fn new(limits: &Limits) -> Self {
        let requirements = PerformanceRequirements {
            max_message_p95_us: limits.max_message_p95_us as u64,
            max_correlation_p95_us: limits.max_correlation_p95_us as u64,
            max_round_trip_p95_us: limits.max_round_trip_p95_us as u64,
            max_negotiation_p95_ms: limits.max_negotiation_p95_ms as u64,
            ..PerformanceRequirements::PRODUCTION
        };
        Self { monitor: Mutex::default(), sink: OnceLock::new(), requirements }
    }

    /// Has each alert given to `sink` as well, when it begins and when it ends. Only the first call has an effect.
    pub(crate) fn report_to(&self, sink: impl Fn(&Alert) + Send + Sync + 'static) {
        let _ = self.sink.set(Box::new(sink));
    }

    /// Makes room for what was used for the first time. To be called each second, so that what is allocated follows the
    /// first request of a kind and not the time.
    pub(crate) fn make_room<'a>(&self, latencies: &'a Latencies, tools: impl Iterator<Item = &'a str> + 'a) {
        let mut monitor = lock(&self.monitor);
        each_used(latencies, tools, |subject, _, _| monitor.make_room(subject));
    }

    /// Takes the ten seconds that have just ended, and reports what begins and ends. Returns whether something did.
    pub(crate) fn observe<'a>(
        &self,
        latencies: &'a Latencies,
        tools: impl Iterator<Item = &'a str> + 'a,
        now_unix_ms: u64,
    ) -> bool {
        let mut monitor = lock(&self.monitor);
        each_used(latencies, tools, |subject, kind, all| {
            monitor.observe(subject, observation(all, required_ns(&self.requirements, kind)));
        });
        let reported = monitor.end_span(now_unix_ms);
        // A sink may do anything.
        drop(monitor);
        for alert in &reported {
            log(alert);
            if let Some(sink) = self.sink.get() {
                sink(alert);
            }
        }
        !reported.is_empty()
    }

    /// The alerts that last, and those that were over not long ago.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        lock(&self.monitor).alerts()
    }

    /// What is usual, to be compared with later.
    pub(crate) fn baseline(&self, version: &str) -> SavedBaseline {
        lock(&self.monitor).baseline(version)
    }

    /// Compares with what was usual before.
    pub(crate) fn compare_with(&self, baseline: SavedBaseline) -> Result<(), String> {
        lock(&self.monitor).compare_with(baseline)
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.monitor).bytes()
    }
}

/// Shows each kind of latency that was recorded.
fn each_used<'a>(
    latencies: &'a Latencies,
    tools: impl Iterator<Item = &'a str> + 'a,
    mut see: impl FnMut(Subject<'a>, LatencyKind, &[&'a LatencyWindows]),
) {
    let mut number = 0;
    latencies.each(tools, |kind, name, all| {
        number += 1;
        if all.iter().any(|windows| windows.is_used()) {
            see(Subject { number, kind: kind.subject(), name }, kind, all);
        }
    });
}

/// What 95 % of a kind may take, in nanoseconds; 0 where nothing is required.
fn required_ns(requirements: &PerformanceRequirements, kind: LatencyKind) -> u64 {
    match kind {
        LatencyKind::Message => requirements.max_message_p95_us * 1_000,
        LatencyKind::Correlation => requirements.max_correlation_p95_us * 1_000,
        LatencyKind::RoundTrip => requirements.max_round_trip_p95_us * 1_000,
        LatencyKind::Negotiation => requirements.max_negotiation_p95_ms * 1_000_000,
        // What a handler may take is not ours to say.
        LatencyKind::Method | LatencyKind::Tool => 0,
    }
}

fn observation(all: &[&LatencyWindows], limit_ns: u64) -> Observation {
    let mut sketches = <[Sketch; WINDOWS_S.len()]>::default();
    for windows in all {
        windows.read(&mut sketches);
    }
    let [span, minute, five_minutes, _] = &sketches;
    let over = |window: &Sketch| OverLimit { count: window.count(), above: window.count_above(limit_ns) };
    Observation {
        calls: span.count(),
        p50_ns: span.quantile_ns(0.5),
        p95_ns: span.quantile_ns(0.95),
        limit_ns,
        over_limit: [over(span), over(minute), over(five_minutes)],
    }
}

fn log(alert: &Alert) {
    let Alert { subject, what, against, cause, command, times, .. } = alert;
    let (kind, severity) = (alert.kind.name(), alert.severity.name());
    if alert.is_active() {
        tracing::warn!(kind, severity, what, against, cause, command, times, "alert: {subject}");
    } else {
        tracing::info!(kind, severity, what, times, "alert is over: {subject}");
    }
}

impl fmt::Debug for Performance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Performance").field("requirements", &self.requirements).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Moment;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SPAN_MS: u64 = 10_000;

    #[test]
    fn a_server_that_is_too_slow_raises_an_alert_that_ends_when_it_is_fast_again() {
        let started = Moment::now();
        let at = |span: u64| Moment::from_ns(started.to_ns() + span * 10_000_000_000).expect("a moment");
        let latencies = Latencies::new(0, started);
        let performance = Performance::new(&Limits { max_round_trip_p95_us: 5_000, ..Limits::default() });
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        performance.report_to({
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            move |alert| {
                let count = if alert.is_active() { &begun } else { &ended };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        for span in 1..=60_u64 {
            let ns = if (10..20).contains(&span) { 50_000_000 } else { 100_000 };
            latencies.round_trips.record_many(ns, 1_000);
            assert!(latencies.tick(at(span)));
            assert!(!latencies.tick(at(span)));
            performance.observe(&latencies, std::iter::empty(), span * SPAN_MS);
        }
        let alerts = performance.alerts();
        let requirement = alerts.iter().find(|alert| alert.against.contains("5.00 ms")).expect("an alert");
        assert!(!requirement.is_active() && requirement.subject == "round trips", "{requirement:?}");
        assert!((90_000..=120_000).contains(&requirement.since_unix_ms), "{requirement:?}");
        assert!(begun.load(Ordering::Relaxed) >= 1);
        assert!(ended.load(Ordering::Relaxed) >= 1);
    }
}
