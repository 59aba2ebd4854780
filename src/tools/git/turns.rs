//! Calls that change the same repository run one after the other, as all do in the reference. They check first and change
//! then, and git itself refuses a second one meanwhile (`index.lock`). Calls in different repositories run at once.
//!
//! All calls in one repository have at most half of the threads: a repository that git does not come back from, such as
//! one on a disk that does not answer, is to leave some for all others. Who waits for a turn holds no thread.

use crate::lock::lock;
use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A turn on its way to a call that waited for it.
pub(crate) type Erased = Box<dyn Any + Send + Sync>;

/// Who works in which repository now, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Makes a number of a path, as a path may be long and many calls may wait. Two repositories with the same number
    /// would only wait for each other.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// No more than threads that serve calls.
    held: Vec<Wanted>,
    /// In the order in which they came; no more than requests that may be under way, and those that are gone leave when
    /// the next one comes.
    waiting: Vec<(Wanted, usize, oneshot::Sender<Erased>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    repository: u64,
    changes: bool,
}

/// The right to work in a repository; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    inner: Arc<Inner>,
    held: Wanted,
}

impl Turns {
    /// A turn with a repository, named by the directory that its worktrees share, if fewer than `most` calls have one, and
    /// none of them changes it if this one `changes` it. Otherwise what brings a turn later.
    pub(crate) fn take(
        &self,
        repository: &Path,
        changes: bool,
        most: usize,
    ) -> Result<Turn, oneshot::Receiver<Erased>> {
        let wanted = Wanted { repository: self.inner.hasher.hash_one(repository), changes };
        let mut state = lock(&self.inner.state);
        // Nobody waits who could go on, so nobody is overtaken here.
        if state.has_room(wanted, most) {
            state.held.push(wanted);
            return Ok(Turn { inner: Arc::clone(&self.inner), held: wanted });
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.retain(|(_, _, sender)| !sender.is_closed());
        state.waiting.push((wanted, most, sender));
        Err(receiver)
    }

    /// A turn that is counted, but not waited for: for a call that holds what others wait for.
    pub(crate) fn take_beside(&self, repository: &Path) -> Turn {
        let held = Wanted { repository: self.inner.hasher.hash_one(repository), changes: false };
        lock(&self.inner.state).held.push(held);
        Turn { inner: Arc::clone(&self.inner), held }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let state = lock(&self.inner.state);
        size_of::<Inner>()
            + state.held.capacity() * size_of::<Wanted>()
            + state.waiting.capacity() * size_of::<(Wanted, usize, oneshot::Sender<Erased>)>()
    }
}

impl Turn {
    /// Whether it is one with this repository: what a path leads to may have become another while the call waited.
    pub(crate) fn is_of(&self, repository: &Path) -> bool {
        self.held.repository == self.inner.hasher.hash_one(repository)
    }
}

impl State {
    fn has_room(&self, wanted: Wanted, most: usize) -> bool {
        let mut held = self.held.iter().filter(|held| held.repository == wanted.repository);
        held.clone().count() < most && !(wanted.changes && held.any(|held| held.changes))
    }

    /// The first of those that wait and may go on. Its turn is counted.
    fn next(&mut self) -> Option<(Wanted, oneshot::Sender<Erased>)> {
        self.waiting.retain(|(_, _, sender)| !sender.is_closed());
        let next = self.waiting.iter().position(|(wanted, most, _)| self.has_room(*wanted, *most))?;
        let (wanted, _, sender) = self.waiting.remove(next);
        self.held.push(wanted);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        Some((wanted, sender))
    }
}

impl Inner {
    fn end(self: &Arc<Self>, turn: Wanted) {
        let mut ended = Some(turn);
        loop {
            let next = {
                let mut state = lock(&self.state);
                if let Some(at) = ended.take().and_then(|ended| state.held.iter().position(|it| *it == ended))
                {
                    state.held.swap_remove(at);
                }
                state.next()
            };
            let Some((held, sender)) = next else { return };
            // Without the lock: who is gone by now drops the turn, which comes here again.
            drop(sender.send(Box::new(Turn { inner: Arc::clone(self), held })));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let inner = Arc::clone(&self.inner);
        inner.end(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 2;

    fn one() -> &'static Path {
        Path::new("/one")
    }

    /// The turn, if it has come.
    fn come(receiver: &mut oneshot::Receiver<Erased>) -> Option<Turn> {
        receiver.try_recv().ok().map(|given| *given.downcast::<Turn>().expect("a turn"))
    }

    #[test]
    fn changes_are_made_one_at_a_time_in_their_order() {
        let turns = Turns::default();
        let mut held = Some(turns.take(one(), true, MOST).expect("a turn"));
        let mut waiting: Vec<_> =
            (0..5).map(|_| turns.take(one(), true, MOST).expect_err("it waits")).collect();
        assert!(turns.take(Path::new("/other"), true, MOST).is_ok(), "another repository");
        assert!(turns.take(one(), false, MOST).is_ok(), "who reads has room beside a change");
        // The second one gives up.
        drop(waiting.remove(1));
        while !waiting.is_empty() {
            assert!(waiting.iter_mut().all(|waits| come(waits).is_none()));
            drop(held.take());
            held = come(&mut waiting.remove(0));
            assert!(held.as_ref().is_some_and(|held| held.is_of(one())));
        }
        drop(held);
        assert!(turns.take(one(), true, MOST).is_ok());
    }

    #[test]
    fn one_repository_has_a_share_and_no_turn_is_lost() {
        let turns = Turns::default();
        let first = turns.take(one(), false, MOST).expect("a turn");
        let second = turns.take(one(), false, MOST).expect("a turn");
        let mut reads = turns.take(one(), false, MOST).expect_err("it waits");
        let mut changes = turns.take(one(), true, MOST).expect_err("it waits");
        let beside = turns.take_beside(one());
        drop(first);
        assert!(come(&mut reads).is_none(), "two have a turn");
        drop(beside);
        let read = come(&mut reads).expect("its turn");
        drop(second);
        // A turn that came to nobody goes to the next one.
        let mut last = turns.take(one(), true, MOST).expect_err("it waits");
        assert!(come(&mut last).is_none());
        drop(changes.try_recv().expect("its turn"));
        let last_turn = come(&mut last).expect("its turn");
        drop((read, last_turn, reads, changes));
        let state = lock(&turns.inner.state);
        assert!(state.held.is_empty() && state.waiting.is_empty());
    }
}
