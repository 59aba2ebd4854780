//! Writes the heads of answers, and event streams.
//!
//! Everything goes straight into the buffer that is sent, from parts that are written here in full; only
//! numbers are formatted. A value that holds a control character is left out with its header, so that
//! nothing a client sent can end a header early. It knows no socket and no JSON.
//!
//! There is no `Server` header, which would tell an attacker what to try, and no `Date`, which only caches
//! need; RFC 9110 6.6.1 frees a server without a reliable clock from it, and no answer here may be cached.

use super::head::{RequestHead, Version};
use crate::wire::HEX_DIGITS;
use bytes::{BufMut, BytesMut};

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

    /// The version is ours whatever the client's is (RFC 9110 6.2).
    fn line(self) -> &'static str {
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

/// What becomes of the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays open, which HTTP/1.1 takes for granted.
    Keep,
    /// It stays open, which a client of HTTP/1.0 must be told.
    KeepOld,
    /// It closes.
    Close,
}

impl Persistence {
    /// As the client wants it.
    pub(crate) fn of(request: &RequestHead) -> Self {
        match (request.keep_alive, request.version) {
            (false, _) => Self::Close,
            (true, Version::Http10) => Self::KeepOld,
            (true, Version::Http11) => Self::Keep,
        }
    }
}

/// How the frames of an event stream are told apart from the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFraming {
    /// By chunks; the connection can be kept.
    Chunked,
    /// By the end of the connection, for HTTP/1.0: use [`Persistence::Close`].
    UntilClose,
}

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// So many bytes of JSON. An answer to HEAD says the same and sends none of them.
    Json { bytes: usize },
    /// So many bytes of text.
    Text { bytes: usize },
    /// Events until the stream ends.
    EventStream(StreamFraming),
}

/// What lets a page of another origin read the answer. Only for an origin that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cors<'a> {
    /// The Origin of the request.
    pub(crate) origin: &'a [u8],
    /// For the answer to a preflight: its Access-Control-Request-Headers, possibly empty.
    pub(crate) preflight: Option<&'a [u8]>,
}

/// The head of an answer. Write what differs from [`ResponseHead::new`] as fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseHead<'a> {
    pub(crate) status: Status,
    pub(crate) persistence: Persistence,
    pub(crate) payload: Payload,
    /// `mcp-session-id`, legacy era only.
    pub(crate) session_id: Option<&'a [u8]>,
    /// `allow`, for 405 and OPTIONS: `POST, GET`.
    pub(crate) allow: Option<&'static str>,
    /// `retry-after`, for 429 and 503.
    pub(crate) retry_after_seconds: Option<u32>,
    /// `www-authenticate`, for 401 and 403.
    pub(crate) challenge: Option<&'a [u8]>,
    pub(crate) cors: Option<Cors<'a>>,
}

impl ResponseHead<'_> {
    /// A head without the optional parts.
    pub(crate) fn new(status: Status, persistence: Persistence, payload: Payload) -> Self {
        Self {
            status,
            persistence,
            payload,
            session_id: None,
            allow: None,
            retry_after_seconds: None,
            challenge: None,
            cors: None,
        }
    }

    /// Appends the head, its empty line included.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_slice(self.status.line().as_bytes());
        match self.payload {
            // RFC 9110 8.6 forbids a length with 204, which never has a body.
            Payload::Empty if self.status == Status::NoContent => {}
            Payload::Empty => out.put_slice(b"content-length: 0\r\n"),
            Payload::Json { bytes } => {
                out.put_slice(b"content-type: application/json\r\ncontent-length: ");
                end_number(out, bytes);
            }
            Payload::Text { bytes } => {
                out.put_slice(b"content-type: text/plain; charset=utf-8\r\ncontent-length: ");
                end_number(out, bytes);
            }
            Payload::EventStream(framing) => {
                out.put_slice(EVENT_STREAM.as_bytes());
                if framing == StreamFraming::Chunked {
                    out.put_slice(b"transfer-encoding: chunked\r\n");
                }
            }
        }
        self.write_optional(out);
        out.put_slice(match self.persistence {
            Persistence::Keep => b"\r\n".as_slice(),
            Persistence::KeepOld => b"connection: keep-alive\r\n\r\n",
            Persistence::Close => b"connection: close\r\n\r\n",
        });
    }

    fn write_optional(&self, out: &mut BytesMut) {
        if let Some(id) = self.session_id {
            field(out, "mcp-session-id: ", id);
        }
        if let Some(methods) = self.allow {
            field(out, "allow: ", methods.as_bytes());
        }
        if let Some(seconds) = self.retry_after_seconds {
            out.put_slice(b"retry-after: ");
            end_number(out, seconds);
        }
        if let Some(challenge) = self.challenge {
            field(out, "www-authenticate: ", challenge);
        }
        let Some(cors) = self.cors else { return };
        field(out, "access-control-allow-origin: ", cors.origin);
        match cors.preflight {
            None => out.put_slice(CORS_ANSWER.as_bytes()),
            Some(wanted) => {
                out.put_slice(CORS_PREFLIGHT.as_bytes());
                if !wanted.is_empty() {
                    field(out, "access-control-allow-headers: ", wanted);
                }
            }
        }
    }
}

