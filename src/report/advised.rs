//! Which advice about capacities is worth a reader's time.
//!
//! A capacity is a setting, which several pools may share: what is advised is what all of them need. Nothing is advised
//! that has no setting, that frees next to nothing, or that saves next to no misses.

use crate::memory::{MemoryReport, PoolReport};

/// Fewer bytes than this are not worth a restart.
const NOTABLE_BYTES: u64 = 256 << 10;
/// Nor is a smaller gain in hits among acquires.
const NOTABLE_HITS: f64 = 0.01;

/// The capacity that a pool's setting should have, where it should change and that is worth it.
pub(super) fn advised(report: &MemoryReport, pool: &PoolReport) -> Option<u64> {
    let setting = pool.setting.as_deref()?;
    let own = pool.advice.as_ref()?.capacity;
    let sharing = report.pools.iter().filter(|other| other.setting.as_deref() == Some(setting));
    let wanted = sharing.clone().filter_map(|other| Some(other.advice.as_ref()?.capacity)).max()?;
    // The others of a setting have their own reason, or none.
    if wanted != own || wanted == pool.capacity {
        return None;
    }
    let is_worth_it = if wanted < pool.capacity {
        let freed = sharing.map(|other| freed_bytes(other, wanted)).fold(0, u64::saturating_add);
        freed >= NOTABLE_BYTES
    } else {
        gained_hits(pool) >= NOTABLE_HITS
    };
    is_worth_it.then_some(wanted)
}

/// Bytes of the idle objects that would go.
fn freed_bytes(pool: &PoolReport, capacity: u64) -> u64 {
    pool.idle.saturating_sub(capacity).saturating_mul(pool.bytes_per_object)
}

/// Hits among acquires that there would be more.
fn gained_hits(pool: &PoolReport) -> f64 {
    let acquires = pool.hits.saturating_add(pool.misses);
    if acquires == 0 {
        return 0.0;
    }
    let now = pool.hit_ratio_1h.or(pool.hit_ratio_1m).unwrap_or(pool.hits as f64 / acquires as f64);
    pool.advice.as_ref().map_or(0.0, |advice| advice.hit_ratio - now)
}
