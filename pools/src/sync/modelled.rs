//! A stand-in under loom for the numbering of threads.

use std::cell::Cell;
use std::sync::atomic::Ordering;

loom::lazy_static! {
    // A std atomic on purpose: numbering threads is no part of the model and must not add branches to it.
    static ref NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
}

loom::thread_local! {
    static INDEX: Cell<Option<usize>> = Cell::new(None);
}

pub(crate) fn thread_index() -> usize {
    INDEX.with(|index| {
        index.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            index.set(Some(next));
            next
        })
    })
}
