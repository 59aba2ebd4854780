//! What leaves more on the heap each time is found, and named; what is kept once is no leak.

use mcpool_memtests::{Watch, assert_no_leaks};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[inline(never)]
fn forgets_a_box() {
    std::mem::forget(black_box(Box::new([7_u8; 100])));
}

#[inline(never)]
fn grows(kept: &mut Vec<u8>) {
    kept.extend_from_slice(&[7; 64]);
    kept.shrink_to_fit();
}

pub(crate) fn a_leak_is_found() {
    let mut kept = None;
    assert_no_leaks(|| kept.get_or_insert_with(|| vec![0_u8; 64]).len());
    // What is replaced is no leak, even if it was there before anybody watched.
    let mut replaced = vec![0_u8; 64];
    assert_no_leaks(|| replaced = vec![1; 64]);
    // Nor is what a thread frees a while later.
    assert_no_leaks(|| {
        let later = vec![0_u8; 64];
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            drop(later);
        })
        .join()
        .expect("a thread");
    });
    assert_eq!((kept.map(|kept| kept.len()), replaced[0]), (Some(64), 1));

    let message = message_of(|| assert_no_leaks(forgets_a_box));
    assert!(message.starts_with("1 blocks, 100 B more are left each time"), "{message}");
    assert!(message.contains("1 blocks, 100 B:") && message.contains("forgets_a_box"), "{message}");
    assert!(message.contains("dhat/a_leak_is_found/dhat-heap.json"), "{message}");

    // No block more, but bytes.
    let mut growing = Vec::new();
    let message = message_of(|| assert_no_leaks(|| grows(&mut growing)));
    assert!(message.starts_with("0 blocks, 64 B more are left each time"), "{message}");
    assert!(message.contains("a_leak_is_found::grows"), "{message}");

    // Two watches at once would each see the half.
    let watch = Watch::begin();
    assert!(catch_unwind(|| Watch::begin().settle()).is_err());
    drop(watch);
    assert_no_leaks(|| growing.len());
}

/// The message of a panic.
fn message_of(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("the assertion holds");
    *panic.downcast::<String>().expect("a message")
}
