//! The tasks that clients ask for later: where they stand, what they answered, what they want to know.
//!
//! Invariants: at most `max_tasks` are kept, finished ones included, none longer than `task_ttl_ms`; what came of
//! them, what they asked and what they were answered has at most `max_task_bytes` together; a finished task never
//! changes; only the principal that began a task sees it. Ids are 128 random bits.
//!
//! A task is waited for in two places, which may be two threads: by its driver, which polls it and wants to know of
//! its cancellation, and by its handler, once for each question. Each has a place of its own for its waker.

use crate::limits::Limits;
use crate::limits::units::rfc3339;
use crate::protocol::InputRequest;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::wake_list::{Guarded, WakeList};
use crate::wire::Reply;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::Notify;

/// As many tasks are kept as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("as many tasks are kept as may (setting max_tasks)")]
pub(crate) struct StoreFull;

/// What does not fit beside what other tasks keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{what} of {bytes} bytes does not fit: all tasks together may keep {limit_bytes} (setting max_task_bytes)"
)]
pub(crate) struct NoRoom {
    what: &'static str,
    bytes: usize,
    limit_bytes: usize,
}

/// What becomes of answers that are handed to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Updated {
    /// They are taken, or were not asked for.
    Done,
    /// The principal has no such task.
    Unknown,
    /// They do not fit.
    Full(NoRoom),
}

/// All tasks of a server.
#[derive(Debug)]
pub(crate) struct TaskStore {
    tasks: Guarded<Tasks>,
    /// Bytes of what all tasks keep.
    bytes: Sum,
    max_bytes: usize,
    max: usize,
    ttl: Duration,
    poll_interval: Duration,
    /// Those whose calls are under way.
    running: Sum,
    /// Told when none is.
    idle: Notify,
}

type Tasks = HashMap<Box<str>, Task>;

#[derive(Debug)]
struct Task {
    principal: u128,
    created: SystemTime,
    updated: SystemTime,
    state: TaskState,
    /// What the task asked its client, by key.
    inputs: BTreeMap<Box<str>, Input>,
    /// Wants to know of the task's end.
    driver: Option<Waker>,
}

/// A text and its bytes among those of all tasks.
#[derive(Debug)]
struct Kept<T> {
    value: T,
    charge: Charge,
}

#[derive(Debug)]
enum TaskState {
    Working,
    Completed { result: Kept<Box<RawValue>> },
    Failed { error: Kept<Box<RawValue>> },
    Cancelled,
}

#[derive(Debug)]
enum Input {
    /// The request, and who waits for its answer.
    Asked { request: Kept<InputRequest>, handler: Option<Waker> },
    /// The answer, as JSON text.
    Answered(Kept<Box<str>>),
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
            Input::Asked { request, .. } => Some((&**key, &request.value)),
            Input::Answered(_) | Input::Taken => None,
        })
    }

    /// Bytes of what came of it.
    fn outcome_bytes(&self) -> usize {
        match &self.state {
            TaskState::Completed { result: kept } | TaskState::Failed { error: kept } => kept.charge.amount(),
            TaskState::Working | TaskState::Cancelled => 0,
        }
    }

    fn end(&mut self, state: TaskState, now: SystemTime, after: &mut WakeList) {
        if !self.is_over() {
            self.state = state;
            self.updated = now;
            self.wake_all(after);
            self.inputs = BTreeMap::new();
        }
    }

    fn wake_all(&mut self, after: &mut WakeList) {
        after.wake(self.driver.take());
        for input in self.inputs.values_mut() {
            if let Input::Asked { handler, .. } = input {
                after.wake(handler.take());
            }
        }
    }
}

/// Bytes that a question or an answer keeps beside its text and its key.
const INPUT_BYTES: usize = size_of::<Input>() + size_of::<Box<str>>();

