//! A frame as its transport hands it over: the bytes, who sent them, and what else is known.

use crate::server::state::call_state::CallState;
use crate::server::state::request_ids::RequestIds;
use crate::server::state::session::Session;
use crate::wire::Frame;
use bumpalo::Bump;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

/// A frame that is to be served, with all that its request uses.
pub(crate) struct Incoming {
    pub(crate) frame: Frame,
    pub(crate) arena: Bump,
    pub(crate) call: Arc<CallState>,
    pub(crate) session: Arc<Session>,
    pub(crate) origin: FrameOrigin,
}

/// Why a request that may have to wait is refused. Others, such as pings, lists and cancellations, are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saturation {
    /// `max_concurrent_requests` of the connection are in flight already.
    Connection,
    /// There is no memory for what waits.
    Memory,
}

/// What the transport knows of a frame besides its bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrameOrigin {
    /// The frame is an element of a batch.
    pub(crate) in_batch: bool,
    /// What keeps a request from being served that may have to wait.
    pub(crate) saturation: Option<Saturation>,
    /// Another request of this client has the same id and is not answered yet.
    pub(crate) repeats_id: bool,
    /// The ids in use on the connection, for the checks to compare; `None` if none is in use, or if the transport has
    /// set `repeats_id` itself.
    pub(crate) ids: Option<Arc<RequestIds>>,
    /// The call runs as a task already.
    pub(crate) in_task: bool,
    /// The facts in the head of an HTTP request.
    pub(crate) http: Option<HttpFacts>,
}

/// A range of [`Frame::head`]. It never starts at 0, so that `Option<HeadPart>` needs no more bytes: each waiting
/// request holds three.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadPart {
    start: NonZeroU32,
    len: u32,
}

impl HeadPart {
    /// The part at that range.
    pub(crate) fn at(place: Range<usize>) -> Option<Self> {
        Some(Self { start: NonZeroU32::new(place.start as u32)?, len: place.len() as u32 })
    }

    /// Its bytes.
    pub(crate) fn of(self, head: &[u8]) -> Option<&[u8]> {
        head.get(self.start.get() as usize..)?.get(..self.len as usize)
    }
}

/// The facts in the head of an HTTP request.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpFacts {
    pub(crate) session: SessionField,
    pub(crate) version: Option<HeadPart>,
    pub(crate) method: Option<HeadPart>,
    pub(crate) name: Option<HeadPart>,
    /// There are headers that repeat arguments.
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
