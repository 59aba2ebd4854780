//! Calls that continue as tasks, without a connection.
//!
//! A handler decides that its call becomes a task. The frame is then served a second time, in the background and in a
//! slot of its own. The task store takes its answer and its requests to the client, and the client polls them there.

use crate::server::incoming::facts::FrameOrigin;
use crate::server::serving::serve::ServedFrame;
use crate::server::serving::slot::RequestSlot;
use crate::server::serving::unfinished::DetachedCall;
use crate::server::shared::Shared;
use crate::server::state::call_state::Caller;
use crate::server::state::task::TaskRoom;
use mcpool_pools::ObjectPool;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout, timeout_at};

/// Serves the call of a task in the background.
pub(crate) fn run(shared: &Arc<Shared>, slots: &ObjectPool<RequestSlot>, call: DetachedCall) {
    let (shared, slots) = (Arc::clone(shared), slots.clone());
    // Counted before it is spawned, so that a drain cannot miss it.
    let running = shared.tasks.begin();
    tokio::spawn(async move {
        let _running = running;
        // The room goes last, after the slot that has the frame.
        let DetachedCall { room, frame, task, principal, session } = call;
        let client = Arc::clone(&session);
        let tell_client = || {
            if shared.tasks.has_news(&task) {
                client.note_task_news();
            }
        };
        let mut slot = slots.acquire();
        let caller = Caller { principal, task: Some(task.as_str().into()), ..Caller::default() };
        slot.fill(caller, session, frame, FrameOrigin { in_task: true, ..FrameOrigin::default() });
        let served = poll_fn(|cx| {
            if shared.tasks.poll_cancelled(&task, cx).is_ready() {
                return Poll::Ready(None);
            }
            let polled = slot.poll(cx.waker()).map(Some);
            if polled.is_pending() {
                tell_client();
            }
            polled
        })
        .await;
        let Some(ServedFrame { outcome, detached }) = served else {
            tell_client();
            return slot.cancel();
        };
        // The message goes before its room, which is for the result.
        drop(slot);
        if let Some(detached) = detached {
            run(&shared, &slots, *detached);
        }
        let answer = outcome.into_answer();
        finish(&shared, &task, answer.as_deref().map(|answer| &answer[..]).unwrap_or_default(), room);
        tell_client();
    });
}

/// Stores the answer of a task without its envelope. Its message is gone, and makes room for that.
fn finish(shared: &Shared, task: &str, answer: &[u8], message: TaskRoom) {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let now = SystemTime::now();
    let why = match serde_json::from_slice::<Answer<'_>>(answer) {
        Ok(Answer { result: Some(result), .. }) => shared.tasks.complete(task, result, now, Some(message)),
        Ok(Answer { error: Some(error), .. }) => shared.tasks.fail(task, error, now, Some(message)),
        _ => return fail_shortly(shared, task, "the call ended without an answer", now),
    };
    if let Err(no_room) = why {
        fail_shortly(shared, task, &no_room.to_string(), now);
    }
}

fn fail_shortly(shared: &Shared, task: &str, why: &str, now: SystemTime) {
    if let Ok(error) = to_raw_value(&json!({"code": -32603, "message": why})) {
        shared.tasks.fail_without_room(task, &error, now);
    }
}

/// How long cancelled tasks may take to end when the server ends.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Waits for running tasks until `deadline`, then cancels them.
pub(crate) async fn finish_all(shared: &Shared, deadline: Instant) {
    let tasks = &shared.tasks;
    if tasks.running() == 0 {
        return;
    }
    tracing::info!(running = tasks.running(), "waiting for tasks");
    if timeout_at(deadline, tasks.all_done()).await.is_ok() {
        return;
    }
    tracing::warn!(
        running = tasks.running(),
        "tasks did not end in time and are cancelled (drain_timeout_ms)"
    );
    tasks.cancel_all(SystemTime::now());
    if timeout(LAST_MOMENT, tasks.all_done()).await.is_err() {
        tracing::warn!(
            running = tasks.running(),
            "tasks do not notice that they are cancelled, and are cut off"
        );
    }
}
