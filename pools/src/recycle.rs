//! What becomes of a returned object: a policy with a name.

/// Makes the objects of a pool and decides, on return, whether each may stay.
pub trait Recycle<T>: Send + Sync + 'static {
    /// Makes a new object; called on a miss only.
    fn create(&self) -> T;
    /// Empties `object` for its next use, or refuses it.
    fn recycle(&self, object: &mut T) -> Verdict;
    /// Heap bytes that `object` keeps while it exists.
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

/// Why a returned object was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Discard {
    /// The idle store held its capacity already.
    Full,
    /// The object had grown beyond its retain limit.
    Oversized,
    /// The pool was made smaller.
    Shrunk,
    /// The object was left in a state that must not be reused.
    Poisoned,
    /// The memory budget shared by all pools was spent.
    OverBudget,
}
