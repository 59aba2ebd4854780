//! The counters of a pool, and [`PoolSnapshot`], their values at one moment.
//!
//! Counters are sharded by thread like the store: an addition to one that two threads share costs 34 ns, to one's
//! own 2 (two threads on two cores). The leases in use are not counted: their number is
//! the number of references to a shard's anchor.
//!
//! **Invariant**, whenever no call is under way: `acquired = returns + detached + in use`, and
//! `misses = idle + in use + detached + discarded`.

use crate::recycle::Discard;
use crate::sync::{Counter, OwnedCounter};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// What a pool holds, for reports that add up pools of the same kind.
///
/// ```
/// use mcpool_pools::{ObjectPool, PoolKind, PoolSnapshot, WithCapacity};
///
/// let names = ObjectPool::<String>::new("names", 8, WithCapacity { initial: 0, retain: 64 });
/// let lease = names.acquire();
/// let snapshot: PoolSnapshot = names.snapshot();
/// assert_eq!((snapshot.kind, snapshot.in_use, snapshot.misses), (PoolKind::Objects, 1, 1));
/// # drop(lease);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoolKind {
    /// Objects of a type of the user's own.
    #[default]
    Objects,
    /// Byte buffers of one size class.
    Buffers,
    /// Arenas.
    Arenas,
}

/// A pool's figures at one moment.
///
/// It is taken without stopping other threads. When the pool is quiet the figures are exact and
/// `acquired() == returns + detached + in_use` holds; while others acquire and return, each figure may lag by the
/// calls under way.
///
/// ```
/// use mcpool_pools::{ObjectPool, PoolKind, PoolSnapshot, WithCapacity};
///
/// let names = ObjectPool::<String>::new("names", 8, WithCapacity { initial: 0, retain: 64 });
/// let lease = names.acquire();
/// let snapshot: PoolSnapshot = names.snapshot();
/// assert_eq!((snapshot.kind, snapshot.in_use, snapshot.misses), (PoolKind::Objects, 1, 1));
/// # drop(lease);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// What the pool holds.
    pub kind: PoolKind,
    /// The name of the setting that sizes the pool, if there is one.
    pub setting: Option<&'static str>,
    /// Most objects that may be idle.
    pub capacity: usize,
    /// Most that the capacity can be set to.
    pub maximum: usize,
    /// Acquires served by an idle object, since the pool was made.
    pub hits: u64,
    /// Acquires that had to make an object, since the pool was made.
    pub misses: u64,
    /// Leases that came back, whether their object was kept or not.
    pub returns: u64,
    /// Leases whose object was taken out for good.
    pub detached: u64,
    /// Leases held now.
    pub in_use: u64,
    /// Most leases held at once since [`reset_high_water_mark`](crate::PoolControl::reset_high_water_mark).
    ///
    /// Never less than the truth, and exact while one thread acquires. With several it is the sum of each shard's
    /// own mark, so it overstates when their peaks fell at different times: the safe side for choosing a capacity.
    /// A reset that races with acquires may miss those.
    pub high_water_mark: u64,
    /// Objects waiting in the store.
    pub idle: usize,
    /// Bytes in idle objects, as [`Recycle::bytes`](crate::Recycle::bytes) reported them.
    pub idle_bytes: u64,
    /// Bytes in all objects of the pool, idle or in use; growth in a holder's hands shows on return.
    pub owned_bytes: u64,
    /// The largest of what each shard's latest object held.
    pub(crate) latest_bytes: u64,
    pub(crate) discarded: [u64; Discard::ALL.len()],
}

impl PoolSnapshot {
    /// Leases given out: hits and misses.
    pub fn acquired(&self) -> u64 {
        self.hits + self.misses
    }

    /// Objects dropped for this reason, since the pool was made.
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discarded[reason as usize]
    }

    /// Bytes of one object: the mean of those that exist, or, where none does, what the latest held; 0 before the first.
    pub fn bytes_per_object(&self) -> u64 {
        let objects = self.in_use + self.idle as u64;
        let mean = self.owned_bytes.checked_div(objects).unwrap_or_default();
        if mean > 0 { mean } else { self.latest_bytes }
    }

    /// Objects dropped for any reason, since the pool was made.
    pub fn discarded_total(&self) -> u64 {
        self.discarded.iter().sum()
    }

    /// Hits among all acquires, 0 to 1; `None` before the first acquire.
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.acquired() > 0).then(|| self.hits as f64 / self.acquired() as f64)
    }
}

/// The sharded counters behind a [`PoolSnapshot`].
pub(crate) struct Stats {
    shards: Arc<[CachePadded<ShardStats>]>,
    /// The high-water mark up to the last [`Stats::take_recent_peak`].
    earlier_peak: Counter,
    /// What [`Stats::peak_since_trim`] gives.
    looked_at_peak: Counter,
}

/// Two cache lines, written by the shard's own thread in the common case.
#[derive(Default)]
struct ShardStats {
    acquired: OwnedCounter,
    bytes_out: OwnedCounter,
    bytes_in: OwnedCounter,
    /// Most references to this shard's anchor.
    peak: Counter,
    misses: Counter,
    detached: Counter,
    /// A sum of differences that wraps: one shard's share may be negative, the sum over all is not.
    owned_bytes: Counter,
    /// What the object that was made or measured last held: pools that are empty at the moment have a price too.
    latest_bytes: Counter,
    discarded: [Counter; Discard::ALL.len()],
}

