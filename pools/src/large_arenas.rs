//! Arenas that grew beyond what each request keeps, for the next large message.
//!
//! Not an [`ObjectPool`](crate::ObjectPool), whose leases are two words that each request would hold while it waits: an
//! arena is taken out and given back. One that its holder loses, as a request that is cancelled does, is only not kept.
//!
//! **Invariant:** an idle arena is empty, and its chunk is reserved in the budget of what is idle.

use crate::budget::{MemoryBudget, Reservation};
use crate::demand::{PoolHistory, Sampling};
use crate::recycle::Discard;
use crate::registry::PoolControl;
use crate::stats::{PoolKind, PoolSnapshot};
use bumpalo::Bump;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What [`LargeArenas`] keeps.
///
/// ```
/// use mcpool_pools::{LargeArenaBounds, LargeArenas, MemoryBudget};
///
/// let bounds = LargeArenaBounds { capacity: 8, from_bytes: 64 << 10, most_bytes: 4 << 20 };
/// let arenas = LargeArenas::new("large arenas", bounds, MemoryBudget::new(16 << 20));
/// assert_eq!(arenas.from_bytes(), bounds.from_bytes);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeArenaBounds {
    /// Most arenas that may be idle.
    pub capacity: usize,
    /// Arenas of no more than that are not kept here: they stay with their requests.
    pub from_bytes: usize,
    /// Nor are larger ones.
    pub most_bytes: usize,
}

/// Idle arenas with a chunk for a large message. Cloning makes another handle to the same ones.
///
/// ```
/// use mcpool_pools::{LargeArenaBounds, LargeArenas, MemoryBudget};
///
/// let bounds = LargeArenaBounds { capacity: 8, from_bytes: 64 << 10, most_bytes: 4 << 20 };
/// let arenas = LargeArenas::new("large arenas", bounds, MemoryBudget::new(16 << 20));
/// let arena = arenas.take().unwrap_or_default();
/// arena.alloc_str(&"a long text ".repeat(10_000));
/// assert!(arenas.give_back(arena).is_none()); // it is kept
///
/// let arena = arenas.take().ok_or("one is idle")?;
/// assert!(arena.chunk_capacity() >= 120_000); // room without an allocation
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone)]
pub struct LargeArenas {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    bounds: LargeArenaBounds,
    budget: MemoryBudget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that came last is taken first.
    idle: Vec<Idle>,
    capacity: usize,
    /// The fewest that were idle since the last look: nobody needed those.
    unneeded: usize,
    hits: u64,
    misses: u64,
    latest_bytes: u64,
    discarded: [u64; Discard::ALL.len()],
}

struct Idle {
    arena: Bump,
    reserved: Reservation,
}

impl LargeArenas {
    /// An empty store, whose arenas are reserved in `budget` while they are idle.
    pub fn new(name: &'static str, bounds: LargeArenaBounds, budget: MemoryBudget) -> Self {
        let state = State { capacity: bounds.capacity, ..State::default() };
        Self { shared: Arc::new(Shared { name, bounds, budget, state: Mutex::new(state) }) }
    }

    /// Takes the arena out that came last.
    pub fn take(&self) -> Option<Bump> {
        let mut state = self.lock();
        let idle = state.idle.pop();
        state.unneeded = state.unneeded.min(state.idle.len());
        *(if idle.is_some() { &mut state.hits } else { &mut state.misses }) += 1;
        idle.map(|idle| idle.arena)
    }

    /// Empties an arena, and keeps it unless it is too small, which its owner gets back. One that is too large, or for
    /// which there is no room, is freed.
    pub fn give_back(&self, mut arena: Bump) -> Option<Bump> {
        arena.reset();
        arena.set_allocation_limit(None);
        let LargeArenaBounds { from_bytes, most_bytes, .. } = self.shared.bounds;
        let bytes = arena.allocated_bytes();
        if bytes <= from_bytes {
            return Some(arena);
        }
        let reserved = if bytes > most_bytes {
            Err(Discard::Oversized)
        } else {
            self.shared.budget.try_reserve(bytes).map_err(|_| Discard::OverBudget)
        };
        let mut state = self.lock();
        state.latest_bytes = bytes as u64;
        let refused = match reserved {
            Ok(reserved) if state.idle.len() < state.capacity => {
                state.idle.push(Idle { arena, reserved });
                return None;
            }
            Ok(_) => Discard::Full,
            Err(refused) => refused,
        };
        state.discarded[refused as usize] += 1;
        None
    }

    /// Arenas of no more than that are not kept.
    pub fn from_bytes(&self) -> usize {
        self.shared.bounds.from_bytes
    }

    /// Bytes of the arenas that are idle.
    pub fn idle_bytes(&self) -> usize {
        self.lock().idle_bytes()
    }

