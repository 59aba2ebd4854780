//! [`ObjectPool`] and [`Lease`]: acquire, return on drop, detach, change the capacity. A lease that is dropped by a
//! panic discards its object.
//!
//! Owns the life of an object from `create` to its drop, and every decision on the way; knows neither how idle
//! objects are kept (`store.rs`) nor how they are emptied (`recycle.rs`).
//!
//! A lease must keep its pool's core alive, and one reference count that all threads share would cost more than
//! all the rest. So each shard has an [`Anchor`] of its own: a lease counts on the anchor of the shard that its
//! thread uses, and that count, minus the pool's own reference, **is** the number of leases in use.

use crate::budget::{BudgetSpent, MemoryBudget};
use crate::demand::{PoolHistory, Sampling};
use crate::recycle::{Discard, Recycle, Verdict};
use crate::registry::PoolControl;
use crate::stats::{PoolKind, PoolSnapshot, Stats};
use crate::store::{Refusal, Store};
use crate::sync::{Arc, thread_index};
use crate::trace::{Acquired, TURN, Trace};
use crossbeam_utils::CachePadded;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

/// Idle objects of which no more is asked than [`ObjectPool::trim_unneeded`] asks: what ordinary calls keep.
const FEW_OBJECTS: usize = 8;
const FEW_BYTES: u64 = 32 * 1024;

/// What a pool is made with; `new` fills in what is usual.
///
/// ```
/// use mcpool_pools::{MemoryBudget, ObjectPool, PoolConfig, WithCapacity};
///
/// let budget = MemoryBudget::new(1 << 20);
/// let config = PoolConfig { budget: Some(budget), maximum: 64, ..PoolConfig::new("names", 16) };
/// let names = ObjectPool::<String>::with_config(config, WithCapacity { initial: 32, retain: 256 });
/// assert_eq!(names.snapshot().maximum, 64);
/// ```
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The name in reports and in the registry.
    pub name: Cow<'static, str>,
    /// What the pool holds.
    pub kind: PoolKind,
    /// The name of the setting that sizes the pool, if the program has one. Reports name it in their advice.
    pub setting: Option<&'static str>,
    /// Most objects that may be idle.
    pub capacity: usize,
    /// Most that the capacity can be set to later. Room is allocated as objects come: a word for each that is idle.
    pub maximum: usize,
    /// The budget that bounds what is idle, if any.
    pub budget: Option<MemoryBudget>,
    /// The budget that objects are charged to from their making to their end, leased or idle, if any. A hit and a return
    /// do not touch it; [`ObjectPool::try_acquire`] asks it before an object is made.
    pub owned: Option<MemoryBudget>,
}

impl PoolConfig {
    /// A pool of `capacity` objects that can grow to four times that, without a setting and without a budget.
    pub fn new(name: impl Into<Cow<'static, str>>, capacity: usize) -> Self {
        Self {
            name: name.into(),
            kind: PoolKind::default(),
            setting: None,
            capacity,
            maximum: capacity.saturating_mul(4),
            budget: None,
            owned: None,
        }
    }
}

/// A bounded pool of reusable objects. Cloning makes another handle to the same pool.
///
/// The bound is on idle objects: an acquire never waits and never fails, it makes a new object when none is idle.
/// When the last handle goes, idle objects are freed at once, and leases still out free theirs when they end.
///
/// ```
/// # use mcpool_pools::{ObjectPool, Recycle, Verdict};
/// # struct Clear;
/// # impl Recycle<Vec<u8>> for Clear {
/// #     fn create(&self) -> Vec<u8> { Vec::new() }
/// #     fn recycle(&self, object: &mut Vec<u8>) -> Verdict { object.clear(); Verdict::Keep }
/// #     fn bytes(&self, object: &Vec<u8>) -> usize { object.capacity() }
/// # }
/// let pool = ObjectPool::new("rows", 16, Clear);
/// let mut row = pool.acquire();
/// row.extend_from_slice(b"filled");
/// drop(row);
///
/// let row = pool.acquire();
/// assert!(row.is_empty() && row.capacity() >= 6);
/// assert_eq!(pool.snapshot().hits, 1);
/// ```
pub struct ObjectPool<T: Send + 'static> {
    core: Arc<Core<T>>,
    anchors: Arc<Anchors<T>>,
}

