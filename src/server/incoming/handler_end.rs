//! How a handler ended: with an outcome, with requests to the client, as a task, or with work for a thread.

use crate::protocol::{InputRequest, WantedTask};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::checks::AdmittedRequest;
use crate::wire::Frame;
use std::ops::Range;
use std::pin::Pin;

/// How a handler ended.
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
    /// The call becomes a task, such as its client wants.
    NeedsTask(WantedTask),
    /// The call goes on, with its frame, on a thread that may block.
    OnThread(ThreadCall),
    /// The request lasts, and needs nothing of its frame any more.
    Lasting(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// A call for a thread that may block. Its arguments are in its frame, which goes along.
pub(crate) struct ThreadCall {
    pub(crate) request: AdmittedRequest,
    /// The tool's place among all tools of the server.
    pub(crate) tool: Option<usize>,
    pub(crate) arguments: ArgumentsPlace,
    /// The call may begin again when there is memory for it: nothing was changed as long as it lacks some.
    pub(crate) may_repeat: bool,
}

/// Where the JSON text of a call's arguments is.
#[derive(Debug)]
pub(crate) enum ArgumentsPlace {
    /// In the frame.
    InFrame(Range<usize>),
    /// They were corrected, or there are none.
    Apart(Box<str>),
}

impl ArgumentsPlace {
    /// The place of `json`, which is a part of `frame`, or else is copied.
    pub(crate) fn of(json: &str, frame: &Frame) -> Self {
        let message = frame.bytes();
        let start = (json.as_ptr() as usize).wrapping_sub(message.as_ptr() as usize);
        match start.checked_add(json.len()) {
            Some(end) if end <= message.len() => Self::InFrame(start..end),
            _ => Self::Apart(json.into()),
        }
    }

    /// The text at this place.
    pub(crate) fn text<'f>(&'f self, frame: &'f Frame) -> &'f str {
        match self {
            // A part of what was read as text: the check only repeats that.
            Self::InFrame(range) => {
                simdutf8::basic::from_utf8(&frame.bytes()[range.clone()]).unwrap_or_default()
            }
            Self::Apart(json) => json,
        }
    }
}

/// How a call ended, as [`CallContext::finish`](crate::CallContext::finish) or a
/// [`ToolRequest`](crate::toolsets::ToolRequest) makes it.
///
/// ```
/// use mcpool::CallContext;
/// use mcpool::toolsets::Finished;
///
/// fn answered(mut call: CallContext, text: &str) -> Finished {
///     call.text(text);
///     call.finish(Ok(()))
/// }
/// ```
#[must_use = "dropping it loses the answer"]
pub struct Finished(pub(crate) HandlerEnd);

impl Finished {
    /// Lets a call on a thread begin again when it lacked memory: nothing was changed then.
    #[cfg(any(feature = "filesystem", feature = "git", feature = "memory"))]
    pub(crate) fn may_repeat(mut self, may_repeat: bool) -> Self {
        if let HandlerEnd::OnThread(call) = &mut self.0 {
            call.may_repeat = may_repeat;
        }
        self
    }
}

impl std::fmt::Debug for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match &self.0 {
            HandlerEnd::Done(outcome) => return f.debug_tuple("Finished").field(outcome).finish(),
            HandlerEnd::NeedsInput { .. } => "needs input",
            HandlerEnd::NeedsTask(_) => "needs a task",
            HandlerEnd::OnThread(_) => "goes on on a thread",
            HandlerEnd::Lasting(_) => "goes on without its frame",
        };
        f.debug_tuple("Finished").field(&end).finish()
    }
}

impl From<Outcome> for Finished {
    fn from(outcome: Outcome) -> Self {
        Self(HandlerEnd::Done(outcome))
    }
}