/// `x-accel-buffering` keeps nginx, and `no-transform` others, from collecting events until a block is full.
const EVENT_STREAM: &str =
    "content-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n";
/// What scripts may read besides the body.
const CORS_ANSWER: &str = "vary: origin\r\naccess-control-expose-headers: mcp-session-id, mcp-protocol-version, www-authenticate, retry-after\r\n";
/// An origin that was allowed once stays so for two hours, the longest that Chromium believes.
const CORS_PREFLIGHT: &str = "vary: origin, access-control-request-headers\r\naccess-control-allow-methods: GET, POST, DELETE, OPTIONS\r\naccess-control-max-age: 7200\r\n";

/// Appends the answer to `Expect: 100-continue`, before the body is read.
pub(crate) fn write_continue(out: &mut BytesMut) {
    out.put_slice(Status::Continue.line().as_bytes());
    out.put_slice(b"\r\n");
}

/// Appends a header, unless its value would end it early.
fn field(out: &mut BytesMut, name_and_colon: &'static str, value: &[u8]) {
    if value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control()) {
        out.put_slice(name_and_colon.as_bytes());
        out.put_slice(value);
        out.put_slice(b"\r\n");
    }
}

fn end_number(out: &mut BytesMut, number: impl itoa::Integer) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
    out.put_slice(b"\r\n");
}

/// One event of a stream: a message, with what may stand around it.
///
/// ```text
/// 2A CRLF event: message LF id: 7 LF data: {"jsonrpc":"2.0"..} LF LF CRLF
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Event<'a> {
    /// Whether to write `event: message`, which is also what no name means.
    pub(crate) is_named: bool,
    /// For a client that comes back with Last-Event-ID.
    pub(crate) id: Option<&'a [u8]>,
    /// How long a client is to wait before it comes back.
    pub(crate) retry_ms: Option<u32>,
}

const EVENT_NAME: &[u8] = b"event: message\n";
const EVENT_ID: &[u8] = b"id: ";
const EVENT_RETRY: &[u8] = b"retry: ";
const EVENT_DATA: &[u8] = b"data: ";
const EVENT_END: &[u8] = b"\n\n";
const COMMENT: &[u8] = b":\n\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Event<'_> {
    /// Appends what stands before `data_bytes` bytes of data, so that the data itself need not be copied.
    /// It must be one line: use [`write_data`] where it may not be.
    pub(crate) fn begin(&self, out: &mut BytesMut, framing: StreamFraming, data_bytes: usize) {
        let mut digits = itoa::Buffer::new();
        let retry = self.retry_ms.map(|retry_ms| digits.format(retry_ms).as_bytes());
        // What ends a line would end the event.
        let id = self.id.filter(|id| !id.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        let parts: [&[u8]; 8] = [
            if self.is_named { EVENT_NAME } else { b"" },
            id.map_or(b"", |_| EVENT_ID),
            id.unwrap_or_default(),
            id.map_or(b"", |_| b"\n"),
            retry.map_or(b"", |_| EVENT_RETRY),
            retry.unwrap_or_default(),
            retry.map_or(b"", |_| b"\n"),
            EVENT_DATA,
        ];
        if framing == StreamFraming::Chunked {
            let bytes: usize = parts.iter().map(|part| part.len()).sum();
            write_chunk_size(out, bytes + data_bytes + EVENT_END.len());
        }
        for part in parts {
            out.put_slice(part);
        }
    }

    /// Appends the whole event. `data` is JSON; line ends between its parts become spaces.
    pub(crate) fn write(&self, out: &mut BytesMut, framing: StreamFraming, data: &[u8]) {
        self.begin(out, framing, data.len());
        write_data(out, data);
        end_event(out, framing);
    }
}

