//! The words of HTTP/1.1 that the codec knows: statuses, methods, versions, framings and header names.

/// The statuses that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Status {
    Continue = 100,
    Ok = 200,
    Accepted = 202,
    NoContent = 204,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    NotAcceptable = 406,
    RequestTimeout = 408,
    Conflict = 409,
    LengthRequired = 411,
    PayloadTooLarge = 413,
    UriTooLong = 414,
    UnsupportedMediaType = 415,
    ExpectationFailed = 417,
    TooManyRequests = 429,
    HeadersTooLarge = 431,
    InternalError = 500,
    NotImplemented = 501,
    Unavailable = 503,
    VersionNotSupported = 505,
}

impl Status {
    /// All of them.
    pub(crate) const ALL: [Self; 23] = [
        Self::Continue,
        Self::Ok,
        Self::Accepted,
        Self::NoContent,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::Conflict,
        Self::LengthRequired,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::ExpectationFailed,
        Self::TooManyRequests,
        Self::HeadersTooLarge,
        Self::InternalError,
        Self::NotImplemented,
        Self::Unavailable,
        Self::VersionNotSupported,
    ];

    /// Its number.
    pub(crate) fn code(self) -> u16 {
        self as u16
    }

    /// The status of that number, if it is one that is sent.
    pub(crate) fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The status line. Its version is the server's, whatever the client's is (RFC 9110 6.2).
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::Continue => "HTTP/1.1 100 Continue\r\n",
            Self::Ok => "HTTP/1.1 200 OK\r\n",
            Self::Accepted => "HTTP/1.1 202 Accepted\r\n",
            Self::NoContent => "HTTP/1.1 204 No Content\r\n",
            Self::BadRequest => "HTTP/1.1 400 Bad Request\r\n",
            Self::Unauthorized => "HTTP/1.1 401 Unauthorized\r\n",
            Self::Forbidden => "HTTP/1.1 403 Forbidden\r\n",
            Self::NotFound => "HTTP/1.1 404 Not Found\r\n",
            Self::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed\r\n",
            Self::NotAcceptable => "HTTP/1.1 406 Not Acceptable\r\n",
            Self::RequestTimeout => "HTTP/1.1 408 Request Timeout\r\n",
            Self::Conflict => "HTTP/1.1 409 Conflict\r\n",
            Self::LengthRequired => "HTTP/1.1 411 Length Required\r\n",
            Self::PayloadTooLarge => "HTTP/1.1 413 Content Too Large\r\n",
            Self::UriTooLong => "HTTP/1.1 414 URI Too Long\r\n",
            Self::UnsupportedMediaType => "HTTP/1.1 415 Unsupported Media Type\r\n",
            Self::ExpectationFailed => "HTTP/1.1 417 Expectation Failed\r\n",
            Self::TooManyRequests => "HTTP/1.1 429 Too Many Requests\r\n",
            Self::HeadersTooLarge => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
            Self::InternalError => "HTTP/1.1 500 Internal Server Error\r\n",
            Self::NotImplemented => "HTTP/1.1 501 Not Implemented\r\n",
            Self::Unavailable => "HTTP/1.1 503 Service Unavailable\r\n",
            Self::VersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
        }
    }
}

/// What is asked for. Methods are case-sensitive: `post` is [`Verb::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Delete,
    Options,
    Head,
    Put,
    Patch,
    Other,
}

impl Verb {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// The version a request is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// How the body is delimited.
///
/// Any verb may carry one, also GET, HEAD, DELETE and OPTIONS, where it means nothing (RFC 9110 9.3.1). It
/// must be read all the same, or its bytes would pass for the next request:
/// [`BodyDecoder::discard_rest`](super::body::BodyDecoder::discard_rest).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// None was announced.
    None,
    /// So many bytes, possibly 0.
    Length(u64),
    /// Chunks and a trailer.
    Chunked,
}

/// How a client finds the end of an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFraming {
    /// By chunks; the connection can be kept.
    Chunked,
    /// By the end of the connection, for HTTP/1.0: use [`Persistence::Close`](super::response::Persistence::Close).
    UntilClose,
}

/// What the body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    Absent,
    /// `application/json`, without a charset or in UTF-8.
    Json,
    Other,
}

/// The answers that the client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a kind of answer")]
pub(crate) struct Accepts {
    /// The client says at all what it can read; else it is taken to read everything.
    pub(crate) is_given: bool,
    pub(crate) json: bool,
    pub(crate) event_stream: bool,
    /// It asks for pages, as browsers do.
    pub(crate) html: bool,
}

/// Upper bound of the setting `max_headers`: the parser keeps this many on the stack.
pub(super) const MOST_HEADERS: usize = 128;

/// How much a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// From the first byte to the empty line, both included.
    pub(crate) max_header_bytes: usize,
    /// Header lines; 128 at most.
    pub(crate) max_headers: usize,
}

/// A header that may be given once. The head keeps where its value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SingleHeader {
    Host,
    Origin,
    FetchSite,
    Authorization,
    ContentType,
    SessionId,
    ProtocolVersion,
    McpMethod,
    McpName,
    LastEventId,
    Expect,
    RequestMethod,
    RequestHeaders,
}

pub(super) const SINGLE_HEADERS: usize = SingleHeader::RequestHeaders as usize + 1;

/// A header that the codec reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum KnownHeader {
    Single(SingleHeader),
    ContentLength,
    TransferEncoding,
    ContentEncoding,
    Accept,
    Connection,
}

/// The headers that are read; all others are skipped.
pub(super) const KNOWN_HEADERS: [(&str, KnownHeader); 18] = [
    ("Host", KnownHeader::Single(SingleHeader::Host)),
    ("Content-Length", KnownHeader::ContentLength),
    ("Content-Type", KnownHeader::Single(SingleHeader::ContentType)),
    ("Accept", KnownHeader::Accept),
    ("Mcp-Session-Id", KnownHeader::Single(SingleHeader::SessionId)),
    ("MCP-Protocol-Version", KnownHeader::Single(SingleHeader::ProtocolVersion)),
    ("Mcp-Method", KnownHeader::Single(SingleHeader::McpMethod)),
    ("Mcp-Name", KnownHeader::Single(SingleHeader::McpName)),
    ("Connection", KnownHeader::Connection),
    ("Origin", KnownHeader::Single(SingleHeader::Origin)),
    ("Sec-Fetch-Site", KnownHeader::Single(SingleHeader::FetchSite)),
    ("Authorization", KnownHeader::Single(SingleHeader::Authorization)),
    ("Transfer-Encoding", KnownHeader::TransferEncoding),
    ("Expect", KnownHeader::Single(SingleHeader::Expect)),
    ("Last-Event-ID", KnownHeader::Single(SingleHeader::LastEventId)),
    ("Content-Encoding", KnownHeader::ContentEncoding),
    ("Access-Control-Request-Method", KnownHeader::Single(SingleHeader::RequestMethod)),
    ("Access-Control-Request-Headers", KnownHeader::Single(SingleHeader::RequestHeaders)),
];

/// How the names of headers that mirror arguments of a tool begin.
pub(super) const PARAM_PREFIX: &[u8] = b"mcp-param-";
