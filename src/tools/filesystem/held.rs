//! Memory that a call holds before its answer is written: names that are still to come, and text that grows.
//!
//! It is reserved among the large messages before it exists, in steps, so that lists and walks count as much as the
//! answers that they become. The first step is free: most answers are short.

use super::error::{FsError, Stop};
use crate::limits::price;
use crate::server::CallContext;
use crate::wire::MemoryLack;
use mcpool_pools::{BudgetSpent, MemoryBudget, Reservation};
use std::cell::{Cell, RefCell};

/// Bytes of one step.
const STEP_BYTES: usize = price::LARGE_BYTES;
/// Heap of an entry beside its name: itself in a list that may be half empty, and what its block is rounded up by.
const ENTRY_BYTES: usize = 64;
/// Text that grows is in a block that may be half empty.
const TEXT_TIMES: usize = 2;

/// What one call holds.
#[derive(Debug)]
pub(super) struct HeldMemory {
    budget: MemoryBudget,
    names_bytes: Cell<usize>,
    text_bytes: Cell<usize>,
    work_bytes: Cell<usize>,
    reservation: RefCell<Option<Reservation>>,
    spent: Cell<Option<BudgetSpent>>,
}

impl HeldMemory {
    /// Holds nothing yet; `room` is what the call waited for.
    fn new(budget: MemoryBudget, room: Option<Reservation>) -> Self {
        Self {
            budget,
            names_bytes: Cell::default(),
            text_bytes: Cell::default(),
            work_bytes: Cell::default(),
            reservation: RefCell::new(room),
            spent: Cell::default(),
        }
    }

    /// Holds what it holds in that budget, for who cannot run again.
    pub(super) fn in_budget(budget: MemoryBudget) -> Self {
        Self::new(budget, None)
    }

    /// Runs a part of `call`, which may be run again once there is room for what it lacked.
    pub(super) fn with<R>(
        call: &mut CallContext,
        run: impl FnOnce(&Self, &mut CallContext) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let held = Self::new(call.large_messages(), call.take_room());
        let result = run(&held, call);
        if let Some(spent) = held.spent.take() {
            call.note_lack(spent);
        }
        result
    }

    /// Holds so many entries, whose names have so many bytes together.
    ///
    /// # Errors
    /// When there is no room for them.
    pub(super) fn hold_names(&self, entries: usize, bytes: usize) -> Result<(), FsError> {
        self.names_bytes.set(bytes + entries * ENTRY_BYTES);
        self.reserve()
    }

    /// Holds a text of so many bytes.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn hold_text(&self, bytes: usize) -> Result<(), FsError> {
        self.text_bytes.set(bytes * TEXT_TIMES);
        self.reserve()
    }

    /// Holds so many bytes to work with.
    ///
    /// # Errors
    /// When there is no room for them.
    pub(super) fn hold_work(&self, bytes: usize) -> Result<(), FsError> {
        self.work_bytes.set(bytes);
        self.reserve()
    }

    /// Bytes that all large messages may have together.
    pub(super) fn limit_bytes(&self) -> usize {
        self.budget.limit_bytes()
    }

    /// Gives the reservation to who keeps so many bytes of text, which is all that is left.
    pub(super) fn keep(&self, bytes: usize) -> Option<Reservation> {
        let mut reserved = self.reservation.take()?;
        reserved.shrink_to(bytes);
        Some(reserved)
    }

    fn reserve(&self) -> Result<(), FsError> {
        let bytes = self.names_bytes.get() + self.text_bytes.get() + self.work_bytes.get();
        let mut reservation = self.reservation.borrow_mut();
        let reserved_bytes = reservation.as_ref().map_or(0, Reservation::bytes);
        if bytes <= reserved_bytes.max(STEP_BYTES) {
            return Ok(());
        }
        let more_bytes = bytes.next_multiple_of(STEP_BYTES) - reserved_bytes;
        let grown = match &mut *reservation {
            Some(reservation) => reservation.try_grow(more_bytes),
            None => self.budget.try_reserve(more_bytes).map(|reserved| *reservation = Some(reserved)),
        };
        grown.map_err(|spent| {
            // Who runs again needs all of it.
            self.spent.set(Some(BudgetSpent { requested_bytes: bytes, ..spent }));
            FsError::OutOfMemory(MemoryLack::of(spent, bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_held_is_reserved_beyond_the_first_step(
            steps in prop::collection::vec((0..2_000_usize, 0..100_000_usize, 0..200_000_usize), 0..20),
        ) {
            let budget = MemoryBudget::new(1 << 20);
            let held = HeldMemory::new(budget.clone(), None);
            for (entries, names, text) in steps {
                let fits = held.hold_names(entries, names).is_ok() & held.hold_text(text).is_ok();
                let bytes = names + entries * ENTRY_BYTES + text * TEXT_TIMES;
                prop_assert!(!fits || bytes <= STEP_BYTES.max(budget.used_bytes()), "{} of {}", budget.used_bytes(), bytes);
                prop_assert_eq!(budget.used_bytes() % STEP_BYTES, 0);
                prop_assert!(fits || held.spent.take().is_some());
            }
            drop(held);
            prop_assert_eq!(budget.used_bytes(), 0);
        }
    }
}
