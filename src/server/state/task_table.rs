//! The tasks of a server by their ids, and those of them that ended and made room for others, so that their clients are
//! told so.

use crate::memory::lasting;
use crate::server::state::give_back::give_back;
use crate::server::state::task::Task;
use crate::server::state::wake_list::WakeList;
use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::time::SystemTime;

/// So many of the tasks that made room are known, the youngest.
const MOST_REMEMBERED: usize = 256;

/// All tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    by_id: HashMap<Box<str>, Task>,
    /// The oldest first.
    made_room: VecDeque<Removed>,
}

/// A task that made room.
#[derive(Debug)]
struct Removed {
    id: u128,
    principal: u128,
    session: Option<u64>,
    /// Its time would have been over then.
    until: SystemTime,
}

/// Who asks for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskOwner {
    Principal(u128),
    /// A session of revision 2025-11-25.
    Session(u64),
}

/// Why somebody has no such task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTask {
    /// It has ended, and made room for others.
    MadeRoom,
    /// It never was, it is of somebody else, or its time is over.
    Unknown,
}

impl NoTask {
    /// What the client is told.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::MadeRoom => {
                "this task ended, and what it came to made room for other tasks before its time was over (settings \
                 max_task_bytes, max_tasks): call again, and ask for results sooner"
            }
            Self::Unknown => "there is no such task, or its time is over",
        }
    }
}

/// The number that an id stands for.
fn number_of(id: &str) -> Option<u128> {
    u128::from_str_radix(id, 16).ok()
}

impl Tasks {
    /// Removes a task that makes room for others. Its owner is told so until its time is over.
    pub(super) fn make_room(&mut self, id: &str) {
        let Some(task) = self.by_id.remove(id) else { return };
        let Some((id, until)) = number_of(id).zip(task.expires()) else { return };
        if self.made_room.len() >= MOST_REMEMBERED {
            self.made_room.pop_front();
        }
        let Task { principal, session, .. } = task;
        lasting(|| self.made_room.push_back(Removed { id, principal, session, until }));
    }

    /// Removes the tasks for which `must_go` holds, and wakes who waits for them.
    pub(super) fn remove_where(&mut self, wakes: &mut WakeList, must_go: impl Fn(&Task) -> bool) {
        self.by_id.retain(|_, task| {
            let goes = must_go(task);
            if goes {
                task.wake_all(wakes);
            }
            !goes
        });
        give_back(&mut self.by_id);
    }

    /// Removes the tasks whose time is over now, and wakes who waits for them.
    pub(super) fn purge(&mut self, now: SystemTime, wakes: &mut WakeList) {
        self.remove_where(wakes, |task| task.expires().is_some_and(|end| end <= now));
        self.made_room.retain(|removed| now < removed.until);
        if self.made_room.is_empty() {
            self.made_room = VecDeque::new();
        }
    }

    /// Why `owner` has no such task.
    pub(super) fn why_missing(&self, id: &str, owner: TaskOwner) -> NoTask {
        let is_meant = |removed: &&Removed| {
            let is_of_owner = match owner {
                TaskOwner::Principal(principal) => removed.principal == principal,
                TaskOwner::Session(session) => removed.session == Some(session),
            };
            is_of_owner && Some(removed.id) == number_of(id)
        };
        if self.made_room.iter().any(|removed| is_meant(&removed)) {
            NoTask::MadeRoom
        } else {
            NoTask::Unknown
        }
    }

    /// Bytes of the table, without the texts of the tasks.
    pub(super) fn bytes(&self) -> usize {
        let ids: usize = self.by_id.keys().map(|id| id.len() + size_of::<Task>()).sum();
        ids + self.made_room.capacity() * size_of::<Removed>()
    }
}

impl Deref for Tasks {
    type Target = HashMap<Box<str>, Task>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl DerefMut for Tasks {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.by_id
    }
}
