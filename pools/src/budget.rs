//! [`MemoryBudget`]: one limit in bytes that pools and other holders of memory share.
//!
//! Pools charge what exists already, and ask when an object is to become idle whether there is room; others ask first
//! ([`MemoryBudget::try_reserve`]). **Invariant:** `used` is the sum of all live charges and reservations.
//!
//! The limit bounds what is idle or reserved. Hits and returns do not count that, as a counter that all threads share
//! would cost more than they do: idle is what is used less what the pools have leased, which is added up only while
//! more is used than the limit.

use crate::stats::LeasedBytes;
use crate::sync::Counter;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

/// Caches that one budget knows at most.
const MAX_CACHES: usize = 16;

/// A cache that reserves its bytes in a [`MemoryBudget`], and is the first to go when somebody finds no room there.
///
/// ```
/// use mcpool_pools::{GiveUp, MemoryBudget, Reservation};
/// use std::sync::{Arc, Mutex, PoisonError};
///
/// /// Answers that can be made again.
/// struct Cache(Mutex<Vec<(Vec<u8>, Reservation)>>);
///
/// impl GiveUp for Cache {
///     fn give_up(&self) -> bool {
///         let held = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
///         !held.is_empty()
///     }
/// }
///
/// let budget = MemoryBudget::new(100);
/// let cache = Arc::new(Cache(Mutex::new(vec![(vec![0; 80], budget.try_reserve(80)?)])));
/// assert!(budget.reclaim_from(&cache));
/// assert!(budget.give_up_caches());
/// assert_eq!(budget.used_bytes(), 0);
/// # Ok::<(), mcpool_pools::BudgetSpent>(())
/// ```
pub trait GiveUp: Send + Sync {
    /// Gives up what it holds; gives whether there was anything. It is called by whoever lacks the room, at once and
    /// perhaps under locks of theirs: it must not reserve anything, nor wait for whoever does.
    fn give_up(&self) -> bool;
}

/// A limit in bytes, shared by everything that was given a clone of it.
///
/// What pools have leased is not bounded by it, and a pool never fails because of it: the object is made, and dropped
/// on return as [`Discard::OverBudget`](crate::Discard::OverBudget) if idle objects and reservations would exceed the
/// limit with it. So `used_bytes` can exceed the limit by what is in use, and `idle_bytes` by what several threads
/// return at the same moment. A lower limit acts on returns from then on; call
/// [`trim`](crate::PoolControl::trim) to free what is idle already.
///
/// ```
/// use mcpool_pools::MemoryBudget;
///
/// let budget = MemoryBudget::new(1024);
/// let reservation = budget.try_reserve(1000)?;
/// assert!(budget.try_reserve(100).is_err());
/// drop(reservation);
/// assert!(budget.try_reserve(100).is_ok());
/// # Ok::<(), mcpool_pools::BudgetSpent>(())
/// ```
#[derive(Clone)]
pub struct MemoryBudget {
    ledger: Arc<Ledger>,
}

struct Ledger {
    limit: Counter,
    used: Counter,
    /// What each pool that is charged here has leased.
    leased: RwLock<Vec<LeasedBytes>>,
    /// Called when there is room.
    tell: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Who gives up what it holds when there is no room.
    caches: RwLock<Vec<Weak<dyn GiveUp>>>,
}

