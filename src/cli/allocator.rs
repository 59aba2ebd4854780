//! The statistics of the program's allocator.

use crate::memory::{Allocator, AllocatorStats};
use mcpool_mimalloc::stats_json;
use serde::Deserialize;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// The allocator of `main`: mimalloc, with its blocks counted.
pub(super) struct ProgramAllocator {
    heap_bytes: fn() -> usize,
    /// Whose threads purge.
    runtime: Handle,
}

impl ProgramAllocator {
    pub(super) fn new(heap_bytes: fn() -> usize, runtime: &Handle) -> Self {
        Self { heap_bytes, runtime: runtime.clone() }
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
        let json = stats_json();
        let committed = json.and_then(|json| serde_json::from_slice::<Statistics>(json.to_bytes()).ok());
        let committed = committed.map(|statistics| statistics.committed);
        AllocatorStats {
            committed_bytes: committed.as_ref().map(|count| count.current),
            peak_committed_bytes: committed.map(|count| count.peak),
            heap_bytes: self.heap_bytes(),
            block_bytes: Some(mcpool_mimalloc::block_bytes() as u64),
        }
    }

    fn heap_bytes(&self) -> Option<u64> {
        Some((self.heap_bytes)() as u64)
    }

    fn purge(&self) {
        COLLECTED_BY.store(0, Ordering::Relaxed);
        PURGES.fetch_add(1, Ordering::Relaxed);
        collect_once();
        MAIN_THREAD.notify_one();
        self.runtime.spawn(wake_workers());
    }
}

/// How often the allocator was purged.
static PURGES: AtomicU32 = AtomicU32::new(0);
/// Workers that collected since the last purge.
static COLLECTED_BY: AtomicUsize = AtomicUsize::new(0);
/// Woken at each purge.
static MAIN_THREAD: Notify = Notify::const_new();
/// How often workers are woken for one purge at most. One that is busy all the while collects when it next sleeps.
const WAKE_ROUNDS: usize = 50;

/// Wakes sleeping workers until each has collected: which worker a task wakes is for the runtime to say.
async fn wake_workers() {
    let workers = Handle::current().metrics().num_workers();
    for _ in 0..WAKE_ROUNDS {
        for _ in 0..workers {
            tokio::spawn(async { collect_on_worker() });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        if COLLECTED_BY.load(Ordering::Relaxed) >= workers {
            break;
        }
    }
}

/// Collects on the thread that accepts connections, which is no worker, at each purge. Never ends.
pub(super) async fn collect_at_purges() {
    loop {
        MAIN_THREAD.notified().await;
        collect_once();
    }
}

/// For workers before they sleep.
pub(super) fn collect_on_worker() {
    if collect_once() {
        COLLECTED_BY.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

/// Returns the free pages of this thread, once for each purge. Returns whether it did.
///
/// What one thread allocates and another frees stays with the first, and mimalloc has no way to collect it from
/// elsewhere: 6 MiB were kept by sleeping threads after a burst.
fn collect_once() -> bool {
    let purges = PURGES.load(Ordering::Relaxed);
    let is_due = SEEN.replace(purges) != purges;
    if is_due {
        mcpool_mimalloc::collect();
    }
    is_due
}
