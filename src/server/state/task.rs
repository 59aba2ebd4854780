//! One task: its state, what it asks its client, and how it looks in an answer.
//!
//! Invariants: a task that has ended never changes; a key is asked for once.

use crate::limits::units::rfc3339;
use crate::protocol::{Era, InputKind, InputRequest};
use crate::server::state::call_state::CallState;
use crate::server::state::charge::Charge;
use crate::server::state::fair_bytes::Share;
use crate::server::state::fair_limit::Permit;
use crate::server::state::wake_list::WakeList;
use crate::wire::Reply;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

/// Bytes of a request or an answer besides its text and its key.
pub(super) const INPUT_BYTES: usize = size_of::<Input>() + size_of::<Box<str>>();

/// The longest word of a task on how far it is.
const MAX_MESSAGE_BYTES: usize = 256;

/// Tells a request that waits for a task from others: where its state is. It takes no room in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaiterKey(usize);

impl WaiterKey {
    pub(crate) fn of(call: &Arc<CallState>) -> Self {
        Self(Arc::as_ptr(call).addr())
    }
}

/// When a task began, how long it is kept, and how often its client is told to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) created: SystemTime,
    pub(super) ttl: Duration,
    pub(super) poll_interval: Duration,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) principal: u128,
    /// The session that it belongs to; none of those of the modern era.
    pub(super) session: Option<u64>,
    pub(super) times: Times,
    pub(super) updated: SystemTime,
    pub(super) state: TaskState,
    /// The requests of the task to its client, by key.
    pub(super) inputs: BTreeMap<Box<str>, Input>,
    /// Woken when the task ends.
    pub(super) driver: Option<Waker>,
    /// Who waits for its end or for its next question.
    pub(super) waiters: Vec<(WaiterKey, Waker)>,
    /// How far it is, in its own words.
    message: Option<Box<str>>,
    /// The status that the client of its session knows of.
    known_status: &'static str,
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
    Asked { request: Charged<InputRequest>, handler: Option<Waker>, is_sent: bool },
    /// The answer, as JSON text, until the handler takes it. Its bytes count until the task ends, as the handler may keep
    /// them so long.
    Answered(Charged<Option<Box<str>>>),
}

impl Task {
    pub(super) fn new(principal: u128, session: Option<u64>, times: Times, slot: Permit) -> Self {
        Self {
            principal,
            times,
            updated: times.created,
            state: TaskState::Working,
            inputs: BTreeMap::new(),
            session,
            driver: None,
            waiters: Vec::new(),
            message: None,
            known_status: "working",
            slot: Some(slot),
        }
    }