impl Stats {
    /// `shards` is a power of two, as in the store.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            earlier_peak: Counter::default(),
            looked_at_peak: Counter::default(),
        }
    }

    /// The shard of thread `index`, and whether that thread is its only owner.
    #[inline]
    fn at(&self, index: usize) -> (&ShardStats, bool) {
        (&self.shards[index & (self.shards.len() - 1)], index < self.shards.len())
    }

    /// A lease went out; `held` are those out now through the same shard. Returns the acquires of the shard, or of those
    /// threads that share it.
    #[inline]
    pub(crate) fn acquired(&self, index: usize, bytes: usize, held: usize) -> u64 {
        let (shard, owner) = self.at(index);
        let acquired = shard.acquired.add(1, owner);
        shard.bytes_out.add(bytes as u64, owner);
        shard.peak.raise(held as u64);
        acquired
    }

    /// A lease ended; `bytes` are those it went out with.
    #[inline]
    pub(crate) fn released(&self, index: usize, bytes: usize) {
        let (shard, owner) = self.at(index);
        shard.bytes_in.add(bytes as u64, owner);
    }

    pub(crate) fn missed(&self, index: usize) {
        self.at(index).0.misses.add(1);
    }

    pub(crate) fn detached(&self, index: usize) {
        self.at(index).0.detached.add(1);
    }

    pub(crate) fn discarded(&self, index: usize, reason: Discard) {
        self.at(index).0.discarded[reason as usize].add(1);
    }

    /// The pool's objects hold `after` bytes where they held `before`.
    pub(crate) fn bytes_changed(&self, index: usize, before: usize, after: usize) {
        let shard = self.at(index).0;
        shard.owned_bytes.add((after as u64).wrapping_sub(before as u64));
        if after > 0 {
            shard.latest_bytes.set(after as u64);
        }
    }

    /// A reader of the bytes that are out on loan.
    pub(crate) fn leased(&self) -> LeasedBytes {
        LeasedBytes { shards: Arc::clone(&self.shards) }
    }

    pub(crate) fn owned_bytes(&self) -> u64 {
        settled(self.shards.iter().fold(0u64, |sum, shard| sum.wrapping_add(shard.owned_bytes.read())))
    }

    /// Starts the high-water marks again at what is held now, one figure a shard.
    pub(crate) fn reset_peaks(&self, held: impl Iterator<Item = usize>) {
        self.earlier_peak.set(0);
        for (shard, held) in self.shards.iter().zip(held) {
            shard.peak.set(held as u64);
        }
    }

    /// Most leases held at once since the last call; the high-water mark goes on as if nobody had asked.
    pub(crate) fn take_recent_peak(&self, held: impl Iterator<Item = usize>) -> u64 {
        let recent = self.recent_peak(held).max(self.looked_at_peak.read());
        self.looked_at_peak.set(0);
        recent
    }

    /// Most leases held at once since the last call of this or of [`Stats::take_recent_peak`], to which it makes no
    /// difference.
    pub(crate) fn look_at_recent_peak(&self, held: impl Iterator<Item = usize>) -> u64 {
        let recent = self.recent_peak(held);
        self.looked_at_peak.raise(recent);
        recent
    }

    /// The highest of [`Stats::look_at_recent_peak`] since the last [`Stats::take_recent_peak`].
    pub(crate) fn peak_since_trim(&self) -> u64 {
        self.looked_at_peak.read()
    }

    fn recent_peak(&self, held: impl Iterator<Item = usize>) -> u64 {
        let mut recent = 0;
        for (shard, held) in self.shards.iter().zip(held) {
            recent += shard.peak.read().max(held as u64);
            shard.peak.set(held as u64);
        }
        self.earlier_peak.raise(recent);
        recent
    }

    /// Adds the counters up; `held` is what each shard's anchor says is in use.
    pub(crate) fn snapshot(&self, held: impl Iterator<Item = usize>) -> PoolSnapshot {
        let mut sum = PoolSnapshot::default();
        let (mut acquired, mut held_bytes) = (0u64, 0u64);
        for (shard, held) in self.shards.iter().zip(held) {
            sum.in_use += held as u64;
            sum.high_water_mark += shard.peak.read().max(held as u64);
            sum.detached += shard.detached.read();
            sum.misses += shard.misses.read();
            sum.latest_bytes = sum.latest_bytes.max(shard.latest_bytes.read());
            for (total, counter) in sum.discarded.iter_mut().zip(&shard.discarded) {
                *total += counter.read();
            }
            acquired += shard.acquired.read();
            held_bytes = held_bytes.wrapping_add(shard.bytes_out.read()).wrapping_sub(shard.bytes_in.read());
        }
        sum.high_water_mark = sum.high_water_mark.max(self.earlier_peak.read());
        sum.hits = acquired.saturating_sub(sum.misses);
        sum.returns = acquired.saturating_sub(sum.in_use + sum.detached);
        sum.owned_bytes = self.owned_bytes();
        sum.idle_bytes = sum.owned_bytes.saturating_sub(settled(held_bytes));
        sum
    }
}

/// Reads how many bytes of one pool are leased, without the pool.
pub(crate) struct LeasedBytes {
    shards: Arc<[CachePadded<ShardStats>]>,
}

impl LeasedBytes {
    pub(crate) fn read(&self) -> u64 {
        let held = |sum: u64, shard: &CachePadded<ShardStats>| {
            sum.wrapping_add(shard.bytes_out.read()).wrapping_sub(shard.bytes_in.read())
        };
        settled(self.shards.iter().fold(0, held))
    }

    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shards, &other.shards)
    }
}

/// A sum of wrapped differences, read while some of them were under way, may be a little below zero.
fn settled(sum: u64) -> u64 {
    if sum > i64::MAX as u64 { 0 } else { sum }
}
