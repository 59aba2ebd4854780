//! What becomes of a returned object: a policy with a name.
//!
//! Knows no store and no counters; the pool carries out what is decided here and counts it.

use std::collections::VecDeque;

/// Makes the objects of a pool and decides, on return, whether each may stay.
///
/// All three methods run on the thread that acquires or returns, so they should be short and must not block.
///
/// ```
/// use mcpool_pools::{Discard, ObjectPool, Recycle, Verdict};
///
/// /// Keeps strings of up to `retain_bytes`.
/// struct RetainString {
///     retain_bytes: usize,
/// }
///
/// impl Recycle<String> for RetainString {
///     fn create(&self) -> String {
///         String::new()
///     }
///     fn recycle(&self, string: &mut String) -> Verdict {
///         if string.capacity() > self.retain_bytes {
///             return Verdict::Discard(Discard::Oversized);
///         }
///         string.clear();
///         Verdict::Keep
///     }
///     fn bytes(&self, string: &String) -> usize {
///         string.capacity()
///     }
/// }
///
/// let pool = ObjectPool::new("names", 8, RetainString { retain_bytes: 64 });
/// pool.acquire().push_str("short, so it is kept");
/// pool.acquire().push_str(&"long, so it is let go".repeat(10));
/// assert_eq!(pool.snapshot().discarded(Discard::Oversized), 1);
/// ```
pub trait Recycle<T>: Send + Sync + 'static {
    /// Makes a new object; called on a miss only.
    fn create(&self) -> T;
    /// Empties `object` for its next use, or refuses it. If it panics, the object counts as poisoned.
    fn recycle(&self, object: &mut T) -> Verdict;
    /// Heap bytes that `object` keeps while it exists. Asked after `create` and after `recycle`.
    fn bytes(&self, object: &T) -> usize;
}

/// A ready policy for strings, lists and queues: made with room for `initial` elements, emptied when they come back, and kept
/// unless they have grown to more than `retain`. Of strings the elements are bytes.
///
/// What the elements of a list hold is freed when it comes back, and not counted before.
///
/// ```
/// use mcpool_pools::{Discard, ObjectPool, WithCapacity};
///
/// let rows = ObjectPool::<Vec<u64>>::new("rows", 8, WithCapacity { initial: 16, retain: 1_000 });
/// rows.acquire().extend(0..100);
/// assert!(rows.acquire().capacity() >= 100, "the same one, empty");
/// rows.acquire().extend(0..5_000);
/// assert_eq!(rows.snapshot().discarded(Discard::Oversized), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithCapacity {
    /// Elements for which a new object has room.
    pub initial: usize,
    /// Elements for which an object may have room that is kept.
    pub retain: usize,
}

impl WithCapacity {
    fn verdict(self, capacity: usize) -> Verdict {
        if capacity > self.retain { Verdict::Discard(Discard::Oversized) } else { Verdict::Keep }
    }
}

impl Recycle<String> for WithCapacity {
    fn create(&self) -> String {
        String::with_capacity(self.initial)
    }

    fn recycle(&self, text: &mut String) -> Verdict {
        text.clear();
        self.verdict(text.capacity())
    }

    fn bytes(&self, text: &String) -> usize {
        text.capacity()
    }
}

impl<T: Send + 'static> Recycle<Vec<T>> for WithCapacity {
    fn create(&self) -> Vec<T> {
        Vec::with_capacity(self.initial)
    }

    fn recycle(&self, list: &mut Vec<T>) -> Verdict {
        list.clear();
        self.verdict(list.capacity())
    }

    fn bytes(&self, list: &Vec<T>) -> usize {
        list.capacity() * size_of::<T>()
    }
}

impl<T: Send + 'static> Recycle<VecDeque<T>> for WithCapacity {
    fn create(&self) -> VecDeque<T> {
        VecDeque::with_capacity(self.initial)
    }

    fn recycle(&self, queue: &mut VecDeque<T>) -> Verdict {
        queue.clear();
        self.verdict(queue.capacity())
    }

    fn bytes(&self, queue: &VecDeque<T>) -> usize {
        queue.capacity() * size_of::<T>()
    }
}

/// The answer of [`Recycle::recycle`].
///
/// ```
/// use mcpool_pools::{Discard, Recycle, Verdict, WithCapacity};
///
/// let policy = WithCapacity { initial: 0, retain: 10 };
/// assert_eq!(policy.recycle(&mut "short".to_owned()), Verdict::Keep);
/// assert_eq!(policy.recycle(&mut "x".repeat(11)), Verdict::Discard(Discard::Oversized));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The object goes back to the idle store.
    Keep,
    /// The object is dropped, and the reason is counted.
    Discard(Discard),
}

/// Why an object was dropped instead of kept.
///
/// ```
/// use mcpool_pools::{Discard, ObjectPool, PoolControl, WithCapacity};
///
/// let names = ObjectPool::<String>::new("names", 1, WithCapacity { initial: 8, retain: 64 });
/// drop((names.acquire(), names.acquire()));
/// assert_eq!(names.snapshot().discarded(Discard::Full), 1);
/// names.trim(0);
/// assert_eq!(names.snapshot().discarded(Discard::Shrunk), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Discard {
    /// The idle store held its capacity already.
    Full,
    /// The object had grown beyond its retain limit.
    Oversized,
    /// The pool was made smaller, trimmed, or dropped.
    Shrunk,
    /// The object was left in a state that must not be reused: its holder panicked, or took a part of it away.
    Poisoned,
    /// Idle objects of all pools would have exceeded their budget.
    OverBudget,
}

impl Discard {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Full, Self::Oversized, Self::Shrunk, Self::Poisoned, Self::OverBudget];
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ObjectPool;

    #[test]
    fn collections_come_back_empty_and_those_that_grew_do_not() {
        let policy = WithCapacity { initial: 4, retain: 16 };
        let mut list: Vec<u64> = policy.create();
        assert_eq!((list.capacity(), policy.bytes(&list)), (4, 32));
        list.extend(0..16);
        assert_eq!(policy.recycle(&mut list), Verdict::Keep);
        assert!(list.is_empty());
        list.extend(0..17);
        assert_eq!(policy.recycle(&mut list), Verdict::Discard(Discard::Oversized));
        let mut queue: VecDeque<u8> = policy.create();
        queue.extend([0; 16]);
        assert_eq!((policy.recycle(&mut queue), queue.len()), (Verdict::Keep, 0));
    }

    #[test]
    fn what_elements_hold_is_freed_when_their_list_comes_back() {
        let pool =
            ObjectPool::<Vec<std::sync::Arc<()>>>::new("lists", 4, WithCapacity { initial: 4, retain: 16 });
        let element = std::sync::Arc::new(());
        pool.acquire().push(std::sync::Arc::clone(&element));
        assert_eq!(std::sync::Arc::strong_count(&element), 1);
        assert_eq!(pool.snapshot().idle, 1);
    }
}
