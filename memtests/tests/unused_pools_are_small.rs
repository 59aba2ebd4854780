//! What a process pays for pools that it has not used yet, and for those that one thread has used.

use mcpool::pools::{ArenaPool, BufferPool, PoolRegistry, RetainArena};
use mcpool_memtests::{Figure, Watch};

pub(crate) fn unused_pools_are_small() {
    let shards =
        std::thread::available_parallelism().map_or(4, |cores| cores.get().next_power_of_two().clamp(4, 16));
    let watch = Watch::begin();
    let registry = PoolRegistry::default();
    let buffers = BufferPool::default();
    let arenas = ArenaPool::new("arenas", 128, RetainArena { retain_bytes: 65_536 });
    buffers.register(&registry).unwrap();
    registry.register(arenas.clone()).unwrap();
    let unused = watch.stats().curr_bytes;
    // Ten pools; each shard has an anchor, its counters and the room for a queue.
    if unused > 10 * (shards * 1024 + 1024) {
        watch.fail(Figure::Live, format_args!("{unused} bytes for {shards} shards"));
    }

    for min_bytes in [1, 4096, 16_384, 65_536, 262_144] {
        drop(buffers.acquire(min_bytes));
    }
    drop(arenas.acquire());
    for pool in buffers.classes() {
        pool.trim(0);
    }
    arenas.trim(0);
    let used = watch.stats().curr_bytes - unused;
    if used > 16 * 1024 {
        watch.fail(Figure::Live, format_args!("{used} bytes for the queues of one thread"));
    }
    println!("unused: {unused} bytes; after use by one thread: {used} more; {shards} shards");
}
