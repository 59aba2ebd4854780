//! What one call may take: its time, its memory, and whether somebody still waits for it.

use super::error::PageError;
use crate::limits::price;
use crate::server::CancellationToken;
use mcpool_pools::{MemoryBudget, Reservation};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Bytes that are reserved at once.
const STEP_BYTES: usize = price::LARGE_BYTES;

/// The bounds of one call.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) cancellation: CancellationToken,
    pub(crate) max_page_bytes: usize,
    pub(crate) memory: HeldMemory,
    deadline: Instant,
    timeout_ms: usize,
}

impl Job {
    /// A call that begins now.
    pub(crate) fn new(
        cancellation: CancellationToken,
        memory: HeldMemory,
        timeout_ms: usize,
        max_page_bytes: usize,
    ) -> Self {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms as u64);
        Self { cancellation, max_page_bytes, memory, deadline, timeout_ms }
    }

    /// The time that is left for `url`.
    ///
    /// # Errors
    /// When none is, or nobody waits any more.
    pub(crate) fn left(&self, url: &str) -> Result<Duration, PageError> {
        self.cancellation.check()?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PageError::TimedOut { url: url.to_owned(), limit_ms: self.timeout_ms });
        }
        Ok(left)
    }

    /// The error of a transfer that failed because of `why`, unless its time was over or nobody waits for it.
    pub(crate) fn failed(&self, url: &str, why: &dyn ToString) -> PageError {
        match self.left(url) {
            Err(error) => error,
            Ok(_) => PageError::Failed { url: url.to_owned(), why: why.to_string() },
        }
    }
}

/// Memory that a page takes while it is worked on, reserved among the large messages before it exists.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    budget: MemoryBudget,
    reservation: RefCell<Option<Reservation>>,
}

impl HeldMemory {
    /// Holds nothing yet.
    pub(crate) fn new(budget: MemoryBudget) -> Self {
        Self { budget, reservation: RefCell::default() }
    }

    /// Holds at least so many bytes in all.
    ///
    /// # Errors
    /// When there is no room for them, now or ever.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), PageError> {
        let mut reservation = self.reservation.borrow_mut();
        let held = reservation.as_ref().map_or(0, Reservation::bytes);
        if bytes <= held {
            return Ok(());
        }
        let more = bytes.next_multiple_of(STEP_BYTES) - held;
        let grown = match &mut *reservation {
            Some(reservation) => reservation.try_grow(more),
            None => self.budget.try_reserve(more).map(|reserved| *reservation = Some(reserved)),
        };
        grown.map_err(|_| match self.budget.limit_bytes() {
            most if bytes > most => PageError::TooLarge { needed: bytes, most },
            _ => PageError::OutOfMemory,
        })
    }

    /// Gives back what is held beyond `bytes`, and hands the rest to who goes on to hold them.
    pub(crate) fn keep(&self, bytes: usize) -> Option<Reservation> {
        let mut kept = self.reservation.take()?;
        kept.shrink_to(bytes);
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_held_in_steps_and_given_back() {
        let budget = MemoryBudget::new(4 * STEP_BYTES);
        let held = HeldMemory::new(budget.clone());
        held.hold(1).expect("room");
        assert_eq!(budget.used_bytes(), STEP_BYTES);
        held.hold(STEP_BYTES + 1).expect("room");
        held.hold(2).expect("held already");
        assert_eq!(budget.used_bytes(), 2 * STEP_BYTES);
        let others = budget.try_reserve(STEP_BYTES).expect("room");
        assert!(matches!(held.hold(4 * STEP_BYTES), Err(PageError::OutOfMemory)));
        drop(others);
        assert!(matches!(held.hold(5 * STEP_BYTES), Err(PageError::TooLarge { .. })));
        let kept = held.keep(10);
        assert_eq!(budget.used_bytes(), 10);
        drop((kept, held));
        assert_eq!(budget.used_bytes(), 0);
    }
}
