//! Which finished tasks make room for new texts and new tasks, and in which order.

use crate::server::state::task::Task;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::SystemTime;

/// A finished task: when it ended, its id, and its bytes.
type FinishedTask = (SystemTime, Box<str>, usize);

/// The finished tasks in the order in which they are removed.
pub(super) struct EvictionOrder {
    /// For each principal: the bytes that its finished tasks keep, and the tasks, the oldest last.
    by_principal: HashMap<u128, (usize, Vec<FinishedTask>)>,
}

impl EvictionOrder {
    pub(super) fn of<'t>(tasks: impl Iterator<Item = (&'t Box<str>, &'t Task)>) -> Self {
        let mut by_principal = HashMap::<_, (usize, Vec<_>)>::new();
        for (id, task) in tasks.filter(|(_, task)| task.outcome_bytes() > 0) {
            let (sum, own) = by_principal.entry(task.principal).or_default();
            *sum += task.outcome_bytes();
            own.push((task.updated, id.clone(), task.outcome_bytes()));
        }
        for (_, own) in by_principal.values_mut() {
            own.sort_by(|a, b| b.cmp(a));
        }
        Self { by_principal }
    }
}

impl Iterator for EvictionOrder {
    type Item = Box<str>;

    fn next(&mut self) -> Option<Box<str>> {
        let (sum, own) = self.by_principal.values_mut().max_by_key(|(sum, _)| *sum)?;
        let (_, id, bytes) = own.pop()?;
        *sum -= bytes;
        Some(id)
    }
}

/// The finished task that makes room for a new one: the oldest of the principal that keeps most of them, so that no
/// principal loses a result to one that keeps more.
pub(super) fn next_to_forget<'t>(tasks: impl Iterator<Item = (&'t Box<str>, &'t Task)>) -> Option<Box<str>> {
    let mut by_principal = HashMap::<u128, (usize, (SystemTime, &str))>::new();
    for (id, task) in tasks.filter(|(_, task)| task.is_over()) {
        let ended = (task.updated, &**id);
        let (count, oldest) = by_principal.entry(task.principal).or_insert((0, ended));
        *count += 1;
        *oldest = ended.min(*oldest);
    }
    let (_, (_, id)) = by_principal.into_values().max_by_key(|(count, oldest)| (*count, Reverse(*oldest)))?;
    Some(id.into())
}
