//! Makes the figures of a report out of counts and histograms.

use super::examples::Examples;
use super::failure::FailureKind;
use super::report::{
    FailureReport, LatencyReport, LoadOperationReport, QuantilePoint, RequestCounts, WindowReport,
};
use super::request::PreparedStep;
use super::tally::{Tally, Window};
use hdrhistogram::Histogram;

/// How many points there are for each halving of what is left to 1.
const POINTS_PER_HALF: u32 = 4;

/// Nanoseconds as microseconds.
pub(super) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// The figures of a histogram of nanoseconds, `None` of an empty one.
pub(super) fn latency(histogram: &Histogram<u64>) -> Option<LatencyReport> {
    if histogram.is_empty() {
        return None;
    }
    let at = |quantile| micros(histogram.value_at_quantile(quantile));
    let points = histogram.iter_quantiles(POINTS_PER_HALF);
    let quantiles = points
        .map(|point| QuantilePoint {
            quantile: point.quantile_iterated_to(),
            us: micros(point.value_iterated_to()),
        })
        .collect();
    Some(LatencyReport {
        count: histogram.len(),
        mean_us: histogram.mean() / 1e3,
        deviation_us: histogram.stdev() / 1e3,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p95_us: at(0.95),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: micros(histogram.max()),
        quantiles,
    })
}

/// The figures of right answers and of what timed out, with the time that was waited; `None` where nothing did. Without
/// them the slowest requests would make the quantiles better.
pub(super) fn with_time_outs(tally: &Tally) -> Option<LatencyReport> {
    let mut all = tally.all_latency();
    all += &tally.time_outs;
    latency(&all).filter(|_| !tally.time_outs.is_empty())
}

/// The requests of all steps; `seconds` is the time in which they began.
pub(super) fn requests(tally: &Tally, seconds: f64, broken_connections: u64) -> RequestCounts {
    let (answered, failed) = (tally.answers(), tally.failures());
    let scheduled = tally.begun + tally.dropped;
    RequestCounts {
        scheduled,
        begun: tally.begun,
        answered,
        failed,
        unanswered: tally.unanswered,
        warm_up_failed: tally.warm_up_failed,
        dropped: tally.dropped,
        late: tally.late,
        unexpected: tally.unexpected,
        broken_connections,
        rate: answered as f64 / seconds.max(1e-9),
        error_ratio: (failed + tally.dropped) as f64 / scheduled.max(1) as f64,
    }
}

/// Each step.
pub(super) fn operations(tally: &Tally, steps: &[PreparedStep]) -> Vec<LoadOperationReport> {
    let steps = steps.iter().zip(&tally.operations);
    let steps = steps.map(|(PreparedStep { method, name, batch, .. }, counts)| LoadOperationReport {
        method: method.clone(),
        tool: (name != method).then(|| name.clone()),
        batch: *batch as u64,
        answered: counts.answered,
        failed: counts.all_failed(),
        timed_out: counts.failed(FailureKind::TimeOut),
        latency: latency(&counts.latency),
        windows: counts.windows.iter().map(window).collect(),
    });
    steps.collect()
}

fn window(window: &Window) -> WindowReport {
    WindowReport { answered: window.answered, p50_us: micros(window.p50_ns), p95_us: micros(window.p95_ns) }
}

/// What failed, by kind.
pub(super) fn failures(tally: &Tally, examples: &Examples) -> Vec<FailureReport> {
    let kinds = FailureKind::ALL.into_iter().map(|kind| FailureReport {
        kind,
        count: tally.operations.iter().map(|operation| operation.failed(kind)).sum(),
        example: examples.of(kind).map(str::to_owned),
    });
    kinds.filter(|failure| failure.count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::request::{Era, Wording};
    use super::super::step::LoadStep;
    use super::super::target::LoadTarget;
    use super::*;
    use serde_json::Map;
    use std::time::Duration;

    #[test]
    fn figures_are_those_of_what_was_counted() {
        let mut tally = Tally::new(2);
        for number in 1..=1000 {
            tally.begun(Duration::ZERO, None);
            tally.answered(0, Duration::from_micros(number));
        }
        tally.begun(Duration::ZERO, None);
        tally.failed(1, FailureKind::Refused, Duration::ZERO);
        tally.dropped = 99;
        let mut examples = Examples::default();
        examples.note(FailureKind::Refused, || "status 503:\nbusy".to_owned());
        let counts = requests(&tally, 2.0, 3);
        assert_eq!((counts.scheduled, counts.answered, counts.failed), (1_100, 1_000, 1));
        assert!((counts.rate - 500.0).abs() < 1e-9 && (counts.error_ratio - 100.0 / 1_100.0).abs() < 1e-9);
        let target = LoadTarget::parse("unix:/x").expect("a target");
        let wording = Wording::new(&target, Era::Legacy, None);
        let asked = [LoadStep::call("echo", Map::new()).batch(7), LoadStep::method("ping", Map::new())];
        let steps = operations(&tally, &asked.map(|step| wording.prepare(&step).expect("a step")));
        assert_eq!((steps[0].batch, steps[1].batch), (7, 1));
        assert_eq!((steps[0].tool.as_deref(), steps[1].tool.as_deref()), (Some("echo"), None));
        assert_eq!((steps[1].failed, &steps[1].latency), (1, &None));
        let latency = steps[0].latency.as_ref().expect("answers");
        for (got, want) in [(latency.p50_us, 500.0), (latency.p99_us, 990.0), (latency.max_us, 1000.0)] {
            assert!((got - want).abs() <= want / 500.0, "{got} for {want}");
        }
        assert!(latency.quantiles.is_sorted_by(|a, b| a.quantile <= b.quantile && a.us <= b.us));
        let failures = failures(&tally, &examples);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].example.as_deref(), Some("status 503: busy"));
    }
}
