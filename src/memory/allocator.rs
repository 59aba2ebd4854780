//! The interface to the allocator of the program: its figures, and how to return free memory.
//!
//! A library cannot know the allocator of the program that uses it, so the program passes it in:
//! [`MemoryManager::set_allocator`](super::MemoryManager::set_allocator).

/// Figures of the allocator; what it does not know is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocatorStats {
    /// Memory that it holds from the system now.
    pub committed_bytes: Option<u64>,
    /// Most that it ever held from the system.
    pub peak_committed_bytes: Option<u64>,
    /// Bytes in blocks that are handed out, as many as were asked for.
    pub heap_bytes: Option<u64>,
    /// Bytes of the same blocks, each as large as the allocator made it.
    pub block_bytes: Option<u64>,
}

/// The allocator of a program.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::{Allocator, AllocatorStats};
///
/// /// An allocator that counts what it hands out.
/// struct Counting;
///
/// impl Allocator for Counting {
///     fn stats(&self) -> AllocatorStats {
///         AllocatorStats { heap_bytes: Some(1 << 20), ..AllocatorStats::default() }
///     }
/// }
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// server.memory().set_allocator(Counting);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub trait Allocator: Send + Sync + 'static {
    /// The current figures. Called for reports, not for requests.
    fn stats(&self) -> AllocatorStats;

    /// [`AllocatorStats::heap_bytes`] alone. Called each second, so that peaks are noted: implement it where the other
    /// figures cost more.
    fn heap_bytes(&self) -> Option<u64> {
        self.stats().heap_bytes
    }

    /// Returns free memory to the system, as far as the allocator can.
    fn purge(&self) {}
}
