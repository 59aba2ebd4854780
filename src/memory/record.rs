//! What the reports of a record say together, each acquire counted once.
//!
//! The evidence of a report is all that its process saw, older acquires counting less: each hour halves them. So a
//! report holds the one before it, and adding them up would count an acquire once for each report after it. A report
//! that another follows counts only for what the later one has forgotten of it; the weights of one process add up to all
//! that it saw, however many reports there are.

use super::report::{CurvePoint, MemoryReport, PoolReport};
use mcpool_pools::Sampling;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Starts of one process, as its reports tell them, differ by less: clocks are set while it runs.
const SAME_START_MS: u64 = 10_000;

/// Merges reports, oldest first, into one for each pool: acquires add up, and weight the curves.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::merge;
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let reports = [server.memory().report(), server.memory().report()];
/// assert_eq!(merge(&reports).len(), reports[0].pools.len());
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn merge(reports: &[MemoryReport]) -> Vec<PoolReport> {
    let mut merged: BTreeMap<&str, PoolReport> = BTreeMap::new();
    for (report, weight) in reports.iter().zip(weights(reports)) {
        for pool in &report.pools {
            let mut weighted = pool.clone();
            weighted.evidence.acquires *= weight;
            weighted.evidence.traced *= weight;
            weighted.evidence.window_ms = seconds(pool, weight);
            match merged.get_mut(pool.name.as_str()) {
                Some(sum) => add(sum, &weighted),
                None => {
                    merged.insert(&pool.name, weighted);
                }
            }
        }
    }
    merged.into_values().collect()
}

/// Which share of each report's evidence no later one holds.
fn weights(reports: &[MemoryReport]) -> Vec<f64> {
    let started = |report: &MemoryReport| report.taken_unix_ms.saturating_sub(report.uptime_ms);
    let mut next: HashMap<u32, &MemoryReport> = HashMap::new();
    let weight = |report: &MemoryReport, next: Option<&MemoryReport>| match next {
        Some(next) if started(next).abs_diff(started(report)) < SAME_START_MS => {
            let passed = Duration::from_millis(next.uptime_ms.saturating_sub(report.uptime_ms));
            1.0 - (-passed.as_secs_f64() / Sampling::HALF_LIFE.as_secs_f64()).exp2()
        }
        _ => 1.0,
    };
    let from_the_last = reports.iter().rev();
    let mut weights: Vec<f64> =
        from_the_last.map(|report| weight(report, next.insert(report.server.pid, report))).collect();
    weights.reverse();
    weights
}

/// The time that this share of the evidence covers, in milliseconds.
fn seconds(pool: &PoolReport, weight: f64) -> u64 {
    let rate = pool.evidence.acquires_per_second;
    if rate > 0.0 {
        (pool.evidence.acquires * weight / rate * 1_000.0) as u64
    } else {
        (pool.evidence.window_ms as f64 * weight) as u64
    }
}

fn add(sum: &mut PoolReport, pool: &PoolReport) {
    let (before, more) = (sum.evidence.acquires, pool.evidence.acquires);
    let all = before + more;
    let mut capacities: Vec<u64> = sum.curve.iter().chain(&pool.curve).map(|point| point.capacity).collect();
    capacities.sort_unstable();
    capacities.dedup();
    let bytes_per_object = sum.bytes_per_object.max(pool.bytes_per_object);
    let hits = |capacity| hit_ratio(&sum.curve, capacity) * before + hit_ratio(&pool.curve, capacity) * more;
    let curve = capacities.into_iter().map(|capacity| CurvePoint {
        capacity,
        hit_ratio: if all > 0.0 { hits(capacity) / all } else { 0.0 },
        bytes: capacity.saturating_mul(bytes_per_object),
    });
    sum.curve = curve.collect();
    sum.evidence.acquires = all;
    sum.evidence.traced += pool.evidence.traced;
    sum.evidence.window_ms = sum.evidence.window_ms.saturating_add(pool.evidence.window_ms);
    let window_s = sum.evidence.window_ms as f64 / 1_000.0;
    sum.evidence.acquires_per_second = if window_s > 0.0 { all / window_s } else { 0.0 };
    sum.demand.p999 = sum.demand.p999.max(pool.demand.p999);
    sum.demand.max = sum.demand.max.max(pool.demand.max);
    sum.high_water_mark = sum.high_water_mark.max(pool.high_water_mark);
    (sum.capacity, sum.bytes_per_object) = (pool.capacity, bytes_per_object);
    sum.saved_ns_per_hit = pool.saved_ns_per_hit.or(sum.saved_ns_per_hit);
}

