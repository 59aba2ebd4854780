//! Answers that need the whole frame: a call that asks its client, and a call that becomes a task.

use crate::protocol::{ArgumentsAt, Era, InputRequest, Message, MessageDecoder, ProtocolError, WantedTask};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::handler_end::HandlerEnd;
use crate::server::incoming::inputs;
use crate::server::shared::Shared;
use crate::server::state::call_state::CallState;
use crate::server::state::session::Session;
use crate::server::state::task::TaskRoom;
use crate::wire::Frame;
use bumpalo::Bump;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A call that continues as a task, without its connection.
#[derive(Debug)]
pub(crate) struct DetachedCall {
    pub(crate) frame: Frame,
    /// The frame's bytes among those of all tasks.
    pub(crate) room: TaskRoom,
    pub(crate) task: String,
    pub(crate) principal: u128,
    pub(crate) session: Arc<Session>,
}

/// The answer to a call that is not over, and the call itself if it becomes a task.
#[cold]
pub(crate) fn answer_unfinished(
    shared: &Shared,
    session: &Arc<Session>,
    call: &CallState,
    frame: &Frame,
    ended: HandlerEnd,
) -> (Outcome, Option<Box<DetachedCall>>) {
    match ended {
        HandlerEnd::Done(outcome) => (outcome, None),
        HandlerEnd::NeedsInput { requests, round } => {
            (input_required(shared, call, frame, &requests, round.as_deref()), None)
        }
        HandlerEnd::NeedsTask(wanted) => detach(shared, session, call, frame, wanted),
        // A call ends on its thread, and what lasts with an outcome.
        HandlerEnd::OnThread(_) | HandlerEnd::Lasting(_) => (Outcome::Silent, None),
    }
}

/// Writes the answer that lists what the call needs. The frame is decoded again, because the state is bound to its
/// contents; calls that ask are rare.
fn input_required(
    shared: &Shared,
    call: &CallState,
    frame: &Frame,
    requests: &[(Box<str>, InputRequest)],
    round: Option<&[u8]>,
) -> Outcome {
    let details = call.details();
    let arena = Bump::new();
    let state = reread(frame, &arena)
        .ok_or(ProtocolError::Internal("the frame cannot be read again"))
        .and_then(|message| inputs::seal(shared, details.principal(), &message, round));
    let state = match state {
        Ok(state) => state,
        Err(error) => return shared.refusal(AnswerId::Of(&details.id), &error),
    };
    let mut reply = shared.reply();
    let requests = requests.iter().map(|(key, request)| (&**key, request));
    envelope::input_required(&mut reply, &details.id, requests, state.as_deref(), &shared.server_meta);
    shared.answered(reply, AnswerId::Of(&details.id))
}

fn reread<'f>(frame: &'f Frame, arena: &'f Bump) -> Option<Message<'f>> {
    let mut decoder = MessageDecoder::new(frame.bytes(), arena).ok()?;
    if decoder.begin().ok()? == ArgumentsAt::Here {
        decoder.skip_arguments().ok()?;
    }
    Some(*decoder.message())
}

/// Makes a task of a call, if there is room for its message, and gives its client the task's id.
fn detach(
    shared: &Shared,
    session: &Arc<Session>,
    call: &CallState,
    frame: &Frame,
    wanted: WantedTask,
) -> (Outcome, Option<Box<DetachedCall>>) {
    let (id, principal) = {
        let details = call.details();
        (details.id.clone(), details.principal())
    };
    let (frame, room) = match shared.tasks.keep_message(principal, frame) {
        Ok(kept) => kept,
        Err(no_room) => {
            let why = no_room.to_string();
            return (shared.refusal(AnswerId::Of(&id), &ProtocolError::NoRoomForTask(&why)), None);
        }
    };
    let of_session = call.is_legacy().then(|| session.number());
    let ttl = Duration::from_millis(wanted.ttl_ms.into());
    let Ok(task) = shared.tasks.create_for(principal, of_session, ttl, SystemTime::now()) else {
        let limit = shared.limits.max_tasks;
        return (shared.refusal(AnswerId::Of(&id), &ProtocolError::TooManyTasks { limit }), None);
    };
    if let Some(number) = of_session
        && !session.note_task()
    {
        shared.tasks.end_session(number);
        return (shared.refusal(AnswerId::Of(&id), &ProtocolError::UnknownSession), None);
    }
    let mut reply = shared.reply();
    if let Some(number) = of_session {
        envelope::open_result(&mut reply, &id, Era::Legacy);
        reply.token(r#""task":{"#);
        shared.tasks.write_status(&task, number, &mut reply);
        reply.token("}");
        envelope::close_result(&mut reply);
    } else {
        envelope::open_task_result(&mut reply, &id);
        shared.tasks.write(&task, principal, &mut reply);
        envelope::close_modern_result(&mut reply, &shared.server_meta);
    }
    match shared.answered(reply, AnswerId::Of(&id)) {
        reply @ Outcome::Reply(_) => {
            let session = Arc::clone(session);
            (reply, Some(Box::new(DetachedCall { frame, room, task, principal, session })))
        }
        // Nobody runs it, and its client does not know of it.
        outcome => {
            shared.tasks.cancel(&task, principal, SystemTime::now());
            (outcome, None)
        }
    }
}
