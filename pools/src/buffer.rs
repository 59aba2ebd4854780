//! Size classes of `BytesMut`.

use bytes::BytesMut;
use std::ops::{Deref, DerefMut};

/// Buffers in size classes, each class a pool of its own.
#[derive(Clone, Default)]
pub struct BufferPool {}

impl BufferPool {
    /// Leases an empty buffer with room for at least `bytes`.
    ///
    /// A request beyond the largest class is served by the allocator and not kept on return.
    pub fn acquire(&self, bytes: usize) -> BufferLease {
        BufferLease { buffer: BytesMut::with_capacity(bytes), pool: self.clone() }
    }
}

/// A buffer on loan from a [`BufferPool`]; returns on drop.
#[must_use = "a lease returns its buffer as soon as it is dropped"]
pub struct BufferLease {
    buffer: BytesMut,
    pool: BufferPool,
}

impl BufferLease {
    /// Makes room for at least `additional` more bytes, moving the contents to a larger class if need be.
    pub fn reserve(&mut self, additional: usize) {
        if self.buffer.capacity() - self.buffer.len() < additional {
            let mut larger = self.pool.acquire((self.buffer.len() + additional).next_power_of_two());
            larger.buffer.extend_from_slice(&self.buffer);
            *self = larger;
        }
    }

    /// The pool that this lease came from.
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }
}

impl Deref for BufferLease {
    type Target = BytesMut;
    fn deref(&self) -> &BytesMut {
        &self.buffer
    }
}

impl DerefMut for BufferLease {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }
}
