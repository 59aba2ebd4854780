//! The tasks that clients ask for later: where they stand, what they answered, what they want to know.
//!
//! Invariants: at most `max_tasks` are kept, finished ones included, none longer than `task_ttl_ms`; a
//! finished task never changes; only the principal that began a task sees it. Ids are 128 random bits.

use super::answer;
use super::inputs::InputRequest;
use crate::limits::Limits;
use crate::wire::Reply;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// As many tasks are kept as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("as many tasks are kept as may (setting max_tasks)")]
pub(crate) struct StoreFull;

/// All tasks of a server.
#[derive(Debug)]
pub(crate) struct TaskStore {
    tasks: Mutex<HashMap<Box<str>, Task>>,
    max: usize,
    ttl: Duration,
    poll_interval: Duration,
}

#[derive(Debug)]
struct Task {
    principal: u128,
    created: SystemTime,
    updated: SystemTime,
    state: TaskState,
    /// What the task asked its client, by key; `None` once it was answered and the answer taken.
    inputs: BTreeMap<Box<str>, Input>,
    worker: Option<Waker>,
}

impl Task {
    /// Bytes of what came of it, and of what it asked.
    fn kept_bytes(&self) -> usize {
        let outcome = match &self.state {
            TaskState::Completed { result } => result.get().len(),
            TaskState::Failed { error } => error.get().len(),
            TaskState::Working | TaskState::Cancelled => 0,
        };
        let inputs = self.inputs.iter().map(|(key, input)| {
            let text = match input {
                Input::Asked(request) => request.params().map_or(0, |params| params.as_str().len()),
                Input::Answered(text) => text.len(),
                Input::Taken => 0,
            };
            key.len() + text + size_of::<Input>()
        });
        outcome + inputs.sum::<usize>()
    }
}

#[derive(Debug)]
enum TaskState {
    Working,
    Completed { result: Box<RawValue> },
    Failed { error: Box<RawValue> },
    Cancelled,
}

#[derive(Debug)]
enum Input {
    Asked(InputRequest),
    /// The answer, as JSON text.
    Answered(Box<str>),
    /// The answer was taken; its key may not be used again.
    Taken,
}

