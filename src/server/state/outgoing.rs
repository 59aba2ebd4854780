//! The queue of messages that a request sends besides its answer: notifications, and requests to the client.
//!
//! The connection's writer takes them out. Invariant: the buffers in the queue never exceed the limit. A message that
//! does not fit is refused, and its sender counts it, so a slow reader costs no memory. Bytes are those of whole
//! buffers: a short notification holds a kilobyte, ten times its length.

use crate::server::state::wake_list::Guarded;
use atomic_waker::AtomicWaker;
use mcpool_pools::BufferLease;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

/// Messages on their way to one peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: Guarded<Queue>,
    /// Length of the queue. Most queues are empty, and are checked without the lock.
    queued: AtomicUsize,
    writer: AtomicWaker,
    /// Whether the stream is to end while its request goes on.
    is_released: AtomicBool,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<BufferLease>,
    /// Bytes of the buffers.
    bytes: usize,
    /// Subscriptions that wait for the queue to be empty, each at most once.
    waiting: Vec<Waker>,
}

impl Outgoing {
    /// Entries whose memory an empty queue may keep.
    const KEPT_ENTRIES: usize = 4;

    /// A queue of at most `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            queue: Guarded::default(),
            queued: AtomicUsize::new(0),
            writer: AtomicWaker::new(),
            is_released: AtomicBool::new(false),
            max_bytes,
        }
    }

    /// Queues a message and wakes the writer; `false` if the message did not fit and was dropped. An empty queue has
    /// room for a message of any length.
    #[must_use]
    pub(crate) fn send(&self, message: BufferLease) -> bool {
        self.queue.with(|queue, wakes| {
            if queue.bytes > 0 && queue.bytes + message.capacity() > self.max_bytes {
                return false;
            }
            queue.bytes += message.capacity();
            queue.messages.push_back(message);
            self.queued.store(queue.messages.len(), Ordering::Release);
            wakes.push(self.writer.take());
            true
        })
    }

    /// The oldest message.
    #[inline]
    pub(crate) fn next(&self) -> Option<BufferLease> {
        if self.is_empty() { None } else { self.take() }
    }

    #[inline(never)]
    fn take(&self) -> Option<BufferLease> {
        self.queue.with(|queue, wakes| {
            let message = queue.messages.pop_front()?;
            queue.bytes -= message.capacity();
            self.queued.store(queue.messages.len(), Ordering::Release);
            if queue.messages.is_empty() {
                if queue.messages.capacity() > Self::KEPT_ENTRIES {
                    queue.messages = VecDeque::new();
                }
                queue.waiting.drain(..).for_each(|sender| wakes.push(Some(sender)));
            }
            Some(message)
        })
    }

    /// Wakes `sender` once the queue is empty.
    pub(crate) fn wake_when_empty(&self, sender: &Waker) {
        let mut sender = Some(sender.clone());
        self.queue.with(|queue, _| {
            let is_new = |sender: &Waker| queue.waiting.iter().all(|waiting| !waiting.will_wake(sender));
            if sender.as_ref().is_some_and(is_new) {
                queue.waiting.extend(sender.take());
            }
        });
    }

    /// Whether no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued.load(Ordering::Acquire) == 0
    }

    /// Drops the messages and all wakers: a waker keeps the memory of its task.
    pub(crate) fn clear(&self) {
        let forgotten = self.queue.with(|queue, _| {
            if queue.messages.capacity() > Self::KEPT_ENTRIES {
                queue.messages = VecDeque::new();
            }
            queue.messages.clear();
            self.queued.store(0, Ordering::Release);
            queue.bytes = 0;
            std::mem::take(&mut queue.waiting)
        });
        drop((forgotten, self.writer.take()));
        self.is_released.store(false, Ordering::Relaxed);
    }

    /// Asks the writer to end the stream.
    pub(crate) fn ask_for_release(&self) {
        self.is_released.store(true, Ordering::Release);
        self.writer.wake();
    }

    /// Whether the stream is to end. Resets the flag.
    pub(crate) fn take_release(&self) -> bool {
        self.is_released.swap(false, Ordering::AcqRel)
    }

    /// Registers the waker of the writer.
    pub(crate) fn register(&self, writer: &Waker) {
        self.writer.register(writer);
    }
}
