//! The idle store: where objects wait between leases. Its memory orderings are argued below; all others of the
//! crate stand in `sync`.
//!
//! It knows neither leases nor policies: an item goes in, an item comes out, and what does not fit is handed back.
//!
//! One bounded queue a shard (crossbeam's `ArrayQueue`, after Vyukov's bounded MPMC queue), because one queue
//! shared by two threads costs 140 to 430 ns a round trip and a queue of its own 19 (`benches/benches/pool.rs`).
//! A thread uses its own shard first and then goes round: to steal when its own is empty, to spill when it is full.
//!
//! **Invariant:** each shard's `quota <= slots`, the quotas sum up to the capacity, and once no call is under way
//! every shard holds at most its quota. Queues are built at the maximum, so a new capacity is a few stores: no
//! allocation, nothing moved.
//!
//! Why the invariant survives races: [`Shard::put`] pushes, then reads the quota and the length again, and takes
//! one item back if there are too many; [`Store::set_capacity`] stores the quota, then reads the length. All four
//! are `SeqCst` (the push and the length inside crossbeam's queue), hence in one total order: either the returning
//! thread sees the new quota, or the shrinking thread sees the new item. Two returns that race for the last place
//! both push; the later one in the queue's order sees both. Should a future queue weaken its orderings, an item
//! too many would stay until the next return to that shard; none could be lost. `tests/loom.rs` holds this.

use crate::sync::{ArrayQueue, AtomicUsize, Mutex, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::{OnceLock, PoisonError};

/// Idle items in shards, at most `capacity` of them in all.
pub(crate) struct Store<T> {
    shards: Box<[CachePadded<Shard<T>>]>,
    /// Serialises changes of the capacity, which touch every shard; acquire and return never take it.
    resizing: Mutex<()>,
}

/// Why [`Store::put`] handed an item back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Every shard held its quota.
    Full,
    /// The quota fell while the item was on its way in.
    Shrunk,
}

impl<T> Store<T> {
    /// A store whose capacity can be set to anything up to `maximum`; allocates shard by shard, on first use.
    pub(crate) fn new(capacity: usize, maximum: usize) -> Self {
        let shards = shards_for(maximum);
        let slots = maximum.div_ceil(shards);
        let store = Self {
            shards: (0..shards).map(|_| CachePadded::new(Shard::new(slots))).collect(),
            resizing: Mutex::new(()),
        };
        store.set_quotas(capacity);
        store
    }

    /// Always a power of two, so that `index & (shards - 1)` is the shard of thread `index`.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The largest capacity there is room for.
    pub(crate) fn maximum(&self) -> usize {
        self.shards.iter().map(|shard| shard.slots).sum()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| shard.quota.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Takes an item: from the shard of thread `index`, else from the next one that has any.
    #[inline]
    pub(crate) fn take(&self, index: usize) -> Option<T> {
        self.shards[index & (self.shards.len() - 1)].pop().or_else(|| self.steal(index))
    }

    #[cold]
    fn steal(&self, index: usize) -> Option<T> {
        let mask = self.shards.len() - 1;
        // An empty queue's `pop` is a full fence; its length is two loads.
        (1..=mask)
            .map(|step| &self.shards[(index + step) & mask])
            .filter(|shard| shard.len() > 0)
            .find_map(|shard| shard.pop())
    }

    /// Stores `item`, or hands back one item for which there is no room: not necessarily the same one.
    #[inline]
    pub(crate) fn put(&self, index: usize, item: T) -> Result<(), (T, Refusal)> {
        match self.shards[index & (self.shards.len() - 1)].put(item) {
            Ok(()) => Ok(()),
            Err((item, refusal)) => self.spill(index, item, refusal),
        }
    }

    #[cold]
    fn spill(&self, index: usize, mut item: T, mut refusal: Refusal) -> Result<(), (T, Refusal)> {
        let mask = self.shards.len() - 1;
        for step in 1..=mask {
            match self.shards[(index + step) & mask].put(item) {
                Ok(()) => return Ok(()),
                Err((back, why)) => {
                    item = back;
                    if why == Refusal::Shrunk {
                        refusal = why;
                    }
                }
            }
        }
        Err((item, refusal))
    }

    /// Sets the capacity, at most the maximum, gives the surplus to `discard`, and returns the capacity set.
    pub(crate) fn set_capacity(&self, capacity: usize, mut discard: impl FnMut(T)) -> usize {
        let capacity = {
            let _guard = self.resizing.lock().unwrap_or_else(PoisonError::into_inner);
            self.set_quotas(capacity)
        };
        // Outside the lock: `discard` runs foreign destructors.
        for (at, shard) in self.shards.iter().enumerate() {
            while let Some(surplus) = shard.pop_surplus() {
                if let Err((item, _)) = self.put(at, surplus) {
                    discard(item);
                }
            }
        }
        capacity
    }

    fn set_quotas(&self, capacity: usize) -> usize {
        let capacity = capacity.min(self.maximum());
        let (each, rest) = (capacity / self.shards.len(), capacity % self.shards.len());
        for (at, shard) in self.shards.iter().enumerate() {
            shard.quota.store(each + usize::from(at < rest), Ordering::SeqCst);
        }
        capacity
    }

    /// Gives idle items to `discard` until at most `keep` are left; the capacity stays.
    pub(crate) fn trim(&self, keep: usize, mut discard: impl FnMut(T)) {
        // Bounded by what is here now: threads that go on returning must not hold the trimmer for ever.
        for _ in keep..self.len() {
            match self.take(0) {
                Some(item) => discard(item),
                None => break,
            }
        }
    }
}

/// Shards of a store with room for `maximum` items: a power of two, no more than there are items or use for.
fn shards_for(maximum: usize) -> usize {
    shards_wanted().min(maximum.max(1).next_power_of_two())
}

#[cfg(not(loom))]
fn shards_wanted() -> usize {
    static WANTED: OnceLock<usize> = OnceLock::new();
    // Four at least: threads beyond the cores (blocking ones) share shards less often. Sixteen at most: a shard
    // costs half a KiB before it holds anything.
    *WANTED.get_or_init(|| {
        std::thread::available_parallelism().map_or(4, |cores| cores.get().next_power_of_two().clamp(4, 16))
    })
}

#[cfg(loom)]
fn shards_wanted() -> usize {
    2
}

struct Shard<T> {
    /// Built on the first return: a process that uses one thread pays for one queue a pool.
    queue: OnceLock<Box<ArrayQueue<T>>>,
    slots: usize,
    /// In the range `0..=slots`.
    quota: AtomicUsize,
}

impl<T> Shard<T> {
    fn new(slots: usize) -> Self {
        let shard = Self { queue: OnceLock::new(), slots, quota: AtomicUsize::new(0) };
        // loom does not see the hand-over inside `OnceLock`, so under loom every queue exists from the start.
        if cfg!(loom) && slots > 0 {
            shard.built();
        }
        shard
    }

