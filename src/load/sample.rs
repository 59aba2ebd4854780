//! A report for tests.

use super::report::{
    GeneratorUse, LatencyReport, LoadTestReport, QuantilePoint, RequestCounts, SCHEMA, ScenarioFacts,
};

/// A report of a minute: quantiles around a p95 of so many microseconds, so many answers a second, a share of errors.
pub(super) fn report(p95_us: f64, rate: f64, error_ratio: f64) -> LoadTestReport {
    let count = (rate * 60.0) as u64;
    let failed = (count as f64 * error_ratio) as u64;
    let latency = LatencyReport {
        count,
        mean_us: p95_us / 2.0,
        deviation_us: p95_us / 4.0,
        p50_us: p95_us / 2.0,
        p90_us: p95_us * 0.9,
        p95_us,
        p99_us: p95_us * 1.5,
        p999_us: p95_us * 2.0,
        max_us: p95_us * 3.0,
        quantiles: vec![QuantilePoint { quantile: 0.95, us: p95_us }],
    };
    LoadTestReport {
        schema: SCHEMA.to_owned(),
        begun_unix_ms: 0,
        scenario: scenario(),
        measured_ms: 60_000.0,
        ended_early: None,
        requests: RequestCounts {
            scheduled: count,
            begun: count,
            answered: count - failed,
            failed,
            unanswered: 0,
            warm_up_failed: 0,
            dropped: 0,
            late: 0,
            unexpected: 0,
            broken_connections: 0,
            rate,
            error_ratio,
        },
        latency: Some(latency),
        latency_with_time_outs: None,
        operations: Vec::new(),
        failures: Vec::new(),
        warm_up_example: None,
        unexpected_example: None,
        seconds: Vec::new(),
        recovery: None,
        replay: None,
        server: None,
        generator: GeneratorUse {
            version: "mcpool".to_owned(),
            cpu_load: 0.1,
            lag_p99_us: 0.0,
            lag_max_us: 0.0,
            bottleneck: None,
            allowed_cpus: None,
        },
        expectations: Vec::new(),
    }
}

fn scenario() -> ScenarioFacts {
    ScenarioFacts {
        name: "sample".to_owned(),
        target: "unix:/x".to_owned(),
        transport: "HTTP".to_owned(),
        revision: "2026-07-28".to_owned(),
        pattern: "closed loop".to_owned(),
        connections: 1,
        in_flight: 1,
        warm_up_ms: 0,
        time_out_ms: 1_000,
    }
}
