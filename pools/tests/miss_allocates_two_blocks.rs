//! The twin of `hit_allocates_nothing.rs`: the same witness counts a miss, so its zero means something.
#![cfg(not(any(loom, miri)))]

use mcpool_pools::BufferPool;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn miss_allocates_two_blocks() {
    let buffers = BufferPool::default();
    drop(buffers.acquire(4096));

    let _profiler = dhat::Profiler::builder().testing().build();
    let (hit, miss) = (buffers.acquire(4096), buffers.acquire(4096));
    drop((hit, miss));
    let stats = dhat::HeapStats::get();
    // The buffer, and the box in which it travels.
    dhat::assert_eq!((stats.total_blocks, stats.total_bytes), (2, 4096 + 64));
}
