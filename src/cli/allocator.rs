//! The statistics of the program's allocator.

use crate::memory::{Allocator, AllocatorStats};
use mcpool_mimalloc::MiMalloc;
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
        let json = MiMalloc::stats_json().ok();
        let committed = json.and_then(|json| serde_json::from_slice::<Statistics>(json.to_bytes()).ok());
        let committed = committed.map(|statistics| statistics.committed);
        AllocatorStats {
            committed_bytes: committed.as_ref().map(|count| count.current),
            peak_committed_bytes: committed.map(|count| count.peak),
            heap_bytes: self.heap_bytes(),
        }
    }

    fn heap_bytes(&self) -> Option<u64> {
        Some((self.heap_bytes)() as u64)
    }

    fn purge(&self) {
        mcpool_mimalloc::collect();
    }
}
