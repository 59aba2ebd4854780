//! One frame served: bytes in, an outcome out. Knows no transport.
//!
//! The frame moves into the future that serves it, so every string borrowed from it lives in that
//! future, and the borrow needs no unsafe. What completes at once completes on the first poll.

use super::Core;
use super::call_state::CallState;
use super::dispatch;
use super::handler::Toolset;
use super::session::Session;
use crate::wire::Frame;
use bumpalo::Bump;
use mcpool_pools::BufferLease;
use std::pin::pin;
use std::sync::Arc;

/// A frame on its way in, with what its request may use.
pub(crate) struct Incoming {
    pub(crate) frame: Frame,
    pub(crate) arena: Bump,
    pub(crate) call: Arc<CallState>,
    pub(crate) session: Arc<Session>,
    pub(crate) surroundings: Surroundings,
}

/// What the connection knows of a frame's surroundings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Surroundings {
    /// The frame is an element of a batch.
    pub(crate) in_batch: bool,
    /// The connection has as many requests in flight as it may have.
    pub(crate) is_saturated: bool,
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer for the peer, without the newline.
    Reply(BufferLease),
    /// Nothing to answer.
    Silent,
    /// The peer cancels the request whose id is in the slot's call state.
    Cancel,
    /// The handler panicked; the request's id is in the slot's call state.
    Panicked,
}

/// Serves one frame to its end. The arena comes back for the slot's next request.
///
/// Not an `async fn`, and the routed call is pinned where it is made: either way of writing it shorter has
/// the compiler keep the largest part of the future twice, and a waiting request would not fit its kilobyte.
pub(crate) fn serve_frame<T: Toolset>(
    core: Arc<Core<T>>,
    incoming: Incoming,
) -> impl Future<Output = (Outcome, Bump)> + Send {
    let Incoming { frame, arena, call, session, surroundings } = incoming;
    async move {
        let outcome =
            pin!(dispatch::route(&core, &session, &call, surroundings, frame.bytes(), &arena)).await;
        (outcome, arena)
    }
}
