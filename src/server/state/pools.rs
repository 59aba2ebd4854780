//! The pools of a server, sized by its limits and bounded by one budget.

use crate::limits::{Limits, price};
use crate::lock::lock;
use crate::memory::{Ceiling, lasting};
use crate::protocol::{OwnedMessage, RetainMessage};
use crate::server::state::lasting::LastingBudget;
use crate::server::state::memory_turns::{MemoryTurns, Room};
use crate::server::state::windows::WindowBudget;
use crate::wire::Frame;
use bumpalo::Bump;
use mcpool_pools::{
    ArenaPool, BufferClass, BufferConfig, BufferPool, Discard, LargeArenaBounds, LargeArenas, LeasedBudget,
    MemoryBudget, NameTaken, ObjectPool, OwnedBudget, PoolConfig, PoolControl, PoolKind, PoolRegistry,
    Recycle, RetainArena,
};
use std::any::Any;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// The pools that do not depend on the tools, and the registry and budget of all pools.
pub(crate) struct Pools {
    pub(crate) buffers: BufferPool,
    pub(crate) arenas: ArenaPool,
    /// What arenas of requests grew to that were larger than these keep.
    pub(crate) large_arenas: LargeArenas,
    pub(crate) owned_messages: ObjectPool<OwnedMessage>,
    pub(crate) registry: PoolRegistry,
    pub(crate) budget: MemoryBudget,
    /// What large buffers hold while they are leased, and what is made of large messages.
    pub(crate) leased: MemoryBudget,
    /// What buffers have that are made for messages of a known length, and that has not come: nothing of it is resident.
    pub(crate) announced: MemoryBudget,
    /// The part of [`Self::leased`] that answers have which are sent while they are written.
    pub(crate) windows: WindowBudget,
    /// All small objects: pooled ones from their making to their end, and sessions, subscriptions, connections.
    pub(crate) small: MemoryBudget,
    /// The part of [`Self::small`] that is kept for long.
    pub(crate) lasting: LastingBudget,
    /// The part of [`Self::small`] that is reserved for small requests.
    pub(crate) reserved_bytes: usize,
    /// The turns of calls that wait for room in `leased`.
    pub(crate) turns: MemoryTurns,
    /// The turns of calls that wait for room in `small`.
    small_turns: MemoryTurns,
    /// Whether a task frees large buffers until none is left (`transport::reclaim`).
    pub(crate) is_reclaiming: AtomicBool,
    /// Classes of buffers up to [`Pools::LARGE_BYTES`], which are the first.
    small_classes: usize,
    /// The pools of the transports, each an `ObjectPool` of a type that only its transport knows.
    of_transports: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Pools {
    /// Idle buffers up to this size are not freed: ordinary calls use them, and all of them together are small.
    pub(crate) const LARGE_BYTES: usize = price::LARGE_BYTES;

    pub(crate) fn new(limits: &Limits, ceiling: &Ceiling) -> Result<Self, NameTaken> {
        let bound = |bytes: Option<u64>| bytes.map_or(usize::MAX >> 1, |bytes| bytes as usize);
        let budget = MemoryBudget::new(limits.pool_budget_bytes());
        let leased = MemoryBudget::new(bound(ceiling.large_bytes));
        let small = MemoryBudget::new(bound(ceiling.small_bytes));
        let turns = MemoryTurns::new(&leased);
        let reserved_bytes = price::reserved_bytes(small.limit_bytes());
        let within = |config| within_budgets(config, &budget, &small);
        let registry = PoolRegistry::default();
        let retain_bytes = limits.arena_retain_bytes;
        let first_bytes = price::FIRST_BUFFER_BYTES;
        let mut config = BufferConfig {
            budget: Some(budget.clone()),
            leased: Some(LeasedBudget { budget: leased.clone(), from_bytes: price::SMALL_BUFFER_BYTES + 1 }),
            owned: Some(OwnedBudget { budget: small.clone(), first_bytes, left_bytes: reserved_bytes }),
            ..BufferConfig::default()
        };
        config.classes.iter_mut().for_each(|class| size_class(class, limits));
        let small_classes = config.classes.iter().filter(|class| class.bytes <= Self::LARGE_BYTES).count();
        let buffers = BufferPool::new(config);
        let arenas = ArenaPool::with_config(
            within(PoolConfig {
                kind: PoolKind::Arenas,
                setting: Some("arena_capacity"),
                ..PoolConfig::new("arenas", limits.arena_capacity())
            }),
            RetainArena { retain_bytes },
        );
        let large_arenas = LargeArenas::new("large arenas", large_arena_bounds(retain_bytes), budget.clone());
        let owned_messages = ObjectPool::with_config(
            within(PoolConfig {
                setting: Some("owned_message_capacity"),
                ..PoolConfig::new("owned messages", limits.owned_message_capacity())
            }),
            RetainMessage { retain_bytes },
        );
        buffers.register(&registry)?;
        registry.register(arenas.clone())?;
        registry.register(large_arenas.clone())?;
        registry.register(owned_messages.clone())?;
        Ok(Self {
            buffers,
            arenas,
            large_arenas,
            owned_messages,
            registry,
            budget,
            windows: WindowBudget::new(leased.clone(), turns.clone(), limits.principal_share_percent),
            turns,
            small_turns: MemoryTurns::new(&small),
            announced: MemoryBudget::new(usize::MAX >> 1),
            leased,
            lasting: LastingBudget::new(small.clone(), limits.principal_share_percent),
            small,
            reserved_bytes,
            is_reclaiming: AtomicBool::new(false),
            small_classes,
            of_transports: Mutex::default(),
        })
    }

    /// The configuration of a pool of small objects: its idle ones are within one budget, all of them within another.
    pub(crate) fn within_budgets(&self, config: PoolConfig) -> PoolConfig {
        within_budgets(config, &self.budget, &self.small)
    }

    /// Where a call waits that lacks memory: a lack of small objects delays no large answer, and the other way round.
    /// Of the room for large messages it holds `own_bytes` itself.
    pub(crate) fn queue_for(&self, is_small: bool, own_bytes: usize) -> MemoryQueue<'_> {
        if is_small {
            let room = Room { memory: &self.small, left_bytes: self.reserved_bytes, own_bytes: 0 };
            return MemoryQueue { turns: &self.small_turns, room };
        }
        MemoryQueue { turns: &self.turns, room: Room { memory: &self.leased, left_bytes: 0, own_bytes } }
    }

