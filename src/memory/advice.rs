//! How pools should be sized: a pure function of their reports.
//!
//! [`advise`] chooses a capacity and gives the reason in words; [`Hysteresis`] decides when a choice is applied. Neither
//! reads a clock or a pool. [`Policy::HitRatio`] is here for comparison: it sees neither bytes nor bursts, and its
//! capacities swing around two thresholds.

use super::record::hit_ratio;
use super::report::{AdviceReport, PoolReport};
use crate::limits::units::rough_duration;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

/// Acquires and time from which advice has full confidence.
const CERTAIN_ACQUIRES: f64 = 1_000.0;
const CERTAIN_WINDOW_MS: f64 = 60_000.0;
/// Assumed cost of a miss where none was timed, in nanoseconds.
const MISS_NS: f64 = 1_000.0;
/// Assumed bytes of an object that reports none: one cache line.
const MIN_OBJECT_BYTES: u64 = 64;

/// What advice aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Hits among acquires that are wanted, 0 to 1.
    pub target_hit_ratio: f64,
    /// Idle bytes that all pools may keep together.
    pub budget_bytes: u64,
    /// How capacities are chosen.
    pub policy: Policy,
}

/// How capacities are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The smallest capacity that the miss curve says is enough.
    MissCurve,
    /// A fifth more below a hit ratio of 0.8, a fifth less above 0.95.
    HitRatio,
}

/// Advice for each pool, in their order.
///
/// [`Policy::MissCurve`] advises the smallest capacity whose expected hit ratio reaches the target, or, if no capacity
/// reaches it, one within the same distance of the best possible ratio. If all pools together would cost more than the
/// budget, each byte goes where it saves the most time: pools grow along the upper hulls of their curves, steepest
/// step first.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::{Plan, Policy, advise};
///
/// let pools = Server::builder("demo", "1.0.0").build()?.memory().report().pools;
/// let plan = Plan { target_hit_ratio: 0.99, budget_bytes: 64 << 20, policy: Policy::MissCurve };
/// assert_eq!(advise(&pools, &plan).len(), pools.len());
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn advise(pools: &[PoolReport], plan: &Plan) -> Vec<AdviceReport> {
    let mut capacities: Vec<u64> = pools.iter().map(|pool| wanted(pool, plan)).collect();
    if plan.policy == Policy::MissCurve {
        capacities = fit_budget(pools, capacities, plan.budget_bytes);
    }
    pools.iter().zip(capacities).map(|(pool, capacity)| advice(pool, capacity)).collect()
}

/// These capacities if all pools together keep within the budget, else smaller ones: each byte goes where it saves the
/// most time.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::fit_budget;
///
/// let pools = Server::builder("demo", "1.0.0").build()?.memory().report().pools;
/// let wanted: Vec<u64> = pools.iter().map(|pool| pool.capacity).collect();
/// assert_eq!(fit_budget(&pools, wanted.clone(), u64::MAX), wanted);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn fit_budget(pools: &[PoolReport], capacities: Vec<u64>, budget_bytes: u64) -> Vec<u64> {
    let costs =
        pools.iter().zip(&capacities).map(|(pool, capacity)| capacity.saturating_mul(object_bytes(pool)));
    if costs.fold(0, u64::saturating_add) <= budget_bytes {
        return capacities;
    }
    within_budget(pools, &capacities, budget_bytes)
}

fn object_bytes(pool: &PoolReport) -> u64 {
    pool.bytes_per_object.max(MIN_OBJECT_BYTES)
}

fn has_evidence(pool: &PoolReport) -> bool {
    !pool.curve.is_empty() && pool.evidence.acquires >= CERTAIN_ACQUIRES / 10.0
}

/// The capacity that the pool needs, whatever the budget is.
fn wanted(pool: &PoolReport, plan: &Plan) -> u64 {
    if !has_evidence(pool) {
        return pool.capacity;
    }
    match plan.policy {
        Policy::HitRatio => match pool.hit_ratio_now {
            Some(ratio) if ratio < 0.8 => (pool.capacity as f64 * 1.2).ceil() as u64,
            Some(ratio) if ratio > 0.95 => (pool.capacity as f64 * 0.8).floor().max(1.0) as u64,
            _ => pool.capacity,
        },
        Policy::MissCurve => {
            let best = pool.curve.last().map_or(0.0, |point| point.hit_ratio);
            let target = plan.target_hit_ratio.min(best - (1.0 - plan.target_hit_ratio)).max(0.0);
            let target = if best >= plan.target_hit_ratio { plan.target_hit_ratio } else { target };
            let enough = pool.curve.iter().find(|point| point.hit_ratio >= target);
            enough.map_or(pool.capacity, |point| point.capacity)
        }
    }
}

