//! The idle store: where objects wait between leases.
//!
//! It knows neither leases nor policies: an item goes in, an item comes out, and what does not fit is handed back.
//!
//! One stack a shard, behind a mutex of its own: what came last goes out first, so that it is still in the cache and the
//! others grow old, and can be told to go. A thread uses its own shard first and then goes round: to steal when its own
//! is empty, to spill when it is full. So a lock is nearly always free, and then costs less than the queue without locks
//! that stood here before (crossbeam's `ArrayQueue`), which lent the oldest.
//!
//! **Invariant:** each shard's `quota <= slots`, the quotas sum up to the capacity, and once no call is under way
//! every shard holds at most its quota. Quota and items change under the shard's lock, so a return sees the new quota or
//! the one who lowers it sees the new item. `len` may be read without the lock, and then is a hint. `tests/loom.rs` holds
//! this.

use crate::lasting::lasting;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::PoisonError;

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
    /// A store whose capacity can be set to anything up to `maximum`; room is allocated as items come.
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
        // A lock is two atomic operations, a length one load.
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
            for surplus in shard.take_oldest_beyond(shard.quota.load(Ordering::Relaxed), usize::MAX) {
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
            shard.set_quota(each + usize::from(at < rest));
        }
        capacity
    }

    /// Gives the oldest idle items of each shard to `discard` until at most `keep` are left; the capacity stays.
    pub(crate) fn trim(&self, keep: usize, mut discard: impl FnMut(T)) {
        // Bounded by what is here now: threads that go on returning must not hold the trimmer for ever.
        let mut surplus = self.len().saturating_sub(keep);
        // The same number of each shard, as each has its own oldest; what one does not have the others give, so that
        // each round but the last empties a shard.
        while surplus > 0 {
            let before = surplus;
            let holding = self.shards.iter().filter(|shard| shard.len() > 0).count();
            let each = surplus.div_ceil(holding.max(1));
            for shard in &self.shards {
                let oldest = shard.take_oldest_beyond(0, each.min(surplus));
                surplus -= oldest.len();
                oldest.into_iter().for_each(&mut discard);
            }
            if surplus == before {
                break;
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
    static WANTED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
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
    /// The oldest in front.
    items: Mutex<Vec<T>>,
    /// Written under the lock of `items`, as `quota` is.
    len: AtomicUsize,
    slots: usize,
    /// In the range `0..=slots`.
    quota: AtomicUsize,
}

/// Makes room in the list of a shard, which stays when the objects of a burst are gone.
#[cold]
fn grow<T>(items: &mut Vec<T>) {
    lasting(|| items.reserve(1));
}

impl<T> Shard<T> {
    fn new(slots: usize) -> Self {
        let (len, quota) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { items: Mutex::new(Vec::new()), len, slots, quota }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing of others runs under it.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let mut items = self.lock();
        let item = items.pop();
        self.len.store(items.len(), Ordering::Relaxed);
        item
    }

    #[inline]
    fn put(&self, item: T) -> Result<(), (T, Refusal)> {
        let before = self.quota.load(Ordering::Relaxed);
        if self.len() >= before {
            return Err((item, Refusal::Full));
        }
        let mut items = self.lock();
        let quota = self.quota.load(Ordering::Relaxed);
        if items.len() >= quota {
            return Err((item, if quota < before { Refusal::Shrunk } else { Refusal::Full }));
        }
        if items.len() == items.capacity() {
            grow(&mut items);
        }
        items.push(item);
        self.len.store(items.len(), Ordering::Relaxed);
        Ok(())
    }

    fn set_quota(&self, quota: usize) {
        let _items = self.lock();
        self.quota.store(quota, Ordering::Relaxed);
    }

    /// Takes the oldest items of those beyond `keep`, at most so many: in one move, as each moves all that stay.
    #[cold]
    fn take_oldest_beyond(&self, keep: usize, at_most: usize) -> Vec<T> {
        // Who lowered the quota has had the lock since whatever was put in under the quota before.
        let expected = self.len().saturating_sub(keep).min(at_most);
        // Allocated before the lock is taken, and dropped by the caller without it.
        let mut oldest = Vec::with_capacity(expected);
        if expected > 0 {
            let mut items = self.lock();
            let surplus = items.len().saturating_sub(keep).min(expected);
            oldest.extend(items.drain(..surplus));
            // A list that was long once would stay in memory, and a page of the allocator with it.
            let room = items.len() * 2;
            if room * 2 < items.capacity() {
                items.shrink_to(room);
            }
            self.len.store(items.len(), Ordering::Relaxed);
        }
        oldest
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
    fn what_came_last_goes_first_and_the_oldest_are_trimmed() {
        let store = Store::new(64, 64);
        (0..8).for_each(|item| store.put(0, item).unwrap());
        assert_eq!(store.take(0), Some(7));
        store.put(0, 8).unwrap();
        assert_eq!(store.take(0), Some(8));
        let mut trimmed = Vec::new();
        store.trim(3, |item| trimmed.push(item));
        assert_eq!(trimmed, [0, 1, 2, 3]);
        assert_eq!((store.take(0), store.take(0), store.len()), (Some(6), Some(5), 1));
    }

    /// Whatever the shards hold, a trim takes exactly the surplus, and of each shard its oldest.
    #[test]
    fn a_trim_takes_the_surplus_of_whatever_shards_have_it() {
        for held in [[0, 0], [1, 0], [9, 1], [3, 8], [200, 200], [1_000, 7]] {
            for keep in [0, 1, 5, 250, 2_000] {
                let store = Store::new(4_096, 4_096);
                for (shard, items) in held.into_iter().enumerate() {
                    (0..items).for_each(|item| store.put(shard, (shard, item)).unwrap());
                }
                let (before, mut trimmed) = (store.len(), Vec::new());
                store.trim(keep, |item| trimmed.push(item));
                assert_eq!(store.len(), before.min(keep), "{held:?} {keep}");
                for shard in 0..2 {
                    let oldest: Vec<_> =
                        trimmed.iter().filter(|item| item.0 == shard).map(|item| item.1).collect();
                    assert_eq!(oldest, (0..oldest.len()).collect::<Vec<_>>(), "{held:?} {keep}");
                }
                assert_eq!(trimmed.len(), before - store.len());
            }
        }
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
