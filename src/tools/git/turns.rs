//! Calls that change the same repository run one after the other, as all do in the reference. They check first and change
//! then, and git itself refuses a second one meanwhile (`index.lock`). Calls in different repositories run at once.

use super::error::GitFailure;
use crate::lock::lock;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a call that waits looks whether somebody still waits for its answer.
const TICK: Duration = Duration::from_millis(50);

/// Which repositories are being changed now: no more of them than threads that serve calls.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<Vec<PathBuf>>,
    is_free: Condvar,
}

/// The right to change a repository; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    repository: PathBuf,
}

impl Turns {
    /// Waits for a turn with a repository, named by the directory that its worktrees share, and asks `check` meanwhile.
    ///
    /// # Errors
    /// What `check` says.
    pub(crate) fn take(
        &self,
        repository: &Path,
        check: impl Fn() -> Result<(), GitFailure>,
    ) -> Result<Turn<'_>, GitFailure> {
        let mut taken = lock(&self.taken);
        while taken.iter().any(|taken| taken == repository) {
            check()?;
            let waited = self.is_free.wait_timeout(taken, TICK);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        taken.push(repository.to_owned());
        Ok(Turn { turns: self, repository: repository.to_owned() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.taken).retain(|taken| *taken != self.repository);
        self.turns.is_free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_at_a_time_and_who_gives_up_takes_none() {
        let (one, other) = (Path::new("/one"), Path::new("/other"));
        let (turns, at_once, done) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let turn = turns.take(one, || Ok(())).expect("a turn");
                    assert_eq!(at_once.fetch_add(1, Ordering::Relaxed), 0);
                    std::thread::yield_now();
                    at_once.fetch_sub(1, Ordering::Relaxed);
                    drop(turn);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
        let held = turns.take(one, || Ok(())).expect("a turn");
        assert!(matches!(turns.take(one, || Err(GitFailure::Cancelled)), Err(GitFailure::Cancelled)));
        drop(turns.take(other, || Err(GitFailure::Cancelled)).expect("another repository"));
        drop(held);
        assert!(turns.take(one, || Err(GitFailure::Cancelled)).is_ok(), "free turns are not asked about");
    }
}
