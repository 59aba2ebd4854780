//! Reads answers of HTTP/1.1 as they come, in pieces of any size.
//!
//! No IO and no knowledge of MCP. Invariant: [`HttpAnswer::feed`] never takes a byte beyond the end of its answer, and
//! takes all bytes before it. After the first answers the buffers have their size and nothing is allocated.

use memchr::memmem;
use thiserror::Error;

/// Headers that an answer may have.
const MAX_HEADERS: usize = 32;
/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Longest line that says how long a chunk is, or that follows the last one.
const MAX_LINE_BYTES: usize = 1024;

/// Why bytes are no answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum HttpFault {
    /// The head is no head of HTTP/1.1.
    #[error("the head of the answer is malformed: {0}")]
    Head(String),
    /// The head does not end.
    #[error("the head of the answer is longer than {MAX_HEAD_BYTES} bytes")]
    LongHead,
    /// The body does not end.
    #[error("the body of the answer is longer than {0} bytes")]
    LongBody(usize),
    /// A chunk does not begin with its length, or does not end where it should.
    #[error("a chunk of the answer is malformed")]
    Chunk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Fixed { left: u64 },
    ChunkSize,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer,
    UntilClose,
    Complete,
}

/// Decodes one answer after the other from bytes as they come, in pieces of any size.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    /// The head with its empty line, once it is complete; what has come of it before.
    head: Vec<u8>,
    body: Vec<u8>,
    /// The line of a chunk that is being read.
    line: Vec<u8>,
    part: Part,
    status: u16,
    is_event_stream: bool,
    closes: bool,
    max_body_bytes: usize,
}

impl HttpAnswer {
    /// A reader that refuses longer bodies.
    pub(super) fn new(max_body_bytes: usize) -> Self {
        Self {
            head: Vec::new(),
            body: Vec::new(),
            line: Vec::new(),
            part: Part::Head,
            status: 0,
            is_event_stream: false,
            closes: false,
            max_body_bytes,
        }
    }

    /// Whether the whole answer has come.
    pub(super) fn is_complete(&self) -> bool {
        self.part == Part::Complete
    }

    /// Whether the answer ends where the connection does.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.part == Part::UntilClose
    }

    /// The status, 0 before the head has come.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The body, as far as it has come.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The value of a header, or `None` when the head lacks it or has not come.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = std::str::from_utf8(&self.head).ok()?.split("\r\n").skip(1);
        lines.find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether the body is a stream of events.
    pub(super) fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// Whether the connection ends with the answer.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// Bytes of room that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.head.capacity() + self.body.capacity() + self.line.capacity()
    }

    /// Forgets the answer, and lets go of its room.
    pub(super) fn shrink(&mut self) {
        *self = Self::new(self.max_body_bytes);
    }

    /// Makes ready for the next answer of the same connection.
    pub(super) fn reset(&mut self) {
        self.head.clear();
        self.body.clear();
        self.line.clear();
        self.part = Part::Head;
        self.status = 0;
        self.is_event_stream = false;
        self.closes = false;
    }

    /// Takes bytes up to the end of the answer; gives how many.
    ///
    /// # Errors
    /// When they are no answer of HTTP/1.1.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, HttpFault> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.part == Part::Complete || rest.is_empty() {
                return Ok(taken);
            }
            taken += match self.part {
                Part::Head => self.feed_head(rest)?,
                Part::Fixed { left } => {
                    let (took, left) = self.take(rest, left)?;
                    self.part = if left == 0 { Part::Complete } else { Part::Fixed { left } };
                    took
                }
                Part::ChunkData { left } => {
                    let (took, left) = self.take(rest, left)?;
                    self.part = if left == 0 { Part::ChunkEnd } else { Part::ChunkData { left } };
                    took
                }
                Part::ChunkSize | Part::ChunkEnd | Part::Trailer => self.feed_line(rest)?,
                Part::UntilClose | Part::Complete => self.take(rest, u64::MAX)?.0,
            };
        }
    }

    fn take(&mut self, bytes: &[u8], left: u64) -> Result<(usize, u64), HttpFault> {
        let took = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.body.len() + took > self.max_body_bytes {
            return Err(HttpFault::LongBody(self.max_body_bytes));
        }
        self.body.extend_from_slice(&bytes[..took]);
        Ok((took, left - took as u64))
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<usize, HttpFault> {
        let had = self.head.len();
        self.head.extend_from_slice(bytes);
        // The empty line may have begun in what came before.
        let from = had.saturating_sub(3);
        let Some(found) = memmem::find(&self.head[from..], b"\r\n\r\n") else {
            return if self.head.len() > MAX_HEAD_BYTES { Err(HttpFault::LongHead) } else { Ok(bytes.len()) };
        };
        self.head.truncate(from + found + 4);
        let took = self.head.len() - had;
        self.read_head()?;
        Ok(took)
    }

    fn read_head(&mut self) -> Result<(), HttpFault> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        head.parse(&self.head).map_err(|error| HttpFault::Head(error.to_string()))?;
        let status = head.code.unwrap_or_default();
        let mut part = Part::UntilClose;
        let (mut is_event_stream, mut closes) = (false, head.version == Some(0));
        for header in &*head.headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or_default();
                let left = text.parse().map_err(|_| HttpFault::Head(format!("Content-Length: {text}")))?;
                part = Part::Fixed { left };
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                part = Part::ChunkSize;
            } else if header.name.eq_ignore_ascii_case("content-type") {
                is_event_stream = begins_with(header.value, b"text/event-stream");
            } else if header.name.eq_ignore_ascii_case("connection") {
                closes |= begins_with(header.value, b"close");
            }
        }
        if status / 100 == 1 {
            self.head.clear(); // an interim answer: the one that counts follows
            return Ok(());
        }
        self.status = status;
        self.is_event_stream = is_event_stream;
        self.closes = closes || part == Part::UntilClose && !matches!(status, 204 | 304);
        self.part = match part {
            Part::Fixed { left: 0 } => Part::Complete,
            _ if matches!(status, 204 | 304) => Part::Complete,
            other => other,
        };
        Ok(())
    }

    fn feed_line(&mut self, bytes: &[u8]) -> Result<usize, HttpFault> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            return if self.line.len() > MAX_LINE_BYTES { Err(HttpFault::Chunk) } else { Ok(bytes.len()) };
        };
        self.line.extend_from_slice(&bytes[..end]);
        let line = self.line.strip_suffix(b"\r").ok_or(HttpFault::Chunk)?;
        self.part = match self.part {
            Part::ChunkSize => {
                let text = std::str::from_utf8(line).map_err(|_| HttpFault::Chunk)?;
                let size = text.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16).map_err(|_| HttpFault::Chunk)? {
                    0 => Part::Trailer,
                    left => Part::ChunkData { left },
                }
            }
            Part::ChunkEnd if line.is_empty() => Part::ChunkSize,
            Part::Trailer if line.is_empty() => Part::Complete,
            Part::Trailer => Part::Trailer,
            _ => return Err(HttpFault::Chunk),
        };
        self.line.clear();
        Ok(end + 1)
    }
}