    /// Frees the oldest until at most `keep` are left.
    fn shrink(&self, keep: impl FnOnce(&mut State) -> usize) -> usize {
        let mut state = self.lock();
        let surplus = state.idle.len().saturating_sub(keep(&mut state));
        let freed: Vec<Idle> = state.idle.drain(..surplus).collect();
        state.discarded[Discard::Shrunk as usize] += surplus as u64;
        state.unneeded = state.unneeded.min(state.idle.len());
        drop(state);
        freed.iter().map(|idle| idle.reserved.bytes()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn idle_bytes(&self) -> usize {
        self.idle.iter().map(|idle| idle.reserved.bytes()).sum()
    }
}

impl PoolControl for LargeArenas {
    fn name(&self) -> &str {
        self.shared.name
    }

    /// Each arena that was taken counts as one that was taken out for good.
    fn snapshot(&self) -> PoolSnapshot {
        let state = self.lock();
        let idle_bytes = state.idle_bytes() as u64;
        PoolSnapshot {
            kind: PoolKind::Arenas,
            setting: None,
            capacity: state.capacity,
            maximum: self.shared.bounds.capacity,
            hits: state.hits,
            misses: state.misses,
            returns: 0,
            detached: state.hits + state.misses,
            in_use: 0,
            high_water_mark: 0,
            idle: state.idle.len(),
            idle_bytes,
            owned_bytes: idle_bytes,
            latest_bytes: state.latest_bytes,
            discarded: state.discarded,
        }
    }

    fn set_capacity(&self, capacity: usize) -> usize {
        let capacity = capacity.min(self.shared.bounds.capacity);
        self.shrink(|state| {
            state.capacity = capacity;
            capacity
        });
        capacity
    }

    fn trim(&self, keep: usize) -> usize {
        self.shrink(|_| keep)
    }

    /// Half of what nobody needed goes, and all if nothing was needed.
    fn trim_unneeded(&self) -> usize {
        self.shrink(|state| {
            let idle = state.idle.len();
            let unneeded = std::mem::replace(&mut state.unneeded, idle).min(idle);
            if unneeded == idle { 0 } else { idle - unneeded.div_ceil(2) }
        })
    }

    fn is_burst_over(&self) -> bool {
        false
    }

    fn reset_high_water_mark(&self) {}

    fn sample(&self, _: &Sampling) {}

    fn history(&self) -> PoolHistory {
        PoolHistory::default()
    }
}

impl fmt::Debug for LargeArenas {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LargeArenas").field("snapshot", &self.snapshot()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BOUNDS: LargeArenaBounds =
        LargeArenaBounds { capacity: 3, from_bytes: 64 << 10, most_bytes: 1 << 20 };

    fn of(bytes: usize) -> Bump {
        let arena = Bump::new();
        arena.alloc_slice_fill_copy(bytes, 7_u8);
        arena
    }

    fn store() -> (LargeArenas, MemoryBudget) {
        let budget = MemoryBudget::new(1 << 20);
        (LargeArenas::new("large arenas", BOUNDS, budget.clone()), budget)
    }

    #[test]
    fn what_is_kept_is_empty_warm_and_reserved() {
        let (arenas, budget) = store();
        assert!(arenas.take().is_none());
        assert!(arenas.give_back(of(100_000)).is_none());
        assert_eq!((budget.used_bytes(), arenas.snapshot().idle), (arenas.idle_bytes(), 1));
        let arena = arenas.take().expect("one is idle");
        assert_eq!((budget.used_bytes(), arenas.idle_bytes()), (0, 0));
        assert!(arena.chunk_capacity() >= 100_000 && arena.allocation_limit().is_none());
        let snapshot = arenas.snapshot();
        assert_eq!((snapshot.hits, snapshot.misses, snapshot.in_use), (1, 1, 0));
    }

    #[test]
    fn what_is_small_goes_back_to_its_owner_and_what_has_no_room_goes() {
        let (arenas, budget) = store();
        let small = of(1_000);
        small.set_allocation_limit(Some(5));
        let small = arenas.give_back(small).expect("it is too small");
        assert_eq!(small.allocation_limit(), None);
        assert!(arenas.give_back(of(2 << 20)).is_none());
        for _ in 0..4 {
            assert!(arenas.give_back(of(100_000)).is_none());
        }
        assert_eq!(arenas.trim(1), 2 * arenas.idle_bytes());
        assert!(arenas.give_back(of(1_000_000)).is_none());
        let snapshot = arenas.snapshot();
        let counts = [Discard::Oversized, Discard::Full, Discard::Shrunk, Discard::OverBudget]
            .map(|reason| snapshot.discarded(reason));
        assert_eq!((counts, snapshot.idle), ([1, 1, 2, 1], 1));
        assert_eq!(arenas.set_capacity(0), 0);
        assert_eq!((arenas.idle_bytes(), budget.used_bytes()), (0, 0));
    }

    #[test]
    fn what_nobody_needed_goes() {
        let (arenas, _) = store();
        for _ in 0..3 {
            assert!(arenas.give_back(of(100_000)).is_none());
        }
        let idle = || arenas.snapshot().idle;
        // The first look begins the interval.
        arenas.trim_unneeded();
        assert_eq!(idle(), 3, "they came in it");
        let arena = arenas.take().expect("idle");
        assert!(arenas.give_back(arena).is_none());
        assert!(arenas.trim_unneeded() > 0);
        assert_eq!(idle(), 2, "one was needed, and half of two was not");
        assert!(arenas.trim_unneeded() > 0);
        assert_eq!(idle(), 0);
    }
}