    #[inline]
    fn len(&self) -> usize {
        self.queue.get().map_or(0, |queue| queue.len())
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        self.queue.get()?.pop()
    }

    #[inline]
    fn put(&self, item: T) -> Result<(), (T, Refusal)> {
        let quota = self.quota.load(Ordering::Relaxed);
        if quota == 0 {
            return Err((item, Refusal::Full));
        }
        let queue = self.queue.get().map_or_else(|| self.built(), |queue| &**queue);
        if queue.len() >= quota {
            return Err((item, Refusal::Full));
        }
        queue.push(item).map_err(|item| (item, Refusal::Full))?;
        // See the head of this file: this second look is what makes a racing shrink safe.
        let now = self.quota.load(Ordering::SeqCst);
        if queue.len() > now { self.take_back(quota, now) } else { Ok(()) }
    }

    #[cold]
    fn take_back(&self, before: usize, now: usize) -> Result<(), (T, Refusal)> {
        let refusal = if now < before { Refusal::Shrunk } else { Refusal::Full };
        self.pop().map_or(Ok(()), |item| Err((item, refusal)))
    }

    fn pop_surplus(&self) -> Option<T> {
        let queue = self.queue.get()?;
        if queue.len() > self.quota.load(Ordering::SeqCst) { queue.pop() } else { None }
    }

    #[cold]
    fn built(&self) -> &ArrayQueue<T> {
        self.queue.get_or_init(|| Box::new(ArrayQueue::new(self.slots)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn no_surplus(_: usize) {
        panic!("an item had to go");
    }

    #[test]
    fn a_full_shard_spills_and_an_empty_one_steals() {
        let store = Store::new(8, 8);
        let shards = store.shards();
        assert!(shards > 1 && shards.is_power_of_two());
        (0..8).for_each(|item| store.put(0, item).unwrap());
        assert_eq!(store.put(0, 8), Err((8, Refusal::Full)));
        assert_eq!(store.len(), 8);
        let mut taken: Vec<_> = (0..8).map(|index| store.take(index).unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..8).collect::<Vec<_>>());
        assert_eq!(store.take(0), None);
    }

    #[test]
    fn a_shrink_moves_what_still_fits_instead_of_dropping_it() {
        let store = Store::new(8, 8);
        // All in one shard: more than its share of the new capacity, less than the whole.
        let each = 8 / store.shards();
        (0..each).for_each(|item| store.put(0, item).unwrap());
        assert_eq!(store.set_capacity(each, no_surplus), each);
        assert_eq!(store.len(), each);
    }

    #[test]
    fn quotas_sum_up_to_any_capacity_and_stay_within_the_maximum() {
        let store = Store::<usize>::new(0, 10);
        assert!(store.maximum() >= 10);
        for capacity in 0..=store.maximum() {
            assert_eq!(store.set_capacity(capacity, no_surplus), capacity);
            assert_eq!(store.capacity(), capacity);
        }
        assert_eq!(store.set_capacity(usize::MAX, no_surplus), store.maximum());
    }

    #[test]
    fn a_store_with_no_room_keeps_nothing() {
        let store = Store::new(0, 0);
        assert_eq!(store.put(3, 1), Err((1, Refusal::Full)));
        assert_eq!((store.take(3), store.len(), store.maximum()), (None, 0, 0));
    }
}
