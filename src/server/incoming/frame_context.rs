//! What all steps of one frame share, and how a message of it is refused.

use crate::protocol::{Era, IdField, Message, ProtocolError};
use crate::server::answer::envelope::AnswerId;
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::facts::{FrameOrigin, HeadPart, HttpFacts};
use crate::server::incoming::made_memory::MadeMemory;
use crate::server::shared::Shared;
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::session::Session;
use crate::wire::{DecodeError, Frame};
use bumpalo::Bump;
use std::sync::Arc;

/// What all steps of one frame share.
pub(crate) struct FrameContext<'f> {
    pub(crate) shared: &'f Arc<Shared>,
    pub(crate) session: &'f Arc<Session>,
    pub(crate) call: &'f Arc<CallState>,
    pub(crate) origin: &'f FrameOrigin,
    pub(crate) frame: &'f Frame,
    pub(crate) made: &'f MadeMemory,
}

impl<'f> FrameContext<'f> {
    /// The era of a message.
    pub(crate) fn era_of(&self, message: &Message<'f>) -> Era {
        Era::of(message, self.header(|http| http.version))
    }

    /// A header of the HTTP request, if the frame came with one.
    pub(crate) fn header(&self, part: impl Fn(&HttpFacts) -> Option<HeadPart>) -> Option<&'f [u8]> {
        part(self.origin.http.as_ref()?)?.of(self.frame.head())
    }

    /// Reserves what is made of a large message at most, unless that was done.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn make_room(&self, arena: &Bump) -> Result<(), ProtocolError<'static>> {
        self.made.make_room(self.frame, arena).map_err(|_| {
            self.shared.memory.note_refused_large();
            ProtocolError::OutOfMemory
        })
    }

    /// Whether the peer has a session of its own.
    pub(crate) fn has_session(&self) -> bool {
        !Arc::ptr_eq(self.session, &self.shared.stateless)
    }

    /// An error answer to a message.
    pub(crate) fn refuse(&self, message: &Message<'f>, error: &ProtocolError<'_>) -> Outcome {
        let id = match message.id {
            // The id of a response is one of ours: the peer would take it for that of a request of its own.
            IdField::Valid(id)
                if message.method.is_some() || message.result.is_none() && message.error.is_none() =>
            {
                AnswerId::Of(id.as_json())
            }
            _ => AnswerId::unreadable(self.session.revision()),
        };
        let era = self.era_of(message);
        self.call.fail(Failure::Code(error.code(era)));
        self.shared.refusal_in(era, id, error)
    }

    /// An error answer to a frame that is not JSON.
    pub(crate) fn refuse_unreadable(&self, error: DecodeError) -> Outcome {
        let id = AnswerId::unreadable(self.session.revision());
        let error = ProtocolError::Parse(error);
        self.call.fail(Failure::Code(error.code(Era::Modern)));
        self.shared.refusal(id, &error)
    }
}