impl TaskStore {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            tasks: Guarded::default(),
            bytes: Sum::default(),
            max_bytes: limits.max_task_bytes,
            max: limits.max_tasks,
            ttl: limits.task_ttl(),
            poll_interval: limits.task_poll_interval(),
            running: Sum::default(),
            idle: Notify::new(),
        }
    }

    /// Begins a task of `principal`, and gives its id.
    pub(crate) fn create(&self, principal: u128, now: SystemTime) -> Result<String, StoreFull> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| StoreFull)?;
        let id = format!("{:032x}", u128::from_ne_bytes(bytes));
        let task = Task {
            principal,
            created: now,
            updated: now,
            state: TaskState::Working,
            inputs: BTreeMap::new(),
            driver: None,
        };
        self.tasks.with(|tasks, after| {
            if tasks.len() >= self.max {
                self.purge(tasks, now, after);
            }
            if tasks.len() >= self.max {
                return Err(StoreFull);
            }
            tasks.insert(id.as_str().into(), task);
            Ok(())
        })?;
        Ok(id)
    }

    /// Writes the members of a task, without braces around them; `false` if `principal` has no such task.
    pub(crate) fn write(&self, id: &str, principal: u128, reply: &mut Reply) -> bool {
        self.tasks.with(|tasks, _| {
            let Some(task) = tasks.get(id).filter(|task| task.principal == principal) else { return false };
            self.write_task(id, task, reply);
            true
        })
    }

    fn write_task(&self, id: &str, task: &Task, reply: &mut Reply) {
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
                reply.json((&*result.value).into());
            }
            TaskState::Failed { error } => {
                reply.raw(r#","error":"#);
                reply.json((&*error.value).into());
            }
            TaskState::Working | TaskState::Cancelled => {}
        }
        let mut separator = r#","inputRequests":{"#;
        for (key, request) in task.open_inputs() {
            reply.raw(separator);
            reply.string(key);
            reply.raw(":");
            request.write(reply);
            separator = ",";
        }
        if separator == "," {
            reply.raw("}");
        }
    }

    /// Keeps the result of a task.
    ///
    /// # Errors
    /// When it does not fit, however many finished tasks are given up; the task goes on.
    pub(crate) fn complete(&self, id: &str, result: &RawValue, now: SystemTime) -> Result<(), NoRoom> {
        self.end(id, "a result", result, now, |result| TaskState::Completed { result })
    }

    /// Keeps the error of a task.
    ///
    /// # Errors
    /// As for [`TaskStore::complete`].
    pub(crate) fn fail(&self, id: &str, error: &RawValue, now: SystemTime) -> Result<(), NoRoom> {
        self.end(id, "an error", error, now, |error| TaskState::Failed { error })
    }

    /// Keeps the short error of a task for whose outcome there is no room.
    pub(crate) fn fail_without_room(&self, id: &str, error: &RawValue, now: SystemTime) {
        let kept = Kept { value: error.to_owned(), charge: self.bytes.charge(error.get().len()) };
        self.tasks.with(|tasks, after| {
            if let Some(task) = tasks.get_mut(id) {
                task.end(TaskState::Failed { error: kept }, now, after);
            }
        });
    }

    fn end(
        &self,
        id: &str,
        what: &'static str,
        json: &RawValue,
        now: SystemTime,
        state: impl FnOnce(Kept<Box<RawValue>>) -> TaskState,
    ) -> Result<(), NoRoom> {
        self.tasks.with(|tasks, after| {
            if tasks.get(id).is_none_or(Task::is_over) {
                return Ok(());
            }
            let charge = self.charge(tasks, what, json.get().len())?;
            if let Some(task) = tasks.get_mut(id) {
                task.end(state(Kept { value: json.to_owned(), charge }), now, after);
            }
            Ok(())
        })
    }

    /// Cancels a task; one that is over stays as it is. `false` if `principal` has no such task.
    pub(crate) fn cancel(&self, id: &str, principal: u128, now: SystemTime) -> bool {
        self.tasks.with(|tasks, after| {
            let Some(task) = tasks.get_mut(id).filter(|task| task.principal == principal) else {
                return false;
            };
            task.end(TaskState::Cancelled, now, after);
            true
        })
    }

    /// Cancels all tasks that are not over.
    pub(crate) fn cancel_all(&self, now: SystemTime) {
        self.tasks.with(|tasks, after| {
            for task in tasks.values_mut() {
                task.end(TaskState::Cancelled, now, after);
            }
        });
    }

    /// Whether nobody wants the work any more. If somebody does, `driver` is woken when that changes.
    pub(crate) fn poll_cancelled(&self, id: &str, cx: &mut Context<'_>) -> Poll<()> {
        let driver = cx.waker().clone();
        let (polled, _left) = self.tasks.with(|tasks, _| {
            match tasks.get_mut(id).filter(|task| !matches!(task.state, TaskState::Cancelled)) {
                None => (Poll::Ready(()), Some(driver)),
                Some(task) => (Poll::Pending, task.driver.replace(driver)),
            }
        });
        polled
    }

    /// Puts a request to the client on a task; a key that was used before keeps what it has.
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
        self.tasks.with(|tasks, _| {
            if tasks.get(id).is_none_or(|task| task.is_over() || task.inputs.contains_key(key)) {
                return Ok(());
            }
            let charge = self.charge(tasks, "a request for input", bytes)?;
            if let Some(task) = tasks.get_mut(id) {
                let request = Kept { value: request.clone(), charge };
                task.inputs.insert(key.into(), Input::Asked { request, handler: None });
                task.updated = now;
            }
            Ok(())
        })
    }

    /// Takes the answer to a request of a task; ready without one when the task is over.
    pub(crate) fn poll_answer(&self, id: &str, key: &str, cx: &mut Context<'_>) -> Poll<Option<Box<str>>> {
        let waker = cx.waker().clone();
        let (polled, _left) = self.tasks.with(|tasks, _| {
            let Some(task) = tasks.get_mut(id).filter(|task| !task.is_over()) else {
                return (Poll::Ready(None), Some(waker));
            };
            match task.inputs.get_mut(key) {
                Some(input @ Input::Answered(_)) => match std::mem::replace(input, Input::Taken) {
                    Input::Answered(answer) => (Poll::Ready(Some(answer.value)), Some(waker)),
                    Input::Asked { .. } | Input::Taken => (Poll::Ready(None), Some(waker)),
                },
                Some(Input::Asked { handler, .. }) => (Poll::Pending, handler.replace(waker)),
                Some(Input::Taken) | None => (Poll::Ready(None), Some(waker)),
            }
        });
        polled
    }

    /// Hands answers to a task; keys that it did not ask for, or that are answered, are ignored.
    pub(crate) fn update<'a>(
        &self,
        id: &str,
        principal: u128,
        answers: impl Iterator<Item = (&'a str, &'a str)>,
        now: SystemTime,
    ) -> Updated {
        self.tasks.with(|tasks, after| {
            if tasks.get(id).is_none_or(|task| task.principal != principal) {
                return Updated::Unknown;
            }
            for (key, answer) in answers {
                let is_asked = |task: &Task| matches!(task.inputs.get(key), Some(Input::Asked { .. }));
                if !tasks.get(id).is_some_and(is_asked) {
                    continue;
                }
                let charge = match self.charge(tasks, "an answer", INPUT_BYTES + key.len() + answer.len()) {
                    Ok(charge) => charge,
                    Err(error) => return Updated::Full(error),
                };
                let Some(task) = tasks.get_mut(id) else { return Updated::Unknown };
                task.updated = now;
                let answered = Input::Answered(Kept { value: answer.into(), charge });
                if let Some(Input::Asked { handler, .. }) = task.inputs.insert(key.into(), answered) {
                    after.wake(handler);
                }
            }
            Updated::Done
        })
    }

    /// Forgets tasks whose time is over; their workers are told.
    pub(crate) fn sweep(&self, now: SystemTime) {
        self.tasks.with(|tasks, after| self.purge(tasks, now, after));
    }

    /// Bytes of all tasks, and of what they keep.
    pub(crate) fn bytes(&self) -> usize {
        let tasks: usize =
            self.tasks.with(|tasks, _| tasks.keys().map(|id| id.len() + size_of::<Task>()).sum());
        tasks + self.bytes.get()
    }

    /// How many tasks are kept.
    pub(crate) fn len(&self) -> usize {
        self.tasks.with(|tasks, _| tasks.len())
    }

    /// Counts a call that runs as a task, until it is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        Running { place: Some(self.running.charge(1)), store: Arc::clone(self) }
    }

    /// How many calls run as tasks.
    pub(crate) fn running(&self) -> usize {
        self.running.get()
    }

    /// Waits until no call runs as a task.
    pub(crate) async fn all_done(&self) {
        loop {
            // Listening begins before the look, so that the last one's end in between is heard.
            let done = self.idle.notified();
            if self.running() == 0 {
                return;
            }
            done.await;
        }
    }

    /// Sets bytes aside, giving up finished tasks where that is needed: of the principal that keeps most, its oldest
    /// first, so that nobody loses a result to somebody who keeps more.
    fn charge(&self, tasks: &mut Tasks, what: &'static str, bytes: usize) -> Result<Charge, NoRoom> {
        let no_room = NoRoom { what, bytes, limit_bytes: self.max_bytes };
        if let Some(charge) = self.bytes.try_charge(bytes, self.max_bytes) {
            return Ok(charge);
        }
        let finished_bytes: usize = tasks.values().map(Task::outcome_bytes).sum();
        if self.bytes.get().saturating_sub(finished_bytes) + bytes > self.max_bytes {
            return Err(no_room);
        }
        let mut finished = Finished::of(tasks);
        loop {
            tasks.remove(&finished.next().ok_or(no_room)?);
            if let Some(charge) = self.bytes.try_charge(bytes, self.max_bytes) {
                return Ok(charge);
            }
        }
    }

    fn purge(&self, tasks: &mut Tasks, now: SystemTime, after: &mut WakeList) {
        tasks.retain(|_, task| {
            let is_kept = now.duration_since(task.created).unwrap_or_default() < self.ttl;
            if !is_kept {
                task.wake_all(after);
            }
            is_kept
        });
        if tasks.len() * 4 < tasks.capacity() {
            tasks.shrink_to_fit();
        }
    }
}

