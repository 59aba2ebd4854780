//! What a transport does after a request was served.

use crate::server::state::answer_stream::AnswerStream;
use crate::server::state::event_store::EventData;
use crate::server::state::session::Session;
use mcpool_pools::BufferLease;
use std::sync::Arc;

/// What a transport does after a frame was served.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It sends an answer; the newline is not part of it.
    Reply(BufferLease),
    /// It sends an answer that is written meanwhile. Only a caller that takes such answers gets one.
    Streamed(Box<AnswerStream>),
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
    /// What is kept of the answer for a client that may come back for it.
    pub(crate) fn into_event(self) -> Option<EventData> {
        match self {
            Self::Streamed(answer) => Some(EventData::Streamed(answer.into_kept())),
            outcome => outcome.into_answer().map(EventData::Message),
        }
    }

    /// Bytes of the answer.
    pub(crate) fn answer_bytes(&self) -> usize {
        match self {
            Self::Reply(answer) | Self::Refused { answer, .. } | Self::Opened { answer, .. } => answer.len(),
            Self::Streamed(answer) => answer.total_bytes(),
            Self::Silent | Self::Cancel => 0,
        }
    }

    /// The bytes for the peer, if there are any.
    pub(crate) fn into_answer(self) -> Option<BufferLease> {
        match self {
            Self::Reply(answer) | Self::Refused { answer, .. } | Self::Opened { answer, .. } => Some(answer),
            Self::Silent | Self::Cancel => None,
            Self::Streamed(_) => {
                debug_assert!(false, "only who takes streamed answers gets them");
                None
            }
        }
    }
}
