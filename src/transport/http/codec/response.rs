//! Writes the heads of answers.
//!
//! Everything goes straight into the buffer that is sent, from parts that are written here in full; only
//! numbers are formatted. A value that holds a control character is left out with its header, so that
//! nothing a client sent can end a header early. Must not know sockets or JSON.
//!
//! There is no `Server` header, which would tell an attacker what to try, and no `Date`, which only caches
//! need; RFC 9110 6.6.1 frees a server without a reliable clock from it, and no answer here may be cached.

use super::head::RequestHead;
use super::words::{Status, StreamFraming, Version};
use bytes::{BufMut, BytesMut};

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays open, which is the default of HTTP/1.1.
    Keep,
    /// It stays open, which the answer to a client of HTTP/1.0 must say.
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

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// So many bytes of JSON. An answer to HEAD says the same and sends none of them.
    Json { bytes: usize },
    /// JSON until the stream ends.
    JsonStream(StreamFraming),
    /// So many bytes of text.
    Text { bytes: usize },
    /// So many bytes of a page that loads nothing.
    Html { bytes: usize },
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
            Payload::Html { bytes } => {
                out.put_slice(
                    b"content-type: text/html; charset=utf-8\r\n\
                    content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\ncontent-length: ",
                );
                end_number(out, bytes);
            }
            Payload::JsonStream(framing) => {
                out.put_slice(b"content-type: application/json\r\n");
                out.put_slice(coding(framing).as_bytes());
            }
            Payload::EventStream(framing) => {
                out.put_slice(EVENT_STREAM.as_bytes());
                out.put_slice(coding(framing).as_bytes());
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

/// The header that tells how a stream is framed; one that ends with its connection needs none.
fn coding(framing: StreamFraming) -> &'static str {
    match framing {
        StreamFraming::Chunked => "transfer-encoding: chunked\r\n",
        StreamFraming::UntilClose => "",
    }
}

fn end_number(out: &mut BytesMut, number: impl itoa::Integer) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
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
        let rows: [(ResponseHead<'_>, &str); 6] = [
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
        ];
        for (head, want) in rows {
            assert_eq!(written(|out| head.write(out)), want);
        }
        assert_eq!(written(write_continue), "HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn heads_of_streams_and_of_preflights_are_written_as_they_are_here() {
        let new = ResponseHead::new;
        let rows: [(ResponseHead<'_>, &str); 5] = [
            (
                new(Status::Ok, Persistence::Keep, Payload::JsonStream(StreamFraming::Chunked)),
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (
                new(Status::Ok, Persistence::Close, Payload::JsonStream(StreamFraming::UntilClose)),
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n",
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
}
