//! The methods of tasks in revision 2025-11-25: a client asks which tasks its session has, how far one is and what it came
//! to, or cancels one. While it waits for what a task came to, it is asked what the task asks for.

use crate::protocol::{Era, IdField, InputRequest, Method, ProtocolError, Revision};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::BoxedFuture;
use crate::server::incoming::checks::{AdmittedRequest, Checked};
use crate::server::incoming::handler_end::Finished;
use crate::server::shared::Shared;
use crate::server::state::call_state::CallState;
use crate::server::state::session::Session;
use crate::server::state::session_tasks::{SentQuestion, SessionCancel, TaskOutcome, TaskStep};
use crate::server::state::task::WaiterKey;
use crate::server::state::task_store::{TaskStore, Updated};
use crate::server::state::task_table::TaskOwner;
use crate::wire::Raw;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

const NO_NAME: ProtocolError<'static> = ProtocolError::InvalidParams("taskId must be a string");
/// Stands for an answer that a client did not give: it fits no question.
const NO_ANSWER: &str = "null";

/// Serves the methods that wait for nothing.
pub(crate) fn serve(checked: &Checked<'_, '_>) -> Outcome {
    let Checked { context, message, .. } = *checked;
    let IdField::Valid(id) = message.id else { return Outcome::Silent };
    if let Err(refusal) = check_revision(checked) {
        return refusal;
    }
    if checked.method == Some(Method::TasksList) {
        return list(checked, id.as_json());
    }
    let Some(task) = message.task_id else { return checked.refuse(&NO_NAME) };
    let (tasks, session) = (&context.shared.tasks, context.session.number());
    if checked.method == Some(Method::TasksCancel) {
        match tasks.cancel_in_session(task, session, SystemTime::now()) {
            SessionCancel::Done => {}
            SessionCancel::Unknown => return checked.refuse(&missing(tasks, task, session)),
            SessionCancel::Ended(status) => {
                let why = format!("Cannot cancel task in terminal status: {status}");
                return checked.refuse(&ProtocolError::Custom { code: INVALID_PARAMS, message: &why });
            }
        }
    }
    let mut reply = context.shared.reply();
    envelope::open_result(&mut reply, id.as_json(), Era::Legacy);
    if !tasks.write_status(task, session, &mut reply) {
        return checked.refuse(&missing(tasks, task, session));
    }
    envelope::close_result(&mut reply);
    context.shared.answered(reply, AnswerId::Of(id.as_json()))
}

fn missing(tasks: &TaskStore, task: &str, session: u64) -> ProtocolError<'static> {
    ProtocolError::InvalidParams(tasks.why_missing(task, TaskOwner::Session(session)).why())
}

fn refuse_missing(task: &str, request: &RequestContext) -> Finished {
    request.refuse(&missing(&request.shared.tasks, task, request.session.number()))
}

const INVALID_PARAMS: i32 = crate::protocol::ErrorCode::InvalidParams as i32;

/// Older revisions have no tasks.
fn check_revision(checked: &Checked<'_, '_>) -> Result<(), Outcome> {
    let has_tasks = checked.context.session.revision().is_some_and(Revision::has_tasks);
    let method = checked.message.method.unwrap_or_default();
    if has_tasks { Ok(()) } else { Err(checked.refuse(&ProtocolError::MethodNotFound { method })) }
}

