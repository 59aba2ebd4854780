//! The twin of `pool_hit_allocates_nothing.rs`: the same witness counts a miss, so its zero means something.

use mcpool::pools::BufferPool;
use mcpool_memtests::{Figure, Watch};

pub(crate) fn pool_miss_allocates_two_blocks() {
    let buffers = BufferPool::default();
    drop(buffers.acquire(4096));

    let watch = Watch::begin();
    let (hit, miss) = (buffers.acquire(4096), buffers.acquire(4096));
    drop((hit, miss));
    let stats = watch.stats();
    // The buffer, and the box in which it travels.
    if (stats.total_blocks, stats.total_bytes) != (2, 4096 + 64) {
        watch.fail(Figure::Allocated, format_args!("a hit and a miss: {stats:?}"));
    }
}
