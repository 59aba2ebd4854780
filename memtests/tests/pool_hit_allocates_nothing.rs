//! A hit, its return, a change of capacity and a snapshot allocate nothing. The twin that shows that the witness sees
//! allocations is `pool_miss_allocates_two_blocks.rs`.

use mcpool::pools::{ArenaPool, BufferPool, PoolControl, RetainArena};
use mcpool_memtests::assert_no_allocations;

pub(crate) fn pool_hit_allocates_nothing() {
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

    assert_no_allocations(|| {
        for _ in 0..1000 {
            work();
        }
    });
}
