//! HTTP/1.1 as a measuring client needs it: requests built once, answers decoded as they come.
//!
//! No IO and no knowledge of MCP, so that every driver (a closed loop on an event queue, tasks at a fixed rate)
//! uses the same decoder. Invariant: [`AnswerReader::feed`] never takes a byte beyond the end of its answer, and
//! takes all bytes before it. After the first answers the buffers have their size and nothing is allocated.

use memchr::memmem;
use thiserror::Error;

/// Headers that an answer may have.
const MAX_HEADERS: usize = 32;
/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Longest line that says how long a chunk is, or that follows the last one.
const MAX_LINE_BYTES: usize = 1024;

/// Builds a request: `headers` and a body whose length is said.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = head(method, path, headers, body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Builds the head of a request whose body of `body_bytes` is sent apart, or only in part.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], body_bytes: usize) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if method == "POST" {
        text.extend(["Content-Length: ", &body_bytes.to_string(), "\r\n"]);
    }
    text.push_str("\r\n");
    text
}

/// Why bytes are no answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AnswerError {
    /// The head is no head of HTTP/1.1.
    #[error("the head of the answer is malformed: {0}")]
    Head(String),
    /// The head does not end.
    #[error("the head of the answer is longer than {MAX_HEAD_BYTES} bytes")]
    LongHead,
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
///
/// ```
/// use mcpool_benches::http_client::AnswerReader;
///
/// let mut answer = AnswerReader::new(1024);
/// let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 ";
/// let taken = answer.feed(bytes)?;
/// assert_eq!((taken, answer.is_complete()), (bytes.len() - 9, true));
/// assert_eq!((answer.status(), answer.body()), (200, &b"ok"[..]));
/// # Ok::<(), mcpool_benches::http_client::AnswerError>(())
/// ```
#[derive(Debug)]
pub struct AnswerReader {
    /// The head with its empty line, once it is complete; what has come of it before.
    head: Vec<u8>,
    /// The first bytes of the body, at most `keep_bytes`.
    body: Vec<u8>,
    /// The line of a chunk that is being read.
    line: Vec<u8>,
    part: Part,
    status: u16,
    /// Bytes of the body so far, kept or not.
    body_bytes: u64,
    keep_bytes: usize,
}

impl AnswerReader {
    /// A reader that keeps the first `keep_bytes` of each body.
    pub fn new(keep_bytes: usize) -> Self {
        Self {
            head: Vec::new(),
            body: Vec::new(),
            line: Vec::new(),
            part: Part::Head,
            status: 0,
            body_bytes: 0,
            keep_bytes,
        }
    }

    /// Whether the whole answer has come.
    pub fn is_complete(&self) -> bool {
        self.part == Part::Complete
    }

    /// Whether the head has come.
    pub fn has_head(&self) -> bool {
        self.part != Part::Head
    }

    /// Whether the answer ends where the connection does.
    pub fn ends_with_connection(&self) -> bool {
        self.part == Part::UntilClose
    }

    /// The status, 0 before the head has come.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first bytes of the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the body so far, also those that were not kept.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The value of a header, or `None` when the head lacks it or has not come.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = std::str::from_utf8(&self.head).ok()?.split("\r\n").skip(1);
        lines.find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Makes ready for the next answer of the same connection.
    pub fn reset(&mut self) {
        self.head.clear();
        self.body.clear();
        self.line.clear();
        self.part = Part::Head;
        self.status = 0;
        self.body_bytes = 0;
    }

    /// Takes bytes up to the end of the answer; gives how many.
    ///
    /// # Errors
    /// When they are no answer of HTTP/1.1.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, AnswerError> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.part == Part::Complete || rest.is_empty() {
                return Ok(taken);
            }
            taken += match self.part {
                Part::Head => self.feed_head(rest)?,
                Part::Fixed { left } => {
                    let (took, left) = self.take(rest, left);
                    self.part = if left == 0 { Part::Complete } else { Part::Fixed { left } };
                    took
                }
                Part::ChunkData { left } => {
                    let (took, left) = self.take(rest, left);
                    self.part = if left == 0 { Part::ChunkEnd } else { Part::ChunkData { left } };
                    took
                }
                Part::ChunkSize | Part::ChunkEnd | Part::Trailer => self.feed_line(rest)?,
                Part::UntilClose | Part::Complete => self.take(rest, u64::MAX).0,
            };
        }
    }

    fn take(&mut self, bytes: &[u8], left: u64) -> (usize, u64) {
        let took = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = self.keep_bytes.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..took.min(room)]);
        self.body_bytes += took as u64;
        (took, left - took as u64)
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<usize, AnswerError> {
        let had = self.head.len();
        self.head.extend_from_slice(bytes);
        // The empty line may have begun in what came before.
        let from = had.saturating_sub(3);
        let Some(found) = memmem::find(&self.head[from..], b"\r\n\r\n") else {
            return if self.head.len() > MAX_HEAD_BYTES {
                Err(AnswerError::LongHead)
            } else {
                Ok(bytes.len())
            };
        };
        self.head.truncate(from + found + 4);
        let took = self.head.len() - had;
        self.read_head()?;
        Ok(took)
    }

    fn read_head(&mut self) -> Result<(), AnswerError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        head.parse(&self.head).map_err(|error| AnswerError::Head(error.to_string()))?;
        let status = head.code.unwrap_or_default();
        let mut part = Part::UntilClose;
        for header in &*head.headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or_default();
                let left = text.parse().map_err(|_| AnswerError::Head(format!("Content-Length: {text}")))?;
                part = Part::Fixed { left };
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                part = Part::ChunkSize;
            }
        }
        if status / 100 == 1 {
            self.head.clear(); // an interim answer: the one that counts follows
            return Ok(());
        }
        self.status = status;
        self.part = match part {
            Part::Fixed { left: 0 } => Part::Complete,
            _ if matches!(status, 204 | 304) => Part::Complete,
            other => other,
        };
        Ok(())
    }

    fn feed_line(&mut self, bytes: &[u8]) -> Result<usize, AnswerError> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            return if self.line.len() > MAX_LINE_BYTES { Err(AnswerError::Chunk) } else { Ok(bytes.len()) };
        };
        self.line.extend_from_slice(&bytes[..end]);
        let line = self.line.strip_suffix(b"\r").ok_or(AnswerError::Chunk)?;
        self.part = match self.part {
            Part::ChunkSize => {
                let text = std::str::from_utf8(line).map_err(|_| AnswerError::Chunk)?;
                let size = text.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16).map_err(|_| AnswerError::Chunk)? {
                    0 => Part::Trailer,
                    left => Part::ChunkData { left },
                }
            }
            Part::ChunkEnd if line.is_empty() => Part::ChunkSize,
            Part::Trailer if line.is_empty() => Part::Complete,
            Part::Trailer => Part::Trailer,
            _ => return Err(AnswerError::Chunk),
        };
        self.line.clear();
        Ok(end + 1)
    }
}