/// A task that is over: since when, which, and its bytes.
type Outcome = (SystemTime, Box<str>, usize);

/// The tasks that are over, as they are given up.
struct Finished {
    /// Of each principal: the bytes that it keeps, and its tasks, the oldest last.
    by_principal: HashMap<u128, (usize, Vec<Outcome>)>,
}

impl Finished {
    fn of(tasks: &Tasks) -> Self {
        let mut by_principal = HashMap::<_, (usize, Vec<_>)>::new();
        for (id, task) in tasks.iter().filter(|(_, task)| task.outcome_bytes() > 0) {
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

impl Iterator for Finished {
    type Item = Box<str>;

    fn next(&mut self) -> Option<Box<str>> {
        let (sum, own) = self.by_principal.values_mut().max_by_key(|(sum, _)| *sum)?;
        let (_, id, bytes) = own.pop()?;
        *sum -= bytes;
        Some(id)
    }
}

/// A call that runs as a task.
#[derive(Debug)]
pub(crate) struct Running {
    store: Arc<TaskStore>,
    place: Option<Charge>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.place.take());
        if self.store.running() == 0 {
            self.store.idle.notify_waiters();
        }
    }
}

/// ISO 8601, as the extension demands.
fn timestamp(time: SystemTime) -> String {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339(since_1970.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::BufferPool;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// All orders of `0..count`.
    fn orders(count: usize) -> Vec<Vec<usize>> {
        let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
        let with = |order: &Vec<usize>, at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        };
        orders(last).iter().flat_map(|order| (0..count).map(move |at| with(order, at))).collect()
    }

    fn store(max_tasks: usize) -> TaskStore {
        TaskStore::new(&Limits { max_tasks, ..Limits::default() })
    }

    fn is_cancelled(store: &TaskStore, id: &str) -> bool {
        store.poll_cancelled(id, &mut Context::from_waker(Waker::noop())).is_ready()
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
        store.complete(&id, &raw(r#"{"content":[]}"#), now).expect("room");
        store.fail(&id, &raw("{}"), now).expect("room");
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
        store.ask(&id, "a", &InputRequest::roots(), now).expect("room");
        store.ask(&id, "b", &InputRequest::roots(), now).expect("room");
        let task = shown(&store, &id, 1).expect("mine");
        assert_eq!(task["status"], "input_required");
        assert_eq!(task["inputRequests"].as_object().map(serde_json::Map::len), Some(2));
        let of_another = store.update(&id, 2, [("a", "1")].into_iter(), now);
        assert_eq!(of_another, Updated::Unknown);
        assert_eq!(store.update(&id, 1, [("a", "1"), ("x", "2")].into_iter(), now), Updated::Done);
        assert_eq!(store.update(&id, 1, [("a", "3")].into_iter(), now), Updated::Done);
        assert_eq!(store.poll_answer(&id, "a", &mut cx), Poll::Ready(Some("1".into())));
        assert_eq!(store.poll_answer(&id, "b", &mut cx), Poll::Pending);
        store.ask(&id, "a", &InputRequest::roots(), now).expect("room");
        let task = shown(&store, &id, 1).expect("mine");
        assert_eq!(task["inputRequests"].as_object().map(serde_json::Map::len), Some(1), "{task}");
        assert!(store.cancel(&id, 1, now));
        assert_eq!(store.poll_answer(&id, "b", &mut cx), Poll::Ready(None));
        assert!(is_cancelled(&store, &id));
    }

    #[test]
    fn the_store_is_bounded_and_forgets() {
        let (store, now) = (store(2), SystemTime::now());
        let first = store.create(1, now).expect("room");
        store.create(1, now).expect("room");
        assert_eq!(store.create(1, now), Err(StoreFull));
        let later = now + Limits::default().task_ttl();
        store.create(1, later).expect("those whose time is over make room");
        assert!(is_cancelled(&store, &first));
        store.sweep(later + Limits::default().task_ttl());
        assert_eq!(store.len(), 0);
    }

    /// A waker that counts, and that looks into the store, as an executor's own code may.
    struct Bell {
        store: Arc<TaskStore>,
        rung: AtomicUsize,
    }

    impl Bell {
        fn new(store: &Arc<TaskStore>) -> Arc<Self> {
            Arc::new(Self { store: Arc::clone(store), rung: AtomicUsize::new(0) })
        }

        fn is_rung(&self) -> bool {
            self.rung.load(Ordering::SeqCst) > 0
        }
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.store.len();
            self.rung.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Every order of what a driver, two waits of a handler and two updates do: whoever waits for what has come is
    /// woken. Each step is atomic, as all state is behind one lock; wakes come after it.
    #[test]
    fn nobody_sleeps_over_what_has_come_in_any_order() {
        const STEPS: usize = 6;
        for order in orders(STEPS) {
            let store = Arc::new(store(4));
            let now = SystemTime::now();
            let id = store.create(1, now).expect("room");
            for key in ["a", "b"] {
                store.ask(&id, key, &InputRequest::roots(), now).expect("room");
            }
            let [driver, first, second] = [(); 3].map(|()| Bell::new(&store));
            let mut waits = [false; 2];
            for step in &order {
                let wait = |key: &str, bell: &Arc<Bell>| {
                    let waker = Waker::from(Arc::clone(bell));
                    store.poll_answer(&id, key, &mut Context::from_waker(&waker)).is_pending()
                };
                match step {
                    0 | 5 => {
                        let waker = Waker::from(Arc::clone(&driver));
                        let cx = &mut Context::from_waker(&waker);
                        assert!(store.poll_cancelled(&id, cx).is_pending());
                    }
                    1 => waits[0] = wait("a", &first),
                    2 => waits[1] = wait("b", &second),
                    3 => drop(store.update(&id, 1, [("a", "1")].into_iter(), now)),
                    _ => drop(store.update(&id, 1, [("b", "2")].into_iter(), now)),
                }
            }
            assert_eq!(waits, [first.is_rung(), second.is_rung()], "{order:?}");
            assert!(!driver.is_rung(), "{order:?}");
            assert!(store.cancel(&id, 1, now) && driver.is_rung(), "{order:?}");
        }
    }

    #[test]
    fn on_several_threads_no_task_is_left_asleep() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for _ in 0..200 {
                let (store, now) = (Arc::new(store(4)), SystemTime::now());
                let id = store.create(1, now).expect("room");
                let keys = ["a", "b", "c", "d"];
                let mut waits = Vec::new();
                for key in keys {
                    store.ask(&id, key, &InputRequest::roots(), now).expect("room");
                    let (store, id) = (Arc::clone(&store), id.clone());
                    waits.push(tokio::spawn(async move {
                        std::future::poll_fn(|cx| {
                            let _ = store.poll_cancelled(&id, cx);
                            store.poll_answer(&id, key, cx)
                        })
                        .await
                    }));
                }
                for key in keys {
                    let (store, id) = (Arc::clone(&store), id.clone());
                    tokio::spawn(async move { store.update(&id, 1, [(key, "1")].into_iter(), now) });
                }
                for wait in waits {
                    let answer = tokio::time::timeout(Duration::from_mins(1), wait).await;
                    assert_eq!(answer.expect("woken").expect("no panic").as_deref(), Some("1"));
                }
            }
        });
    }

    #[test]
    fn whoever_keeps_most_gives_up_its_oldest_result() {
        let store = TaskStore::new(&Limits { max_task_bytes: 4 * 1024, ..Limits::default() });
        let result = |bytes: usize| raw(&format!("\"{}\"", "x".repeat(bytes - 2)));
        let end = |principal, bytes, at: SystemTime| {
            let id = store.create(principal, at).expect("room");
            store.complete(&id, &result(bytes), at).map(|()| id)
        };
        let begun = SystemTime::now();
        let at = |second| begun + Duration::from_secs(second);
        let small = end(1, 1_000, at(0)).expect("room");
        let flood: Vec<_> = (1..6).map(|n| end(2, 1_000, at(n)).expect("room")).collect();
        let is_there = |principal, id: &str| shown(&store, id, principal).is_some();
        assert!(is_there(1, &small), "another principal's flood takes nothing from who keeps less");
        let left: Vec<_> = flood.iter().map(|id| is_there(2, id)).collect();
        assert_eq!(left, [false, false, true, true, true]);
        let error = end(1, 5_000, at(9)).expect_err("more than all may keep");
        assert!(error.to_string().contains("max_task_bytes"), "{error}");
        assert!(is_there(1, &small), "nothing is given up for what does not fit anyway");
        let waiting = store.create(1, at(9)).expect("room");
        store
            .ask(&waiting, "k", &InputRequest::roots(), at(9))
            .expect("room, for which a result is given up");
        let answer = "x".repeat(5_000);
        let full = store.update(&waiting, 1, [("k", answer.as_str())].into_iter(), at(9));
        assert!(matches!(full, Updated::Full(_)), "{full:?}");
    }

    proptest! {
        #[test]
        fn the_sum_of_bytes_is_what_a_recount_finds(
            steps in vec((0..8_u8, 0..6_usize, 0..900_usize), 0..60),
        ) {
            let store = TaskStore::new(&Limits { max_task_bytes: 2 * 1024, max_tasks: 5, ..Limits::default() });
            let mut cx = Context::from_waker(Waker::noop());
            let (mut ids, mut now) = (Vec::new(), SystemTime::now());
            for (step, which, bytes) in steps {
                now += Duration::from_millis(1);
                let text = format!("\"{}\"", "x".repeat(bytes));
                let key = ["a", "b"][which % 2];
                let id: String = which.checked_rem(ids.len()).map(|at| ids.swap_remove(at)).unwrap_or_default();
                let kept = match step {
                    0 => { ids.extend(store.create(which as u128 % 2, now)); Ok(()) }
                    1 => store.complete(&id, &raw(&text), now),
                    2 => store.fail(&id, &raw(&text), now),
                    3 => store.ask(&id, key, &InputRequest::elicitation(&text, "{}"), now),
                    4 => { store.update(&id, which as u128 % 2, [(key, text.as_str())].into_iter(), now); Ok(()) }
                    5 => { drop(store.poll_answer(&id, key, &mut cx)); Ok(()) }
                    6 => { store.cancel(&id, which as u128 % 2, now); Ok(()) }
                    _ => { store.fail_without_room(&id, &raw("7"), now); Ok(()) }
                };
                ids.push(id);
                prop_assert!(kept.is_ok() || store.bytes.get() + bytes > 1_000);
                let recount: usize = store.tasks.with(|tasks, _| tasks.values().map(|task| {
                    task.outcome_bytes() + task.inputs.values().map(|input| match input {
                        Input::Asked { request, .. } => request.charge.amount(),
                        Input::Answered(answer) => answer.charge.amount(),
                        Input::Taken => 0,
                    }).sum::<usize>()
                }).sum());
                prop_assert_eq!(store.bytes.get(), recount);
                prop_assert!(recount <= 2 * 1024 + 5, "{} B, and a byte for each that failed for want of room", recount);
            }
            store.sweep(now + Limits::default().task_ttl());
            prop_assert_eq!((store.bytes(), store.len()), (0, 0));
        }
    }
}
