//! Protocol errors, and the one table from error to JSON-RPC code and HTTP status.

use super::capability::Capability;
use super::era::Era;
use super::revision::Revision;
use crate::wire::{DecodeError, Raw, ReplyError};
use std::fmt;
use thiserror::Error;

/// A JSON-RPC error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The line is not JSON.
    Parse = -32700,
    /// The JSON is not a JSON-RPC request.
    InvalidRequest = -32600,
    /// The method is unknown, removed in this era, or not advertised.
    MethodNotFound = -32601,
    /// Parameters are missing, malformed or name something unknown.
    InvalidParams = -32602,
    /// The server failed.
    Internal = -32603,
    /// There is no such resource; legacy era only.
    ResourceNotFound = -32002,
    /// A header differs from the body.
    HeaderMismatch = -32020,
    /// The client lacks a capability that the request needs.
    MissingCapability = -32021,
    /// This server does not speak the claimed revision.
    UnsupportedVersion = -32022,
}

/// Why a message got an error answer instead of a result.
///
/// Borrowed from the message: it is written out at once, while the frame is still there.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ProtocolError<'f> {
    /// The bytes are not JSON.
    #[error("Parse error: {0}")]
    Parse(DecodeError),
    /// A line is longer than the limit; it was skipped to its end.
    #[error(
        "Frame too long: a message may have {limit_bytes} bytes, this one has {seen_bytes} (setting max_frame_bytes)"
    )]
    FrameTooLong {
        /// The limit in bytes.
        limit_bytes: usize,
        /// Bytes of the message.
        seen_bytes: usize,
    },
    /// The rest of a line did not come in time.
    #[error(
        "Message timed out: its end did not come within {allowed_ms} ms (setting {setting}), and its connection ends"
    )]
    MessageTimedOut {
        /// The name of the setting.
        setting: &'static str,
        /// What it says, in milliseconds.
        allowed_ms: u64,
    },
    /// The JSON is no JSON-RPC message.
    #[error("Invalid request: {0}")]
    InvalidRequest(&'static str),
    /// A batch has more messages than the limit.
    #[error("Invalid request: a batch may have {limit} messages (setting max_batch)")]
    BatchTooLong {
        /// The limit in messages.
        limit: usize,
    },
    /// More requests at once than a connection may have.
    #[error(
        "Too many requests at once: this connection has {limit} in flight already (setting max_concurrent_requests)"
    )]
    TooManyRequests {
        /// The limit in requests.
        limit: usize,
    },
    /// A request of the legacy era before the handshake.
    #[error("Not initialized: send initialize first, or the _meta of revision 2026-07-28 with each request")]
    NotInitialized,
    /// The method is not served in this era.
    #[error("Method not found: {}", Echo(method))]
    MethodNotFound {
        /// The method's name as sent.
        method: &'f str,
    },
    /// A required member of `_meta` is missing or has the wrong type.
    #[error("Missing or malformed _meta field {field}")]
    Meta {
        /// The member's name.
        field: &'static str,
    },
    /// Parameters that cannot be used.
    #[error("Invalid params: {0}")]
    InvalidParams(&'static str),
    /// Parameters that cannot be decoded.
    #[error("Invalid params: {}", .0.fault())]
    UndecodableParams(DecodeError),
    /// There is no such tool.
    #[error("Unknown tool: {}", Echo(name))]
    UnknownTool {
        /// The tool's name as sent.
        name: &'f str,
    },
    /// A call is to go on as a task, and those of this tool do not.
    #[error("Tool {} does not support task augmentation (taskSupport: 'forbidden')", Echo(name))]
    TaskForbidden {
        /// The tool's name.
        name: &'f str,
    },
    /// A call is not to go on as a task, and those of this tool do nothing else.
    #[error("Tool {} requires task augmentation (taskSupport: 'required')", Echo(name))]
    TaskRequired {
        /// The tool's name.
        name: &'f str,
    },
    /// The `_meta` claims a revision that this server does not speak.
    #[error("Unsupported protocol version")]
    UnsupportedVersion {
        /// The revision as sent.
        requested: &'f str,
    },
    /// There is no such prompt.
    #[error("Unknown prompt: {}", Echo(name))]
    UnknownPrompt {
        /// The prompt's name as sent.
        name: &'f str,
    },
    /// There is no such resource.
    #[error("Resource not found: {}", Echo(uri))]
    ResourceNotFound {
        /// The resource's URI as sent.
        uri: &'f str,
    },
    /// A header of the HTTP request is missing, malformed, or differs from the body.
    #[error("Header mismatch: {header} must be there and say what the body says")]
    HeaderMismatch {
        /// The header's name.
        header: &'f str,
    },
    /// The client lacks a capability that the request needs.
    #[error("This request needs a client that supports {}", required.name())]
    MissingCapability {
        /// The capability.
        required: Capability,
    },
    /// A `requestState` that cannot be accepted or made.
    #[error("Invalid requestState: {0}")]
    RequestState(&'static str),
    /// A request of the legacy era over HTTP names no session.
    #[error("Session required: send initialize first, then its Mcp-Session-Id with each request")]
    SessionRequired,
    /// A request of the legacy era over HTTP names a session that is not there.
    #[error("Session not found: it has ended or expired; send initialize again")]
    UnknownSession,
    /// The limit of subscriptions, or of the resources of one, is reached.
    #[error("Subscription limit reached: {limit}")]
    TooManySubscriptions {
        /// The limit.
        limit: usize,
    },
    /// The limit of tasks is reached.
    #[error(
        "Task limit reached: {limit} may run at once (setting max_tasks), and those of one client are a part of what others \
         leave (setting principal_share_percent)"
    )]
    TooManyTasks {
        /// The limit in tasks.
        limit: usize,
    },
    /// There is no room for a call that is to become a task.
    #[error("{0}")]
    NoRoomForTask(&'f str),
    /// A handler failed with an error that is not meant for the model.
    #[error("{0}")]
    Failed(&'f str),
    /// An error with a code that a handler chose.
    #[error("{message}")]
    Custom {
        /// Its code.
        code: i32,
        /// One sentence.
        message: &'f str,
    },
    /// The same, with data for the client's program.
    #[error("{message}")]
    CustomWithData {
        /// Its code.
        code: i32,
        /// One sentence.
        message: &'f str,
        /// The data.
        data: Raw<'f>,
    },
    /// The answer would be longer than the limit.
    #[error("Answer too long: more than {limit_bytes} bytes (setting max_reply_bytes)")]
    ReplyTooLong {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// Small objects leave no room for a request that may have to wait.
    #[error(
        "There is no memory for another request at the moment: send it again later (setting memory_limit_bytes)"
    )]
    NoMemoryToWait,
    /// The large messages in memory leave no room for this one.
    #[error(
        "There is no memory for a message of this size at the moment: send it again later, or ask for less \
         (setting max_inflight_bytes)"
    )]
    OutOfMemory,
    /// All large messages together may not have what this one needs.
    #[error(
        "A message of this size is more than all large messages in memory may be together: send or ask for less \
         (settings max_inflight_bytes and memory_limit_bytes)"
    )]
    OverBudget,
    /// A defect of the server or of a tool.
    #[error("Internal error: {0}")]
    Internal(&'static str),
}

