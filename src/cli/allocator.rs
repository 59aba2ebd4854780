//! The statistics of the program's allocator.

use crate::memory::{Allocator, AllocatorStats};
use mcpool_mimalloc::MiMalloc;
use serde::Deserialize;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

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
        PURGES.fetch_add(1, Ordering::Relaxed);
        collect_once();
    }
}

/// How often the allocator was purged.
static PURGES: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

/// Returns the free pages of this thread, once for each purge. For threads that go to sleep.
///
/// What one thread allocates and another frees stays with the first, and mimalloc has no way to collect it from
/// elsewhere: 6 MiB were kept by sleeping workers after a burst.
pub(super) fn collect_once() {
    let purges = PURGES.load(Ordering::Relaxed);
    if SEEN.replace(purges) != purges {
        mcpool_mimalloc::collect();
    }
}
