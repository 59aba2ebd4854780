//! How a request ended: for its transport an [`Outcome`], inside the server a [`HandlerEnd`].

use crate::protocol::InputRequest;
use crate::server::state::session::Session;
use mcpool_pools::BufferLease;
use std::sync::Arc;

/// What a transport does after a frame was served.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It sends an answer; the newline is not part of it.
    Reply(BufferLease),
    /// It sends an error answer, over HTTP with this status.
    Refused { answer: BufferLease, status: u16 },
    /// It sends the answer to a handshake and takes over the new session; `id` is set where clients name the session.
    Opened { answer: BufferLease, session: Arc<Session>, id: Option<u128> },
    /// It sends nothing.
    Silent,
    /// It cancels another request of the client. The call state of the notification's slot has the id of that request
    /// in `details().id`.
    Cancel,
}

impl Outcome {
    /// The bytes for the peer, if there are any.
    pub(crate) fn into_answer(self) -> Option<BufferLease> {
        match self {
            Self::Reply(answer) | Self::Refused { answer, .. } | Self::Opened { answer, .. } => Some(answer),
            Self::Silent | Self::Cancel => None,
        }
    }
}

/// How a handler ended.
#[derive(Debug)]
pub(crate) enum HandlerEnd {
    /// With an outcome for the transport.
    Done(Outcome),
    /// The client must answer requests first and then call again.
    NeedsInput {
        /// What the client is asked for, by key.
        requests: Vec<(Box<str>, InputRequest)>,
        /// What the next round must know, as it is sealed into `requestState`; `None` if it must know nothing.
        round: Option<Vec<u8>>,
    },
    /// The call becomes a task.
    NeedsTask,
}

impl From<Outcome> for HandlerEnd {
    fn from(outcome: Outcome) -> Self {
        Self::Done(outcome)
    }
}

/// The outcome of a call, as [`CallContext::finish`](crate::CallContext::finish) or a refusal of
/// [`ToolRequest`](crate::ToolRequest) makes it.
#[derive(Debug)]
#[must_use = "dropping it loses the answer"]
pub struct Finished(pub(crate) HandlerEnd);

impl From<Outcome> for Finished {
    fn from(outcome: Outcome) -> Self {
        Self(HandlerEnd::Done(outcome))
    }
}