/// A page of the tasks of a session. A cursor is the last task of the page before it.
fn list(checked: &Checked<'_, '_>, id: &str) -> Outcome {
    let Checked { context, message, arena, .. } = *checked;
    let Ok(cursor) = message.cursor.map(|raw| raw.decode::<&str>(arena)).transpose() else {
        return checked.refuse(&ProtocolError::InvalidParams("cursor must be a string"));
    };
    let shared = context.shared;
    let mut reply = shared.reply();
    envelope::open_result(&mut reply, id, Era::Legacy);
    reply.token(r#""tasks":["#);
    let session = context.session.number();
    let next = shared.tasks.write_list(session, cursor, shared.limits.page_entries, &mut reply);
    let Ok(next) = next else {
        return checked
            .refuse(&ProtocolError::InvalidParams("this cursor was not given out, or its task is gone"));
    };
    reply.token("]");
    if let Some(next) = next {
        reply.token(r#","nextCursor":"#);
        reply.string(&next);
    }
    envelope::close_result(&mut reply);
    shared.answered(reply, AnswerId::Of(id))
}

/// `tasks/result`: waits until a task has ended.
pub(crate) fn result<'f>(checked: Checked<'_, 'f>) -> Result<BoxedFuture<'f, Finished>, Finished> {
    check_revision(&checked)?;
    let Some(task) = checked.message.task_id else { return Err(checked.refuse(&NO_NAME).into()) };
    let AdmittedRequest { shared, session, call, .. } = checked.admit()?;
    Ok(Box::pin(AwaitedOutcome { task, shared, session, call, asking: None }))
}

/// Waits for what a task came to, and asks the client what the task asks for meanwhile.
///
/// It is no `async fn`, which would hold what it was given twice: a request that waits is to keep a kilobyte at most.
struct AwaitedOutcome<'f> {
    task: &'f str,
    shared: Arc<Shared>,
    session: Arc<Session>,
    call: Arc<CallState>,
    /// In a box of one word, as most wait without being asked anything.
    asking: Option<Box<BoxedFuture<'f, Option<Finished>>>>,
}

impl AwaitedOutcome<'_> {
    fn request(&self) -> RequestContext {
        RequestContext::of_waiter(Arc::clone(&self.shared), Arc::clone(&self.session), Arc::clone(&self.call))
    }
}

impl Future for AwaitedOutcome<'_> {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let this = &mut *self;
        let (session, key) = (this.session.number(), WaiterKey::of(&this.call));
        loop {
            let tasks = &this.shared.tasks;
            if let Some(asking) = &mut this.asking {
                match Pin::new(asking).poll(cx) {
                    Poll::Ready(Some(refusal)) => return Poll::Ready(refusal),
                    Poll::Ready(None) => {}
                    Poll::Pending => ready!(tasks.poll_ended(this.task, session, key, cx)),
                }
                this.asking = None;
            }
            match ready!(tasks.poll_step(this.task, session, key, cx)) {
                TaskStep::Unknown => return Poll::Ready(refuse_missing(this.task, &this.request())),
                TaskStep::Ended => return Poll::Ready(outcome(this.task, &this.request())),
                TaskStep::Ask(sent, question) => {
                    this.asking = Some(Box::new(Box::pin(ask(this.request(), sent, question))));
                }
            }
        }
    }
}

impl Drop for AwaitedOutcome<'_> {
    fn drop(&mut self) {
        self.asking = None;
        self.shared.tasks.leave(self.task, self.session.number(), WaiterKey::of(&self.call));
    }
}

/// Asks the client what its task asks for. Gives the end of the request where the answer finds no room: it may be asked
/// for again.
async fn ask(request: RequestContext, sent: SentQuestion, question: InputRequest) -> Option<Finished> {
    let answer = request.ask_for_task(question.related_to(sent.task())).await;
    let json = match &answer {
        Ok(response) => response.as_json(),
        Err(error) => {
            tracing::debug!(?error, task = sent.task(), "a client was not asked, or refused");
            NO_ANSWER
        }
    };
    let principal = request.call.details().principal();
    let answers = std::iter::once((sent.key(), json));
    match request.shared.tasks.update(sent.task(), principal, answers, SystemTime::now()) {
        Updated::Full(why) => Some(request.refuse(&ProtocolError::Failed(&why.to_string()))),
        Updated::Done | Updated::Unknown => None,
    }
}

/// What the request would have been answered with that began the task.
fn outcome(task: &str, request: &RequestContext) -> Finished {
    let id = request.call.details().id.clone();
    let shared = &request.shared;
    let written = shared.tasks.with_outcome(task, request.session.number(), |outcome| {
        let mut reply = shared.reply();
        match outcome {
            TaskOutcome::Result(result) => envelope::task_outcome(&mut reply, &id, result.get(), task),
            TaskOutcome::Error(error) => envelope::known_error(&mut reply, &id, Raw::from(error)),
            TaskOutcome::Cancelled => return None,
        }
        Some(reply)
    });
    match written {
        Some(Some(reply)) => shared.answered(reply, AnswerId::Of(&id)).into(),
        Some(None) => {
            request.refuse(&ProtocolError::InvalidParams("the task was cancelled, and has no result"))
        }
        None => refuse_missing(task, request),
    }
}
