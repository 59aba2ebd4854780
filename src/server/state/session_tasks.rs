//! Tasks of revision 2025-11-25, as their session sees them: it alone may ask for one, and it waits for what a task came to.
//!
//! Who waits for a task is also who asks the client what the task asks for. Each question has one such waiter at a time; one
//! that leaves gives it back.

use crate::memory::lasting;
use crate::protocol::{Era, InputRequest};
use crate::server::state::task::{Task, TaskState, WaiterKey};
use crate::server::state::task_store::TaskStore;
use crate::server::state::task_table::Tasks;
use crate::wire::Reply;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

/// The last status message of a task that its client cancelled.
const CANCELLED: &str = "Client cancelled task execution.";

/// What became of the wish to cancel a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionCancel {
    /// It is cancelled.
    Done,
    /// It had ended before, with this status.
    Ended(&'static str),
    /// The session has no such task.
    Unknown,
}

/// What a task came to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TaskOutcome<'t> {
    /// The result of the call, as JSON.
    Result(&'t RawValue),
    /// Its error, as JSON.
    Error(&'t RawValue),
    /// Nothing: it was cancelled.
    Cancelled,
}

/// What who waits for a task has to do next.
#[derive(Debug)]
pub(crate) enum TaskStep {
    /// The task has ended.
    Ended,
    /// The client is to be asked this.
    Ask(SentQuestion, InputRequest),
    /// The session has no such task, or its time is over.
    Unknown,
}

/// The session has no such task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnknownTask;

fn of_session<'t>(tasks: &'t mut Tasks, id: &str, session: u64) -> Option<&'t mut Task> {
    tasks.get_mut(id).filter(|task| task.session == Some(session))
}

impl TaskStore {
    /// Writes how far a task is, without braces around it; `false` if the session has no such task.
    pub(crate) fn write_status(&self, id: &str, session: u64, reply: &mut Reply) -> bool {
        self.tasks.with(|tasks, _| {
            let Some(task) = of_session(tasks, id, session) else { return false };
            task.write_status(id, Era::Legacy, reply);
            task.note_told();
            true
        })
    }

    /// Whether a task has a status that the client of its session does not know.
    pub(crate) fn has_news(&self, id: &str) -> bool {
        self.tasks
            .with(|tasks, _| tasks.get(id).is_some_and(|task| task.session.is_some() && task.has_news()))
    }

    /// Writes a task of a session whose status its client does not know, without braces around it; `false` if there is none.
    pub(crate) fn write_news(&self, session: u64, reply: &mut Reply) -> bool {
        self.tasks.with(|tasks, _| {
            let has_news = |task: &Task| task.session == Some(session) && task.has_news();
            let Some((id, task)) = tasks.iter_mut().find(|(_, task)| has_news(task)) else { return false };
            task.write_status(id, Era::Legacy, reply);
            task.note_told();
            true
        })
    }

    /// Writes up to `most` tasks of a session in the order in which they began, from behind the task `after` on, with commas
    /// between them. Returns the last of them if there are more.
    ///
    /// # Errors
    /// When the session has no task `after`.
    pub(crate) fn write_list(
        &self,
        session: u64,
        after: Option<&str>,
        most: usize,
        reply: &mut Reply,
    ) -> Result<Option<String>, UnknownTask> {
        self.tasks.with(|tasks, _| {
            let own = tasks.iter().filter(|(_, task)| task.session == Some(session));
            let mut own: Vec<(SystemTime, &str, &Task)> =
                own.map(|(id, task)| (task.times.created, &**id, task)).collect();
            own.sort_unstable_by_key(|(created, id, _)| (*created, *id));
            let begin = match after {
                Some(after) => own.iter().position(|(_, id, _)| *id == after).ok_or(UnknownTask)? + 1,
                None => 0,
            };
            let rest = &own[begin..];
            let page = &rest[..rest.len().min(most)];
            for (index, (_, id, task)) in page.iter().enumerate() {
                reply.literal(if index == 0 { "{" } else { ",{" });
                task.write_status(id, Era::Legacy, reply);
                reply.literal("}");
            }
            Ok(page.last().filter(|_| page.len() < rest.len()).map(|(_, id, _)| (*id).to_owned()))
        })
    }

