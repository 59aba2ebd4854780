//! What the allocator of the program says about itself.
//!
//! A library cannot know the allocator of the program it becomes part of, so the program tells: see
//! [`MemoryManager::set_allocator`](super::MemoryManager::set_allocator).

/// The allocator in sums; what it cannot tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocatorStats {
    /// Memory that it has from the system now.
    pub committed_bytes: Option<u64>,
    /// Most that it had.
    pub peak_committed_bytes: Option<u64>,
    /// Bytes in blocks that are handed out.
    pub heap_bytes: Option<u64>,
}

/// The allocator of a program.
pub trait Allocator: Send + Sync + 'static {
    /// What it says now. Called for reports, not for requests.
    fn stats(&self) -> AllocatorStats;

    /// Gives free memory back to the system, as far as it can be told to.
    fn purge(&self) {}
}