impl<T: Send + 'static> ObjectPool<T> {
    /// A pool that keeps at most `capacity` idle objects, and can be resized up to four times that.
    pub fn new(name: impl Into<Cow<'static, str>>, capacity: usize, recycle: impl Recycle<T>) -> Self {
        Self::with_config(PoolConfig::new(name, capacity), recycle)
    }

    /// A pool with its maximum and budget stated.
    pub fn with_config(config: PoolConfig, recycle: impl Recycle<T>) -> Self {
        let store = Store::new(config.capacity, config.maximum.max(config.capacity));
        let shards = store.shards();
        let stats = Stats::new(shards);
        if let Some(budget) = &config.budget {
            budget.admit(stats.leased());
        }
        let core = Arc::new(Core {
            store,
            stats,
            trace: Trace::default(),
            recycle: Box::new(recycle),
            budget: config.budget,
            owned: config.owned,
            name: config.name,
            kind: config.kind,
            setting: config.setting,
        });
        let per_shard =
            (0..shards).map(|_| Arc::new(CachePadded::new(Anchor { core: Arc::clone(&core) }))).collect();
        Self { anchors: Arc::new(Anchors { core: Arc::clone(&core), per_shard }), core }
    }

    /// Leases an object: an idle one, or a new one when none is idle.
    #[inline]
    pub fn acquire(&self) -> Lease<T> {
        let index = thread_index();
        if self.core.trace.is_on() {
            return self.acquire_traced(index);
        }
        match self.core.store.take(index) {
            Some(pooled) => self.lend(index, pooled),
            None => self.acquire_new(index),
        }
    }

    /// Leases an object: an idle one, or a new one of `bytes` if [`PoolConfig::owned`] has `left_bytes` free after it.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if none is idle and there is no room for another.
    #[inline]
    pub fn try_acquire(&self, bytes: usize, left_bytes: usize) -> Result<Lease<T>, BudgetSpent> {
        if let Some(owned) = &self.core.owned
            && owned.has_less_than(bytes.saturating_add(left_bytes))
        {
            return self.try_acquire_idle(owned, bytes, left_bytes);
        }
        Ok(self.acquire())
    }

    /// An object that becomes idle in between makes a refusal needless, and one that is taken in between is made after
    /// all: so the budget may be exceeded by one object a thread.
    #[cold]
    #[inline(never)]
    fn try_acquire_idle(
        &self,
        owned: &MemoryBudget,
        bytes: usize,
        left_bytes: usize,
    ) -> Result<Lease<T>, BudgetSpent> {
        if self.core.store.len() == 0 {
            drop(owned.try_reserve_leaving(bytes, left_bytes)?);
        }
        Ok(self.acquire())
    }

    #[cold]
    #[inline(never)]
    fn acquire_traced(&self, index: usize) -> Lease<T> {
        let begun = self.core.trace.times_next().then(Instant::now);
        if let Some(pooled) = self.core.store.take(index) {
            let lease = self.lend(index, pooled);
            self.core.trace.acquired(Acquired::Hit(begun.map(|begun| begun.elapsed())));
            return lease;
        }
        let begun = begun.unwrap_or_else(Instant::now);
        let lease = self.acquire_new(index);
        self.core.trace.acquired(Acquired::Miss(begun.elapsed()));
        lease
    }

    #[cold]
    #[inline(never)]
    fn acquire_new(&self, index: usize) -> Lease<T> {
        let object = self.core.recycle.create();
        self.adopt_at(index, object)
    }

    /// Leases an object made elsewhere, as a miss.
    pub(crate) fn adopt(&self, object: T) -> Lease<T> {
        self.adopt_at(thread_index(), object)
    }

    fn adopt_at(&self, index: usize, object: T) -> Lease<T> {
        let bytes = self.core.recycle.bytes(&object);
        self.core.charge(index, 0, bytes);
        self.core.stats.missed(index);
        self.lend(index, Box::new(Pooled { object, bytes }))
    }

    #[inline]
    fn lend(&self, index: usize, pooled: Box<Pooled<T>>) -> Lease<T> {
        let anchor = Arc::clone(self.anchors.at(index));
        let acquired = self.core.stats.acquired(index, pooled.bytes, Arc::strong_count(&anchor) - 1);
        if acquired.is_multiple_of(TURN) {
            self.core.trace.turn(|| self.anchors.held().sum::<usize>() as u64);
        }
        Lease { pooled: Some(pooled), anchor }
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The pool's figures now; see [`PoolSnapshot`] for how exact they are.
    pub fn snapshot(&self) -> PoolSnapshot {
        PoolSnapshot {
            kind: self.core.kind,
            setting: self.core.setting,
            capacity: self.core.store.capacity(),
            maximum: self.core.store.maximum(),
            idle: self.core.store.len(),
            ..self.core.stats.snapshot(self.anchors.held())
        }
    }

    /// Sets how many objects may be idle, at most [`PoolSnapshot::maximum`]; returns the capacity set.
    ///
    /// A smaller capacity frees the surplus before this returns.
    pub fn set_capacity(&self, capacity: usize) -> usize {
        let index = thread_index();
        self.core.store.set_capacity(capacity, |idle| {
            self.core.discard(index, Discard::Shrunk, idle);
        })
    }

    /// Frees idle objects until at most `keep` are left, and returns the bytes freed. The capacity stays.
    pub fn trim(&self, keep: usize) -> usize {
        let index = thread_index();
        let mut freed = 0;
        self.core.store.trim(keep, |idle| {
            freed += idle.bytes;
            self.core.discard(index, Discard::Shrunk, idle);
        });
        self.core.trace.trimmed(keep);
        freed
    }

    /// Frees the idle objects that nobody needed since the last call, and returns their bytes. The capacity stays.
    ///
    /// Called at equal intervals, it keeps what the busiest moment of the last interval took, so that a pool in use
    /// keeps its objects, and one that is not loses all at the second call. An acquire costs nothing more for it.
    ///
    /// ```
    /// # use mcpool_pools::BufferPool;
    /// let buffers = BufferPool::default();
    /// drop([buffers.acquire(1024), buffers.acquire(1024), buffers.acquire(1024)]);
    /// let pool = buffers.classes().next().expect("a class");
    /// assert_eq!(pool.trim_unneeded(), 0); // all three were in use at once
    /// drop(buffers.acquire(1024));
    /// assert_eq!(pool.trim_unneeded(), 1024); // half of the two that were not needed
    /// assert_eq!(pool.trim_unneeded(), 2 * 1024); // none was needed
    /// ```
    pub fn trim_unneeded(&self) -> usize {
        let needed = self.core.stats.take_recent_peak(self.anchors.held()) as usize;
        if needed == 0 {
            return self.trim(0);
        }
        let in_use: usize = self.anchors.held().sum();
        let unneeded = self.core.store.len().saturating_sub(needed.saturating_sub(in_use));
        self.trim(self.core.store.len().saturating_sub(unneeded.div_ceil(2)))
    }

    /// Whether most of what is idle came of a burst that is over: more than a few objects, or what is left of as many
    /// as were in use since the last [`ObjectPool::trim_unneeded`], of which fewer than a quarter were in use as well
    /// since the last call. It makes no difference to [`ObjectPool::trim_unneeded`].
    ///
    /// For a caller that asks each second and then frees all of them with `trim(0)`. To keep the ones that are still
    /// needed would keep more than those: what a burst made lies scattered, and each object that stays keeps a page
    /// of the allocator with it. They are made anew, next to each other.
    ///
    /// ```
    /// # use mcpool_pools::BufferPool;
    /// let buffers = BufferPool::default();
    /// drop((0..100).map(|_| buffers.acquire(1024)).collect::<Vec<_>>());
    /// let pool = buffers.classes().next().expect("a class");
    /// assert!(!pool.is_burst_over()); // all were in use at once
    /// drop(buffers.acquire(1024));
    /// assert!(pool.is_burst_over()); // one was
    /// assert_eq!(pool.trim(0), 100 * 1024);
    /// ```
    pub fn is_burst_over(&self) -> bool {
        let needed = self.core.stats.look_at_recent_peak(self.anchors.held()) as usize;
        let in_use: usize = self.anchors.held().sum();
        let idle = self.core.store.len();
        // What is left of many is few, and scattered all the same.
        let were_many = self.core.stats.peak_since_trim() as usize > FEW_OBJECTS;
        let are_many = were_many || idle > FEW_OBJECTS || self.snapshot().idle_bytes > FEW_BYTES;
        are_many && needed.saturating_sub(in_use).saturating_mul(4) < idle
    }

    /// Starts [`PoolSnapshot::high_water_mark`] again at what is in use now.
    pub fn reset_high_water_mark(&self) {
        self.core.stats.reset_peaks(self.anchors.held());
    }
}

