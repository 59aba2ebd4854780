//! Contents whose length is not known before their end: in segments while they grow, in one buffer at the end.
//!
//! A buffer that grows by moving holds its contents twice, and half as much again is empty. Here nothing moves before the
//! end, and then each segment is freed as soon as it is copied, into a buffer of exactly the right size whose pages
//! become resident as they are written. So the contents are resident once, and one segment beside.
//!
//! **Invariant:** what is charged is at least what is resident: the contents, the segment that is filled next, and the one
//! that is copied at the end. It is reserved before it is needed, so that only [`Segments::try_push`] can be refused.

use crate::budget::{BudgetSpent, Reservation};
use crate::buffer::{BufferLease, BufferPool};
use std::collections::VecDeque;
use std::mem;

/// Bytes of a segment: what one large read fills.
const SEGMENT_BYTES: usize = 64 * 1024;

/// Contents that grow in segments until their end is found.
///
/// The segment that is filled stays with its owner, who searches it for the end.
///
/// ```
/// use mcpool_pools::{BufferPool, Segments};
///
/// let buffers = BufferPool::default();
/// let mut segments = Segments::default();
/// let mut last = buffers.acquire(4);
/// last.extend_from_slice(b"a long ");
/// segments.try_push(&buffers, &mut last)?; // `last` is empty again
/// last.extend_from_slice(b"line\nand the next");
/// let line = segments.join(&buffers, &last[..4]);
/// assert_eq!(&line[..], b"a long line");
/// assert!(segments.is_empty());
/// # Ok::<(), mcpool_pools::BudgetSpent>(())
/// ```
#[derive(Debug, Default)]
pub struct Segments {
    full: VecDeque<BufferLease>,
    filled_bytes: usize,
    /// Charged to the budget of leased bytes, if the pool has one.
    charge: Option<Reservation>,
}

impl Segments {
    /// The most bytes that contents of `bytes` are charged with until they are one.
    #[must_use]
    pub const fn most_bytes(bytes: usize) -> usize {
        bytes.saturating_add(2 * SEGMENT_BYTES)
    }

    /// Bytes of the contents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled_bytes
    }

    /// Whether there are no contents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// Bytes that are charged for the contents to the budget of leased bytes.
    #[must_use]
    pub fn charged_bytes(&self) -> usize {
        self.charge.as_ref().map_or(0, Reservation::bytes)
    }

    /// The contents, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.full.iter().map(|segment| &segment[..])
    }

    /// Appends all that is in `last`, and replaces it by an empty segment.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if the budget of leased bytes has no room; `last` and the contents stay as they are.
    pub fn try_push(&mut self, buffers: &BufferPool, last: &mut BufferLease) -> Result<(), BudgetSpent> {
        let filled_bytes = self.filled_bytes + last.len();
        let is_first = self.charge.is_none();
        if is_first {
            // Its bytes are among those of the contents.
            self.charge = last.take_charge();
        }
        if let Err(spent) = buffers.try_charge(&mut self.charge, Self::most_bytes(filled_bytes)) {
            if let Some(own) = self.charge.take_if(|_| is_first) {
                last.hold(own);
            }
            return Err(spent);
        }
        self.filled_bytes = filled_bytes;
        self.full.push_back(mem::replace(last, self.next(buffers)));
        Ok(())
    }

    /// An empty segment to go on with, for an owner who let the one go that [`Self::try_push`] gave. One of a class would
    /// stay in it, and be resident beside the contents.
    pub fn next(&self, buffers: &BufferPool) -> BufferLease {
        buffers.uncharged(SEGMENT_BYTES)
    }

    /// Takes the contents, with `end` as their last part, in a buffer of their own length that is charged with it.
    pub fn join(&mut self, buffers: &BufferPool, end: &[u8]) -> BufferLease {
        let bytes = self.filled_bytes + end.len();
        let mut whole = buffers.uncharged(bytes);
        while let Some(segment) = self.full.pop_front() {
            whole.extend_from_slice(&segment);
        }
        whole.extend_from_slice(end);
        if let Some(mut charge) = self.charge.take() {
            charge.shrink_to(bytes);
            whole.hold(charge);
        }
        *self = Self::default();
        whole
    }

    /// Forgets the contents.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
