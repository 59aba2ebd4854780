//! A call on a thread that may block. Its frame goes along, and is decoded there for the first time.
//!
//! Whoever waits may be gone before the thread is done, so the thread owns all that the call needs. A tool that panics
//! is caught before its frame and its arena are dropped: both go back to their pools.

use crate::protocol::ProtocolError;
use crate::server::answer::outcome::Outcome;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::arguments::ThreadArguments;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::request_context::{CancelOnDrop, RequestContext};
use crate::server::handler::tool::Toolset;
use crate::server::incoming::handler_end::{ArgumentsPlace, HandlerEnd, ThreadCall};
use crate::server::incoming::made_memory::MadeMemory;
use crate::server::serving::core::Core;
use crate::wire::Frame;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// For a call that must not wait for what its batch may hold.
const NO_MEMORY_IN_BATCH: &str = "there is no memory for this answer beside the others of its batch: send the call again in a message of its own";

/// What a thread works on, and gives back when it is done.
struct Work {
    frame: Frame,
    arguments: ArgumentsPlace,
    call: CallContext,
}

/// Serves a call on a thread. The frame comes back unless the runtime ends.
pub(crate) async fn serve_on_thread<T: Toolset>(
    core: &Arc<Core<T>>,
    frame: Frame,
    call: ThreadCall,
) -> (Option<Frame>, HandlerEnd) {
    let ThreadCall { request, tool, arguments, may_repeat } = call;
    let call = CallContext::new(RequestContext::new(request), tool);
    let mut work = Work { frame, arguments, call };
    // Held while a call runs again that lacked memory.
    let mut turn = None;
    loop {
        let Some(permit) = work.call.acquire_thread().await else {
            return (Some(work.frame), work.call.finish(Err(ToolError::Cancelled)).0);
        };
        let guard = CancelOnDrop::new(&work.call.call);
        let core = Arc::clone(core);
        let thread = tokio::task::spawn_blocking(move || {
            let result = work.run(&core);
            // Dropped before the answer is sent: the client's next call may need it.
            drop(permit);
            (work, result)
        });
        let Ok((done, result)) = thread.await else {
            return (None, HandlerEnd::Done(Outcome::Silent));
        };
        guard.disarm();
        work = done;
        if work.call.wait_for_tool().await {
            continue;
        }
        let Some(lacking) = work.call.lacking().filter(|_| may_repeat) else {
            return (Some(work.frame), work.call.finish(result).0);
        };
        if work.call.must_not_wait() {
            let error = ToolError::failed(NO_MEMORY_IN_BATCH);
            return (Some(work.frame), work.call.finish(Err(error)).0);
        }
        let own_bytes = work.frame.reserved_bytes();
        // In a box, as calls that need not wait should hold no place for it.
        turn = Box::pin(work.call.wait_for_memory(turn, lacking, own_bytes)).await;
        if turn.is_none() {
            let out_of_memory = || ToolError::failed(ProtocolError::OutOfMemory.to_string());
            let error = result.err().unwrap_or_else(out_of_memory);
            return (Some(work.frame), work.call.finish(Err(error)).0);
        }
    }
}

impl Work {
    fn run<T: Toolset>(&mut self, core: &Core<T>) -> Result<(), ToolError> {
        let Self { frame, arguments, call } = self;
        if call.is_cancelled() {
            return Err(ToolError::Cancelled);
        }
        let pools = &core.shared.pools;
        let mut own = pools.arenas.acquire();
        // Longer than the arena.
        let made = MadeMemory::default();
        let arena = pools.arena_for(frame, &mut own);
        let arguments = ThreadArguments::new(arguments.text(frame), frame, &arena, &made);
        let tool = call.tool().unwrap_or_default();
        let served = || core.toolset.call_on_thread(tool, arguments, call);
        let served = catch_unwind(AssertUnwindSafe(served));
        pools.return_arena(arena, &mut own);
        if matches!(served, Ok(Ok(()))) {
            call.make_room_to_close();
        }
        served.unwrap_or_else(|_| Err(ToolError::failed("the tool panicked")))
    }
}
