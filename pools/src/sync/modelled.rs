//! Stand-ins under loom: for the queue, because crossbeam's does not know loom, and for the numbering of threads.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::PoisonError;

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

/// What `store.rs` relies on in crossbeam's queue, and no more: push and pop are linearizable, and `len` is
/// totally ordered with them and with every other `SeqCst` access. Crossbeam gets the second by `SeqCst` on
/// head and tail. loom takes `SeqCst` accesses for acquire and release and knows a total order of fences only,
/// so the order is said with fences here.
pub(crate) struct ArrayQueue<T> {
    items: Mutex<VecDeque<T>>,
    len: AtomicUsize,
    slots: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(slots: usize) -> Self {
        Self { items: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0), slots }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() == self.slots {
            return Err(item);
        }
        items.push_back(item);
        self.len.store(items.len(), Ordering::Release);
        drop(items);
        fence(Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let item = items.pop_front();
        self.len.store(items.len(), Ordering::Release);
        drop(items);
        fence(Ordering::SeqCst);
        item
    }

    pub(crate) fn len(&self) -> usize {
        fence(Ordering::SeqCst);
        self.len.load(Ordering::Acquire)
    }
}
