//! Calls that change a repository run one after the other, as in the reference: they check first and change then, and
//! git itself refuses a second one meanwhile (`index.lock`).

use super::error::GitFailure;
use crate::lock::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a call that waits looks whether somebody still waits for its answer.
const TICK: Duration = Duration::from_millis(50);

/// Who may change something now.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    is_taken: Mutex<bool>,
    is_free: Condvar,
}

/// The right to change something; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
}

impl Turns {
    /// Waits for a turn, and asks `check` while it does.
    ///
    /// # Errors
    /// What `check` says.
    pub(crate) fn take(&self, check: impl Fn() -> Result<(), GitFailure>) -> Result<Turn<'_>, GitFailure> {
        let mut is_taken = lock(&self.is_taken);
        while *is_taken {
            check()?;
            let waited = self.is_free.wait_timeout(is_taken, TICK);
            is_taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_taken = true;
        Ok(Turn { turns: self })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.turns.is_taken) = false;
        self.turns.is_free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_at_a_time_and_who_gives_up_takes_none() {
        let (turns, at_once, done) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let turn = turns.take(|| Ok(())).expect("a turn");
                    assert_eq!(at_once.fetch_add(1, Ordering::Relaxed), 0);
                    std::thread::yield_now();
                    at_once.fetch_sub(1, Ordering::Relaxed);
                    drop(turn);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
        let held = turns.take(|| Ok(())).expect("a turn");
        assert!(matches!(turns.take(|| Err(GitFailure::Cancelled)), Err(GitFailure::Cancelled)));
        drop(held);
        assert!(turns.take(|| Err(GitFailure::Cancelled)).is_ok(), "free turns are not asked about");
    }
}
