//! One frame served: bytes in, an outcome out. Knows no transport.
//!
//! The frame moves into the future that serves it, so every string borrowed from it lives in that
//! future, and the borrow needs no unsafe. What completes at once completes on the first poll.

use crate::server::handler::inputs::{self, Inputs};
use crate::server::handler::tool::Toolset;
use crate::server::serving::dispatch;
use crate::server::state::call_state::CallState;
use crate::server::state::request_ids::RequestIds;
use crate::server::state::session::Session;
use crate::server::{Core, Shared};
use crate::wire::Frame;
use bumpalo::Bump;
use mcpool_pools::BufferLease;
use std::num::NonZeroU32;
use std::ops::Range;
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

/// What the transport knows of a frame's surroundings.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what is known of the surroundings, each on its own")]
pub(crate) struct Surroundings {
    /// The frame is an element of a batch.
    pub(crate) in_batch: bool,
    /// The connection has as many requests in flight as it may have.
    pub(crate) is_saturated: bool,
    /// The frame is a request whose id another one has that is not answered.
    pub(crate) repeats_id: bool,
    /// The ids in use, where the transport has not looked at the frame's.
    pub(crate) ids: Option<Arc<RequestIds>>,
    /// The call runs as a task already.
    pub(crate) in_task: bool,
    /// What an HTTP request says beside its body.
    pub(crate) http: Option<HttpFacts>,
}

/// A part of [`Frame::head`]. None begins where the head does, so that its absence takes no room: each request that
/// waits has three.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadPart {
    start: NonZeroU32,
    len: u32,
}

impl HeadPart {
    /// The part at that place.
    pub(crate) fn at(place: Range<usize>) -> Option<Self> {
        Some(Self { start: NonZeroU32::new(place.start as u32)?, len: place.len() as u32 })
    }

    /// Its bytes.
    pub(crate) fn of(self, head: &[u8]) -> Option<&[u8]> {
        head.get(self.start.get() as usize..)?.get(..self.len as usize)
    }
}

/// What an HTTP request says beside its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpFacts {
    pub(crate) session: SessionField,
    pub(crate) version: Option<HeadPart>,
    pub(crate) method: Option<HeadPart>,
    pub(crate) name: Option<HeadPart>,
    /// Headers of mirrored arguments are there.
    pub(crate) has_params: bool,
}

/// The `Mcp-Session-Id` of an HTTP request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SessionField {
    #[default]
    Absent,
    /// It names no session of this principal.
    Unknown,
    /// It names the session that came with the frame.
    Known,
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer for the peer, without the newline.
    Reply(BufferLease),
    /// An error answer, with the HTTP status that goes with it.
    Refused { answer: BufferLease, status: u16 },
    /// The answer to a handshake, and the session that it opened; its id where it can be found by one.
    Opened { answer: BufferLease, session: Arc<Session>, id: Option<u128> },
    /// Nothing to answer.
    Silent,
    /// The peer cancels the request whose id is in the slot's call state.
    Cancel,
    /// The call goes on as a task: this answer for now, and the frame to serve again in the background.
    Detached { answer: BufferLease, work: Box<Detached> },
    /// The handler panicked; the request's id is in the slot's call state.
    Panicked,
    /// The call needs something from its client first. Becomes an answer before anybody else sees it.
    NeedsInput(Box<Inputs>),
    /// The call wants to go on as a task. Becomes [`Outcome::Detached`] before anybody else sees it.
    NeedsTask,
}

/// A call that goes on without its connection.
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) frame: Frame,
    pub(crate) task: String,
    pub(crate) principal: u128,
    pub(crate) session: Arc<Session>,
}

impl Outcome {
    /// What is written to the peer, if anything.
    pub(crate) fn into_answer(self) -> Option<BufferLease> {
        match self {
            Self::Reply(answer)
            | Self::Refused { answer, .. }
            | Self::Opened { answer, .. }
            | Self::Detached { answer, .. } => Some(answer),
            Self::Silent | Self::Cancel | Self::Panicked | Self::NeedsInput(_) | Self::NeedsTask => None,
        }
    }
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
        let outcome = pin!(dispatch::route(&core, &session, &call, &surroundings, &frame, &arena)).await;
        let outcome = match outcome {
            Outcome::NeedsInput(_) | Outcome::NeedsTask => {
                complete(&core.shared, &session, &call, frame, outcome)
            }
            outcome => outcome,
        };
        (outcome, arena)
    }
}

/// Turns what only the whole frame can answer into an answer.
#[cold]
fn complete(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    call: &Arc<CallState>,
    frame: Frame,
    outcome: Outcome,
) -> Outcome {
    match outcome {
        Outcome::NeedsInput(inputs) => inputs::answer(shared, call, &frame, &inputs),
        _ => crate::server::serving::tasks::detach(shared, session, call, frame),
    }
}