    /// When it is forgotten, whether it has ended or not; never where no clock goes so far.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.times.created.checked_add(self.times.ttl)
    }

    pub(super) fn is_over(&self) -> bool {
        !matches!(self.state, TaskState::Working)
    }

    pub(super) fn status(&self) -> &'static str {
        match self.state {
            TaskState::Working if self.open_inputs().next().is_some() => "input_required",
            TaskState::Working => "working",
            TaskState::Completed { .. } => "completed",
            TaskState::Failed { .. } => "failed",
            TaskState::Cancelled => "cancelled",
        }
    }

    /// Whether its client does not know its status.
    pub(super) fn has_news(&self) -> bool {
        self.status() != self.known_status
    }

    /// Notes that its client is told its status.
    pub(super) fn note_told(&mut self) {
        self.known_status = self.status();
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

    /// Heap bytes of what is not charged apart.
    pub(super) fn heap_bytes(&self) -> usize {
        self.message.as_deref().map_or(0, str::len)
            + self.waiters.capacity() * size_of::<(WaiterKey, Waker)>()
    }

    /// Notes how far it is, as far as there is room for the words.
    pub(super) fn note(&mut self, message: &str, now: SystemTime) {
        if !self.is_over() {
            self.message = Some(message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)].into());
            self.updated = now;
        }
    }

    /// Ends the task, unless it has ended.
    pub(super) fn end(&mut self, state: TaskState, now: SystemTime, wakes: &mut WakeList) {
        if !self.is_over() {
            self.state = state;
            self.updated = now;
            self.wake_all(wakes);
            self.drop_inputs(wakes);
            self.slot = None;
        }
    }

    /// Gives the room of questions and answers back, as nobody takes them any more.
    pub(super) fn drop_inputs(&mut self, wakes: &mut WakeList) {
        for (_, input) in std::mem::take(&mut self.inputs) {
            if let Input::Asked { handler, .. } = input {
                wakes.push(handler);
            }
        }
    }

    pub(super) fn wake_all(&mut self, wakes: &mut WakeList) {
        wakes.push(self.driver.take());
        self.wake_waiters(wakes);
        for input in self.inputs.values_mut() {
            if let Input::Asked { handler, .. } = input {
                wakes.push(handler.take());
            }
        }
    }

    /// Registers who waits, and returns the waker that is not needed any more.
    pub(super) fn wait(&mut self, key: WaiterKey, waker: Waker) -> Option<Waker> {
        if let Some((_, known)) = self.waiters.iter_mut().find(|(known, _)| *known == key) {
            return Some(std::mem::replace(known, waker));
        }
        if self.waiters.len() == self.waiters.capacity() {
            // It grows by a quarter: each waiting request has a part of what is free.
            self.waiters.reserve_exact(self.waiters.len() / 4 + 1);
        }
        self.waiters.push((key, waker));
        None
    }

    /// Takes the waker of who does not wait any more.
    pub(super) fn leave(&mut self, key: WaiterKey) -> Option<Waker> {
        let at = self.waiters.iter().position(|(known, _)| *known == key)?;
        Some(self.waiters.swap_remove(at).1)
    }

    pub(super) fn wake_waiters(&mut self, wakes: &mut WakeList) {
        self.waiters.drain(..).for_each(|(_, waker)| wakes.push(Some(waker)));
    }

    pub(super) fn ask(
        &mut self,
        key: &str,
        request: Charged<InputRequest>,
        now: SystemTime,
        wakes: &mut WakeList,
    ) {
        self.inputs.insert(key.into(), Input::Asked { request, handler: None, is_sent: false });
        self.updated = now;
        self.wake_waiters(wakes);
    }

    /// A question that nobody sends to the client at the moment: whoever takes it does.
    pub(super) fn take_unsent(&mut self) -> Option<(Box<str>, InputRequest)> {
        self.inputs.iter_mut().find_map(|(key, input)| match input {
            Input::Asked { request, is_sent: is_sent @ false, .. } => {
                *is_sent = true;
                Some((key.clone(), request.value.clone()))
            }
            _ => None,
        })
    }

    /// Has somebody else send a question, unless it was answered.
    pub(super) fn give_back_question(&mut self, key: &str, wakes: &mut WakeList) {
        if let Some(Input::Asked { is_sent, .. }) = self.inputs.get_mut(key) {
            *is_sent = false;
            self.wake_waiters(wakes);
        }
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

    /// Writes what the task is and how far, without braces around it.
    pub(super) fn write_status(&self, id: &str, era: Era, reply: &mut Reply) {
        let [ttl, poll_interval] = match era {
            Era::Modern => [r#","ttlMs":"#, r#","pollIntervalMs":"#],
            Era::Legacy => [r#","ttl":"#, r#","pollInterval":"#],
        };
        reply.literal(r#""taskId":"#);
        reply.string(id);
        reply.literal(r#","status":""#);
        reply.literal(self.status());
        if let Some(message) = &self.message {
            reply.literal(r#"","statusMessage":"#);
            reply.string(message);
            reply.literal(r#","createdAt":"#);
        } else {
            reply.literal(r#"","createdAt":"#);
        }
        reply.string(&timestamp(self.times.created));
        reply.literal(r#","lastUpdatedAt":"#);
        reply.string(&timestamp(self.updated));
        reply.literal(ttl);
        reply.integer(self.times.ttl.as_millis() as u64);
        reply.literal(poll_interval);
        reply.integer(self.times.poll_interval.as_millis() as u64);
    }

    /// Writes the members of the task as the extension has them, without braces around them: what it came to and what it
    /// asks for are among them.
    pub(super) fn write(&self, id: &str, reply: &mut Reply) {
        self.write_status(id, Era::Modern, reply);
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