/// What an answer must be.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The status.
    pub status: u16,
    /// Text that its body contains.
    pub marker: memmem::Finder<'static>,
    /// The least length of its body.
    pub least_body_bytes: u64,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Right,
    /// The server has too much to do: 429 or 503.
    Refused,
    /// Anything else.
    Wrong,
}

impl Expected {
    /// An answer 200 that contains `marker`.
    pub fn ok(marker: &str) -> Self {
        Self::status(200, marker)
    }

    /// An answer with `status` that contains `marker`.
    pub fn status(status: u16, marker: &str) -> Self {
        Self { status, marker: memmem::Finder::new(marker.as_bytes()).into_owned(), least_body_bytes: 0 }
    }

    /// Checks an answer that has come whole.
    pub fn check(&self, answer: &AnswerReader) -> Verdict {
        let has_length = answer.body_bytes() >= self.least_body_bytes;
        if answer.status() == self.status && has_length && self.marker.find(answer.body()).is_some() {
            Verdict::Right
        } else if matches!(answer.status(), 429 | 503) {
            Verdict::Refused
        } else {
            Verdict::Wrong
        }
    }

    /// Checks a message that came without HTTP.
    pub fn is_met_by(&self, message: &[u8]) -> bool {
        message.len() as u64 >= self.least_body_bytes && self.marker.find(message).is_some()
    }
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
                let mut answer = AnswerReader::new(1024);
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
                assert_eq!(answer.body_bytes(), body.len() as u64);
            }
        }
    }

    #[test]
    fn a_reader_serves_one_answer_after_the_other() {
        let mut answer = AnswerReader::new(4);
        for (text, status, body, _) in ANSWERS {
            answer.feed(text.as_bytes()).expect("an answer");
            assert_eq!((answer.status(), answer.body_bytes()), (status, body.len() as u64));
            assert_eq!(answer.body(), &body.as_bytes()[..body.len().min(4)], "only what is kept");
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
            format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_HEAD_BYTES)),
        ] {
            let mut answer = AnswerReader::new(1024);
            let refused = answer.feed(text.as_bytes());
            let refused = refused.and_then(|_| answer.feed(b"\r\n").map(|_| ()));
            assert!(refused.is_err(), "{text:.80?}");
        }
    }

    #[test]
    fn a_wrong_answer_is_told_from_a_right_and_a_refused_one() {
        let check = |expected: &Expected, text: &str| {
            let mut answer = AnswerReader::new(1024);
            answer.feed(text.as_bytes()).expect("an answer");
            expected.check(&answer)
        };
        let mut expected = Expected::ok("pong");
        assert_eq!(check(&expected, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<pong>"), Verdict::Right);
        assert_eq!(check(&expected, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<ping>"), Verdict::Wrong);
        assert_eq!(check(&expected, "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\npong"), Verdict::Wrong);
        assert_eq!(check(&expected, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), Verdict::Refused);
        expected.least_body_bytes = 7;
        assert_eq!(check(&expected, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<pong>"), Verdict::Wrong);
        assert_eq!(
            [&b"<pong>"[..], b"<<pong>>", b"<<ping>>"].map(|it| expected.is_met_by(it)),
            [false, true, false]
        );
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let mut answer = AnswerReader::new(0);
        answer
            .feed(b"HTTP/1.1 200 OK\r\nMcp-Session-Id:  abc \r\nContent-Length: 0\r\n\r\n")
            .expect("an answer");
        assert_eq!(answer.header("mcp-session-id"), Some("abc"));
        assert_eq!(answer.header("date"), None);
    }
}
