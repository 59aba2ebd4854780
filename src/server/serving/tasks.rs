//! The tasks extension: calls that go on without their client.
//!
//! A call becomes a task where its handler says so. Its frame is served a second time, in a slot of its own
//! and in the background, with nobody at the other end; what it answers goes to the task store, where
//! the client asks for it. What such a call asks its client goes there too.

use crate::protocol::{
    Capability, ClientCapabilities, IdField, InputRequest, InputResponse, Message, Method, ProtocolError,
};
use crate::server::Server;
use crate::server::Shared;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::handler::call_context::ToolError;
use crate::server::handler::request_context::RequestContext;
use crate::server::serving::dispatch::Route;
use crate::server::serving::serve::{Detached, Incoming, Outcome, Surroundings};
use crate::server::state::call_state::{CallState, Caller};
use crate::server::state::session::Session;
use crate::server::state::task_store::Updated;
use crate::wire::Frame;
use bumpalo::Bump;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout, timeout_at};

/// Makes a task of a call, and tells its client.
#[cold]
pub(crate) fn detach(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    call: &Arc<CallState>,
    frame: Frame,
) -> Outcome {
    let (id, principal) = {
        let names = call.names();
        (names.id.clone(), names.principal())
    };
    let Ok(task) = shared.tasks.create(principal, SystemTime::now()) else {
        let limit = shared.limits.max_tasks;
        return shared.refusal(AnswerId::Of(&id), &ProtocolError::TooManyTasks { limit });
    };
    let mut reply = shared.reply();
    envelope::open_task_result(&mut reply, &id);
    shared.tasks.write(&task, principal, &mut reply);
    envelope::close_modern_result(&mut reply, &shared.server_meta);
    let work = Box::new(Detached { frame, task, principal, session: Arc::clone(session) });
    match shared.answered(reply, AnswerId::Of(&id)) {
        Outcome::Reply(answer) => Outcome::Detached { answer, work },
        outcome => outcome,
    }
}

/// Serves the call of a task in the background.
pub(crate) fn run(server: &Server, work: Detached) {
    let server = server.clone();
    // Before it is spawned, so that a drain cannot miss it.
    let running = server.shared.tasks.begin();
    tokio::spawn(async move {
        let _running = running;
        let Detached { frame, task, principal, session } = work;
        let mut slot = server.slot();
        let caller = Caller { principal, task: Some(task.as_str().into()), ..Caller::default() };
        let surroundings = Surroundings { in_task: true, ..Surroundings::default() };
        slot.fill(caller, |arena, call| Incoming { frame, arena, call, session, surroundings });
        let tasks = &server.shared.tasks;
        let outcome = poll_fn(|cx| {
            if tasks.poll_cancelled(&task, cx).is_ready() {
                return Poll::Ready(None);
            }
            slot.poll(cx.waker()).map(Some)
        })
        .await;
        match outcome {
            None => slot.cancel(),
            Some(outcome) => {
                let answer = server.resolve(outcome, &slot).into_answer();
                finish(
                    &server.shared,
                    &task,
                    answer.as_deref().map(|answer| &answer[..]).unwrap_or_default(),
                );
            }
        }
    });
}

/// Keeps the answer of a task: the part of it that is no envelope.
fn finish(shared: &Shared, task: &str, answer: &[u8]) {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let now = SystemTime::now();
    let why = match serde_json::from_slice::<Answer<'_>>(answer) {
        Ok(Answer { result: Some(result), .. }) => shared.tasks.complete(task, result, now),
        Ok(Answer { error: Some(error), .. }) => shared.tasks.fail(task, error, now),
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

/// How long tasks may take to notice that they are cancelled, when their server ends.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Waits for the tasks that run, until `deadline`; then they are cancelled.
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

/// Puts a request of a task's call where its client sees it.
pub(crate) fn begin_asking(
    request: &RequestContext,
    key: &str,
    input: &InputRequest,
) -> Result<(), ToolError> {
    let task = request.call.names().task.clone().ok_or(ToolError::Cancelled)?;
    Ok(request.shared.tasks.ask(&task, key, input, SystemTime::now())?)
}

/// Waits for what the client answers to a request of a task's call.
pub(crate) async fn wait_for_answer(request: &RequestContext, key: &str) -> Result<InputResponse, ToolError> {
    let task = request.call.names().task.clone().ok_or(ToolError::Cancelled)?;
    let tasks = &request.shared.tasks;
    poll_fn(|cx| tasks.poll_answer(&task, key, cx)).await.map(InputResponse::new).ok_or(ToolError::Cancelled)
}

/// Serves the methods of the extension.
pub(crate) fn serve<'f>(route: &Route<'f>, message: &Message<'f>, arena: &'f Bump) -> Outcome {
    let IdField::Valid(id) = message.id else { return Outcome::Silent };
    let capabilities = message
        .meta
        .client_capabilities
        .map_or_else(ClientCapabilities::default, |raw| ClientCapabilities::decode(raw, arena));
    if !capabilities.has(Capability::Tasks) {
        return route.refuse(message, &ProtocolError::MissingCapability { required: Capability::Tasks });
    }
    let Some(task) = message.task_id else {
        return route.refuse(message, &ProtocolError::InvalidParams("taskId must be a string"));
    };
    let (shared, principal) = (route.shared, route.call.names().principal());
    let unknown = ProtocolError::InvalidParams("there is no such task, or its time is over");
    let is_known = match message.method.and_then(Method::parse) {
        Some(Method::TasksCancel) => shared.tasks.cancel(task, principal, SystemTime::now()),
        Some(Method::TasksUpdate) => match message.decode_params::<Update<'_>>(arena) {
            Ok(Update { input_responses }) => {
                let responses = input_responses.iter().map(|(key, raw)| (*key, raw.as_str()));
                match shared.tasks.update(task, principal, responses, SystemTime::now()) {
                    Updated::Done => true,
                    Updated::Unknown => false,
                    Updated::Full(why) => {
                        return route.refuse(message, &ProtocolError::Failed(&why.to_string()));
                    }
                }
            }
            Err(error) => return route.refuse(message, &ProtocolError::UndecodableParams(error)),
        },
        _ => {
            let mut reply = shared.reply();
            envelope::open_result(&mut reply, id.as_json(), crate::protocol::Era::Modern);
            if !shared.tasks.write(task, principal, &mut reply) {
                return route.refuse(message, &unknown);
            }
            envelope::close_modern_result(&mut reply, &shared.server_meta);
            return shared.answered(reply, AnswerId::Of(id.as_json()));
        }
    };
    if !is_known {
        return route.refuse(message, &unknown);
    }
    let mut reply = shared.reply();
    envelope::open_acknowledgement(&mut reply, id.as_json());
    envelope::close_modern_result(&mut reply, &shared.server_meta);
    shared.answered(reply, AnswerId::Of(id.as_json()))
}

/// The parameters of `tasks/update`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    #[serde(borrow)]
    input_responses: BTreeMap<&'a str, crate::wire::Raw<'a>>,
}
