//! Protocol errors, and the one table from error to JSON-RPC code and HTTP status.

use super::revision::Revision;
use crate::wire::DecodeError;
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
    /// The claimed revision is not spoken here.
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
        "Frame too long: a message may have {limit_bytes} bytes, this one has at least {seen_bytes} (setting max_frame_bytes)"
    )]
    FrameTooLong {
        /// The limit in bytes.
        limit_bytes: usize,
        /// Bytes seen when the limit was passed.
        seen_bytes: usize,
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
    /// The `_meta` claims a revision that is not spoken here.
    #[error("Unsupported protocol version")]
    UnsupportedVersion {
        /// The revision as sent.
        requested: &'f str,
    },
    /// The answer would be longer than the limit.
    #[error("Answer too long: more than {limit_bytes} bytes (setting max_reply_bytes)")]
    ReplyTooLong {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// A defect of the server or of a tool.
    #[error("Internal error: {0}")]
    Internal(&'static str),
}

/// What a peer sent, repeated to it: cut short where it is longer than a name would be, so that an error is
/// never as large as the frame that caused it.
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

    /// The JSON-RPC code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Parse(_) => ErrorCode::Parse,
            Self::FrameTooLong { .. }
            | Self::InvalidRequest(_)
            | Self::BatchTooLong { .. }
            | Self::NotInitialized => ErrorCode::InvalidRequest,
            Self::MethodNotFound { .. } => ErrorCode::MethodNotFound,
            Self::Meta { .. }
            | Self::InvalidParams(_)
            | Self::UndecodableParams(_)
            | Self::UnknownTool { .. } => ErrorCode::InvalidParams,
            Self::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            Self::TooManyRequests { .. } | Self::ReplyTooLong { .. } | Self::Internal(_) => {
                ErrorCode::Internal
            }
        }
    }
}
