//! Rules about pools and arenas.

use super::finding::{
    Draft, Finding, Severity, Verdict, line, lowered, percent, round_up, setting, sum, up_to,
};
use crate::limits::units::{bytes, grouped};
use crate::memory::{MemoryReport, PoolReport};

const MIB: u64 = 1 << 20;
/// Fewest acquires from which a ratio means something.
const ENOUGH_ACQUIRES: u64 = 500;
/// Large arenas that are thrown away before anything is said: each costs a thousand faults of pages.
const ENOUGH_LARGE_ARENAS: u64 = 50;
/// A pool that misses more often than this thrashes.
const THRASHING_HIT_RATIO: f64 = 0.8;

pub(super) fn thrashing_pool(report: &MemoryReport) -> Verdict {
    let thrashing = report.pools.iter().filter(|pool| pool.setting.is_some() && is_thrashing(pool));
    let worst = thrashing.max_by_key(|pool| pool.misses);
    Verdict::of(worst.and_then(|pool| {
        let advice = pool.advice.as_ref()?;
        let name = pool.setting.as_deref()?;
        let more = advice.bytes.saturating_sub(pool.capacity.saturating_mul(pool.bytes_per_object));
        let draft = Draft {
            severity: Severity::Warning,
            problem: format!("The pool {} thrashes: it makes anew what it just threw away.", pool.name),
            cause: "More objects are in use at once than it may keep.",
            evidence: format!("{}.", advice.reason),
            remedy: format!("Let it keep {} objects.", grouped(advice.capacity)),
            setting: None,
            cost: up_to(more),
            bytes: more,
        };
        Some(Finding { setting: Some(line(name, advice.capacity)), ..draft.into() })
    }))
}

fn is_thrashing(pool: &PoolReport) -> bool {
    let is_missing = pool.hit_ratio_1m.is_some_and(|ratio| ratio < THRASHING_HIT_RATIO);
    let could_do_better = pool
        .advice
        .as_ref()
        .is_some_and(|advice| advice.capacity > pool.capacity && advice.hit_ratio > THRASHING_HIT_RATIO);
    is_missing && could_do_better && pool.hits.saturating_add(pool.misses) >= ENOUGH_ACQUIRES
}

/// Returned objects of a pool that were dropped for that reason.
fn discarded(pool: &PoolReport, reason: &str) -> u64 {
    pool.discarded.get(reason).copied().unwrap_or_default()
}

pub(super) fn budget_spent(report: &MemoryReport) -> Verdict {
    let dropped = sum(report.pools.iter().map(|pool| discarded(pool, "overbudget")));
    if dropped < ENOUGH_ACQUIRES {
        return Verdict::Fine;
    }
    let budget = report.budget.limit_bytes;
    Verdict::Found(
        Draft {
            severity: Severity::Warning,
            problem: format!(
                "Pools drop what they could use again: their budget of {} is full.",
                bytes(budget)
            ),
            cause: "pool_budget_bytes bounds the idle objects of all pools together.",
            evidence: format!(
                "{} returned objects were dropped for it; {} of {} are idle.",
                grouped(dropped),
                bytes(report.budget.used_bytes),
                bytes(budget)
            ),
            remedy: "Raise the budget, or lower max_frame_bytes if such large messages are not needed."
                .to_owned(),
            setting: Some(("pool_budget_bytes", budget.saturating_mul(2))),
            cost: up_to(budget),
            bytes: budget,
        }
        .into(),
    )
}

/// The pools whose objects hold an arena: messages each have one.
fn with_arenas(report: &MemoryReport) -> impl Iterator<Item = &PoolReport> {
    report.pools.iter().filter(|pool| pool.name == "messages" || pool.name == "arenas")
}

pub(super) fn oversized_arenas(report: &MemoryReport) -> Verdict {
    let large = report.pool("large arenas");
    let dropped = large.map_or(0, |pool| discarded(pool, "oversized"));
    let acquires = large.map_or(0, |pool| pool.hits.saturating_add(pool.misses));
    if dropped < ENOUGH_LARGE_ARENAS || percent(dropped, acquires) < 10 {
        return Verdict::Fine;
    }
    let retain = setting(report, "arena_retain_bytes");
    let tool = report.hotspots.tools.iter().max_by_key(|tool| tool.oversized_arenas);
    let (name, most) =
        tool.map_or(("a tool", retain.saturating_mul(2)), |tool| (tool.name.as_str(), tool.max_arena_bytes));
    let wanted = round_up(most).min(16 * MIB);
    if wanted <= retain {
        return Verdict::Fine;
    }
    let capacity = report.pool("messages").map_or(0, |pool| pool.capacity);
    Verdict::Found(
        Draft {
            severity: Severity::Warning,
            problem: format!("Arenas are thrown away after use: the arguments of {name} are larger than they may stay."),
            cause: "An arena of more than 4 MiB and arena_retain_bytes is freed, and the next call allocates it again.",
            evidence: format!(
                "{} of {} large messages; the largest needed {}, {} may stay.",
                grouped(dropped),
                grouped(acquires),
                bytes(most),
                bytes(retain)
            ),
            remedy: "Let arenas stay at the size that the calls need.".to_owned(),
            setting: Some(("arena_retain_bytes", wanted)),
            cost: up_to(capacity.saturating_mul(wanted.saturating_sub(retain))),
            bytes: most,
        }
        .into(),
    )
}

