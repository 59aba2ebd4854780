//! What becomes of a returned object: a policy with a name.
//!
//! Knows no store and no counters; the pool carries out what is decided here and counts it.

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

/// The answer of [`Recycle::recycle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The object goes back to the idle store.
    Keep,
    /// The object is dropped, and the reason is counted.
    Discard(Discard),
}

/// Why an object was dropped instead of kept.
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
