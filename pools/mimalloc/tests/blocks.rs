//! The count of blocks: as large as mimalloc makes them, whatever is done with them, and on whatever thread.

use std::alloc::{GlobalAlloc, Layout};

#[global_allocator]
static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;

/// Bytes that `work` adds to the count.
fn added(work: impl FnOnce()) -> isize {
    let before = mcpool_mimalloc::block_bytes().cast_signed();
    work();
    mcpool_mimalloc::block_bytes().cast_signed() - before
}

/// One test, because the count is of the whole process.
#[test]
fn blocks_are_counted_as_large_as_they_are() {
    for apart in [false, true] {
        let before = mcpool_mimalloc::set_apart(apart);
        for asked in (0..18).map(|power| (1 << power) + 1).chain([1 << 20, (5 << 20) + 3]) {
            let mut kept = Vec::new();
            let whole = added(|| {
                let counted = added(|| kept = vec![1_u8; asked]);
                assert!(counted >= asked.cast_signed(), "{counted} for {asked}");
                assert!(counted <= (asked + asked / 4 + (64 << 10)).cast_signed(), "{counted} for {asked}");
                kept.extend_from_slice(&[2; 100]);
                kept.shrink_to(1);
                let other = std::mem::take(&mut kept);
                drop(other);
            });
            assert_eq!(whole, 0, "{asked} B, apart: {apart}");
        }
        mcpool_mimalloc::set_apart(before);
    }
    let zeroed = added(|| drop(vec![0_u8; 100_000]));
    assert_eq!(zeroed, 0);
    aligned();
}

/// Blocks that begin behind the start of theirs.
#[allow(unsafe_code)]
fn aligned() {
    for align in [16, 64, 4_096, 65_536] {
        let layout = Layout::from_size_align(3_000, align).expect("a layout");
        let sum = added(|| {
            // SAFETY: the layout is not empty, and the block is freed with the layout that it has.
            unsafe {
                let block = ALLOCATOR.alloc(layout);
                assert!(!block.is_null());
                let grown = ALLOCATOR.realloc(block, layout, 9_000);
                assert!(!grown.is_null());
                ALLOCATOR.dealloc(grown, Layout::from_size_align(9_000, align).expect("a layout"));
            }
        });
        assert_eq!(sum, 0, "aligned to {align}");
    }
}