    /// Cancels a task of a session, unless it has ended.
    pub(crate) fn cancel_in_session(&self, id: &str, session: u64, now: SystemTime) -> SessionCancel {
        self.tasks.with(|tasks, wakes| match of_session(tasks, id, session) {
            None => SessionCancel::Unknown,
            Some(task) if task.is_over() => SessionCancel::Ended(task.status()),
            Some(task) => {
                lasting(|| task.note(CANCELLED, now));
                task.end(TaskState::Cancelled, now, wakes);
                SessionCancel::Done
            }
        })
    }

    /// Removes the tasks of a session that has ended, as nobody can ask for them any more: those that run are cancelled.
    pub(crate) fn end_session(&self, session: u64) {
        self.tasks.with(|tasks, wakes| tasks.remove_where(wakes, |task| task.session == Some(session)));
    }

    /// Calls `show` with what a task came to; `None` if the session has no such task, or if it has not ended.
    pub(crate) fn with_outcome<R>(
        &self,
        id: &str,
        session: u64,
        show: impl FnOnce(TaskOutcome<'_>) -> R,
    ) -> Option<R> {
        self.tasks.with(|tasks, _| {
            let task = of_session(tasks, id, session)?;
            task.note_told();
            let outcome = match &task.state {
                TaskState::Completed { result } => TaskOutcome::Result(&result.value),
                TaskState::Failed { error } => TaskOutcome::Error(&error.value),
                TaskState::Cancelled => TaskOutcome::Cancelled,
                TaskState::Working => return None,
            };
            Some(show(outcome))
        })
    }

    /// What is to be done next by who waits for a task of a session. A question that this gives is answered in the store, or
    /// asked by others once it is dropped.
    pub(crate) fn poll_step(
        self: &Arc<Self>,
        id: &str,
        session: u64,
        key: WaiterKey,
        cx: &mut Context<'_>,
    ) -> Poll<TaskStep> {
        self.poll_waiter((id, session), key, cx, |task| {
            let (key, request) = task.take_unsent()?;
            Some(TaskStep::Ask(
                SentQuestion { store: Arc::clone(self), task: id.into(), session, key },
                request,
            ))
        })
    }

    /// Ready once a task of a session has ended, or is gone.
    pub(crate) fn poll_ended(
        &self,
        id: &str,
        session: u64,
        key: WaiterKey,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_waiter((id, session), key, cx, |_| None).map(|_| ())
    }

    fn poll_waiter(
        &self,
        (id, session): (&str, u64),
        key: WaiterKey,
        cx: &mut Context<'_>,
        question: impl FnOnce(&mut Task) -> Option<TaskStep>,
    ) -> Poll<TaskStep> {
        let waker = cx.waker().clone();
        // Wakers are dropped after the lock.
        let (polled, _unused) = self.tasks.with(|tasks, _| {
            let Some(task) = of_session(tasks, id, session) else {
                return (Poll::Ready(TaskStep::Unknown), Some(waker));
            };
            if task.is_over() {
                return (Poll::Ready(TaskStep::Ended), Some(waker));
            }
            if let Some(step) = question(task) {
                return (Poll::Ready(step), Some(waker));
            }
            (Poll::Pending, task.wait(key, waker))
        });
        polled
    }

    /// Forgets who waited for a task of a session, and waits no more.
    pub(crate) fn leave(&self, id: &str, session: u64, key: WaiterKey) {
        // The waker is dropped after the lock.
        let _unused = self.tasks.with(|tasks, _| of_session(tasks, id, session)?.leave(key));
    }
}

/// A question of a task that somebody sends to the client. Dropped, it is there for others, unless it was answered.
#[derive(Debug)]
pub(crate) struct SentQuestion {
    store: Arc<TaskStore>,
    task: Box<str>,
    session: u64,
    /// Its key among the questions of the task.
    key: Box<str>,
}

impl SentQuestion {
    pub(crate) fn task(&self) -> &str {
        &self.task
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for SentQuestion {
    fn drop(&mut self) {
        let Self { store, task, session, key } = self;
        store.tasks.with(|tasks, wakes| {
            if let Some(task) = of_session(tasks, task, *session) {
                task.give_back_question(key, wakes);
            }
        });
    }
}
