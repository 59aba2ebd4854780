//! The number by which a thread finds its shard: small, and no other live thread's.

use super::{AtomicU64, Ordering};
use std::cell::Cell;

/// No index claimed yet.
const UNSET: usize = usize::MAX;

static INDICES: IndexMap = IndexMap::new();

thread_local! {
    // Two variables, because one with a destructor costs a state check at each access, and this one is read
    // on every acquire and return.
    static INDEX: Cell<usize> = const { Cell::new(UNSET) };
    static CLAIM: Claim = Claim { index: INDICES.claim() };
}

/// Gives the index back when its thread ends.
struct Claim {
    index: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Leases dropped by later thread-local destructors must not pass for the owner of this index.
        INDEX.set(IndexMap::SHARED);
        INDICES.release(self.index);
    }
}

/// A small number that no other live thread has, or one from [`IndexMap::SHARED`] up.
#[inline]
pub(crate) fn thread_index() -> usize {
    let index = INDEX.get();
    if index == UNSET { claim_index() } else { index }
}

#[cold]
fn claim_index() -> usize {
    let index = CLAIM.try_with(|claim| claim.index).unwrap_or(IndexMap::SHARED);
    INDEX.set(index);
    index
}

/// Hands every live thread the smallest index that no other live thread has.
pub(crate) struct IndexMap {
    /// Bit `i` is set while a thread holds index `i`.
    taken: AtomicU64,
}

impl IndexMap {
    /// From here up an index belongs to nobody: threads beyond the 64th, and threads at their end.
    pub(crate) const SHARED: usize = u64::BITS as usize;

    pub(crate) const fn new() -> Self {
        Self { taken: AtomicU64::new(0) }
    }

    pub(crate) fn claim(&self) -> usize {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let index = taken.trailing_ones() as usize;
            if index >= Self::SHARED {
                return Self::SHARED;
            }
            // Acquire: what the thread that held this index last wrote comes before what we write.
            let claimed = taken | 1 << index;
            match self.taken.compare_exchange_weak(taken, claimed, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return index,
                Err(now) => taken = now,
            }
        }
    }

    pub(crate) fn release(&self, index: usize) {
        if index < Self::SHARED {
            self.taken.fetch_and(!(1 << index), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense_come_back_and_run_out() {
        let map = IndexMap::new();
        assert_eq!((0..3).map(|_| map.claim()).collect::<Vec<_>>(), [0, 1, 2]);
        map.release(1);
        assert_eq!((map.claim(), map.claim()), (1, 3), "the smallest free one first");
        (4..IndexMap::SHARED).for_each(|index| assert_eq!(map.claim(), index));
        assert_eq!((map.claim(), map.claim()), (IndexMap::SHARED, IndexMap::SHARED));
        map.release(IndexMap::SHARED);
        map.release(63);
        assert_eq!(map.claim(), 63);
    }
}
