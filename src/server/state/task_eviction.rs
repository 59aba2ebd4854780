//! Which finished tasks make room for new texts and new tasks, and in which order.
//!
//! Invariant: a principal that holds at most an equal share loses nothing to one that then holds more, unless its client has
//! left. What counts is all that a principal holds, running tasks included, although only what has ended makes room.

use crate::server::state::task::{Task, TaskState};
use crate::server::state::task_table::Tasks;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::SystemTime;

/// Who needs how much of what all tasks share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) principal: u128,
    pub(super) amount: usize,
    /// So much of it is not free.
    pub(super) lacking: usize,
    /// What all may hold together.
    pub(super) max: usize,
}

/// What one principal holds.
#[derive(Debug, Default)]
struct Holder<'t> {
    /// What its tasks hold, those that run included.
    amount: usize,
    /// Its finished tasks: when each ended, its id, and what it holds. The oldest last, once they are sorted.
    ended: Vec<(SystemTime, &'t str, usize)>,
}

/// What all principals hold.
#[derive(Debug, Default)]
struct Holders<'t> {
    by_principal: HashMap<u128, Holder<'t>>,
}

impl<'t> Holders<'t> {
    fn add_running(&mut self, principal: u128, amount: usize) {
        self.by_principal.entry(principal).or_default().amount += amount;
    }

    fn add_ended(&mut self, id: &'t str, task: &Task, amount: usize) {
        let holder = self.by_principal.entry(task.principal).or_default();
        holder.amount += amount;
        holder.ended.push((task.updated, id, amount));
    }

    /// The tasks that make room, if that is enough: always the oldest of who holds most, of those that may lose one.
    fn choose(mut self, need: Need) -> Option<Vec<Box<str>>> {
        self.by_principal.entry(need.principal).or_default();
        let share = need.max / self.by_principal.len();
        for holder in self.by_principal.values_mut() {
            holder.ended.sort_unstable_by(|a, b| b.cmp(a));
        }
        let (mut chosen, mut freed) = (Vec::new(), 0);
        while freed < need.lacking {
            let own = self.by_principal.get(&need.principal).map_or(0, |holder| holder.amount) + need.amount;
            let may_lose = |principal: &u128, holder: &Holder<'_>| {
                *principal == need.principal || holder.amount > share || holder.amount > own
            };
            let (_, loser) = self
                .by_principal
                .iter_mut()
                .filter(|(principal, holder)| !holder.ended.is_empty() && may_lose(principal, holder))
                .max_by_key(|(_, holder)| {
                    (holder.amount, holder.ended.last().map(|ended| Reverse(*ended)))
                })?;
            let (_, id, amount) = loser.ended.pop()?;
            loser.amount -= amount;
            freed += amount;
            chosen.push(id.into());
        }
        Some(chosen)
    }
}

/// The finished tasks whose bytes make room; none if all that may be removed is not enough. `running` is what the running
/// tasks of each principal hold.
pub(super) fn for_bytes(
    tasks: &Tasks,
    running: impl IntoIterator<Item = (u128, usize)>,
    need: Need,
) -> Option<Vec<Box<str>>> {
    let mut holders = Holders::default();
    for (principal, bytes) in running {
        holders.add_running(principal, bytes);
    }
    for (id, task) in tasks.iter().filter(|(_, task)| task.outcome_bytes() > 0) {
        holders.add_ended(id, task, task.outcome_bytes());
    }
    holders.choose(need)
}

/// The finished task that makes room for a new one of `principal` among `max` tasks. Those that were cancelled come first:
/// they came to nothing that could be lost. Then come those whose clients have left, as `is_left` says, the oldest first.
pub(super) fn for_one_more(
    tasks: &Tasks,
    principal: u128,
    max: usize,
    is_left: impl Fn(&Task) -> bool,
) -> Option<Box<str>> {
    let oldest = |is_meant: &dyn Fn(&Task) -> bool| {
        let meant = tasks.iter().filter(|(_, task)| is_meant(task));
        meant.min_by_key(|(id, task)| (task.updated, *id)).map(|(id, _)| id.clone())
    };
    let lost_by_nobody = oldest(&|task| matches!(task.state, TaskState::Cancelled));
    if let Some(id) = lost_by_nobody.or_else(|| oldest(&is_left)) {
        return Some(id);
    }
    let mut holders = Holders::default();
    for (id, task) in tasks.iter() {
        if task.is_over() {
            holders.add_ended(id, task, 1);
        } else {
            holders.add_running(task.principal, 1);
        }
    }
    holders.choose(Need { principal, amount: 1, lacking: 1, max })?.pop()
}