    /// Whether small objects leave no more than what is reserved for small requests.
    #[inline]
    pub(crate) fn are_scarce(&self) -> bool {
        self.small.has_less_than(self.reserved_bytes)
    }

    /// Whether small objects leave no room at all.
    #[inline]
    pub(crate) fn are_spent(&self) -> bool {
        self.small.has_less_than(1)
    }

    /// Frees the idle buffers larger than [`Pools::LARGE_BYTES`] that nobody needed since the last call.
    pub(crate) fn trim_large_buffers(&self) {
        for class in self.large_classes() {
            let freed_bytes = class.trim_unneeded();
            if freed_bytes > 0 {
                tracing::debug!(pool = class.name(), freed_bytes, "idle buffers freed");
            }
        }
        self.large_arenas.trim_unneeded();
    }

    /// The arena for a message, which is charged with it: one that was large before, if the message may need such a one
    /// and has room for it, or else its request's own.
    #[inline]
    pub(crate) fn arena_for(&self, frame: &mut Frame, own: &mut Bump) -> Bump {
        // The chunks of an arena double: a message of half of what is kept may take more than that.
        let may_need_large = frame.bytes().len() > self.large_arenas.from_bytes() / 2;
        let large = if may_need_large { self.take_large(frame) } else { None };
        large.unwrap_or_else(|| std::mem::take(own))
    }

    #[cold]
    #[inline(never)]
    fn take_large(&self, frame: &mut Frame) -> Option<Bump> {
        self.large_arenas.take().filter(|large| frame.charge_made(large.allocated_bytes()).is_ok())
    }

    /// Empties the arena of a message: a large one is kept for the next large message, and any other is its request's own.
    #[inline]
    pub(crate) fn return_arena(&self, mut arena: Bump, own: &mut Bump) {
        arena.reset();
        if arena.allocated_bytes() <= self.large_arenas.from_bytes() {
            *own = arena;
        } else {
            self.large_arenas.give_back(arena);
        }
    }

    /// What there is of large objects; see [`LargeObjects`].
    pub(crate) fn large_objects(&self) -> LargeObjects {
        let arenas = self.large_arenas.snapshot();
        let mut large = LargeObjects { bytes: arenas.owned_bytes, gone: arenas.discarded(Discard::Shrunk) };
        for class in self.large_classes() {
            let snapshot = class.snapshot();
            large.bytes += snapshot.owned_bytes;
            large.gone += snapshot.discarded_total() + snapshot.detached;
        }
        self.registry.for_each(|pool| large.gone += pool.snapshot().discarded(Discard::Oversized));
        large
    }

    fn large_classes(&self) -> impl Iterator<Item = &dyn PoolControl> {
        self.buffers.classes().skip(self.small_classes)
    }

