//! Bump arenas with a retain limit.
//!
//! Owns the policy only; the arenas are [`bumpalo`]'s and the pool is an ordinary [`ObjectPool`].

use crate::pool::{Lease, ObjectPool};
use crate::recycle::{Discard, Recycle, Verdict};
use bumpalo::Bump;

/// A pool of [`Bump`] arenas, made with [`RetainArena`].
///
/// ```
/// use mcpool_pools::{ArenaPool, RetainArena};
///
/// let arenas = ArenaPool::new("arenas", 32, RetainArena { retain_bytes: 64 * 1024 });
/// let arena = arenas.acquire();
/// let text: &str = arena.alloc_str("lives as long as the lease");
/// assert_eq!(text.len(), 26);
/// ```
pub type ArenaPool = ObjectPool<Bump>;

/// An arena on loan; everything allocated in it is gone when the lease ends.
///
/// ```
/// use mcpool_pools::{ArenaLease, ArenaPool, RetainArena};
///
/// let arenas = ArenaPool::new("arenas", 8, RetainArena { retain_bytes: 4096 });
/// let arena: ArenaLease = arenas.acquire();
/// assert_eq!(arena.alloc_str("gone with the lease").len(), 19);
/// ```
pub type ArenaLease = Lease<Bump>;

/// Keeps arenas that hold up to `retain_bytes` after their reset, and lets larger ones go as
/// [`Discard::Oversized`].
///
/// [`Bump::reset`] keeps the newest chunk, which is the largest: without the limit, one frame of 1 MB leaves an
/// arena of 1 MB for good. A new arena allocates nothing until it is used, so letting one go costs the next user a
/// chunk and no more. Choose a limit above what the usual frame needs, or every use pays for its chunks again.
///
/// ```
/// use mcpool_pools::{ArenaPool, Discard, RetainArena};
///
/// let arenas = ArenaPool::new("arenas", 8, RetainArena { retain_bytes: 4096 });
/// arenas.acquire().alloc_str(&"too much to keep ".repeat(1_000));
/// assert_eq!(arenas.snapshot().discarded(Discard::Oversized), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainArena {
    /// Bytes that may stay in an idle arena, bumpalo's own included.
    pub retain_bytes: usize,
}

impl Recycle<Bump> for RetainArena {
    fn create(&self) -> Bump {
        Bump::new()
    }

    fn recycle(&self, arena: &mut Bump) -> Verdict {
        arena.reset();
        // A limit belongs to who set it.
        arena.set_allocation_limit(None);
        if arena.allocated_bytes_including_metadata() > self.retain_bytes {
            return Verdict::Discard(Discard::Oversized);
        }
        Verdict::Keep
    }

    fn bytes(&self, arena: &Bump) -> usize {
        arena.allocated_bytes_including_metadata()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_arena_within_the_limit_comes_back_empty_and_warm() {
        let pool = ArenaPool::new("arenas", 4, RetainArena { retain_bytes: 4096 });
        let arena = pool.acquire();
        arena.alloc_str("one");
        let chunk = arena.allocated_bytes_including_metadata();
        assert!(chunk > 0);
        drop(arena);

        let snapshot = pool.snapshot();
        assert_eq!((snapshot.idle, snapshot.idle_bytes), (1, chunk as u64));
        let mut arena = pool.acquire();
        assert_eq!(pool.snapshot().hits, 1);
        assert_eq!(arena.allocated_bytes_including_metadata(), chunk);
        assert_eq!(arena.iter_allocated_chunks().map(<[_]>::len).sum::<usize>(), 0);
    }

    #[test]
    fn what_one_large_frame_left_behind_is_let_go() {
        let pool = ArenaPool::new("arenas", 4, RetainArena { retain_bytes: 64 * 1024 });
        pool.acquire().alloc_slice_fill_copy(1_000_000, 7u8);
        let snapshot = pool.snapshot();
        assert_eq!(snapshot.discarded(Discard::Oversized), 1);
        assert_eq!((snapshot.idle, snapshot.owned_bytes), (0, 0));
    }

    #[test]
    fn the_limit_applies_to_what_reset_keeps_and_not_to_what_was_used() {
        let arena = Bump::new();
        arena.alloc_slice_fill_copy(1000, 0u8);
        arena.alloc_slice_fill_copy(10_000, 0u8);
        let used = arena.allocated_bytes_including_metadata();
        let mut arena = arena;
        arena.reset();
        let kept = arena.allocated_bytes_including_metadata();
        assert!(kept < used, "{kept} of {used}");

        for (retain_bytes, idle) in [(kept, 1), (kept - 1, 0)] {
            let pool = ArenaPool::new("arenas", 4, RetainArena { retain_bytes });
            let arena = pool.acquire();
            arena.alloc_slice_fill_copy(1000, 0u8);
            arena.alloc_slice_fill_copy(10_000, 0u8);
            drop(arena);
            assert_eq!(pool.snapshot().idle, idle, "limit {retain_bytes}");
        }
    }
}
