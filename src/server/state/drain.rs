//! The way out: one word to all connections to take nothing new and finish what they have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Tells connections to drain. Cloning makes another handle to the same word.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    word: Arc<Word>,
}

#[derive(Debug, Default)]
struct Word {
    is_given: AtomicBool,
    listeners: Arc<Notify>,
}

impl Drain {
    /// Gives the word.
    pub fn begin(&self) {
        self.word.is_given.store(true, Ordering::Release);
        self.word.listeners.notify_waiters();
    }

    /// Whether the word was given.
    pub fn has_begun(&self) -> bool {
        self.word.is_given.load(Ordering::Acquire)
    }

    /// A future of the word, for connections that are many: small, and without a borrow. It may miss a word
    /// that was given before: ask [`Drain::has_begun`] too, after its first poll.
    pub(crate) fn listen(&self) -> OwnedNotified {
        Arc::clone(&self.word.listeners).notified_owned()
    }

    /// Waits for the word.
    pub async fn wait(&self) {
        // Listening begins before the look, so that a word given in between is heard.
        let given = self.word.listeners.notified();
        if !self.has_begun() {
            given.await;
        }
    }
}
