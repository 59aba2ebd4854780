//! The statistics of the program's allocator.

use crate::memory::{Allocator, AllocatorStats};
use serde::Deserialize;

/// The allocator of `main`: mimalloc, with its blocks counted.
pub(super) struct ProgramAllocator {
    heap_bytes: fn() -> usize,
}

impl ProgramAllocator {
    pub(super) fn new(heap_bytes: fn() -> usize) -> Self {
        Self { heap_bytes }
    }
}

/// The part of mimalloc's statistics that its release builds count.
#[derive(Deserialize)]
struct Statistics {
    committed: Count,
}

#[derive(Deserialize)]
struct Count {
    peak: u64,
    current: u64,
}

impl Allocator for ProgramAllocator {
    fn stats(&self) -> AllocatorStats {
        let json = mimalloc::MiMalloc::stats_json().ok();
        let committed = json.and_then(|json| serde_json::from_slice::<Statistics>(json.to_bytes()).ok());
        let committed = committed.map(|statistics| statistics.committed);
        AllocatorStats {
            committed_bytes: committed.as_ref().map(|count| count.current),
            peak_committed_bytes: committed.map(|count| count.peak),
            heap_bytes: Some((self.heap_bytes)() as u64),
        }
    }

    /// mimalloc gives memory back when a thread ends, and has no safe function to ask for that: this starts a thread
    /// that ends at once.
    fn purge(&self) {
        let thread = std::thread::Builder::new().stack_size(64 * 1024);
        if let Ok(handle) = thread.spawn(|| drop(std::hint::black_box(Box::new(0_u8)))) {
            // The thread cannot panic, and nothing depends on it.
            let _ = handle.join();
        }
    }
}