impl MemoryBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        let ledger = Ledger {
            limit: Counter::new(limit_bytes as u64),
            used: Counter::new(0),
            leased: RwLock::default(),
            tell: OnceLock::new(),
            caches: RwLock::default(),
        };
        Self { ledger: Arc::new(ledger) }
    }

    /// The limit, in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.ledger.limit.read() as usize
    }

    /// Sets the limit, in bytes; takes nothing away from those who hold it.
    pub fn set_limit_bytes(&self, limit_bytes: usize) {
        self.ledger.limit.set(limit_bytes as u64);
        self.tell();
    }

    /// Has `tell` called each time after bytes were given back or the limit was set, so that nobody who waits for room has
    /// to look again and again. It is called by whoever gives back, at once: it should be short, and must not wait for a
    /// lock under which bytes of this budget are given back.
    ///
    /// Returns whether it will be called: a budget tells one only, the first.
    ///
    /// ```
    /// use mcpool_pools::MemoryBudget;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// let (budget, told) = (MemoryBudget::new(1024), Arc::new(AtomicUsize::new(0)));
    /// let counter = Arc::clone(&told);
    /// assert!(budget.notify_of_room(move || drop(counter.fetch_add(1, Ordering::Relaxed))));
    /// drop(budget.try_reserve(1000)?);
    /// assert_eq!(told.load(Ordering::Relaxed), 1);
    /// # Ok::<(), mcpool_pools::BudgetSpent>(())
    /// ```
    pub fn notify_of_room(&self, tell: impl Fn() + Send + Sync + 'static) -> bool {
        self.ledger.tell.set(Box::new(tell)).is_ok()
    }

    fn tell(&self) {
        if let Some(tell) = self.ledger.tell.get() {
            tell();
        }
    }

    /// Has `cache` give up what it holds whenever a reservation finds no room, for as long as it lives. A cache that is
    /// known already stays known once. Gives whether it is known: there is an end to how many are.
    ///
    /// ```
    /// use mcpool_pools::{GiveUp, MemoryBudget, Reservation};
    /// use std::sync::{Arc, Mutex};
    ///
    /// struct Cache(Mutex<Option<Reservation>>);
    /// impl GiveUp for Cache {
    ///     fn give_up(&self) -> bool {
    ///         self.0.lock().is_ok_and(|mut held| held.take().is_some())
    ///     }
    /// }
    ///
    /// let budget = MemoryBudget::new(1024);
    /// let cache = Arc::new(Cache(Mutex::new(Some(budget.try_reserve(1000)?))));
    /// assert!(budget.try_reserve(100).is_err());
    /// assert!(budget.reclaim_from(&cache));
    /// assert!(budget.try_reserve(100).is_ok());
    /// # Ok::<(), mcpool_pools::BudgetSpent>(())
    /// ```
    pub fn reclaim_from<C: GiveUp + 'static>(&self, cache: &Arc<C>) -> bool {
        let cache: Weak<C> = Arc::downgrade(cache);
        let cache: Weak<dyn GiveUp> = cache;
        let mut caches = self.ledger.caches.write().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|known| known.strong_count() > 0);
        let is_known = caches.iter().any(|known| known.ptr_eq(&cache));
        if !is_known && caches.len() < MAX_CACHES {
            caches.push(cache);
            return true;
        }
        is_known
    }

    /// Has the caches give up what they hold; gives whether there was anything.
    pub fn give_up_caches(&self) -> bool {
        // Without the lock: what a cache drops may be the last of its kind.
        let caches: Vec<Arc<dyn GiveUp>> = {
            let known = self.ledger.caches.read().unwrap_or_else(PoisonError::into_inner);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        // All of them: one may hold less than is needed.
        caches.iter().filter(|cache| cache.give_up()).count() > 0
    }

    /// Bytes charged or reserved now, those of leased objects included.
    pub fn used_bytes(&self) -> usize {
        self.ledger.used.read() as usize
    }

    /// Bytes of idle objects and reservations: what the limit bounds.
    pub fn idle_bytes(&self) -> usize {
        let pools = self.ledger.leased.read().unwrap_or_else(PoisonError::into_inner);
        let leased: u64 = pools.iter().map(LeasedBytes::read).sum();
        self.ledger.used.read().saturating_sub(leased) as usize
    }

    /// Reserves `bytes` until the reservation is dropped.
    ///
    /// Caches give up what they hold before it fails ([`Self::reclaim_from`]).
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if that would exceed the limit; nothing is reserved then.
    pub fn try_reserve(&self, bytes: usize) -> Result<Reservation, BudgetSpent> {
        self.try_reserve_leaving(bytes, 0)
    }

    /// Reserves `bytes` until the reservation is dropped, if `left_bytes` are free after that: a reserve for those whose
    /// need is small, which those whose need is large cannot take.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if that would leave less; nothing is reserved then.
    ///
    /// ```
    /// let budget = mcpool_pools::MemoryBudget::new(1024);
    /// let large = budget.try_reserve_leaving(768, 256)?;
    /// assert!(budget.try_reserve_leaving(1, 256).is_err());
    /// assert!(budget.try_reserve(256).is_ok());
    /// # Ok::<(), mcpool_pools::BudgetSpent>(())
    /// ```
    pub fn try_reserve_leaving(&self, bytes: usize, left_bytes: usize) -> Result<Reservation, BudgetSpent> {
        let limit = self.ledger.limit.read().saturating_sub(left_bytes as u64);
        let mut added = self.ledger.used.add_within(bytes as u64, limit);
        if added.is_err() && bytes as u64 <= limit && self.give_up_caches() {
            added = self.ledger.used.add_within(bytes as u64, limit);
        }
        match added {
            Ok(_) => Ok(Reservation { budget: self.clone(), bytes }),
            Err(used) => Err(BudgetSpent {
                requested_bytes: bytes,
                used_bytes: used as usize,
                limit_bytes: limit as usize,
            }),
        }
    }

    /// Whether fewer than `left_bytes` are free. Two loads, for those who ask before each request.
    #[inline]
    pub fn has_less_than(&self, left_bytes: usize) -> bool {
        self.ledger.used.read().saturating_add(left_bytes as u64) > self.ledger.limit.read()
    }

    /// Reserves `bytes` whether or not there is room, for those who cannot wait and must not fail.
    ///
    /// The sum may exceed the limit then, and everybody who asks with [`Self::try_reserve`] is refused until it is
    /// below the limit again.
    pub fn reserve(&self, bytes: usize) -> Reservation {
        self.charge(bytes);
        Reservation { budget: self.clone(), bytes }
    }

    /// Counts a pool's leased bytes out from now on.
    pub(crate) fn admit(&self, leased: LeasedBytes) {
        self.ledger.leased.write().unwrap_or_else(PoisonError::into_inner).push(leased);
    }

    /// Forgets a pool, of which nothing is leased any more.
    pub(crate) fn dismiss(&self, leased: &LeasedBytes) {
        let mut pools = self.ledger.leased.write().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| !pool.is_of(leased));
    }

    /// Charges bytes that exist already.
    fn charge(&self, bytes: usize) {
        self.ledger.used.add(bytes as u64);
    }

    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.ledger.used.add((bytes as u64).wrapping_neg());
            self.tell();
        }
    }

    /// Charges the difference of what grew or shrank.
    pub(crate) fn recharge(&self, before: usize, after: usize) {
        self.ledger.used.add((after as u64).wrapping_sub(before as u64));
        if after < before {
            self.tell();
        }
    }

    /// Whether an object that was just returned, and counts as idle already, must not stay.
    #[inline]
    pub(crate) fn refuses_idle(&self) -> bool {
        self.ledger.used.read() > self.ledger.limit.read() && self.is_exceeded()
    }

    #[cold]
    #[inline(never)]
    fn is_exceeded(&self) -> bool {
        self.idle_bytes() as u64 > self.ledger.limit.read()
    }
}

