//! Three ways to size a pool, on five loads: letting go of what was not needed, the miss curve, and hit ratios alone.
//!
//! ```sh
//! cargo run --release --example pool_policies
//! ```
//!
//! An hour of each load goes through a real pool, a second at a time by a clock of its own. Once a minute the pool is
//! sized anew, by the miss curve or by the rule on hit ratios; or it may keep what it likes, and each ten seconds lets go
//! of half of what it did not need (the low-water rule, which is what servers do). What is shown is hits among acquires, bytes that lay idle on average, and how often the size changed.

use mcpool::memory::{Hysteresis, Plan, Policy, PoolReport, advise};
use mcpool_pools::{ObjectPool, PoolConfig, PoolControl, Recycle, Sampling, Verdict};
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

/// Bytes of one object.
const OBJECT_BYTES: u64 = 4_096;
/// Seconds between two looks at what was not needed, as in `Limits::pool_decay_ms`.
const DECAY_SECONDS: u64 = 10;
/// The size that the two that resize begin with.
const FIRST_CAPACITY: usize = 16;
/// Hits that are wanted.
const TARGET: f64 = 0.99;
const SECONDS: u64 = 3_600;

/// Objects that are only counted.
struct Page;

impl Recycle<Page> for Page {
    fn create(&self) -> Page {
        Page
    }

    fn recycle(&self, _: &mut Page) -> Verdict {
        Verdict::Keep
    }

    fn bytes(&self, _: &Page) -> usize {
        OBJECT_BYTES as usize
    }
}

/// A load: how many objects are held at most in that second.
type Load = fn(second: u64, random: &mut u64) -> usize;

const LOADS: [(&str, Load); 5] = [
    ("steady", |_, random| 18 + pick(random, 5)),
    ("square wave", |second, _| if second / 300 % 2 == 0 { 4 } else { 100 }),
    ("bursts", |second, random| if second % 60 == 7 { 150 } else { 1 + pick(random, 4) }),
    ("ramp", |second, _| 1 + (second / 25) as usize),
    ("heavy tail", |_, random| (3.0 / (1.0 - pick(random, 10_000) as f64 / 10_001.0)).min(400.0) as usize),
];

/// A number below `below`, the same in every run (xorshift64, Marsaglia 2003).
fn pick(random: &mut u64, below: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random % below as u64) as usize
}

/// How a pool is sized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    LowWater,
    Resized(Policy),
}

const WAYS: [(Way, &str); 3] = [
    (Way::LowWater, "low water"),
    (Way::Resized(Policy::MissCurve), "miss curve"),
    (Way::Resized(Policy::HitRatio), "hit ratio"),
];

/// What came of a load.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcome {
    hit_ratio: f64,
    mean_idle_bytes: u64,
    resizes: u64,
}

fn simulate(load: Load, way: Way) -> Outcome {
    let first = if way == Way::LowWater { 1_024 } else { FIRST_CAPACITY };
    let pool =
        ObjectPool::with_config(PoolConfig { maximum: 1_024, ..PoolConfig::new("pages", first) }, Page);
    let (begun, mut random, mut hysteresis) = (Instant::now(), 0x9E37_79B9_7F4A_7C15, Hysteresis::default());
    let (mut idle_bytes, mut resizes) = (0, 0);
    for second in 0..SECONDS {
        // Up to the most and back, ten times: as requests come and go within a second.
        for _ in 0..10 {
            let most = load(second, &mut random);
            let leases: Vec<_> = (0..most).map(|_| pool.acquire()).collect();
            drop(leases);
        }
        pool.sample(&Sampling::at(begun + Duration::from_secs(second)));
        idle_bytes += pool.snapshot().idle as u64 * OBJECT_BYTES;
        match way {
            Way::LowWater if second % DECAY_SECONDS == DECAY_SECONDS - 1 => {
                pool.trim_unneeded();
            }
            Way::Resized(policy) if second % 60 == 59 => {
                resizes += u64::from(resize(&pool, policy, &mut hysteresis));
            }
            _ => {}
        }
    }
    let snapshot = pool.snapshot();
    let hit_ratio = snapshot.hits as f64 / (snapshot.hits + snapshot.misses).max(1) as f64;
    Outcome { hit_ratio, mean_idle_bytes: idle_bytes / SECONDS, resizes }
}

