//! One frame served: bytes in, an outcome out. Knows no transport.
//!
//! The frame moves into the future that serves it, so every string borrowed from it lives in that future, and the
//! borrow needs no unsafe. Decoding, checks, and all methods but a tool's own work run before the first await: what
//! completes at once completes on the first poll. The order of checks is that of the specification's error table:
//! JSON, shape, era, `_meta`, version, method, parameters.

use crate::protocol::{ArgumentsAt, MessageDecoder, Method, ProtocolError};
use crate::server::answer::outcome::Outcome;
use crate::server::handler::tool::Toolset;
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::checks::Unchecked;
use crate::server::incoming::facts::Incoming;
use crate::server::incoming::frame_context::FrameContext;
use crate::server::incoming::handler_end::{Finished, HandlerEnd};
use crate::server::serving::core::Core;
use crate::server::serving::dispatched::Dispatched;
use crate::server::serving::methods::serve_method;
use crate::server::serving::on_thread::serve_on_thread;
use crate::server::serving::unfinished::{DetachedCall, answer_unfinished};
use bumpalo::Bump;
use std::pin::pin;
use std::sync::Arc;

/// A frame that was served.
#[derive(Debug)]
pub(crate) struct ServedFrame {
    pub(crate) outcome: Outcome,
    /// The call, if it continues as a task: it needs a slot of its own.
    pub(crate) detached: Option<Box<DetachedCall>>,
}

impl From<Outcome> for ServedFrame {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, detached: None }
    }
}

/// Serves one frame to its end. The arena comes back for the slot's next request.
///
/// It is not an `async fn`, and the dispatched call is pinned where it is made: with either shorter spelling the
/// compiler stores the largest part of the future twice, and a waiting request would not fit its kilobyte.
pub(crate) fn serve_frame<T: Toolset>(
    core: Arc<Core<T>>,
    incoming: Incoming,
) -> impl Future<Output = (ServedFrame, Bump)> + Send {
    let Incoming { mut frame, arena, call, session, origin } = incoming;
    async move {
        let has_room = frame.charge_for_serving().is_ok();
        let context = FrameContext {
            shared: &core.shared,
            session: &session,
            call: &call,
            origin: &origin,
            frame: &frame,
        };
        let mut ended = pin!(dispatch(&core, context, &arena, has_room)).await;
        if let HandlerEnd::OnThread(call) = ended {
            let (returned, end) = serve_on_thread(&core, frame, call).await;
            let Some(returned) = returned else {
                return (ServedFrame::from(Outcome::Silent), arena);
            };
            (frame, ended) = (returned, end);
        }
        let served = match ended {
            HandlerEnd::Done(outcome) => ServedFrame::from(outcome),
            // Their answers need the whole frame.
            unfinished => {
                let (outcome, detached) = answer_unfinished(&core.shared, &session, &call, frame, unfinished);
                ServedFrame { outcome, detached }
            }
        };
        (served, arena)
    }
}

/// Decodes a frame, and finds the function or the tool that serves its message. Without room for what is made of a
/// large message it is refused as soon as its id is known.
fn dispatch<'f, T: Toolset>(
    core: &'f Core<T>,
    context: FrameContext<'f>,
    arena: &'f Bump,
    has_room: bool,
) -> Dispatched<'f, impl Future<Output = Finished> + Send + 'f> {
    let mut decoder = match MessageDecoder::new(context.frame.bytes(), arena) {
        Ok(decoder) => decoder,
        Err(error) => return Dispatched::from(context.refuse_unreadable(error)),
    };
    let arguments_at = match decoder.begin() {
        Ok(arguments_at) => arguments_at,
        Err(error) => return Dispatched::from(context.refuse_unreadable(error)),
    };
    let message = decoder.message();
    if !has_room {
        core.shared.memory.note_refused();
        return Dispatched::from(context.refuse(message, &ProtocolError::OutOfMemory));
    }
    if arguments_at == ArgumentsAt::End && message.method != Some(Method::ToolsCall.as_str()) {
        return match Unchecked::new(&context, message, arena).check() {
            Ok(checked) => serve_method(core, checked),
            Err(refusal) => Dispatched::from(refusal),
        };
    }
    let index = message.name.and_then(|name| core.shared.catalog.load().tool(name));
    let request = ToolRequest { context, decoder, arguments_at, index };
    match index {
        // This runs the checks of the message first: if it has another fault, the answer names that one.
        None => Dispatched::from(request.refuse_unknown()),
        Some(index) => Dispatched::Call { call: core.toolset.call(index, request) },
    }
}