impl From<ReplyError> for ProtocolError<'_> {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::TooLong { limit_bytes } => Self::ReplyTooLong { limit_bytes },
            ReplyError::OutOfMemory => Self::OutOfMemory,
            ReplyError::OverBudget => Self::OverBudget,
        }
    }
}

/// A text of the peer in an error answer, cut after [`Self::MAX_BYTES`], so that an error is never as large as the
/// frame that caused it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo<'f>(pub(crate) &'f str);

impl Echo<'_> {
    const MAX_BYTES: usize = 128;
}

impl fmt::Display for Echo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        if text.len() <= Self::MAX_BYTES {
            return f.write_str(text);
        }
        f.write_str(&text[..text.floor_char_boundary(Self::MAX_BYTES)])?;
        f.write_str("\u{2026}")
    }
}

impl ProtocolError<'_> {
    /// Revisions named in `data.supported` of [`ProtocolError::UnsupportedVersion`]: the modern ones
    /// only, as a client that reads this answer would send one of them in `_meta`.
    pub const SUPPORTED: [Revision; 1] = [Revision::MODERN];

    /// A request has the id of one that is still in flight.
    pub(crate) const REPEATED_ID: Self = Self::InvalidRequest("a request with this id is in flight already");

    /// The text of the error for a request of the legacy era whose header names an unknown revision.
    pub(crate) const UNKNOWN_VERSION_HEADER: &'static str = "MCP-Protocol-Version names no known revision";

    /// The JSON-RPC code.
    pub const fn code(&self, era: Era) -> i32 {
        let code = match self {
            Self::Custom { code, .. } | Self::CustomWithData { code, .. } => return *code,
            Self::Parse(_) => ErrorCode::Parse,
            Self::FrameTooLong { .. }
            | Self::MessageTimedOut { .. }
            | Self::InvalidRequest(_)
            | Self::BatchTooLong { .. }
            | Self::NotInitialized
            | Self::SessionRequired
            | Self::UnknownSession => ErrorCode::InvalidRequest,
            // As the specification says of both: the method is there, but not in this way.
            Self::MethodNotFound { .. } | Self::TaskForbidden { .. } | Self::TaskRequired { .. } => {
                ErrorCode::MethodNotFound
            }
            Self::ResourceNotFound { .. } if matches!(era, Era::Legacy) => ErrorCode::ResourceNotFound,
            Self::Meta { .. }
            | Self::InvalidParams(_)
            | Self::UndecodableParams(_)
            | Self::UnknownTool { .. }
            | Self::UnknownPrompt { .. }
            | Self::ResourceNotFound { .. }
            | Self::RequestState(_) => ErrorCode::InvalidParams,
            Self::HeaderMismatch { .. } => ErrorCode::HeaderMismatch,
            Self::MissingCapability { .. } => ErrorCode::MissingCapability,
            Self::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            Self::TooManyRequests { .. }
            | Self::TooManySubscriptions { .. }
            | Self::TooManyTasks { .. }
            | Self::NoRoomForTask(_)
            | Self::ReplyTooLong { .. }
            | Self::NoMemoryToWait
            | Self::OutOfMemory
            | Self::OverBudget
            | Self::Failed(_)
            | Self::Internal(_) => ErrorCode::Internal,
        };
        code as i32
    }

    /// The status of an HTTP answer that carries the error.
    ///
    /// What the specification fixes, and what it leaves open: errors of handlers travel with 200, as those on a
    /// stream do. To a legacy client 404 says that its session is gone, so no other error has that status there.
    pub const fn http_status(&self, era: Era) -> u16 {
        match self {
            Self::Parse(_)
            | Self::InvalidRequest(_)
            | Self::BatchTooLong { .. }
            | Self::NotInitialized
            | Self::SessionRequired
            | Self::HeaderMismatch { .. }
            | Self::UnsupportedVersion { .. } => 400,
            Self::Meta { .. } | Self::MissingCapability { .. } if matches!(era, Era::Modern) => 400,
            Self::MethodNotFound { .. } if matches!(era, Era::Modern) => 404,
            Self::UnknownSession => 404,
            Self::FrameTooLong { .. } => 413,
            Self::MessageTimedOut { .. } => 408,
            Self::TooManyRequests { .. }
            | Self::TooManySubscriptions { .. }
            | Self::TooManyTasks { .. }
            | Self::NoRoomForTask(_)
            | Self::NoMemoryToWait
            | Self::OutOfMemory => 503,
            _ => 200,
        }
    }
}
