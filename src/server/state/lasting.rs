//! Memory of what clients keep for long: sessions, subscriptions and the resources that they name, roots.
//!
//! It is a part of the small objects. It leaves half of them to what passes, and [`FairBytes`] divides it among the
//! clients by bytes, so that no client keeps others from a session or a subscription.

use crate::limits::price;
use crate::server::state::fair_bytes::{FairBytes, Share};
use mcpool_pools::{BudgetSpent, MemoryBudget, Reservation};

/// What may be kept for long. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LastingBudget {
    small: MemoryBudget,
    shares: FairBytes,
}

/// What something takes that is kept for long, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the memory back"]
pub(crate) struct Lasting {
    memory: Reservation,
    share: Share,
}

impl LastingBudget {
    /// The part of `small` that may be kept, of which one client may have `share_percent` of what the others leave.
    pub(crate) fn new(small: MemoryBudget, share_percent: usize) -> Self {
        let max_bytes = price::lasting_bytes(small.limit_bytes());
        Self { small, shares: FairBytes::new(max_bytes, share_percent) }
    }

    /// Reserves memory for a client.
    ///
    /// # Errors
    /// When the client has its share, or when there is no room.
    pub(crate) fn try_reserve(&self, client: u128, bytes: usize) -> Result<Lasting, BudgetSpent> {
        let share = self.shares.try_hold(client, bytes)?;
        let memory = self.small.try_reserve_leaving(bytes, left_bytes(&self.small))?;
        Ok(Lasting { memory, share })
    }

    /// What each client holds.
    pub(crate) fn shares(&self) -> &FairBytes {
        &self.shares
    }
}

/// What is left of the small objects to what passes.
fn left_bytes(small: &MemoryBudget) -> usize {
    price::left_by_lasting_bytes(small.limit_bytes())
}

impl Lasting {
    /// Bytes that are reserved.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// When the client has its share, or when there is no room; what is reserved stays as it is.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let before = self.bytes();
        self.share.try_grow(bytes)?;
        let left_bytes = left_bytes(self.memory.budget());
        let grown = self.memory.try_grow_leaving(bytes, left_bytes);
        if grown.is_err() {
            self.share.shrink_to(before);
        }
        grown
    }

    /// Gives all but `bytes` back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.memory.shrink_to(bytes);
        self.share.shrink_to(bytes);
    }
}