impl Task {
    fn is_over(&self) -> bool {
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
            Input::Asked(request) => Some((&**key, request)),
            Input::Answered(_) | Input::Taken => None,
        })
    }

    fn end(&mut self, state: TaskState, now: SystemTime) {
        if !self.is_over() {
            self.state = state;
            self.updated = now;
            self.inputs = BTreeMap::new();
            self.worker.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl TaskStore {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            tasks: Mutex::default(),
            max: limits.max_tasks,
            ttl: limits.task_ttl(),
            poll_interval: limits.task_poll_interval(),
        }
    }

    /// Begins a task of `principal`, and gives its id.
    pub(crate) fn create(&self, principal: u128, now: SystemTime) -> Result<String, StoreFull> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| StoreFull)?;
        let id = format!("{:032x}", u128::from_ne_bytes(bytes));
        let mut tasks = self.lock();
        if tasks.len() >= self.max {
            self.purge(&mut tasks, now);
        }
        if tasks.len() >= self.max {
            return Err(StoreFull);
        }
        let task = Task {
            principal,
            created: now,
            updated: now,
            state: TaskState::Working,
            inputs: BTreeMap::new(),
            worker: None,
        };
        tasks.insert(id.as_str().into(), task);
        Ok(id)
    }

    /// Writes the members of a task, without braces around them; `false` if `principal` has no such task.
    pub(crate) fn write(&self, id: &str, principal: u128, reply: &mut Reply) -> bool {
        let tasks = self.lock();
        let Some(task) = tasks.get(id).filter(|task| task.principal == principal) else { return false };
        reply.raw(r#""taskId":"#);
        reply.string(id);
        reply.raw(r#","status":""#);
        reply.raw(task.status());
        reply.raw(r#"","createdAt":"#);
        reply.string(&timestamp(task.created));
        reply.raw(r#","lastUpdatedAt":"#);
        reply.string(&timestamp(task.updated));
        reply.raw(r#","ttlMs":"#);
        reply.integer(self.ttl.as_millis() as u64);
        reply.raw(r#","pollIntervalMs":"#);
        reply.integer(self.poll_interval.as_millis() as u64);
        match &task.state {
            TaskState::Completed { result } => {
                reply.raw(r#","result":"#);
                reply.json((&**result).into());
            }
            TaskState::Failed { error } => {
                reply.raw(r#","error":"#);
                reply.json((&**error).into());
            }
            TaskState::Working | TaskState::Cancelled => {}
        }
        let mut separator = r#","inputRequests":{"#;
        for (key, request) in task.open_inputs() {
            reply.raw(separator);
            reply.string(key);
            reply.raw(":");
            answer::input_request(reply, request);
            separator = ",";
        }
        if separator == "," {
            reply.raw("}");
        }
        true
    }

    /// Keeps the result of a task.
    pub(crate) fn complete(&self, id: &str, result: &RawValue, now: SystemTime) {
        if let Some(task) = self.lock().get_mut(id) {
            task.end(TaskState::Completed { result: result.to_owned() }, now);
        }
    }

    /// Keeps the error of a task.
    pub(crate) fn fail(&self, id: &str, error: &RawValue, now: SystemTime) {
        if let Some(task) = self.lock().get_mut(id) {
            task.end(TaskState::Failed { error: error.to_owned() }, now);
        }
    }

    /// Cancels a task; one that is over stays as it is. `false` if `principal` has no such task.
    pub(crate) fn cancel(&self, id: &str, principal: u128, now: SystemTime) -> bool {
        let mut tasks = self.lock();
        let Some(task) = tasks.get_mut(id).filter(|task| task.principal == principal) else { return false };
        task.end(TaskState::Cancelled, now);
        true
    }

    /// Whether nobody wants the work any more.
    pub(crate) fn is_cancelled(&self, id: &str) -> bool {
        self.lock().get(id).is_none_or(|task| matches!(task.state, TaskState::Cancelled))
    }

    /// Has the task's worker woken when it is cancelled or answered.
    pub(crate) fn register_worker(&self, id: &str, worker: &Waker) {
        if let Some(task) = self.lock().get_mut(id) {
            task.worker = Some(worker.clone());
        }
    }

    /// Puts a request to the client on a task; a key that was used before keeps what it has.
    pub(crate) fn ask(&self, id: &str, key: &str, request: &InputRequest, now: SystemTime) {
        if let Some(task) = self.lock().get_mut(id)
            && !task.is_over()
        {
            task.inputs.entry(key.into()).or_insert_with(|| Input::Asked(request.clone()));
            task.updated = now;
        }
    }

    /// Takes the answer to a request of a task; ready without one when the task is over.
    pub(crate) fn poll_answer(&self, id: &str, key: &str, cx: &mut Context<'_>) -> Poll<Option<Box<str>>> {
        let mut tasks = self.lock();
        let Some(task) = tasks.get_mut(id).filter(|task| !task.is_over()) else { return Poll::Ready(None) };
        match task.inputs.get_mut(key) {
            Some(input @ Input::Answered(_)) => match std::mem::replace(input, Input::Taken) {
                Input::Answered(answer) => Poll::Ready(Some(answer)),
                Input::Asked(_) | Input::Taken => Poll::Ready(None),
            },
            Some(Input::Asked(_)) => {
                task.worker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Input::Taken) | None => Poll::Ready(None),
        }
    }

    /// Hands answers to a task; keys that it did not ask for, or that are answered, are ignored. `false` if
    /// `principal` has no such task.
    pub(crate) fn update<'a>(
        &self,
        id: &str,
        principal: u128,
        answers: impl Iterator<Item = (&'a str, &'a str)>,
        now: SystemTime,
    ) -> bool {
        let mut tasks = self.lock();
        let Some(task) = tasks.get_mut(id).filter(|task| task.principal == principal) else { return false };
        for (key, answer) in answers {
            if let Some(input @ Input::Asked(_)) = task.inputs.get_mut(key) {
                *input = Input::Answered(answer.into());
                task.updated = now;
            }
        }
        task.worker.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Forgets tasks whose time is over; their workers are told.
    pub(crate) fn sweep(&self, now: SystemTime) {
        self.purge(&mut self.lock(), now);
    }

    /// Bytes of all tasks, and of the answers that they keep.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().iter().map(|(id, task)| id.len() + size_of::<Task>() + task.kept_bytes()).sum()
    }

    /// How many tasks are kept.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn purge(&self, tasks: &mut HashMap<Box<str>, Task>, now: SystemTime) {
        tasks.retain(|_, task| {
            let is_kept = now.duration_since(task.created).unwrap_or_default() < self.ttl;
            if !is_kept {
                task.worker.take().into_iter().for_each(Waker::wake);
            }
            is_kept
        });
        if tasks.len() * 4 < tasks.capacity() {
            tasks.shrink_to_fit();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// ISO 8601, as the extension demands.
fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::BufferPool;

    fn store(max_tasks: usize) -> TaskStore {
        TaskStore::new(&Limits { max_tasks, ..Limits::default() })
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    fn shown(store: &TaskStore, id: &str, principal: u128) -> Option<serde_json::Value> {
        let mut reply = Reply::new(BufferPool::default(), 1 << 20);
        store.write(id, principal, &mut reply).then(|| {
            let members = reply.finish().expect("room");
            let json = format!("{{{}}}", String::from_utf8_lossy(&members));
            serde_json::from_str(&json).expect("JSON")
        })
    }

    #[test]
    fn a_task_goes_from_working_to_its_result_and_stays() {
        let (store, now) = (store(4), SystemTime::now());
        let id = store.create(1, now).expect("room");
        assert_eq!(shown(&store, &id, 1).expect("mine")["status"], "working");
        assert!(shown(&store, &id, 2).is_none(), "of another principal");
        store.complete(&id, &raw(r#"{"content":[]}"#), now);
        store.fail(&id, &raw("{}"), now);
        assert!(store.cancel(&id, 1, now));
        let task = shown(&store, &id, 1).expect("mine");
        assert_eq!(task["status"], "completed");
        assert_eq!(task["result"]["content"], serde_json::json!([]));
        assert!(task["createdAt"].as_str().is_some_and(|time| time.ends_with('Z')));
    }

    #[test]
    fn inputs_are_answered_one_by_one_and_once() {
        let (store, now) = (store(4), SystemTime::now());
        let mut cx = Context::from_waker(Waker::noop());
        let id = store.create(1, now).expect("room");
        store.ask(&id, "a", &InputRequest::roots(), now);
        store.ask(&id, "b", &InputRequest::roots(), now);
        let task = shown(&store, &id, 1).expect("mine");
        assert_eq!(task["status"], "input_required");
        assert_eq!(task["inputRequests"].as_object().map(serde_json::Map::len), Some(2));
        assert!(!store.update(&id, 2, [("a", "1")].into_iter(), now), "of another principal");
        assert!(store.update(&id, 1, [("a", "1"), ("x", "2")].into_iter(), now));
        assert!(store.update(&id, 1, [("a", "3")].into_iter(), now));
        assert_eq!(store.poll_answer(&id, "a", &mut cx), Poll::Ready(Some("1".into())));
        assert_eq!(store.poll_answer(&id, "b", &mut cx), Poll::Pending);
        store.ask(&id, "a", &InputRequest::roots(), now);
        let task = shown(&store, &id, 1).expect("mine");
        assert_eq!(task["inputRequests"].as_object().map(serde_json::Map::len), Some(1), "{task}");
        assert!(store.cancel(&id, 1, now));
        assert_eq!(store.poll_answer(&id, "b", &mut cx), Poll::Ready(None));
        assert!(store.is_cancelled(&id));
    }

    #[test]
    fn the_store_is_bounded_and_forgets() {
        let (store, now) = (store(2), SystemTime::now());
        let first = store.create(1, now).expect("room");
        store.create(1, now).expect("room");
        assert_eq!(store.create(1, now), Err(StoreFull));
        let later = now + Limits::default().task_ttl();
        store.create(1, later).expect("those whose time is over make room");
        assert!(store.is_cancelled(&first));
        store.sweep(later + Limits::default().task_ttl());
        assert_eq!(store.len(), 0);
    }
}
