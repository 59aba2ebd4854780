//! Whether capacities that were tried on a server stay.

use super::sample;
use mcpool::memory::{LatencyKind, MemoryReport, PressureLevel};
use mcpool::report::{Promise, Trial};

/// The end of a trial in which the arenas had so many hits and misses.
fn ended(hits: u64, misses: u64) -> MemoryReport {
    let mut report = sample::full();
    report.taken_unix_ms += 60_000;
    let arenas = report.pools.iter_mut().find(|pool| pool.name == "arenas").expect("a pool");
    arenas.hits += hits;
    arenas.misses += misses;
    report
}

fn reasons(ended: &MemoryReport) -> (bool, String) {
    let promises = [Promise { pool: "arenas".to_owned(), capacity: 40, hit_ratio: 0.99 }];
    let begun = sample::full();
    let verdict = Trial { before: &begun, begun: &begun, ended, promises: &promises }.verdict();
    (verdict.is_kept, verdict.reasons.join("; "))
}

#[test]
fn what_is_as_promised_stays() {
    let (is_kept, why) = reasons(&ended(990, 10));
    assert!(is_kept && why.starts_with("1000 acquires"), "{why}");
    let (is_kept, why) = reasons(&ended(0, 50));
    assert!(is_kept && why.starts_with("too little traffic"), "{why}");
}

#[test]
fn each_thing_that_gets_worse_sets_it_back() {
    let (is_kept, why) = reasons(&ended(950, 50));
    assert!(!is_kept && why == "pool arenas has 95.0 % hits and not the 99.0 % that were expected", "{why}");
    let mut short = ended(990, 10);
    short.pressure.level = PressureLevel::Critical;
    assert!(reasons(&short).1.contains("pressure is critical"));
    let mut refused = ended(990, 10);
    refused.pressure.refused += 3;
    assert!(reasons(&refused).1.starts_with("3 requests or connections were refused"));
    let mut alerted = ended(990, 10);
    alerted.alerts[0].since_unix_ms = alerted.taken_unix_ms;
    assert!(reasons(&alerted).1.starts_with("an alert began: tool slow|tool"));
    let mut slower = ended(990, 10);
    for latencies in slower.latencies.iter_mut().filter(|latencies| latencies.kind == LatencyKind::Message) {
        latencies.windows.iter_mut().for_each(|window| window.p95_ns += 30_000);
    }
    let (is_kept, why) = reasons(&slower);
    assert!(!is_kept && why == "95 % of requests took 4.80 us before and take 34.8 us now", "{why}");
}