/// One step up a pool's hull: worth `gain` nanoseconds a second, for `bytes`.
struct Step {
    pool: usize,
    capacity: u64,
    bytes: u64,
    gain: f64,
}

fn within_budget(pools: &[PoolReport], wanted: &[u64], budget_bytes: u64) -> Vec<u64> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, pool) in pools.iter().enumerate() {
        steps.extend(hull(pool, at, wanted[at]));
    }
    // Slopes only fall along a hull, so sorting keeps the steps of one pool in order.
    let slope = |step: &Step| step.gain / step.bytes.max(1) as f64;
    steps.sort_by(|a, b| slope(b).total_cmp(&slope(a)));
    let mut capacities = vec![0; pools.len()];
    let mut is_stopped = vec![false; pools.len()];
    let mut left = budget_bytes;
    for step in steps {
        if is_stopped[step.pool] {
            continue;
        }
        if step.bytes <= left {
            left -= step.bytes;
            capacities[step.pool] = step.capacity;
        } else {
            let part = left / object_bytes(&pools[step.pool]);
            left -= part * object_bytes(&pools[step.pool]);
            capacities[step.pool] = capacities[step.pool].saturating_add(part).min(step.capacity);
            is_stopped[step.pool] = true;
        }
    }
    capacities
}

/// The upper hull of a pool's curve from 0 up to `limit`, as steps.
fn hull(pool: &PoolReport, at: usize, limit: u64) -> Vec<Step> {
    let worth = pool.evidence.acquires_per_second * pool.saved_ns_per_hit.unwrap_or(MISS_NS).max(1.0);
    let mut corners: Vec<(u64, f64)> = vec![(0, 0.0)];
    let points = pool.curve.iter().filter(|point| point.capacity <= limit);
    let mut points: Vec<_> = points.map(|point| (point.capacity, point.hit_ratio)).collect();
    if points.last().is_none_or(|(capacity, _)| *capacity < limit) {
        points.push((limit, points.last().map_or(0.0, |(_, ratio)| *ratio)));
    }
    let slope = |a: (u64, f64), b: (u64, f64)| (b.1 - a.1) / b.0.saturating_sub(a.0).max(1) as f64;
    for point in points.into_iter().filter(|(capacity, _)| *capacity > 0) {
        while let [.., before, last] = corners[..]
            && slope(before, last) <= slope(last, point)
        {
            corners.pop();
        }
        corners.push(point);
    }
    let pairs = corners.windows(2);
    pairs
        .map(|pair| Step {
            pool: at,
            capacity: pair[1].0,
            bytes: pair[1].0.saturating_sub(pair[0].0).saturating_mul(object_bytes(pool)),
            gain: (pair[1].1 - pair[0].1) * worth,
        })
        .collect()
}

/// The hit ratio that the curve predicts for a capacity.
fn expected(pool: &PoolReport, capacity: u64) -> f64 {
    hit_ratio(&pool.curve, capacity)
}

fn advice(pool: &PoolReport, capacity: u64) -> AdviceReport {
    let certainty = (pool.evidence.acquires / CERTAIN_ACQUIRES).min(1.0)
        * (pool.evidence.window_ms as f64 / CERTAIN_WINDOW_MS).min(1.0);
    let hit_ratio = expected(pool, capacity);
    AdviceReport {
        capacity,
        hit_ratio,
        bytes: capacity.saturating_mul(pool.bytes_per_object),
        confidence: certainty,
        reason: reason(pool, capacity, hit_ratio),
    }
}

/// The reason for the advice, with its figures.
fn reason(pool: &PoolReport, capacity: u64, hit_ratio: f64) -> String {
    let evidence = &pool.evidence;
    let mut text =
        format!("from {:.0} acquires over {}", evidence.acquires, rough_duration(evidence.window_ms));
    if !has_evidence(pool) {
        let _ = write!(text, ": too few to judge, so it stays at {}", pool.capacity);
        return text;
    }
    let misses_now = 1.0 - expected(pool, pool.capacity);
    let lost_us =
        misses_now * evidence.acquires_per_second * pool.saved_ns_per_hit.unwrap_or(MISS_NS) / 1_000.0;
    let _ = write!(
        text,
        "; p99.9 demand {}; now {}: {:.1} % misses cost {lost_us:.0} us/s",
        pool.demand.p999,
        pool.capacity,
        misses_now * 100.0
    );
    if capacity != pool.capacity {
        let kib = capacity.saturating_mul(pool.bytes_per_object) as f64 / 1024.0;
        let _ =
            write!(text, "; {capacity} would cost {kib:.0} KiB and leave {:.1} %", (1.0 - hit_ratio) * 100.0);
    }
    text
}