/// Whether a value begins with a word, in letters of either case.
fn begins_with(value: &[u8], word: &[u8]) -> bool {
    value.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers, with their status, body and the bytes behind them.
    const ANSWERS: [(&str, u16, &str, usize); 7] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, "hello", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", 200, "hello", 4),
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, "", 0),
        ("HTTP/1.1 204 No Content\r\n\r\nHT", 204, "", 2),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
            200,
            "hello world",
            0,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nDate: x\r\n\r\nH",
            200,
            "0123456789",
            1,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig",
            413,
            "big",
            0,
        ),
    ];

    #[test]
    fn an_answer_is_the_same_however_it_is_cut() {
        for (text, status, body, behind) in ANSWERS {
            for first in 0..=text.len() {
                let mut answer = HttpAnswer::new(1024);
                let (one, two) = text.as_bytes().split_at(first);
                let mut taken = answer.feed(one).expect("an answer");
                if taken == one.len() {
                    taken += answer.feed(two).expect("an answer");
                }
                assert!(answer.is_complete(), "{text:?} cut at {first}");
                assert_eq!(taken, text.len() - behind, "{text:?} cut at {first}");
                assert_eq!(
                    (answer.status(), answer.body()),
                    (status, body.as_bytes()),
                    "{text:?} cut at {first}"
                );
            }
        }
    }

    #[test]
    fn a_reader_serves_one_answer_after_the_other() {
        let mut answer = HttpAnswer::new(11);
        for (text, status, body, _) in ANSWERS {
            answer.feed(text.as_bytes()).expect("an answer");
            assert_eq!((answer.status(), answer.body()), (status, body.as_bytes()));
            answer.reset();
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for text in [
            "HTTP/1.1 two hundred\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n".to_owned(),
            format!("{chunked}xyz\r\n"),
            format!("{chunked}1\r\nab"),
            format!("{chunked}1\n"),
            format!("{chunked}401\r\n{}", "x".repeat(1025)),
            format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_HEAD_BYTES)),
        ] {
            let mut answer = HttpAnswer::new(1024);
            let refused = answer.feed(text.as_bytes());
            let refused = refused.and_then(|_| answer.feed(b"\r\n").map(|_| ()));
            assert!(refused.is_err(), "{text:.80?}");
        }
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let mut answer = HttpAnswer::new(1024);
        answer
            .feed(b"HTTP/1.1 200 OK\r\nMcp-Session-Id:  abc \r\nContent-Length: 0\r\n\r\n")
            .expect("an answer");
        assert_eq!(answer.header("mcp-session-id"), Some("abc"));
        assert_eq!(answer.header("date"), None);
        assert!(!answer.closes() && !answer.is_event_stream());
        answer.reset();
        answer
            .feed(b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-type: text/event-stream; a=b\r\n\r\n")
            .expect("an answer");
        assert!(answer.closes() && answer.is_event_stream());
    }
}
