//! One message's bytes, owned.
//!
//! A frame holds the lease of the buffer that its bytes are in, so whoever owns the frame keeps the bytes,
//! and dropping it gives the buffer back. It knows nothing of what the bytes mean.

use crate::limits::price;
use mcpool_pools::{BudgetSpent, BufferLease, BufferPool, MemoryBudget, Reservation};
use std::ops::Range;

/// The bytes of one message, without the newline.
///
/// Invariant: `range` lies within the buffer.
///
/// ```
/// use mcpool::pools::BufferPool;
/// use mcpool::wire::Frame;
///
/// let frame = Frame::copied(&BufferPool::default(), b"{}");
/// assert_eq!(frame.bytes(), b"{}");
/// ```
#[derive(Debug)]
#[must_use = "a dropped frame is a lost message"]
pub struct Frame {
    buffer: BufferLease,
    range: Range<usize>,
}

impl Frame {
    /// Takes over a buffer of which `range` is the message.
    pub(crate) fn whole(buffer: BufferLease, range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= buffer.len(), "{range:?} of {}", buffer.len());
        Self { buffer, range }
    }

    /// Copies a message into a buffer of its own size class, or of its own size if it is large.
    pub fn copied(buffers: &BufferPool, bytes: &[u8]) -> Self {
        let mut buffer = if bytes.len() > price::LARGE_BYTES {
            buffers.acquire_exact(bytes.len())
        } else {
            buffers.acquire(bytes.len())
        };
        buffer.extend_from_slice(bytes);
        Self { range: 0..bytes.len(), buffer }
    }

    /// Copies the message into a buffer of its own size that no budget of buffers is charged with: the caller has room for it.
    pub(crate) fn copied_exactly(&self, buffers: &BufferPool) -> Self {
        let mut buffer = buffers.uncharged(self.range.len());
        buffer.extend_from_slice(self.bytes());
        Self { range: 0..buffer.len(), buffer }
    }

    /// Bytes of the message and of what was made of it when it was served.
    pub(crate) fn served_bytes(&self) -> usize {
        let made = if self.is_large() {
            price::ARENA_BYTES + self.charged_arena_bytes()
        } else {
            price::small_served_bytes(self.range.len())
        };
        self.range.len() + made
    }

    /// Charges the buffer of a message for what will be made of it while the frame lives. What is made of a message in a
    /// small buffer is charged to `small`; of a very short one, nothing is. Of a large message it is little, and more is
    /// reserved with [`Frame::reserve_made`] where more is made.
    ///
    /// # Errors
    /// When what is in memory leaves no room for it.
    pub(crate) fn charge_for_serving(&mut self, small: &MemoryBudget) -> Result<(), BudgetSpent> {
        if self.is_large() {
            return self.buffer.try_charge(price::ARENA_BYTES);
        }
        match price::small_served_bytes(self.range.len()) {
            // A charged buffer is more than a small message and what is made of it.
            served if served > 0 && !self.buffer.is_charged() => self.buffer.hold(small.try_reserve(served)?),
            _ => {}
        }
        Ok(())
    }

    /// Charges a large message with an arena that exists before something is made in it; not twice.
    ///
    /// # Errors
    /// When what is in memory leaves no room for it.
    pub(crate) fn charge_made(&mut self, arena_bytes: usize) -> Result<(), BudgetSpent> {
        self.buffer.try_charge_filled(self.buffer.capacity() + price::ARENA_BYTES + arena_bytes)
    }

    /// Bytes of the arena that the message is charged with since [`Frame::charge_made`].
    pub(crate) fn charged_arena_bytes(&self) -> usize {
        self.buffer.charged_bytes().saturating_sub(self.buffer.capacity() + 2 * price::ARENA_BYTES)
    }

    /// Bytes of the room for large messages that the message holds.
    pub(crate) fn reserved_bytes(&self) -> usize {
        if self.is_large() { self.buffer.charged_bytes() } else { 0 }
    }

    /// Whether what is made of the message is charged as it is made.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.range.len() > price::SMALL_BUFFER_BYTES
    }

    /// Reserves what is made of a large message at most, beside its buffer; without a budget, nothing.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn reserve_made(&self) -> Result<Option<Reservation>, BudgetSpent> {
        self.buffer.try_reserve_beside(self.most_made_bytes())
    }

    /// The most bytes that are made of a large message.
    pub(crate) fn most_made_bytes(&self) -> usize {
        price::served_bytes(self.range.len())
    }

    /// The bytes before the message in its buffer: the head of an HTTP request.
    pub(crate) fn head(&self) -> &[u8] {
        &self.buffer[..self.range.start]
    }

    /// Capacity of the frame's buffer, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The bytes of the message.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}