/// Latest pieces of advice that must agree before a pool grows.
const SAMPLES_TO_GROW: usize = 2;
/// Latest pieces of advice that are taken into account before a pool shrinks.
const SAMPLES_TO_SHRINK: usize = 10;

/// Decides when advice is applied: a pool grows once the last two samples agree, and shrinks only to the largest of the
/// last ten.
///
/// Together with the decaying history of the pools, this keeps a capacity constant under a load that comes and goes.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::{Hysteresis, Plan, Policy, advise};
///
/// let pools = Server::builder("demo", "1.0.0").build()?.memory().report().pools;
/// let plan = Plan { target_hit_ratio: 0.99, budget_bytes: 64 << 20, policy: Policy::MissCurve };
/// let mut hysteresis = Hysteresis::default();
/// for (pool, advice) in pools.iter().zip(advise(&pools, &plan)) {
///     assert_eq!(hysteresis.next_capacity(pool, &advice), None, "one piece of advice is none");
/// }
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Hysteresis {
    samples: HashMap<String, VecDeque<u64>>,
}

impl Hysteresis {
    /// Records the advice, and returns the capacity to set now, if any.
    pub fn next_capacity(&mut self, pool: &PoolReport, advice: &AdviceReport) -> Option<u64> {
        if advice.confidence < 1.0 {
            return None;
        }
        let samples = self.samples.entry(pool.name.clone()).or_default();
        samples.push_back(advice.capacity);
        if samples.len() > SAMPLES_TO_SHRINK {
            samples.pop_front();
        }
        let agreed =
            samples.iter().rev().take(SAMPLES_TO_GROW).min().filter(|_| samples.len() >= SAMPLES_TO_GROW)?;
        // Changes of less than a tenth, or of one object, are not worth it.
        let band = (pool.capacity / 10).max(1);
        if *agreed > pool.capacity + band {
            return Some(*agreed);
        }
        let largest = samples.iter().max().filter(|_| samples.len() == SAMPLES_TO_SHRINK)?;
        (*largest + band < pool.capacity).then_some(*largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::report::{CurvePoint, DemandReport, Evidence};

    /// A pool of which demand is uniform on 1 to `most`.
    fn pool(name: &str, capacity: u64, most: u64, bytes_per_object: u64) -> PoolReport {
        let all = (most * (most + 1) / 2) as f64;
        let hits = |capacity: u64| (1..=most).map(|held| held.min(capacity)).sum::<u64>() as f64 / all;
        PoolReport {
            name: name.to_owned(),
            capacity,
            maximum: 1_000,
            in_use: 0,
            idle: 0,
            idle_bytes: 0,
            owned_bytes: 0,
            hits: 0,
            misses: 0,
            discarded: std::collections::BTreeMap::default(),
            hit_ratio_now: Some(hits(capacity.min(most))),
            hit_ratio_1m: None,
            hit_ratio_1h: None,
            high_water_mark: most,
            demand: DemandReport { p999: most, max: most, ..DemandReport::default() },
            bytes_per_object,
            saved_ns_per_hit: Some(500.0),
            evidence: Evidence {
                acquires: 41_233.0,
                traced: 41_233.0,
                window_ms: 360_000,
                acquires_per_second: 114.5,
            },
            curve: (1..=most)
                .map(|at| CurvePoint { capacity: at, hit_ratio: hits(at), bytes: at * bytes_per_object })
                .collect(),
            advice: None,
            setting: None,
        }
    }

    fn plan(target_hit_ratio: f64, budget_bytes: u64) -> Plan {
        Plan { target_hit_ratio, budget_bytes, policy: Policy::MissCurve }
    }

    #[test]
    fn known_demand_is_met_and_no_more() {
        // Of 820 acquires of uniform demand up to 40, capacity c misses (40 - c)(41 - c) / 2: 8.2 are allowed.
        let advice = &advise(&[pool("a", 16, 40, 2_048)], &plan(0.99, 1 << 30))[0];
        assert_eq!(advice.capacity, 37);
        assert!(advice.hit_ratio >= 0.99 && advice.bytes == 37 * 2_048);
        let want = "from 41233 acquires over 6 min; p99.9 demand 40; now 16: 36.6 % misses cost 21 us/s; \
                    37 would cost 74 KiB and leave 0.7 %";
        assert_eq!(advice.reason, want);
        assert_eq!(advise(&[pool("a", 16, 40, 2_048)], &plan(1.0, 1 << 30))[0].capacity, 40);
    }

    #[test]
    fn bytes_go_where_they_avoid_most() {
        // Alike but for the size of their objects: the cheap one is served first.
        let pools = [pool("cheap", 1, 40, 1_000), pool("dear", 1, 40, 100_000)];
        let advice = advise(&pools, &plan(0.99, 1_000_000));
        assert_eq!(advice[0].capacity, 37);
        assert_eq!(advice[1].capacity, (1_000_000 - 37_000) / 100_000);
        let cost: u64 = advice.iter().map(|advice| advice.bytes).sum();
        assert!(cost <= 1_000_000, "{cost}");
        // The best split of two is found by trying all.
        let misses = |a: u64, b: u64| (1.0 - expected(&pools[0], a)) + (1.0 - expected(&pools[1], b));
        let best = (0..=40)
            .flat_map(|a| (0..=40).map(move |b| (a, b)))
            .filter(|(a, b)| a * 1_000 + b * 100_000 <= 1_000_000 && *a <= 37)
            .map(|(a, b)| misses(a, b))
            .fold(f64::INFINITY, f64::min);
        assert!((misses(advice[0].capacity, advice[1].capacity) - best).abs() < 0.01, "{best}");
    }

    #[test]
    fn little_evidence_moves_nothing() {
        let mut young = pool("young", 16, 40, 10);
        young.evidence = Evidence { acquires: 50.0, window_ms: 5_000, ..Evidence::default() };
        let advice = &advise(&[young.clone()], &plan(0.99, 1 << 30))[0];
        assert_eq!(advice.capacity, 16);
        assert!(advice.confidence < 0.01, "{}", advice.confidence);
        assert!(
            advice.reason.ends_with("over 5 s: too few to judge, so it stays at 16"),
            "{}",
            advice.reason
        );
        let mut hysteresis = Hysteresis::default();
        assert!((0..100).all(|_| hysteresis.next_capacity(&young, advice).is_none()));
    }

    #[test]
    fn misses_that_no_capacity_avoids_are_not_chased() {
        let mut cold = pool("cold", 8, 40, 10);
        cold.curve.iter_mut().for_each(|point| point.hit_ratio *= 0.5);
        let advice = &advise(&[cold], &plan(0.99, 1 << 30))[0];
        assert!((35..=39).contains(&advice.capacity), "{}", advice.capacity);
    }

    #[test]
    fn the_rule_of_hit_ratios_is_there_to_compare() {
        let plan = Plan { policy: Policy::HitRatio, ..plan(0.99, 1 << 30) };
        let mut low = pool("low", 10, 40, 10);
        low.hit_ratio_now = Some(0.5);
        let mut high = low.clone();
        high.hit_ratio_now = Some(0.99);
        let advice = advise(&[low, high], &plan);
        assert_eq!((advice[0].capacity, advice[1].capacity), (12, 8));
    }

    /// A load that comes and goes: after two periods the capacity is that of the busy half.
    #[test]
    fn a_square_wave_does_not_make_it_swing() {
        for period in [2, 6, 10, 18] {
            let mut hysteresis = Hysteresis::default();
            let mut current = pool("a", 4, 40, 10);
            let mut changes = 0;
            for sample in 0..period * 40 {
                let is_busy = sample % period < period / 2;
                let seen = AdviceReport { capacity: if is_busy { 40 } else { 4 }, ..advice(&current, 0) };
                if let Some(capacity) = hysteresis.next_capacity(&current, &seen) {
                    current.capacity = capacity;
                    changes += usize::from(sample > period * 2);
                }
            }
            assert!(changes <= 4, "period {period}: {changes} changes in 38 periods");
        }
    }

    #[test]
    fn a_lasting_change_is_followed_both_ways() {
        let mut hysteresis = Hysteresis::default();
        let mut current = pool("a", 4, 40, 10);
        for (want, samples) in [(40, 3), (6, 12)] {
            for _ in 0..samples {
                let seen = AdviceReport { capacity: want, ..advice(&current, 0) };
                if let Some(capacity) = hysteresis.next_capacity(&current, &seen) {
                    current.capacity = capacity;
                }
            }
            assert_eq!(current.capacity, want);
        }
    }
}