impl<T: Send + 'static> Clone for ObjectPool<T> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), anchors: Arc::clone(&self.anchors) }
    }
}

impl<T: Send + 'static> fmt::Debug for ObjectPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPool")
            .field("name", &self.core.name)
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> PoolControl for ObjectPool<T> {
    fn name(&self) -> &str {
        self.name()
    }

    fn snapshot(&self) -> PoolSnapshot {
        self.snapshot()
    }

    fn set_capacity(&self, capacity: usize) -> usize {
        self.set_capacity(capacity)
    }

    fn trim(&self, keep: usize) -> usize {
        self.trim(keep)
    }

    fn trim_unneeded(&self) -> usize {
        self.trim_unneeded()
    }

    fn is_burst_over(&self) -> bool {
        self.is_burst_over()
    }

    fn reset_high_water_mark(&self) {
        self.reset_high_water_mark();
    }

    fn sample(&self, sampling: &Sampling) {
        if self.core.trace.sample(sampling, &self.snapshot()) {
            self.reset_high_water_mark();
        }
    }

    fn history(&self) -> PoolHistory {
        self.core.trace.history(&self.snapshot())
    }
}

/// An object on loan from an [`ObjectPool`]; returns on drop.
///
/// Two words, whatever `T` is: the object stays in a box of its own from its making to its end, because moving
/// it in and out of the store cost more than the step through the pointer. It may be dropped on any thread. Dropped
/// while its thread panics, it lets the object go as [`Discard::Poisoned`], so the code that catches the panic
/// need not care for it.
///
/// ```
/// use mcpool_pools::{Lease, ObjectPool, WithCapacity};
///
/// let names = ObjectPool::new("names", 16, WithCapacity { initial: 32, retain: 256 });
/// let mut name: Lease<String> = names.acquire();
/// name.push_str("it goes back when the lease ends");
/// drop(name);
/// assert_eq!((names.acquire().len(), names.snapshot().hits), (0, 1));
/// ```
#[must_use = "a lease returns its object as soon as it is dropped"]
pub struct Lease<T: Send + 'static> {
    /// `None` only in `detach` and `drop`.
    pooled: Option<Box<Pooled<T>>>,
    anchor: Arc<CachePadded<Anchor<T>>>,
}