/// Sizes the pool as the policy says; returns whether its size changed.
fn resize(pool: &ObjectPool<Page>, policy: Policy, hysteresis: &mut Hysteresis) -> bool {
    let plan = Plan { target_hit_ratio: TARGET, budget_bytes: 64 << 20, policy };
    let report = PoolReport::of(pool);
    let advice = &advise(std::slice::from_ref(&report), &plan)[0];
    let wanted = match policy {
        Policy::MissCurve => hysteresis.next_capacity(&report, advice),
        Policy::HitRatio => (advice.capacity != report.capacity).then_some(advice.capacity),
    };
    wanted.is_some_and(|wanted| pool.set_capacity(wanted as usize) as u64 != report.capacity)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "load          way           hit %   idle KiB  resizes")?;
    for (name, load) in LOADS {
        for (way, way_name) in WAYS {
            let outcome = simulate(load, way);
            writeln!(
                out,
                "{name:<13} {way_name:<11} {:>7.2} {:>10} {:>8}",
                outcome.hit_ratio * 100.0,
                outcome.mean_idle_bytes / 1_024,
                outcome.resizes
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str) -> [Outcome; 3] {
        let (_, load) = LOADS.into_iter().find(|(load, _)| *load == name).expect("a load");
        WAYS.map(|(way, _)| simulate(load, way))
    }

    #[test]
    fn the_miss_curve_is_still_under_a_square_wave() {
        let [_, curve, ratio] = all("square wave");
        assert!(curve.resizes <= 3 && ratio.resizes > 3 * curve.resizes, "{curve:?} {ratio:?}");
        assert!(curve.hit_ratio > ratio.hit_ratio, "{curve:?} {ratio:?}");
    }

    /// What nobody has to tune hits more, and keeps less where demand comes and goes.
    #[test]
    fn letting_go_of_what_was_not_needed_beats_both() {
        for (name, _) in LOADS {
            let [low_water, curve, ratio] = all(name);
            assert!(low_water.hit_ratio > 0.98 || name == "bursts", "{name}: {low_water:?}");
            assert!(low_water.hit_ratio >= ratio.hit_ratio, "{name}: {low_water:?} {ratio:?}");
            if name == "square wave" {
                assert!(low_water.hit_ratio > curve.hit_ratio, "{name}: {low_water:?} {curve:?}");
                assert!(low_water.mean_idle_bytes < curve.mean_idle_bytes, "{name}: {low_water:?} {curve:?}");
            }
        }
    }

    /// Demand that is known: uniform on 18 to 22 at each rise, so that almost every acquire below 22 is a hit at 22,
    /// and at capacity c a rise to d misses d - c times, of 20 acquires on average.
    #[test]
    fn known_demand_is_met_within_a_tenth() {
        let misses =
            |capacity: u64| (18..=22_u64).map(|d| d.saturating_sub(capacity)).sum::<u64>() as f64 / 5.0;
        let analytic = (1..=22_u64).find(|capacity| misses(*capacity) / 20.0 <= 1.0 - TARGET).expect("one");
        let config = PoolConfig { maximum: 1_024, ..PoolConfig::new("pages", 64) };
        let pool = ObjectPool::with_config(config, Page);
        let (begun, mut random) = (Instant::now(), 7);
        for second in 0..120 {
            for _ in 0..40 {
                drop((0..18 + pick(&mut random, 5)).map(|_| pool.acquire()).collect::<Vec<_>>());
            }
            pool.sample(&Sampling::at(begun + Duration::from_secs(second)));
        }
        let plan = Plan { target_hit_ratio: TARGET, budget_bytes: 64 << 20, policy: Policy::MissCurve };
        let advised = advise(&[PoolReport::of(&pool)], &plan)[0].capacity;
        assert!(advised.abs_diff(analytic) * 10 <= analytic, "advised {advised}, analytic {analytic}");
    }
}