/// The hit ratio at a capacity.
pub(super) fn hit_ratio(curve: &[CurvePoint], capacity: u64) -> f64 {
    let below = curve.iter().take_while(|point| point.capacity <= capacity).last();
    below.map_or(0.0, |point| point.hit_ratio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryUsageReport, ServerFacts};
    use mcpool_pools::{BufferPool, PoolControl};
    use std::time::Instant;

    fn report(pid: u32, uptime_ms: u64, pool: &dyn PoolControl) -> MemoryReport {
        let server = ServerFacts { name: String::new(), version: String::new(), pid, os: String::new() };
        MemoryReport {
            schema: String::new(),
            taken_unix_ms: 1_000_000 + uptime_ms,
            uptime_ms,
            server,
            usage: MemoryUsageReport::default(),
            parts: Vec::new(),
            kernel: Vec::new(),
            pressure: crate::memory::PressureReport::default(),
            pools: vec![PoolReport::of(pool)],
            budget: crate::memory::BudgetReport::default(),
            hotspots: crate::memory::Hotspots::default(),
            traffic: crate::memory::Traffic::default(),
            clients: Vec::new(),
            operations: Vec::new(),
            latencies: Vec::new(),
            alerts: Vec::new(),
            session_durations: None,
            timeline: Vec::new(),
            applied: Vec::new(),
            settings: BTreeMap::new(),
        }
    }

    /// A process with a report each ten minutes: `held[i]` objects at once, ten times, before report i.
    fn record(pid: u32, held: &[usize]) -> Vec<MemoryReport> {
        let buffers = BufferPool::default();
        let pool = buffers.classes().next().expect("a class");
        let begun = Instant::now();
        drop(buffers.acquire(1));
        pool.sample(&Sampling::at(begun));
        let mut at_ms = 0;
        let mut reports = Vec::new();
        for held in held {
            for _ in 0..10 {
                drop((0..*held).map(|_| buffers.acquire(1)).collect::<Vec<_>>());
            }
            at_ms += 600_000;
            pool.sample(&Sampling::at(begun + Duration::from_millis(at_ms)));
            reports.push(report(pid, at_ms, pool));
        }
        reports
    }

    #[test]
    fn an_acquire_counts_once_however_many_reports_follow() {
        let mut reports = record(1, &[10; 21]);
        let alone = merge(&reports)[0].evidence.clone();
        // All reports hold 2,100 acquires together, and the last one those of its last hours.
        assert!((alone.acquires - 2_100.0).abs() < 1.0, "{alone:?}");
        assert!((alone.acquires_per_second - 2_100.0 / 12_600.0).abs() < 1e-3, "{alone:?}");
        assert!(alone.window_ms.abs_diff(12_600_000) < 100, "{alone:?}");
        // The same file a second time changes nothing, another process adds its own.
        reports.extend(reports.clone());
        reports.sort_by_key(|report| report.taken_unix_ms);
        assert!((merge(&reports)[0].evidence.acquires - 2_100.0).abs() < 1.0);
        reports.extend(record(2, &[10, 10]));
        assert!((merge(&reports)[0].evidence.acquires - 2_300.0).abs() < 1.0);
    }

    #[test]
    fn loads_count_by_their_acquires_whenever_they_were() {
        // 100 acquires with one object at once, ten hours before 100 with ten at once.
        let mut held = vec![0; 60];
        held[0] = 1;
        held[59] = 10;
        let merged = &merge(&record(1, &held))[0];
        // 10 acquires at one, 100 at ten, of which a capacity of one serves a tenth.
        assert!((merged.evidence.acquires - 110.0).abs() < 1.0, "{:?}", merged.evidence);
        let ratio = hit_ratio(&merged.curve, 1);
        assert!((ratio - 20.0 / 110.0).abs() < 0.01, "{ratio}");
    }
}
