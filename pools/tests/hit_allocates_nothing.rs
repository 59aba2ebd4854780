//! A hit, its return, a change of capacity and a snapshot allocate nothing. One test, one process: the profiler is
//! global. The twin that shows that the witness sees allocations is `miss_allocates_two_blocks.rs`.
#![cfg(not(any(loom, miri)))]

use mcpool_pools::{ArenaPool, BufferPool, PoolControl, RetainArena};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn hit_allocates_nothing() {
    let buffers = BufferPool::default();
    let arenas = ArenaPool::new("arenas", 8, RetainArena { retain_bytes: 65_536 });
    let work = || {
        for min_bytes in [0, 1024, 4096, 100_000] {
            let (mut first, second) = (buffers.acquire(min_bytes), buffers.acquire(min_bytes));
            first.extend_from_slice(b"written");
            drop((first, second));
        }
        let mut line = buffers.acquire(1000);
        line.extend_from_slice(&[7; 1000]);
        line.reserve(3000);
        drop(line);
        arenas.acquire().alloc_slice_fill_copy(300, 1u8);
        arenas.set_capacity(4);
        arenas.set_capacity(8);
        assert_eq!(arenas.snapshot().in_use, 0);
        buffers.classes().for_each(PoolControl::reset_high_water_mark);
    };
    work();

    let _profiler = dhat::Profiler::builder().testing().build();
    for _ in 0..1000 {
        work();
    }
    let stats = dhat::HeapStats::get();
    dhat::assert_eq!(stats.total_blocks, 0);
}
