//! Why the head of a request is refused, and with which status.

use super::words::Status;
use thiserror::Error;

/// Why a head cannot be served. After any of them the connection closes: where the next request would begin
/// is not known, or is what the peer wants us to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum HeadError {
    #[error("the request line must be `METHOD /path HTTP/1.1`, with single spaces")]
    RequestLine,
    #[error("at most {limit} empty lines may stand before the request line")]
    BlankLines { limit: usize },
    #[error("a line of the head ends in LF alone: end it in CR LF")]
    BareLineFeed,
    #[error("the head holds a CR without LF: end lines in CR LF and leave CR out of values")]
    BareCarriageReturn,
    #[error("a header is folded over two lines: write it on one line")]
    FoldedHeader,
    #[error("a header line must be `Name: value`, its name a token with no space before the colon")]
    HeaderName,
    #[error("a header value holds a control character: leave it out or encode it")]
    HeaderValue,
    #[error(
        "the head may have {limit_bytes} bytes, this one has more: send shorter headers (setting max_header_bytes)"
    )]
    TooLong { limit_bytes: usize },
    #[error(
        "the request line does not fit into {limit_bytes} bytes: shorten the path (setting max_header_bytes)"
    )]
    TargetTooLong { limit_bytes: usize },
    #[error("a request may have {limit} headers, this one has more: send fewer (setting max_headers)")]
    TooManyHeaders { limit: usize },
    #[error("this version of HTTP is not spoken here: use HTTP/1.1")]
    Version,
    #[error("the request target must be a path, as in `POST /mcp`; `*` is for OPTIONS alone")]
    Target,
    #[error("the header {0} is given twice: send it once")]
    Duplicate(&'static str),
    #[error("the header Host is missing: HTTP/1.1 demands it")]
    MissingHost,
    #[error("the header Host must be `name` or `name:port`")]
    Host,
    #[error("the header Host names another host than the request target")]
    HostDisagrees,
    #[error("the header Content-Length must be one decimal number")]
    ContentLength,
    #[error("Content-Length and Transfer-Encoding contradict each other: send one of them")]
    LengthAndCoding,
    #[error("the header Transfer-Encoding must be `chunked`, and nothing after it")]
    TransferEncoding,
    #[error("this transfer coding is not implemented: send `chunked` alone or a Content-Length")]
    UnknownCoding,
    #[error("HTTP/1.0 has no Transfer-Encoding: send a Content-Length or use HTTP/1.1")]
    CodingInOldVersion,
    #[error("POST, PUT and PATCH need a Content-Length, or `Transfer-Encoding: chunked`")]
    LengthRequired,
    #[error("the only expectation that can be met is `Expect: 100-continue`")]
    Expect,
    #[error("compressed bodies are not read here: leave Content-Encoding out")]
    ContentEncoding,
}

impl HeadError {
    /// The status of the answer.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::LengthRequired => Status::LengthRequired,
            Self::TargetTooLong { .. } => Status::UriTooLong,
            Self::ContentEncoding => Status::UnsupportedMediaType,
            Self::Expect => Status::ExpectationFailed,
            Self::TooLong { .. } | Self::TooManyHeaders { .. } => Status::HeadersTooLarge,
            Self::UnknownCoding => Status::NotImplemented,
            Self::Version => Status::VersionNotSupported,
            _ => Status::BadRequest,
        }
    }
}
