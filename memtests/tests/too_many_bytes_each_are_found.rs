//! What keeps more bytes each than allowed is found, and named.

use mcpool_memtests::bytes_per;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[inline(never)]
fn keeps_a_hundred() -> Vec<u8> {
    black_box(vec![7; 100])
}

pub(crate) fn too_many_bytes_each_are_found() {
    assert_eq!(bytes_per(keeps_a_hundred, 1_000).bytes(), 100);
    assert_eq!(bytes_per(keeps_a_hundred, 10).at_most(100).len(), 11, "the one that warmed up is there too");
    // What all share is paid for once, and is not theirs.
    let mut shared: Vec<u8> = Vec::new();
    let each = bytes_per(
        || {
            shared.reserve(1 << 20);
            keeps_a_hundred()
        },
        100,
    );
    assert_eq!(each.bytes(), 100);
    drop(each);
    // What is freed at once does not count.
    assert_eq!(bytes_per(|| keeps_a_hundred().len(), 100).bytes(), 0);

    let each = AssertUnwindSafe(bytes_per(keeps_a_hundred, 1_000));
    let panic = catch_unwind(move || drop({ each }.0.at_most(99))).expect_err("the assertion holds");
    let message = *panic.downcast::<String>().expect("a message");
    assert!(message.starts_with("each of 1000 keeps 100 B of heap, 99 B are allowed"), "{message}");
    assert!(message.contains("1000 blocks, 100000 B:") && message.contains("keeps_a_hundred"), "{message}");
    assert!(message.contains("dhat/too_many_bytes_each_are_found/dhat-heap.json"), "{message}");
}
