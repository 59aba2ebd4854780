//! The memory of what is made of a large message while it is decoded: strings in an arena, lists and copies on the heap.
//!
//! Most of a large message is borrowed or passed on in pieces, and nothing is made of it. So the arena has a limit, and a
//! decode that needs more fails before it takes it; then all that the message may need is reserved, and the decode begins
//! again. **Invariant:** an arena without a limit is one of a small message, or of one for which that was reserved.

use crate::limits::price;
use crate::wire::Frame;
use bumpalo::Bump;
use crossbeam_utils::atomic::AtomicCell;

use mcpool_pools::{BudgetSpent, Reservation};
use std::fmt;

/// What is reserved for what is made of one message. It lives as long as the arena of its strings.
#[derive(Default)]
pub(crate) struct MadeMemory {
    /// One word, as each waiting request holds one, and few messages are large.
    reserved: AtomicCell<Option<Box<Reservation>>>,
}

impl fmt::Debug for MadeMemory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MadeMemory").finish_non_exhaustive()
    }
}

impl MadeMemory {
    /// Lets an arena grow by what a large message is charged with from its start, and by nothing more. An arena of a small
    /// message has no limit.
    pub(crate) fn bound(frame: &Frame, arena: &Bump) {
        let limit = frame.is_large().then(|| arena.allocated_bytes() + price::ARENA_BYTES);
        arena.set_allocation_limit(limit);
    }

    /// Reserves what is made of the whole message at most, and takes the limit from the arena.
    ///
    /// # Errors
    /// When there is no room for it; the arena keeps its limit.
    pub(crate) fn make_room(&self, frame: &Frame, arena: &Bump) -> Result<(), BudgetSpent> {
        if arena.allocation_limit().is_some() {
            self.reserved.store(frame.reserve_made()?.map(Box::new));
            arena.set_allocation_limit(None);
        }
        Ok(())
    }

    /// Ends the decode, after which nothing more is made: gives back what was reserved beyond the arena, unless the decoded
    /// value has memory of its own. A frame may be charged with an arena that was there before.
    pub(crate) fn settle(&self, frame: &Frame, arena: &Bump, has_owned: bool) {
        arena.set_allocation_limit(None);
        if !has_owned && let Some(mut reserved) = self.reserved.take() {
            reserved.shrink_to(arena.allocated_bytes().saturating_sub(frame.charged_arena_bytes()));
            self.reserved.store(Some(reserved));
        }
    }
}