pub(super) fn arenas_retained(report: &MemoryReport) -> Verdict {
    let idle = sum(with_arenas(report).map(|pool| pool.idle_bytes));
    let private = report.usage.private_bytes.unwrap_or(idle);
    Verdict::of((idle >= 2 * MIB && percent(idle, private) >= 25).then(|| {
        let retain = setting(report, "arena_retain_bytes");
        Draft {
            severity: Severity::Warning,
            problem: format!("Idle requests keep {} of arenas.", bytes(idle)),
            cause: "Each pooled request keeps an arena of the size that its largest call needed.",
            evidence: format!(
                "{} % of the private memory; up to {} may stay in each.",
                percent(idle, private),
                bytes(retain)
            ),
            remedy: "Let smaller arenas stay.".to_owned(),
            setting: lowered(report, "arena_retain_bytes", 4, 4 << 10),
            cost: "calls with large arguments allocate their arena anew.".to_owned(),
            bytes: idle,
        }
        .into()
    }))
}

/// Buffers larger than this are freed as soon as nobody needs them.
const LARGE_BUFFER_BYTES: u64 = 64 << 10;

/// Large buffers that nobody uses: housekeeping frees them within three seconds, if it runs.
pub(super) fn large_buffers_kept(report: &MemoryReport) -> Verdict {
    let is_kept = |pool: &&PoolReport| {
        let is_large = pool.idle_bytes > pool.idle.saturating_mul(LARGE_BUFFER_BYTES);
        pool.name.starts_with("buffers/") && is_large && pool.in_use == 0
    };
    let kept = report.pools.iter().filter(is_kept);
    let total = sum(kept.clone().map(|pool| pool.idle_bytes));
    let count = sum(kept.clone().map(|pool| pool.idle));
    let largest = kept.max_by_key(|pool| pool.idle_bytes);
    Verdict::of(largest.filter(|_| total >= 4 * MIB).map(|pool| {
        Draft {
            severity: Severity::Warning,
            problem: format!("Large buffers that nobody uses keep {}.", bytes(total)),
            cause: "A burst of large messages left them, and what frees them each second does not run, or has not run \
                    yet.",
            evidence: format!(
                "{} idle buffers, none of their sizes in use; most in {}: {}.",
                grouped(count),
                pool.name,
                bytes(pool.idle_bytes)
            ),
            remedy: "Look again in five seconds. If they stay, nothing does the server's housekeeping: serve with \
                     serve_http, or trim the pools each second (PoolControl::trim_unneeded)."
                .to_owned(),
            setting: None,
            cost: "the next large messages allocate their buffers.".to_owned(),
            bytes: total,
        }
        .into()
    }))
}

/// Pools with far more idle objects than advised.
pub(super) fn too_large(report: &MemoryReport) -> Verdict {
    let spare = |pool: &PoolReport| {
        let wanted = pool.advice.as_ref().map_or(pool.idle_bytes, |advice| advice.bytes);
        pool.idle_bytes.saturating_sub(wanted)
    };
    let total = sum(report.pools.iter().map(spare));
    let largest = report.pools.iter().max_by_key(|pool| spare(pool));
    Verdict::of(largest.filter(|_| total >= 8 * MIB).map(|pool| {
        let finding: Finding = Draft {
            severity: Severity::Hint,
            problem: format!("Pools keep {} that no demand asks for.", bytes(total)),
            cause: "They keep as many idle objects as a burst left behind.",
            evidence: format!(
                "most in {}: {} idle of {} bytes each; p99.9 of the demand is {}.",
                pool.name,
                grouped(pool.idle),
                grouped(pool.bytes_per_object),
                grouped(pool.demand.p999)
            ),
            remedy: "Run `mcpool tune`, or set auto_tune = 1 and they are trimmed each minute.".to_owned(),
            setting: Some(("auto_tune", 1)),
            cost: "the next burst of that size allocates.".to_owned(),
            bytes: total,
        }
        .into();
        finding
    }))
}
