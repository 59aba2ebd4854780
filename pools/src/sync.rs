//! The one switch between std and loom, and the number by which a thread finds its shard.
//!
//! Owns no algorithm. `store.rs` is written once against these names; under `--cfg loom` they are loom's, and
//! the queue is a stand-in, because crossbeam's does not know loom.

#[cfg(loom)]
pub(crate) use self::modelled::{ArrayQueue, thread_index};
#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(not(loom))]
pub(crate) use self::native::thread_index;
#[cfg(not(loom))]
pub(crate) use crossbeam_queue::ArrayQueue;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(not(loom))]
mod native {
    use crate::store::IndexMap;
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
}

#[cfg(loom)]
mod modelled {
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicUsize, Ordering, fence};
    use std::cell::Cell;
    use std::collections::VecDeque;
    use std::sync::PoisonError;

    loom::lazy_static! {
        // A std atomic on purpose: numbering threads is no part of the model and must not add branches to it.
        static ref NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    }

    loom::thread_local! {
        static INDEX: Cell<Option<usize>> = Cell::new(None);
    }

    pub(crate) fn thread_index() -> usize {
        INDEX.with(|index| {
            index.get().unwrap_or_else(|| {
                let next = NEXT.fetch_add(1, Ordering::Relaxed);
                index.set(Some(next));
                next
            })
        })
    }

    /// What `store.rs` relies on in crossbeam's queue, and no more: push and pop are linearizable, and `len` is
    /// totally ordered with them and with every other `SeqCst` access. Crossbeam gets the second by `SeqCst` on
    /// head and tail. loom takes `SeqCst` accesses for acquire and release and knows a total order of fences only,
    /// so the order is said with fences here.
    pub(crate) struct ArrayQueue<T> {
        items: Mutex<VecDeque<T>>,
        len: AtomicUsize,
        slots: usize,
    }

    impl<T> ArrayQueue<T> {
        pub(crate) fn new(slots: usize) -> Self {
            Self { items: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0), slots }
        }

        pub(crate) fn push(&self, item: T) -> Result<(), T> {
            let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
            if items.len() == self.slots {
                return Err(item);
            }
            items.push_back(item);
            self.len.store(items.len(), Ordering::Release);
            drop(items);
            fence(Ordering::SeqCst);
            Ok(())
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
            let item = items.pop_front();
            self.len.store(items.len(), Ordering::Release);
            drop(items);
            fence(Ordering::SeqCst);
            item
        }

        pub(crate) fn len(&self) -> usize {
            fence(Ordering::SeqCst);
            self.len.load(Ordering::Acquire)
        }
    }
}
