//! The bytes of tasks: their results, requests and answers, and the messages of those that run.
//!
//! Invariant: all of them together are at most `max_task_bytes`, but for short errors of tasks whose outcome does not fit.
//! What has ended makes room for others (`task_eviction.rs`). What a running task holds does not, so one principal gets a
//! share of that only.

use crate::limits::Limits;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::fair_bytes::FairBytes;
use crate::server::state::task::TaskRoom;
use crate::server::state::task_eviction::{Need, for_bytes};
use crate::server::state::task_table::Tasks;
use thiserror::Error;

/// A text does not fit beside those that other tasks keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{what} of {bytes} bytes does not fit: all tasks together may keep {limit_bytes} (setting max_task_bytes), the \
     running ones of one client a part of what others leave (setting principal_share_percent), and what others keep makes \
     no room for a client that keeps more than its equal share"
)]
pub(crate) struct NoRoom {
    what: &'static str,
    bytes: usize,
    limit_bytes: usize,
}

/// What all tasks have.
#[derive(Debug)]
pub(super) struct TaskBytes {
    all: Sum,
    /// Those of them that running tasks hold.
    running: FairBytes,
    max: usize,
}

impl TaskBytes {
    pub(super) fn new(limits: &Limits) -> Self {
        let max = limits.max_task_bytes();
        let running = FairBytes::new(max, limits.principal_share_percent);
        Self { all: Sum::default(), running, max }
    }

    /// Bytes of all tasks.
    pub(super) fn get(&self) -> usize {
        self.all.get()
    }

    /// Counts a short text that is kept whether or not it fits.
    pub(super) fn count(&self, bytes: usize) -> TaskRoom {
        TaskRoom { charge: self.all.charge(bytes), _share: None }
    }

    /// Reserves bytes of a running task, if its principal may hold so many more.
    pub(super) fn hold(
        &self,
        tasks: &mut Tasks,
        principal: u128,
        what: &'static str,
        bytes: usize,
    ) -> Result<TaskRoom, NoRoom> {
        let no_room = NoRoom { what, bytes, limit_bytes: self.max };
        let share = self.running.try_hold(principal, bytes).map_err(|_| no_room)?;
        // They are counted among those of the principal by now.
        let need = Need { principal, amount: 0, lacking: bytes, max: self.max };
        Ok(TaskRoom { charge: self.charge(tasks, bytes, need).ok_or(no_room)?, _share: Some(share) })
    }

    /// Reserves bytes of what a task of `principal` came to.
    pub(super) fn keep(
        &self,
        tasks: &mut Tasks,
        principal: u128,
        what: &'static str,
        bytes: usize,
    ) -> Result<TaskRoom, NoRoom> {
        let no_room = NoRoom { what, bytes, limit_bytes: self.max };
        let need = Need { principal, amount: bytes, lacking: bytes, max: self.max };
        Ok(TaskRoom { charge: self.charge(tasks, bytes, need).ok_or(no_room)?, _share: None })
    }

    /// Reserves bytes, and removes finished tasks where that is needed and enough.
    fn charge(&self, tasks: &mut Tasks, bytes: usize, need: Need) -> Option<Charge> {
        loop {
            if let Some(charge) = self.all.try_charge(bytes, self.max) {
                return Some(charge);
            }
            let lacking = self.all.get().saturating_add(bytes).saturating_sub(self.max);
            let chosen = for_bytes(tasks, self.running.of_clients(), Need { lacking, ..need })?;
            for id in &chosen {
                tasks.make_room(id);
            }
        }
    }
}