impl std::fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit_bytes", &self.limit_bytes())
            .field("used_bytes", &self.used_bytes())
            .finish()
    }
}

/// Bytes of a [`MemoryBudget`] set aside; gives them back on drop.
///
/// ```
/// use mcpool_pools::MemoryBudget;
///
/// let budget = MemoryBudget::new(1_000);
/// let mut reservation = budget.try_reserve(100)?;
/// reservation.try_grow(400)?;
/// assert_eq!((reservation.bytes(), budget.used_bytes()), (500, 500));
/// drop(reservation);
/// assert_eq!(budget.used_bytes(), 0);
/// # Ok::<(), mcpool_pools::BudgetSpent>(())
/// ```
#[derive(Debug)]
#[must_use = "a reservation gives its bytes back as soon as it is dropped"]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

impl Reservation {
    /// The budget that the bytes are of.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Bytes set aside.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets `bytes` aside instead, whether or not there is room, for what exists already.
    pub fn resize(&mut self, bytes: usize) {
        self.budget.recharge(self.bytes, bytes);
        self.bytes = bytes;
    }

    /// Sets `bytes` more aside.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if there is no room; the reservation stays as it is.
    pub fn try_grow(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        self.try_grow_leaving(bytes, 0)
    }

    /// Sets `bytes` more aside, if `left_bytes` are free after that.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if that would leave less; the reservation stays as it is.
    pub fn try_grow_leaving(&mut self, bytes: usize, left_bytes: usize) -> Result<(), BudgetSpent> {
        let mut more = self.budget.try_reserve_leaving(bytes, left_bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// Reserves `bytes` of the same budget, and not more than it has beside this reservation.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if there is no room.
    pub fn try_reserve_beside(&self, bytes: usize) -> Result<Self, BudgetSpent> {
        let most_bytes = self.budget.limit_bytes().saturating_sub(self.bytes);
        self.budget.try_reserve(bytes.min(most_bytes))
    }

    /// Sets aside at least `bytes` in all.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if there is no room; the reservation stays as it is.
    pub fn try_grow_to(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        // Nothing may be asked for where too much is used already.
        if bytes <= self.bytes { Ok(()) } else { self.try_grow(bytes - self.bytes) }
    }

    /// Gives back what is set aside beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let more = self.bytes.saturating_sub(bytes);
        self.bytes -= more;
        self.budget.release(more);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// There was no room for a [`Reservation`].
///
/// ```
/// use mcpool_pools::{BudgetSpent, MemoryBudget};
///
/// let refused = MemoryBudget::new(10).try_reserve(11).err();
/// assert_eq!(refused, Some(BudgetSpent { requested_bytes: 11, used_bytes: 0, limit_bytes: 10 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{requested_bytes} bytes do not fit the memory budget: {used_bytes} of {limit_bytes} bytes are used; \
     raise the limit or trim the pools"
)]
pub struct BudgetSpent {
    /// Bytes asked for.
    pub requested_bytes: usize,
    /// Bytes charged or reserved at that moment.
    pub used_bytes: usize,
    /// The limit at that moment.
    pub limit_bytes: usize,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reservation_names_all_three_numbers_and_leaves_no_trace() {
        let budget = MemoryBudget::new(100);
        let held = budget.try_reserve(80).unwrap();
        let refused = budget.try_reserve(21).unwrap_err();
        assert_eq!(refused, BudgetSpent { requested_bytes: 21, used_bytes: 80, limit_bytes: 100 });
        let text = refused.to_string();
        assert!(["21", "80", "100"].iter().all(|number| text.contains(number)), "{text}");
        assert_eq!(budget.used_bytes(), 80);
        assert_eq!(held.bytes(), 80);
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_reservation_can_be_of_any_size_and_gives_all_of_it_back() {
        let budget = MemoryBudget::new(100);
        let mut held = budget.reserve(10);
        for bytes in [300, 0, 70] {
            held.resize(bytes);
            assert_eq!((held.bytes(), budget.used_bytes()), (bytes, bytes));
        }
        assert!(budget.try_reserve_leaving(20, 11).is_err() && !budget.has_less_than(30));
        assert!(budget.try_reserve_leaving(20, 10).is_ok() && budget.has_less_than(31));
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
    }

    struct Cache(std::sync::Mutex<Vec<Reservation>>);

    impl GiveUp for Cache {
        fn give_up(&self) -> bool {
            let held = std::mem::take(&mut *self.0.lock().unwrap());
            !held.is_empty()
        }
    }

    #[test]
    fn caches_go_before_anybody_is_refused() {
        let budget = MemoryBudget::new(100);
        let cache = Arc::new(Cache(std::sync::Mutex::default()));
        let fill = || cache.0.lock().unwrap().push(budget.try_reserve(60).unwrap());
        assert!(budget.reclaim_from(&cache) && budget.reclaim_from(&cache));
        fill();
        assert!(budget.try_reserve(101).is_err(), "no cache goes for what never has room");
        assert_eq!(budget.used_bytes(), 60);
        let mut held = budget.try_reserve(50).expect("the room of the cache");
        held.shrink_to(30);
        fill();
        held.try_grow_leaving(50, 10).expect("the room of the cache");
        assert_eq!((budget.used_bytes(), held.bytes()), (80, 80));
        assert!(budget.try_reserve(21).is_err() && !budget.give_up_caches());
        let others: Vec<_> =
            (0..2 * MAX_CACHES).map(|_| Arc::new(Cache(std::sync::Mutex::default()))).collect();
        let known = others.iter().filter(|other| budget.reclaim_from(other)).count();
        assert_eq!(known, MAX_CACHES - 1);
        drop(others);
        assert!(budget.reclaim_from(&Arc::new(Cache(std::sync::Mutex::default()))), "the others are gone");
    }

    #[test]
    fn a_limit_can_move_under_what_is_used() {
        let budget = MemoryBudget::new(100);
        let held = budget.try_reserve(100).unwrap();
        budget.set_limit_bytes(10);
        assert!(budget.refuses_idle());
        assert!(budget.try_reserve(0).is_err());
        drop(held);
        assert!(!budget.refuses_idle());
        assert!(budget.try_reserve(usize::MAX).is_err());
    }
}
