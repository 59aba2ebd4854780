//! One task: its state, what it asks its client, and how it looks in an answer.
//!
//! Invariants: a task that has ended never changes; a key is asked for once.

use crate::limits::units::rfc3339;
use crate::protocol::{InputKind, InputRequest};
use crate::server::state::charge::Charge;
use crate::server::state::fair_bytes::Share;
use crate::server::state::fair_limit::Permit;
use crate::server::state::wake_list::WakeList;
use crate::wire::Reply;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

/// Bytes of a request or an answer besides its text and its key.
pub(super) const INPUT_BYTES: usize = size_of::<Input>() + size_of::<Box<str>>();

#[derive(Debug)]
pub(super) struct Task {
    pub(super) principal: u128,
    pub(super) created: SystemTime,
    pub(super) updated: SystemTime,
    pub(super) state: TaskState,
    /// The requests of the task to its client, by key.
    pub(super) inputs: BTreeMap<Box<str>, Input>,
    /// Woken when the task ends.
    pub(super) driver: Option<Waker>,
    /// One of those of the tasks that have not ended, until it ends.
    slot: Option<Permit>,
}

/// Bytes among those of all tasks, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the bytes back"]
pub(crate) struct TaskRoom {
    pub(super) charge: Charge,
    /// The same bytes among those that the client's tasks hold; none of what is given up where others need it.
    pub(super) _share: Option<Share>,
}

impl TaskRoom {
    pub(super) fn amount(&self) -> usize {
        self.charge.amount()
    }
}

/// A value, and its bytes among those of all tasks.
#[derive(Debug)]
pub(super) struct Charged<T> {
    pub(super) value: T,
    pub(super) room: TaskRoom,
}

#[derive(Debug)]
pub(super) enum TaskState {
    Working,
    Completed { result: Charged<Box<RawValue>> },
    Failed { error: Charged<Box<RawValue>> },
    Cancelled,
}

/// A request of a task to its client.
#[derive(Debug)]
pub(super) enum Input {
    /// The client has not answered. `handler` waits for the answer.
    Asked { request: Charged<InputRequest>, handler: Option<Waker> },
    /// The answer, as JSON text, until the handler takes it. Its bytes count until the task ends, as the handler may keep
    /// them so long.
    Answered(Charged<Option<Box<str>>>),
}

impl Task {
    pub(super) fn new(principal: u128, now: SystemTime, slot: Permit) -> Self {
        Self {
            principal,
            created: now,
            updated: now,
            state: TaskState::Working,
            inputs: BTreeMap::new(),
            driver: None,
            slot: Some(slot),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        !matches!(self.state, TaskState::Working)
    }

    fn status(&self) -> &'static str {
        match self.state {
            TaskState::Working if self.open_inputs().next().is_some() => "input_required",
            TaskState::Working => "working",
            TaskState::Completed { .. } => "completed",
            TaskState::Failed { .. } => "failed",
            TaskState::Cancelled => "cancelled",
        }
    }

    fn open_inputs(&self) -> impl Iterator<Item = (&str, &InputRequest)> {
        self.inputs.iter().filter_map(|(key, input)| match input {
            Input::Asked { request, .. } => Some((&**key, &request.value)),
            Input::Answered(_) => None,
        })
    }

    /// Bytes of the result or the error.
    pub(super) fn outcome_bytes(&self) -> usize {
        match &self.state {
            TaskState::Completed { result: outcome } | TaskState::Failed { error: outcome } => {
                outcome.room.amount()
            }
            TaskState::Working | TaskState::Cancelled => 0,
        }
    }

    /// Ends the task, unless it has ended.
    pub(super) fn end(&mut self, state: TaskState, now: SystemTime, wakes: &mut WakeList) {
        if !self.is_over() {
            self.state = state;
            self.updated = now;
            self.wake_all(wakes);
            self.inputs = BTreeMap::new();
            self.slot = None;
        }
    }

    pub(super) fn wake_all(&mut self, wakes: &mut WakeList) {
        wakes.push(self.driver.take());
        for input in self.inputs.values_mut() {
            if let Input::Asked { handler, .. } = input {
                wakes.push(handler.take());
            }
        }
    }

    pub(super) fn ask(&mut self, key: &str, request: Charged<InputRequest>, now: SystemTime) {
        self.inputs.insert(key.into(), Input::Asked { request, handler: None });
        self.updated = now;
    }

    /// Whether the client has still to answer `key`.
    pub(super) fn is_asking(&self, key: &str) -> bool {
        matches!(self.inputs.get(key), Some(Input::Asked { .. }))
    }

    /// What the client is asked for by `key`, if it has still to answer.
    pub(super) fn asked_kind(&self, key: &str) -> Option<InputKind> {
        match self.inputs.get(key)? {
            Input::Asked { request, .. } => Some(request.value.kind()),
            Input::Answered(_) => None,
        }
    }

    pub(super) fn answer(
        &mut self,
        key: &str,
        answer: Charged<Option<Box<str>>>,
        now: SystemTime,
        wakes: &mut WakeList,
    ) {
        self.updated = now;
        if let Some(Input::Asked { handler, .. }) = self.inputs.insert(key.into(), Input::Answered(answer)) {
            wakes.push(handler);
        }
    }

    /// Takes the answer to `key`, and returns the waker that is not needed any more.
    pub(super) fn poll_answer(&mut self, key: &str, waker: Waker) -> (Poll<Option<Box<str>>>, Option<Waker>) {
        match self.inputs.get_mut(key) {
            Some(Input::Answered(answer)) => (Poll::Ready(answer.value.take()), Some(waker)),
            Some(Input::Asked { handler, .. }) => (Poll::Pending, handler.replace(waker)),
            None => (Poll::Ready(None), Some(waker)),
        }
    }

    /// Writes the members of the task, without braces around them.
    pub(super) fn write(&self, id: &str, ttl: Duration, poll_interval: Duration, reply: &mut Reply) {
        reply.literal(r#""taskId":"#);
        reply.string(id);
        reply.literal(r#","status":""#);
        reply.literal(self.status());
        reply.literal(r#"","createdAt":"#);
        reply.string(&timestamp(self.created));
        reply.literal(r#","lastUpdatedAt":"#);
        reply.string(&timestamp(self.updated));
        reply.literal(r#","ttlMs":"#);
        reply.integer(ttl.as_millis() as u64);
        reply.literal(r#","pollIntervalMs":"#);
        reply.integer(poll_interval.as_millis() as u64);
        match &self.state {
            TaskState::Completed { result } => {
                reply.literal(r#","result":"#);
                reply.raw((&*result.value).into());
            }
            TaskState::Failed { error } => {
                reply.literal(r#","error":"#);
                reply.raw((&*error.value).into());
            }
            TaskState::Working | TaskState::Cancelled => {}
        }
        let mut separator = r#","inputRequests":{"#;
        for (key, request) in self.open_inputs() {
            reply.literal(separator);
            reply.string(key);
            reply.literal(":");
            request.write(reply);
            separator = ",";
        }
        if separator == "," {
            reply.literal("}");
        }
    }
}

/// ISO 8601, as the tasks extension demands.
fn timestamp(time: SystemTime) -> String {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339(since_1970.as_millis() as u64)
}
