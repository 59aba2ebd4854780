//! The tasks of a server: created by a request, polled by their client, and kept until they expire.
//!
//! Invariants: the store keeps at most `max_tasks` tasks, finished ones included, none longer than `task_ttl_ms`; only the
//! principal that began a task sees it. Ids are 128 random bits. What is kept of a task is allocated with what lasts. How
//! many bytes the tasks may have is in `task_bytes.rs`.
//!
//! Finished tasks make room for others (`task_eviction.rs`). The slot of a running task does not, so one principal gets a
//! share of them only. Tasks of a session of revision 2025-11-25 go with it, the running ones too, as nobody else may ask
//! for them (`TaskStore::end_session`); those of the modern era are there for their principal, whatever connection it has.
//!
//! Two parties wait for a task, perhaps on two threads: its driver, which polls the call and waits for a cancellation;
//! and its handler, which waits for one answer at a time. Each has its own waker.

use crate::limits::Limits;
use crate::memory::lasting;
use crate::protocol::{InputKind, InputRequest};
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::fair_limit::FairLimit;
use crate::server::state::task::{Charged, INPUT_BYTES, Task, TaskRoom, TaskState, Times};
use crate::server::state::task_bytes::{NoRoom, TaskBytes};
use crate::server::state::task_eviction::for_one_more;
use crate::server::state::task_table::{NoTask, TaskOwner, Tasks};
use crate::server::state::wake_list::Guarded;
use crate::wire::{Frame, Reply};
use mcpool_pools::{BufferConfig, BufferPool};
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::Notify;

/// So many intervals after its end, who asks for a task from time to time knows the outcome.
const PATIENCE_INTERVALS: u32 = 8;

/// Too many tasks run already, in all or of one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("as many tasks run as may (settings max_tasks, principal_share_percent)")]
pub(crate) struct StoreFull;

/// The outcome of [`TaskStore::update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Updated {
    /// The answers were stored, or ignored because the task did not ask for them.
    Done,
    /// The principal has no such task.
    Unknown,
    /// An answer does not fit.
    Full(NoRoom),
}

/// All tasks of a server.
#[derive(Debug)]
pub(crate) struct TaskStore {
    pub(super) tasks: Guarded<Tasks>,
    bytes: TaskBytes,
    /// What the messages of running tasks are copied to: it keeps no buffers and has no budget, as the tasks have theirs.
    messages: BufferPool,
    /// Tasks that have not ended, of `max_tasks`.
    unfinished: Arc<FairLimit>,
    ttl: Duration,
    poll_interval: Duration,
    /// The connections that are open, by principal, where there are any but those of the owner.
    connections: OnceLock<Arc<FairLimit>>,
    /// The calls that run as tasks.
    running: Sum,
    /// Notified when no call runs any more.
    idle: Notify,
}