    /// The pool of objects of type `P`, which is made and registered at its first use.
    pub(crate) fn of_transport<P: Send + 'static, R: Recycle<P>>(
        &self,
        config: PoolConfig,
        recycle: impl FnOnce() -> R,
    ) -> ObjectPool<P> {
        let mut pools = lock(&self.of_transports);
        if let Some(pool) = pools.iter().find_map(|pool| pool.downcast_ref::<ObjectPool<P>>()) {
            return pool.clone();
        }
        lasting(|| {
            let pool = ObjectPool::with_config(self.within_budgets(config), recycle());
            if let Err(error) = self.registry.register(pool.clone()) {
                tracing::warn!(%error, "a pool is not in the reports");
            }
            pools.push(Box::new(pool.clone()));
            pool
        })
    }
}

/// Arenas of large messages that are kept: as many as threads work on such messages at once. The largest are freed after
/// each message, as what is in them takes far longer than the block.
fn large_arena_bounds(retain_bytes: usize) -> LargeArenaBounds {
    LargeArenaBounds { capacity: 8, from_bytes: retain_bytes, most_bytes: 4 << 20 }
}

/// The configuration of a pool that is charged to both budgets.
fn within_budgets(config: PoolConfig, idle: &MemoryBudget, owned: &MemoryBudget) -> PoolConfig {
    PoolConfig { budget: Some(idle.clone()), owned: Some(owned.clone()), ..config }
}

/// A small class keeps what is set, or as many as there are holders if the class has so much room by default. No
/// setting makes a large one keep more: keeping large buffers saves no time, and they go
/// within seconds anyway.
fn size_class(class: &mut BufferClass, limits: &Limits) {
    let is_small = class.bytes <= Pools::LARGE_BYTES;
    class.setting = is_small.then_some("buffer_capacity");
    class.capacity = match limits.buffer_capacity {
        Some(set) if is_small => set,
        _ => class.capacity.min(limits.buffer_capacity()),
    };
}

/// The turns of calls that lack memory, and where they find room.
pub(crate) struct MemoryQueue<'p> {
    pub(crate) turns: &'p MemoryTurns,
    pub(crate) room: Room<'p>,
}

/// What there is of large objects, by the pools' own counters: so it does not depend on who tells, or on how a
/// connection ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LargeObjects {
    /// Bytes in large buffers, idle or in use.
    pub(crate) bytes: u64,
    /// How many large buffers, and other objects that grew too large to be kept, went back to the allocator so far.
    pub(crate) gone: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::fair_queue::SessionKey;

    fn capacities(buffer_capacity: Option<usize>) -> Vec<usize> {
        let limits = Limits { buffer_capacity, ..Limits::default() };
        let mut limits = limits;
        let ceiling = Ceiling::of_process(&mut limits, |_| 0).expect("no limit is configured");
        let pools = Pools::new(&limits, &ceiling).expect("pools");
        pools.buffers.classes().map(|class| class.snapshot().capacity).collect()
    }

    /// A lack of small objects took a turn among the large messages, and waited for all large answers before it.
    #[tokio::test(start_paused = true)]
    async fn who_lacks_small_objects_waits_for_no_large_answer() {
        let mut limits = Limits { memory_limit_bytes: 1 << 30, ..Limits::default() };
        let ceiling = Ceiling::of_process(&mut limits, |_| 0).expect("a limit");
        let pools = Pools::new(&limits, &ceiling).expect("pools");
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(1);
        let key = SessionKey { principal: 1, session: 1 };
        let _large = pools.queue_for(false, 0).turns.wait(key, deadline).await.expect("the turn");
        let MemoryQueue { turns, room } = pools.queue_for(true, 0);
        let (all, large) = (pools.small.limit_bytes(), pools.leased.used_bytes());
        let mut turn = turns.wait(key, deadline).await.expect("a turn of its own");
        assert!(turns.gave(&turn) && !pools.queue_for(false, 0).turns.gave(&turn));
        let collected = turn.collect(room, all, || false).await.expect("all but the reserve");
        assert_eq!((pools.leased.used_bytes(), pools.small.used_bytes()), (large, collected.bytes()));
        assert!(!pools.are_scarce(), "small requests have their reserve");
    }

    /// 1, 4, 16, 64 and 256 KiB, 1, 4 and 16 MiB, and what no class serves.
    #[test]
    fn the_setting_of_buffers_raises_small_classes_as_well_as_lowering_them() {
        assert_eq!(capacities(None), [108, 108, 108, 32, 8, 2, 2, 2, 0]);
        assert_eq!(capacities(Some(351)), [351, 351, 351, 351, 8, 2, 2, 2, 0]);
        assert_eq!(capacities(Some(1)), [1, 1, 1, 1, 1, 1, 1, 1, 0]);
    }
}
