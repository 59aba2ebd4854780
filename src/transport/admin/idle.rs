//! Connections of the admin listener that wait for their peers: who waits longest makes room for who comes.
//!
//! Invariant: at most [`MAX_IDLE`] wait, so connections that say nothing leave places to commands, however many come.

use crate::lock::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Most connections that wait at once.
pub(super) const MAX_IDLE: usize = 8;

/// All that wait, the longest first.
#[derive(Debug, Default)]
pub(super) struct Idle {
    waiting: Mutex<VecDeque<Arc<Notify>>>,
}

impl Idle {
    /// Does `work`, which waits for a peer; `None` when it waited longest of too many.
    pub(super) async fn wait_for<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let entry = self.enter();
        tokio::select! {
            // What has come counts, even if its place was just taken.
            biased;
            done = work => Some(done),
            () = entry.displaced.notified() => None,
        }
    }

    fn enter(&self) -> Entry<'_> {
        let displaced = Arc::new(Notify::new());
        let longest = {
            let mut waiting = lock(&self.waiting);
            waiting.push_back(Arc::clone(&displaced));
            if waiting.len() > MAX_IDLE { waiting.pop_front() } else { None }
        };
        if let Some(longest) = longest {
            longest.notify_one();
        }
        Entry { idle: self, displaced }
    }
}

/// A place among those that wait, until it is dropped.
struct Entry<'a> {
    idle: &'a Idle,
    displaced: Arc<Notify>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        lock(&self.idle.waiting).retain(|waiting| !Arc::ptr_eq(waiting, &self.displaced));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn who_waits_longest_makes_room_and_nobody_else() {
        let idle = Arc::new(Idle::default());
        let wait = || {
            let idle = Arc::clone(&idle);
            tokio::spawn(async move { idle.wait_for(pending::<()>()).await })
        };
        let mut first: Vec<_> = (0..MAX_IDLE).map(|_| wait()).collect();
        while lock(&idle.waiting).len() < MAX_IDLE {
            tokio::task::yield_now().await;
        }
        // Who is served at once takes a place only for a moment, and needs one.
        assert_eq!(idle.wait_for(ready(7)).await, Some(7));
        let last = [wait(), wait()];
        for (at, waiting) in first.drain(..2).enumerate() {
            assert_eq!(waiting.await.expect("it ends"), None, "the {at}. of those that wait");
        }
        tokio::task::yield_now().await;
        assert!(first.iter().chain(&last).all(|waiting| !waiting.is_finished()));
        assert_eq!(lock(&idle.waiting).len(), MAX_IDLE);
        first.iter().chain(&last).for_each(tokio::task::JoinHandle::abort);
        while !lock(&idle.waiting).is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
