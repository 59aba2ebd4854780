//! [`PoolRegistry`]: pools by name, whatever the type of their objects.

use crate::demand::{PoolHistory, Sampling};
use crate::stats::PoolSnapshot;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Operations on a pool that do not depend on the type of its objects.
///
/// ```
/// use mcpool_pools::{ObjectPool, PoolControl, WithCapacity};
///
/// /// Frees all that is idle, whatever the pools hold.
/// fn free_all(pools: &[&dyn PoolControl]) -> usize {
///     pools.iter().map(|pool| pool.trim(0)).sum()
/// }
///
/// let names = ObjectPool::<String>::new("names", 8, WithCapacity { initial: 32, retain: 64 });
/// drop(names.acquire());
/// assert_eq!(free_all(&[&names]), 32);
/// ```
pub trait PoolControl: Send + Sync + 'static {
    /// The name given to the pool at the start.
    fn name(&self) -> &str;
    /// The pool's figures now.
    fn snapshot(&self) -> PoolSnapshot;
    /// Sets how many objects may be idle, frees the surplus, and returns the capacity set: at most
    /// [`PoolSnapshot::maximum`].
    fn set_capacity(&self, capacity: usize) -> usize;
    /// Frees idle objects until at most `keep` are left, and returns the bytes freed.
    fn trim(&self, keep: usize) -> usize;
    /// Frees the idle objects that nobody needed since the last call, and returns their bytes. Call it at equal
    /// intervals: it keeps what the busiest moment of the last interval took.
    fn trim_unneeded(&self) -> usize;
    /// Whether most of what is idle came of a burst that is over, so that `trim(0)` frees it for good. Call it each
    /// second.
    fn is_burst_over(&self) -> bool;
    /// Starts [`PoolSnapshot::high_water_mark`] again at what is in use now.
    fn reset_high_water_mark(&self);
    /// Takes in what was asked of the pool since the last sample, and goes on tracing. Call it every second or
    /// so: a pool that is not sampled is not traced and has no history.
    fn sample(&self, sampling: &Sampling);
    /// What was asked of the pool lately, up to the last sample.
    fn history(&self) -> PoolHistory;
}

/// Pools by name. Cloning makes another handle to the same registry.
///
/// A registered pool lives as long as the registry does. Registering and finding take a lock: they are for start-up
/// and reports, not for the way of a request.
///
/// ```
/// use mcpool_pools::{ArenaPool, BufferPool, PoolRegistry, RetainArena};
///
/// let registry = PoolRegistry::default();
/// let arenas = ArenaPool::new("arenas", 32, RetainArena { retain_bytes: 65_536 });
/// registry.register(arenas.clone())?;
/// BufferPool::default().register(&registry)?;
///
/// drop(arenas.acquire());
/// for pool in registry.pools() {
///     println!("{}: {} bytes idle", pool.name(), pool.snapshot().idle_bytes);
///     pool.trim(0);
/// }
/// assert_eq!(registry.find("arenas").map(|pool| pool.snapshot().idle), Some(0));
/// # Ok::<(), mcpool_pools::NameTaken>(())
/// ```
#[derive(Clone, Default)]
pub struct PoolRegistry {
    by_name: Arc<RwLock<BTreeMap<String, Arc<dyn PoolControl>>>>,
}

impl PoolRegistry {
    /// Registers `pool` under its name.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if another pool has that name; the registry is unchanged then.
    pub fn register(&self, pool: impl PoolControl) -> Result<(), NameTaken> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let name = pool.name().to_owned();
        if by_name.contains_key(&name) {
            return Err(NameTaken { name });
        }
        by_name.insert(name, Arc::new(pool));
        Ok(())
    }

    /// The pool of that name.
    pub fn find(&self, name: &str) -> Option<Arc<dyn PoolControl>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Calls `look` with each pool, in the order of their names; no pool can be registered meanwhile. Allocates nothing.
    pub fn for_each(&self, mut look: impl FnMut(&dyn PoolControl)) {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().for_each(|pool| look(pool.as_ref()));
    }

    /// All pools, in the order of their names.
    pub fn pools(&self) -> Vec<Arc<dyn PoolControl>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl fmt::Debug for PoolRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pools().iter().map(|pool| (pool.name(), pool.snapshot()))).finish()
    }
}

/// A [`PoolRegistry`] holds a pool of this name already.
///
/// ```
/// use mcpool_pools::{NameTaken, ObjectPool, PoolRegistry, WithCapacity};
///
/// let pool = || ObjectPool::<String>::new("names", 8, WithCapacity { initial: 0, retain: 64 });
/// let registry = PoolRegistry::default();
/// registry.register(pool())?;
/// assert_eq!(registry.register(pool()), Err(NameTaken { name: "names".to_owned() }));
/// # Ok::<(), NameTaken>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pool named {name:?} is registered already; give this one a name of its own")]
pub struct NameTaken {
    /// The name both pools claim.
    pub name: String,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{ArenaPool, RetainArena};

    fn arenas(name: &'static str) -> ArenaPool {
        ArenaPool::new(name, 8, RetainArena { retain_bytes: 4096 })
    }

    #[test]
    fn pools_are_found_by_name_and_controlled() {
        let registry = PoolRegistry::default();
        let pool = arenas("b");
        registry.register(pool.clone()).unwrap();
        registry.clone().register(arenas("a")).unwrap();
        assert_eq!(registry.pools().iter().map(|p| p.name().to_owned()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(registry.find("c").is_none());

        let leases = [pool.acquire(), pool.acquire(), pool.acquire()];
        leases[0].alloc(1u64);
        drop(leases);
        let found = registry.find("b").unwrap();
        assert_eq!((found.snapshot().idle, found.snapshot().high_water_mark), (3, 3));
        assert_eq!(found.set_capacity(2), 2);
        assert_eq!(pool.snapshot().idle, 2);
        found.reset_high_water_mark();
        assert_eq!(pool.snapshot().high_water_mark, 0);
        found.trim(0);
        assert_eq!(pool.snapshot().idle, 0);
    }

    #[test]
    fn a_second_pool_of_the_same_name_is_refused() {
        let registry = PoolRegistry::default();
        let first = arenas("arenas");
        registry.register(first.clone()).unwrap();
        let refused = registry.register(arenas("arenas")).unwrap_err();
        assert_eq!(refused.name, "arenas");
        drop(first.acquire());
        assert_eq!(registry.find("arenas").unwrap().snapshot().misses, 1, "the first stays");
    }
}