impl<T: Send + 'static> Lease<T> {
    /// Takes the object out of the pool for good; its bytes leave the budget.
    #[must_use]
    pub fn detach(mut self) -> T {
        // invariant: `pooled` is taken here and in `drop` only.
        let pooled = self.pooled.take().expect("a live lease holds its object");
        self.anchor.core.detached(pooled.bytes);
        pooled.object
    }
}

impl<T: Send + 'static> Deref for Lease<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // invariant: `pooled` is taken in `detach` and `drop` only.
        &self.pooled.as_ref().expect("a live lease holds its object").object
    }
}

impl<T: Send + 'static> DerefMut for Lease<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // invariant: `pooled` is taken in `detach` and `drop` only.
        &mut self.pooled.as_mut().expect("a live lease holds its object").object
    }
}

impl<T: Send + 'static> Drop for Lease<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take() {
            self.anchor.core.give_back(pooled);
        }
    }
}

impl<T: fmt::Debug + Send + 'static> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&**self).finish()
    }
}

/// An object and what it is charged with, which travels with it, so that a hit and the return after it write nothing
/// that threads share.
///
/// Aligned to a cache line: two small objects in one line, in use on two threads, cost more than the pool itself.
#[repr(align(64))]
struct Pooled<T> {
    object: T,
    /// As they were when the object was made or returned last.
    bytes: usize,
}

/// All that a pool is; lives as long as a handle or a lease.
struct Core<T: 'static> {
    store: Store<Box<Pooled<T>>>,
    stats: Stats,
    trace: Trace,
    recycle: Box<dyn Recycle<T>>,
    budget: Option<MemoryBudget>,
    owned: Option<MemoryBudget>,
    name: Cow<'static, str>,
    kind: PoolKind,
    setting: Option<&'static str>,
}

/// What a lease holds of its pool.
struct Anchor<T: 'static> {
    core: Arc<Core<T>>,
}