impl TaskStore {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            tasks: Guarded::default(),
            bytes: TaskBytes::new(limits),
            messages: BufferPool::new(BufferConfig { classes: Vec::new(), ..BufferConfig::default() }),
            unfinished: FairLimit::new(limits.max_tasks, limits.principal_share_percent),
            ttl: limits.task_ttl(),
            poll_interval: limits.task_poll_interval(),
            connections: OnceLock::new(),
            running: Sum::default(),
            idle: Notify::new(),
        }
    }

    /// Registers whose connections are open. A second set of connections is ignored.
    pub(crate) fn see_connections(&self, permits: &Arc<FairLimit>) {
        let _ = self.connections.set(Arc::clone(permits));
    }

    /// Whether the client of a finished task seems to have left: it has no connection, and did not ask for the outcome for
    /// longer than one that asks from time to time, each time over another connection.
    fn is_left(&self, task: &Task, now: SystemTime) -> bool {
        let patience = self.poll_interval.saturating_mul(PATIENCE_INTERVALS);
        task.is_over()
            && task.updated.checked_add(patience).is_some_and(|end| end <= now)
            && self.connections.get().is_some_and(|permits| !permits.is_held_by(task.principal))
    }

    /// Copies the message of a call that becomes a task. So the memory that is there for messages is not held by a task,
    /// which may wait for long; the bytes are among those of all tasks until the returned room is dropped.
    ///
    /// # Errors
    /// When the message and what is made of it do not fit, beside all tasks or beside those of `principal`.
    pub(crate) fn keep_message(&self, principal: u128, message: &Frame) -> Result<(Frame, TaskRoom), NoRoom> {
        let bytes = message.served_bytes();
        let room = self.tasks.with(|tasks, _| self.bytes.hold(tasks, principal, "a message", bytes))?;
        Ok((lasting(|| message.copied_exactly(&self.messages)), room))
    }

    /// Counts the text of a question that waits until its client has answered another one, for a call that is no task.
    ///
    /// # Errors
    /// As for [`TaskStore::keep_message`].
    pub(crate) fn keep_question(&self, principal: u128, bytes: usize) -> Result<TaskRoom, NoRoom> {
        self.tasks.with(|tasks, _| self.bytes.hold(tasks, principal, "a request for input", bytes))
    }

    /// Creates a task of no session.
    #[cfg(test)]
    pub(crate) fn create(&self, principal: u128, now: SystemTime) -> Result<String, StoreFull> {
        self.create_for(principal, None, Duration::MAX, now)
    }

    /// Creates a task of `principal`, and returns its id. One of a session is seen by no other session. It is kept for
    /// `ttl`, but no longer than all tasks are, and long enough for one question of how far it is. Where the store is full,
    /// a finished task makes room.
    ///
    /// # Errors
    /// When `principal` has its share of the tasks that have not ended, or where only tasks of clients that keep less than
    /// it could make room.
    pub(crate) fn create_for(
        &self,
        principal: u128,
        session: Option<u64>,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<String, StoreFull> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| StoreFull)?;
        let id = format!("{:032x}", u128::from_ne_bytes(bytes));
        self.tasks.with(|tasks, wakes| {
            let max = self.unfinished.max();
            let mut slot = self.unfinished.acquire(principal);
            if slot.is_none() || tasks.len() >= max {
                tasks.purge(now, wakes);
                slot = slot.or_else(|| self.unfinished.acquire(principal));
            }
            let slot = slot.ok_or(StoreFull)?;
            if tasks.len() >= max {
                let is_left = |task: &Task| self.is_left(task, now);
                tasks.make_room(&for_one_more(tasks, principal, max, is_left).ok_or(StoreFull)?);
            }
            let ttl = ttl.max(self.poll_interval * 2).min(self.ttl);
            let times = Times { created: now, ttl, poll_interval: self.poll_interval };
            lasting(|| tasks.insert(id.as_str().into(), Task::new(principal, session, times, slot)));
            Ok(())
        })?;
        Ok(id)
    }

    /// Writes the members of a task, without braces around them; `false` if `principal` has no such task.
    pub(crate) fn write(&self, id: &str, principal: u128, reply: &mut Reply) -> bool {
        self.tasks.with(|tasks, _| {
            let Some(task) = tasks.get(id).filter(|task| task.principal == principal) else { return false };
            task.write(id, reply);
            true
        })
    }

    /// Why `owner` has no such task.
    pub(crate) fn why_missing(&self, id: &str, owner: TaskOwner) -> NoTask {
        self.tasks.with(|tasks, _| tasks.why_missing(id, owner))
    }

    /// Ends a task with its result. The call is over: what its questions and answers hold is given back first, and so is
    /// `message`, the room of its message, which the caller has dropped.
    ///
    /// # Errors
    /// When the result does not fit even without all finished tasks that may make room for it. The task has not ended.
    pub(crate) fn complete(
        &self,
        id: &str,
        result: &RawValue,
        now: SystemTime,
        message: Option<TaskRoom>,
    ) -> Result<(), NoRoom> {
        self.end(id, ("a result", result), now, message, |result| TaskState::Completed { result })
    }

    /// Ends a task with its error.
    ///
    /// # Errors
    /// As for [`TaskStore::complete`].
    pub(crate) fn fail(
        &self,
        id: &str,
        error: &RawValue,
        now: SystemTime,
        message: Option<TaskRoom>,
    ) -> Result<(), NoRoom> {
        self.end(id, ("an error", error), now, message, |error| TaskState::Failed { error })
    }

    /// Ends a task whose outcome does not fit with a short error, for which there is always room.
    pub(crate) fn fail_without_room(&self, id: &str, error: &RawValue, now: SystemTime) {
        let value = lasting(|| error.to_owned());
        let error = Charged { value, room: self.bytes.count(error.get().len()) };
        self.tasks.with(|tasks, wakes| {
            if let Some(task) = tasks.get_mut(id) {
                task.end(TaskState::Failed { error }, now, wakes);
            }
        });
    }

    fn end(
        &self,
        id: &str,
        (what, json): (&'static str, &RawValue),
        now: SystemTime,
        message: Option<TaskRoom>,
        state: impl FnOnce(Charged<Box<RawValue>>) -> TaskState,
    ) -> Result<(), NoRoom> {
        self.tasks.with(|tasks, wakes| {
            // In one step with what comes, so that nobody takes this room in between.
            drop(message);
            let Some(task) = tasks.get_mut(id).filter(|task| !task.is_over()) else { return Ok(()) };
            task.drop_inputs(wakes);
            let principal = task.principal;
            let room = self.bytes.keep(tasks, principal, what, json.get().len())?;
            if let Some(task) = tasks.get_mut(id) {
                let value = lasting(|| json.to_owned());
                task.end(state(Charged { value, room }), now, wakes);
            }
            Ok(())
        })
    }

    /// Cancels a task, unless it has ended. `false` if `principal` has no such task.
    pub(crate) fn cancel(&self, id: &str, principal: u128, now: SystemTime) -> bool {
        self.tasks.with(|tasks, wakes| {
            let Some(task) = tasks.get_mut(id).filter(|task| task.principal == principal) else {
                return false;
            };
            task.end(TaskState::Cancelled, now, wakes);
            true
        })
    }

    /// Cancels all tasks that have not ended.
    pub(crate) fn cancel_all(&self, now: SystemTime) {
        self.tasks.with(|tasks, wakes| {
            for task in tasks.values_mut() {
                task.end(TaskState::Cancelled, now, wakes);
            }
        });
    }

    /// Ready once the task was cancelled or removed. Until then, this registers the waker of the task's driver.
    pub(crate) fn poll_cancelled(&self, id: &str, cx: &mut Context<'_>) -> Poll<()> {
        let driver = cx.waker().clone();
        // The waker that is not needed any more is dropped after the lock.
        let (polled, _unused) = self.tasks.with(|tasks, _| {
            match tasks.get_mut(id).filter(|task| !matches!(task.state, TaskState::Cancelled)) {
                None => (Poll::Ready(()), Some(driver)),
                Some(task) => (Poll::Pending, task.driver.replace(driver)),
            }
        });
        polled
    }

    /// Adds a request to the client to a task. A key that was used before keeps its request or answer.
    ///
    /// # Errors
    /// When it does not fit.
    pub(crate) fn ask(
        &self,
        id: &str,
        key: &str,
        request: &InputRequest,
        now: SystemTime,
    ) -> Result<(), NoRoom> {
        let text = request.params().map_or(0, |params| params.as_str().len());
        let bytes = INPUT_BYTES + key.len() + text;
        self.tasks.with(|tasks, wakes| {
            let is_new = |task: &&Task| !task.is_over() && !task.inputs.contains_key(key);
            let Some(task) = tasks.get(id).filter(is_new) else { return Ok(()) };
            let room = self.bytes.hold(tasks, task.principal, "a request for input", bytes)?;
            if let Some(task) = tasks.get_mut(id) {
                lasting(|| task.ask(key, Charged { value: request.clone(), room }, now, wakes));
            }
            Ok(())
        })
    }

    /// Notes how far a task is.
    pub(crate) fn note(&self, id: &str, message: &str, now: SystemTime) {
        self.tasks.with(|tasks, _| {
            if let Some(task) = tasks.get_mut(id) {
                lasting(|| task.note(message, now));
            }
        });
    }

    /// Takes the answer to a request of a task. Ready with `None` once the task has ended.
    pub(crate) fn poll_answer(&self, id: &str, key: &str, cx: &mut Context<'_>) -> Poll<Option<Box<str>>> {
        let waker = cx.waker().clone();
        let (polled, _unused) =
            self.tasks.with(|tasks, _| match tasks.get_mut(id).filter(|task| !task.is_over()) {
                Some(task) => task.poll_answer(key, waker),
                None => (Poll::Ready(None), Some(waker)),
            });
        polled
    }

    /// The first of `keys` whose answer is to be of a kind that `fits` refuses. Keys that a task does not ask for are of no
    /// kind.
    pub(crate) fn find_misfit<'a>(
        &self,
        id: &str,
        principal: u128,
        keys: impl Iterator<Item = &'a str>,
        fits: impl Fn(&str, InputKind) -> bool,
    ) -> Option<&'a str> {
        self.tasks.with(|tasks, _| {
            let task = tasks.get(id).filter(|task| task.principal == principal)?;
            keys.filter_map(|key| Some((key, task.asked_kind(key)?)))
                .find_map(|(key, kind)| (!fits(key, kind)).then_some(key))
        })
    }

    /// Stores the client's answers. Keys that the task did not ask for, or that have an answer, are ignored.
    pub(crate) fn update<'a>(
        &self,
        id: &str,
        principal: u128,
        answers: impl Iterator<Item = (&'a str, &'a str)>,
        now: SystemTime,
    ) -> Updated {
        self.tasks.with(|tasks, wakes| {
            if tasks.get(id).is_none_or(|task| task.principal != principal) {
                return Updated::Unknown;
            }
            for (key, answer) in answers {
                if !tasks.get(id).is_some_and(|task| task.is_asking(key)) {
                    continue;
                }
                let bytes = INPUT_BYTES + key.len() + answer.len();
                let room = match self.bytes.hold(tasks, principal, "an answer", bytes) {
                    Ok(room) => room,
                    Err(error) => return Updated::Full(error),
                };
                let Some(task) = tasks.get_mut(id) else { return Updated::Unknown };
                lasting(|| task.answer(key, Charged { value: Some(answer.into()), room }, now, wakes));
            }
            Updated::Done
        })
    }

    /// Removes expired tasks, and wakes who waits for them.
    pub(crate) fn sweep(&self, now: SystemTime) {
        self.tasks.with(|tasks, wakes| tasks.purge(now, wakes));
    }

    /// Bytes of all tasks and of their texts, and of questions that wait ([`TaskStore::keep_question`]).
    pub(crate) fn bytes(&self) -> usize {
        let tasks: usize = self.tasks.with(|tasks, _| {
            let heap: usize = tasks.values().map(Task::heap_bytes).sum();
            heap + tasks.bytes()
        });
        tasks + self.unfinished.bytes() + self.bytes.get()
    }

    /// How many tasks are kept.
    pub(crate) fn len(&self) -> usize {
        self.tasks.with(|tasks, _| tasks.len())
    }

    /// Counts a call that runs as a task until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> RunningTask {
        RunningTask { charge: Some(self.running.charge(1)), store: Arc::clone(self) }
    }

    /// How many calls run as tasks.
    pub(crate) fn running(&self) -> usize {
        self.running.get()
    }

    /// Waits until no call runs as a task.
    pub(crate) async fn all_done(&self) {
        loop {
            // Registered before the check, so that the end of the last call is not missed in between.
            let done = self.idle.notified();
            if self.running() == 0 {
                return;
            }
            done.await;
        }
    }
}

/// A call that runs as a task.
#[derive(Debug)]
pub(crate) struct RunningTask {
    store: Arc<TaskStore>,
    charge: Option<Charge>,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        drop(self.charge.take());
        if self.store.running() == 0 {
            self.store.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod leaving;
#[cfg(test)]
mod tests;
