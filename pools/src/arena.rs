//! Bump arenas with a retain limit.

use crate::pool::{Lease, ObjectPool};
use crate::recycle::{Recycle, Verdict};
use bumpalo::Bump;

/// A pool of [`Bump`] arenas.
pub type ArenaPool = ObjectPool<Bump>;
/// An arena on loan.
pub type ArenaLease = Lease<Bump>;

/// Keeps arenas of up to `retain_bytes`.
pub struct RetainArena {
    /// Bytes that may stay in an idle arena.
    pub retain_bytes: usize,
}

impl Recycle<Bump> for RetainArena {
    fn create(&self) -> Bump {
        Bump::new()
    }
    fn recycle(&self, arena: &mut Bump) -> Verdict {
        arena.reset();
        Verdict::Keep
    }
    fn bytes(&self, arena: &Bump) -> usize {
        arena.allocated_bytes()
    }
}