/// Appends JSON as one line of the same length: a line end in it can only be white space.
pub(crate) fn write_data(out: &mut BytesMut, json: &[u8]) {
    let mut rest = json;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.put_slice(&rest[..at]);
        out.put_u8(b' ');
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

/// Appends what stands behind the data of an event.
pub(crate) fn end_event(out: &mut BytesMut, framing: StreamFraming) {
    out.put_slice(EVENT_END);
    end_chunk(out, framing);
}

/// Appends a comment: tells client and proxies that the stream lives.
pub(crate) fn write_comment(out: &mut BytesMut, framing: StreamFraming) {
    if framing == StreamFraming::Chunked {
        write_chunk_size(out, COMMENT.len());
    }
    out.put_slice(COMMENT);
    end_chunk(out, framing);
}

/// Appends the end of the stream; without chunks, closing the connection is the end.
pub(crate) fn end_stream(out: &mut BytesMut, framing: StreamFraming) {
    if framing == StreamFraming::Chunked {
        out.put_slice(LAST_CHUNK);
    }
}

fn end_chunk(out: &mut BytesMut, framing: StreamFraming) {
    if framing == StreamFraming::Chunked {
        out.put_slice(b"\r\n");
    }
}

/// Hexadecimal, without zeros in front.
fn write_chunk_size(out: &mut BytesMut, bytes: usize) {
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.put_u8(HEX_DIGITS[bytes >> (place * 4) & 0xF]);
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::body::{BodyDecoder, BodyProgress};
    use super::super::head::BodyFraming;
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn each_status_has_its_line() {
        for status in Status::ALL {
            let mut headers = [httparse::EMPTY_HEADER; 4];
            let mut response = httparse::Response::new(&mut headers);
            let head = ResponseHead::new(status, Persistence::Close, Payload::Empty);
            let text = written(|out| head.write(out));
            assert!(response.parse(text.as_bytes()).is_ok_and(|parsed| parsed.is_complete()), "{text}");
            assert_eq!((response.version, response.code), (Some(1), Some(status.code())));
            assert!(response.reason.is_some_and(|reason| !reason.is_empty()));
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(418), None);
    }

    #[test]
    fn heads_are_written_byte_by_byte_as_they_are_here() {
        let new = ResponseHead::new;
        let rows: [(ResponseHead<'_>, &str); 9] = [
            (
                new(Status::Ok, Persistence::Keep, Payload::Json { bytes: 42 }),
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 42\r\n\r\n",
            ),
            (
                ResponseHead {
                    session_id: Some(b"s1"),
                    ..new(Status::Ok, Persistence::KeepOld, Payload::Json { bytes: 0 })
                },
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\nmcp-session-id: s1\r\n\
                 connection: keep-alive\r\n\r\n",
            ),
            (
                new(Status::Accepted, Persistence::Keep, Payload::Empty),
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                new(Status::BadRequest, Persistence::Close, Payload::Text { bytes: 3 }),
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\
                 connection: close\r\n\r\n",
            ),
            (
                ResponseHead {
                    allow: Some("POST, GET"),
                    ..new(Status::MethodNotAllowed, Persistence::Keep, Payload::Empty)
                },
                "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nallow: POST, GET\r\n\r\n",
            ),
            (
                ResponseHead {
                    challenge: Some(b"Bearer"),
                    retry_after_seconds: Some(7),
                    ..new(Status::Unauthorized, Persistence::Close, Payload::Empty)
                },
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nretry-after: 7\r\nwww-authenticate: Bearer\r\n\
                 connection: close\r\n\r\n",
            ),
            (
                new(Status::Ok, Persistence::Keep, Payload::EventStream(StreamFraming::Chunked)),
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\n\
                 x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (
                new(Status::Ok, Persistence::Close, Payload::EventStream(StreamFraming::UntilClose)),
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\n\
                 x-accel-buffering: no\r\nconnection: close\r\n\r\n",
            ),
            (
                ResponseHead {
                    cors: Some(Cors { origin: b"http://a", preflight: Some(b"mcp-name") }),
                    ..new(Status::NoContent, Persistence::Keep, Payload::Empty)
                },
                "HTTP/1.1 204 No Content\r\naccess-control-allow-origin: http://a\r\n\
                 vary: origin, access-control-request-headers\r\n\
                 access-control-allow-methods: GET, POST, DELETE, OPTIONS\r\naccess-control-max-age: 7200\r\n\
                 access-control-allow-headers: mcp-name\r\n\r\n",
            ),
        ];
        for (head, want) in rows {
            assert_eq!(written(|out| head.write(out)), want);
        }
        assert_eq!(written(write_continue), "HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn a_value_that_would_end_its_header_is_left_out() {
        for value in [&b"a\r\nx: y"[..], b"a\nb", b"a\rb", b"a\0b", b"\x7F"] {
            let head = ResponseHead {
                session_id: Some(value),
                challenge: Some(value),
                cors: Some(Cors { origin: value, preflight: Some(value) }),
                ..ResponseHead::new(Status::Ok, Persistence::Keep, Payload::Empty)
            };
            let text = written(|out| head.write(out));
            assert_eq!(text.matches("\r\n\r\n").count(), 1);
            for name in ["session", "authenticate", "allow-origin", "allow-headers"] {
                assert!(!text.contains(name), "{text}");
            }
        }
    }

    #[test]
    fn events_are_one_chunk_and_one_line_of_data() {
        let plain = Event::default();
        let full = Event { is_named: true, id: Some(b"7"), retry_ms: Some(3000) };
        let framing = StreamFraming::UntilClose;
        assert_eq!(written(|out| plain.write(out, framing, b"{}")), "data: {}\n\n");
        assert_eq!(
            written(|out| full.write(out, framing, b"{\"a\":\r\n1}\n")),
            "event: message\nid: 7\nretry: 3000\ndata: {\"a\":  1} \n\n"
        );
        let cut = Event { id: Some(b"7\ndata: x"), ..plain };
        assert_eq!(written(|out| cut.write(out, framing, b"{}")), "data: {}\n\n");
        assert_eq!(written(|out| write_comment(out, framing)), ":\n\n");
        assert_eq!(written(|out| end_stream(out, framing)), "");

        let framing = StreamFraming::Chunked;
        assert_eq!(written(|out| plain.write(out, framing, b"{}")), "a\r\ndata: {}\n\n\r\n");
        assert_eq!(written(|out| write_comment(out, framing)), "3\r\n:\n\n\r\n");
        assert_eq!(written(|out| end_stream(out, framing)), "0\r\n\r\n");
    }

    #[test]
    fn chunks_of_every_size_are_read_as_they_were_written() {
        let (mut out, mut want) = (BytesMut::new(), Vec::new());
        let sizes = [0, 1, 7, 8, 9, 10, 15, 16, 240, 247, 248, 255, 256, 4087, 4088, 65_528, 1 << 20];
        for size in sizes {
            let data = vec![b'x'; size];
            Event::default().write(&mut out, StreamFraming::Chunked, &data);
            want.extend_from_slice(&[b"data: ", &data[..], b"\n\n"].concat());
        }
        end_stream(&mut out, StreamFraming::Chunked);
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 0, want.len()).expect("a decoder");
        assert_eq!(decoder.advance(&mut out), Ok(BodyProgress::Complete(0..want.len())));
        assert!(out == want);
    }
}
