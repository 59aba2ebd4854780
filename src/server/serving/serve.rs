//! One frame served: bytes in, an outcome out. Knows no transport.
//!
//! The frame moves into the future that serves it, so every string borrowed from it lives in that future, and the
//! borrow needs no unsafe. Decoding, checks, and all methods but a tool's own work run before the first await: what
//! completes at once completes on the first poll. The order of checks is that of the specification's error table:
//! JSON, shape, era, `_meta`, version, method, parameters.

use crate::protocol::{ArgumentsAt, MessageDecoder, Method, ProtocolError};
use crate::server::answer::outcome::Outcome;
use crate::server::handler::resources::BoxedFuture;
use crate::server::handler::tool::Toolset;
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::checks::Unchecked;
use crate::server::incoming::facts::Incoming;
use crate::server::incoming::frame_context::FrameContext;
use crate::server::incoming::handler_end::{Finished, HandlerEnd};
use crate::server::incoming::made_memory::MadeMemory;
use crate::server::serving::core::Core;
use crate::server::serving::dispatched::Dispatched;
use crate::server::serving::methods::serve_method;
use crate::server::serving::on_thread::serve_on_thread;
use crate::server::serving::unfinished::{DetachedCall, answer_unfinished};
use crate::server::state::call_state::CallState;
use crate::server::state::session::Session;
use crate::wire::Frame;
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
        let has_room = frame.charge_for_serving(&core.shared.pools.small).is_ok();
        let made = MadeMemory::default();
        let context = FrameContext {
            shared: &core.shared,
            session: &session,
            call: &call,
            origin: &origin,
            frame: &frame,
            made: &made,
        };
        let ended = pin!(dispatch(&core, context, &arena, has_room)).await;
        match settle(&core, &session, &call, frame, ended) {
            Settled::Served(served) => (served, arena),
            Settled::GoesOn(goes_on) => {
                // What goes on has nothing in the arena, and may have given back the frame that is charged with it.
                let mut own = Bump::new();
                core.shared.pools.return_arena(arena, &mut own);
                (goes_on.await, own)
            }
        }
    }
}

/// A frame whose message was dispatched.
enum Settled {
    Served(ServedFrame),
    /// Its call goes on, on a thread or without the frame: in a box, as other calls should hold no place for it.
    GoesOn(BoxedFuture<'static, ServedFrame>),
}

/// What is left of a frame after its handler ended. A function of its own, because what a future holds while it waits
/// counts for each request that waits.
fn settle<T: Toolset>(
    core: &Arc<Core<T>>,
    session: &Arc<Session>,
    call: &Arc<CallState>,
    frame: Frame,
    ended: HandlerEnd,
) -> Settled {
    match ended {
        HandlerEnd::Done(outcome) => Settled::Served(ServedFrame::from(outcome)),
        HandlerEnd::OnThread(on_thread) => {
            let (core, session, call) = (Arc::clone(core), Arc::clone(session), Arc::clone(call));
            Settled::GoesOn(Box::pin(async move {
                let (frame, ended) = serve_on_thread(&core, frame, on_thread).await;
                match frame {
                    Some(frame) => finish(&core, &session, &call, &frame, ended),
                    None => ServedFrame::from(Outcome::Silent),
                }
            }))
        }
        HandlerEnd::Lasting(lasting) => {
            drop(frame);
            call.note_frame_released();
            Settled::GoesOn(Box::pin(async move { ServedFrame::from(lasting.await) }))
        }
        unfinished => Settled::Served(finish(core, session, call, &frame, unfinished)),
    }
}

/// The answer of a handler that ended. Some answers need the whole frame.
fn finish<T>(
    core: &Core<T>,
    session: &Arc<Session>,
    call: &CallState,
    frame: &Frame,
    ended: HandlerEnd,
) -> ServedFrame {
    let (outcome, detached) = answer_unfinished(&core.shared, session, call, frame, ended);
    ServedFrame { outcome, detached }
}

/// Decodes a frame, and finds the function or the tool that serves its message. Without room for what is made of a
/// large message it is refused as soon as its id is known.
fn dispatch<'f, T: Toolset>(
    core: &'f Core<T>,
    context: FrameContext<'f>,
    arena: &'f Bump,
    has_room: bool,
) -> Dispatched<'f, impl Future<Output = Finished> + Send + 'f> {
    MadeMemory::bound(context.frame, arena);
    let (decoder, arguments_at) = match begin(&context, arena) {
        Ok(begun) => begun,
        Err(refusal) => return Dispatched::from(refusal),
    };
    let message = decoder.message();
    if !has_room {
        if context.frame.is_large() {
            core.shared.memory.note_refused_large();
        } else {
            core.shared.memory.note_refused();
        }
        return Dispatched::from(context.refuse(message, &ProtocolError::OutOfMemory));
    }
    if arguments_at == ArgumentsAt::End && message.method != Some(Method::ToolsCall.as_str()) {
        // What its parameters become is decoded in many places.
        if let Err(error) = context.make_room(arena) {
            return Dispatched::from(context.refuse(message, &error));
        }
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

/// Decodes a frame up to the arguments of a tool, or to its end.
fn begin<'f>(
    context: &FrameContext<'f>,
    arena: &'f Bump,
) -> Result<(MessageDecoder<'f>, ArgumentsAt), Outcome> {
    let unreadable = |error| context.refuse_unreadable(error);
    loop {
        let mut decoder = MessageDecoder::new(context.frame.bytes(), arena).map_err(unreadable)?;
        match decoder.begin() {
            Ok(arguments_at) => return Ok((decoder, arguments_at)),
            // With room for it, the next attempt does not lack it.
            Err(error) if error.lacks_room() => {
                context.make_room(arena).map_err(|error| context.refuse(decoder.message(), &error))?;
            }
            Err(error) => return Err(unreadable(error)),
        }
    }
}
