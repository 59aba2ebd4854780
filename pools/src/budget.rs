//! [`MemoryBudget`]: one limit in bytes that pools and other holders of memory share.
//!
//! Knows no pool. Pools charge what exists already and check afterwards whether there was room ([`ObjectCharge`]);
//! others ask first ([`MemoryBudget::try_reserve`]). **Invariant:** `used` is the sum of all live charges and
//! reservations.

use crate::sync::Counter;
use std::sync::Arc;

/// A limit in bytes, shared by everything that was given a clone of it.
///
/// A pool never fails because the budget is spent: the object is made, and dropped on return as
/// [`Discard::OverBudget`](crate::Discard::OverBudget). So `used_bytes` can exceed the limit by what is in use.
/// A lower limit acts on objects made from then on; call
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
}

impl MemoryBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self { ledger: Arc::new(Ledger { limit: Counter::new(limit_bytes as u64), used: Counter::new(0) }) }
    }

    /// The limit, in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.ledger.limit.read() as usize
    }

    /// Sets the limit, in bytes; takes nothing away from those who hold it.
    pub fn set_limit_bytes(&self, limit_bytes: usize) {
        self.ledger.limit.set(limit_bytes as u64);
    }

    /// Bytes charged or reserved now.
    pub fn used_bytes(&self) -> usize {
        self.ledger.used.read() as usize
    }

    /// Reserves `bytes` until the reservation is dropped.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if that would exceed the limit; nothing is reserved then.
    pub fn try_reserve(&self, bytes: usize) -> Result<Reservation, BudgetSpent> {
        let limit = self.ledger.limit.read();
        match self.ledger.used.add_within(bytes as u64, limit) {
            Ok(_) => Ok(Reservation { budget: self.clone(), bytes }),
            Err(used) => Err(BudgetSpent {
                requested_bytes: bytes,
                used_bytes: used as usize,
                limit_bytes: limit as usize,
            }),
        }
    }

    /// Reserves `bytes` whether or not there is room, for those who cannot wait and must not fail.
    ///
    /// The sum may exceed the limit then, and everybody who asks with [`Self::try_reserve`] is refused until it is
    /// below the limit again.
    pub fn reserve(&self, bytes: usize) -> Reservation {
        self.charge(bytes);
        Reservation { budget: self.clone(), bytes }
    }

    /// Charges bytes that exist already. Returns whether the sum is still within the limit.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        self.ledger.used.add(bytes as u64) <= self.ledger.limit.read()
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.ledger.used.add((bytes as u64).wrapping_neg());
    }

    /// Charges the difference of what grew or shrank.
    pub(crate) fn recharge(&self, before: usize, after: usize) {
        self.ledger.used.add((after as u64).wrapping_sub(before as u64));
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.ledger.used.read() > self.ledger.limit.read()
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
#[derive(Debug)]
#[must_use = "a reservation gives its bytes back as soon as it is dropped"]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

impl Reservation {
    /// Bytes set aside.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets `bytes` more aside.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if there is no room; the reservation stays as it is.
    pub fn try_grow(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let mut more = self.budget.try_reserve(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// There was no room for a [`Reservation`].
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

/// What one pooled object is charged with: its bytes, and whether the budget was spent when they were charged.
///
/// It travels with the object, so that a hit and the return after it never touch the budget: only an object that
/// found the budget spent looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectCharge(usize);

impl ObjectCharge {
    /// `bytes` fits in the upper bits: no object is larger than `isize::MAX`.
    pub(crate) fn new(bytes: usize, over_budget: bool) -> Self {
        Self(bytes << 1 | usize::from(over_budget))
    }

    #[inline]
    pub(crate) fn bytes(self) -> usize {
        self.0 >> 1
    }

    #[inline]
    pub(crate) fn is_over_budget(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether an object of `bytes` needs no second look.
    #[inline]
    pub(crate) fn is_settled_at(self, bytes: usize) -> bool {
        self.0 == bytes << 1
    }
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
    fn a_limit_can_move_under_what_is_used() {
        let budget = MemoryBudget::new(100);
        let held = budget.try_reserve(100).unwrap();
        budget.set_limit_bytes(10);
        assert!(budget.is_spent());
        assert!(budget.try_reserve(0).is_err());
        drop(held);
        assert!(!budget.is_spent());
        assert!(budget.try_reserve(usize::MAX).is_err());
    }

    #[test]
    fn a_charge_keeps_bytes_and_flag_apart() {
        for bytes in [0, 1, 4096, isize::MAX as usize] {
            for over in [false, true] {
                let charge = ObjectCharge::new(bytes, over);
                assert_eq!((charge.bytes(), charge.is_over_budget()), (bytes, over));
                assert_eq!(charge.is_settled_at(bytes), !over);
            }
        }
    }
}
