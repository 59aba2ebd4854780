//! The pools of a server, sized by its limits and bounded by one budget.

use crate::limits::Limits;
use crate::lock::lock;
use crate::protocol::{OwnedMessage, RetainMessage};
use mcpool_pools::{
    ArenaPool, BufferConfig, BufferPool, LeasedBudget, MemoryBudget, NameTaken, ObjectPool, PoolConfig,
    PoolKind, PoolRegistry, Recycle, RetainArena,
};
use std::any::Any;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// The pools that do not depend on the tools, and the registry and budget of all pools.
pub(crate) struct Pools {
    pub(crate) buffers: BufferPool,
    pub(crate) arenas: ArenaPool,
    pub(crate) owned_messages: ObjectPool<OwnedMessage>,
    pub(crate) registry: PoolRegistry,
    pub(crate) budget: MemoryBudget,
    /// What large buffers hold while they are leased. The memory manager sets its limit.
    pub(crate) leased: MemoryBudget,
    /// The turn of calls that wait for room among the large messages: one at a time.
    pub(crate) turns: Arc<Semaphore>,
    /// The pools of the transports, each an `ObjectPool` of a type that only its transport knows.
    of_transports: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Pools {
    /// Idle buffers up to this size are not freed: ordinary calls use them, and all of them together are small.
    pub(crate) const LARGE_BYTES: usize = 64 * 1024;

    pub(crate) fn new(limits: &Limits) -> Result<Self, NameTaken> {
        let budget = MemoryBudget::new(limits.pool_budget_bytes);
        let leased = MemoryBudget::new(usize::MAX >> 1);
        let registry = PoolRegistry::default();
        let retain_bytes = limits.arena_retain_bytes;
        let mut config = BufferConfig {
            setting: Some("buffer_capacity"),
            budget: Some(budget.clone()),
            leased: Some(LeasedBudget { budget: leased.clone(), from_bytes: Self::LARGE_BYTES + 1 }),
            ..BufferConfig::default()
        };
        for class in &mut config.classes {
            class.capacity = class.capacity.min(limits.buffer_capacity());
        }
        let buffers = BufferPool::new(config);
        let arenas = ArenaPool::with_config(
            PoolConfig {
                kind: PoolKind::Arenas,
                setting: Some("arena_capacity"),
                budget: Some(budget.clone()),
                ..PoolConfig::new("arenas", limits.arena_capacity())
            },
            RetainArena { retain_bytes },
        );
        let capacity = limits.owned_message_capacity();
        let owned_messages = ObjectPool::with_config(
            PoolConfig {
                setting: Some("owned_message_capacity"),
                budget: Some(budget.clone()),
                ..PoolConfig::new("owned messages", capacity)
            },
            RetainMessage { retain_bytes },
        );
        buffers.register(&registry)?;
        registry.register(arenas.clone())?;
        registry.register(owned_messages.clone())?;
        Ok(Self {
            buffers,
            arenas,
            owned_messages,
            registry,
            budget,
            leased,
            turns: Arc::new(Semaphore::new(1)),
            of_transports: Mutex::default(),
        })
    }

    /// Frees idle buffers larger than [`Pools::LARGE_BYTES`], and returns their bytes.
    pub(crate) fn trim_large_buffers(&self) -> usize {
        let mut freed_in_all = 0;
        for class in self.buffers.classes() {
            let snapshot = class.snapshot();
            if snapshot.idle_bytes > (snapshot.idle * Self::LARGE_BYTES) as u64 {
                let freed_bytes = class.trim(0);
                tracing::debug!(pool = class.name(), freed_bytes, "idle buffers freed");
                freed_in_all += freed_bytes;
            }
        }
        freed_in_all
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
        let pool =
            ObjectPool::with_config(PoolConfig { budget: Some(self.budget.clone()), ..config }, recycle());
        if let Err(error) = self.registry.register(pool.clone()) {
            tracing::warn!(%error, "a pool is not in the reports");
        }
        pools.push(Box::new(pool.clone()));
        pool
    }
}