/// What the handles of a pool share: one anchor a shard. When it goes, no handle is left.
struct Anchors<T: 'static> {
    core: Arc<Core<T>>,
    per_shard: Box<[Arc<CachePadded<Anchor<T>>>]>,
}

impl<T: 'static> Anchors<T> {
    #[inline]
    fn at(&self, index: usize) -> &Arc<CachePadded<Anchor<T>>> {
        &self.per_shard[index & (self.per_shard.len() - 1)]
    }

    /// Leases in use, by the shard they were acquired through.
    fn held(&self) -> impl Iterator<Item = usize> + '_ {
        self.per_shard.iter().map(|anchor| Arc::strong_count(anchor) - 1)
    }
}

impl<T: 'static> Drop for Anchors<T> {
    fn drop(&mut self) {
        let index = thread_index();
        self.core.store.set_capacity(0, |idle| self.core.discard(index, Discard::Shrunk, idle));
    }
}

impl<T: 'static> Core<T> {
    #[inline]
    fn give_back(&self, mut pooled: Box<Pooled<T>>) {
        let index = thread_index();
        let before = pooled.bytes;
        self.stats.released(index, before);
        if std::thread::panicking() {
            self.trace_return(false);
            return self.discard(index, Discard::Poisoned, pooled);
        }
        let unsettled = Unsettled { core: self, bytes: before };
        let verdict = self.recycle.recycle(&mut pooled.object);
        let bytes = self.recycle.bytes(&pooled.object);
        std::mem::forget(unsettled);
        if bytes != before && verdict == Verdict::Keep {
            self.charge(index, before, bytes);
            pooled.bytes = bytes;
        }
        // The curve is that of pools that the budget refuses as much as this one.
        let verdict = match verdict {
            Verdict::Keep if self.budget.as_ref().is_some_and(MemoryBudget::refuses_idle) => {
                Verdict::Discard(Discard::OverBudget)
            }
            verdict => verdict,
        };
        self.trace_return(verdict == Verdict::Keep);
        match verdict {
            Verdict::Keep => self.put(index, pooled),
            Verdict::Discard(reason) => self.discard(index, reason, pooled),
        }
    }

    #[inline]
    fn trace_return(&self, is_fit: bool) {
        if self.trace.is_on() {
            self.trace.returned(is_fit);
        }
    }

    #[inline]
    fn put(&self, index: usize, pooled: Box<Pooled<T>>) {
        if let Err((pooled, refusal)) = self.store.put(index, pooled) {
            let reason = match refusal {
                Refusal::Full => Discard::Full,
                Refusal::Shrunk => Discard::Shrunk,
            };
            self.discard(index, reason, pooled);
        }
    }

    /// Enters that an object of `before` bytes has `after` now.
    #[cold]
    #[inline(never)]
    fn charge(&self, index: usize, before: usize, after: usize) {
        self.stats.bytes_changed(index, before, after);
        for budget in [&self.budget, &self.owned].into_iter().flatten() {
            budget.recharge(before, after);
        }
    }

    fn detached(&self, bytes: usize) {
        let index = thread_index();
        self.stats.released(index, bytes);
        self.stats.detached(index);
        self.trace_return(false);
        self.charge(index, bytes, 0);
    }

    #[cold]
    #[inline(never)]
    fn discard(&self, index: usize, reason: Discard, pooled: Box<Pooled<T>>) {
        self.stats.discarded(index, reason);
        self.charge(index, pooled.bytes, 0);
        drop(pooled);
    }
}

impl<T: 'static> Drop for Core<T> {
    fn drop(&mut self) {
        // Nothing is idle here unless a return raced with the last handle's end; its bytes leave the budget now.
        let owned_bytes = self.stats.owned_bytes() as usize;
        for budget in [&self.budget, &self.owned].into_iter().flatten() {
            budget.release(owned_bytes);
        }
        if let Some(budget) = &self.budget {
            budget.dismiss(&self.stats.leased());
        }
    }
}

/// Books an object as poisoned if its recycle step unwinds; forgotten when the step comes back.
struct Unsettled<'a, T: 'static> {
    core: &'a Core<T>,
    bytes: usize,
}

impl<T: 'static> Drop for Unsettled<'_, T> {
    fn drop(&mut self) {
        let index = thread_index();
        self.core.stats.discarded(index, Discard::Poisoned);
        self.core.charge(index, self.bytes, 0);
    }
}
