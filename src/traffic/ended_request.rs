//! [`EndedRequest`]: what a log says of a request, and the two ways in which it is written.
//!
//! Invariants: nothing of its arguments is in it, and no text of the client but the name that the client gives itself,
//! which is bounded and visible; writing allocates nothing.

use crate::memory::ClientName;
#[cfg(feature = "cli")]
use crate::visible;
use crate::visible::Quoted;
use std::fmt;
#[cfg(feature = "cli")]
use std::io::Write as _;
use std::time::Duration;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestResult {
    /// It is answered with a result.
    Ok,
    /// It is answered with a result that has `isError`.
    ToolError,
    /// It is answered with an error of that code.
    Error(i32),
    /// Nobody is answered: its client cancelled it, or left.
    Cancelled,
    /// It goes on as a task, and its client was given the task's id.
    Task,
    /// Its transport refused it over HTTP with that status, before it was read as a message.
    Refused(u16),
}

impl RequestResult {
    /// Its name in a log.
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Error(_) => "error",
            Self::Cancelled => "cancelled",
            Self::Task => "task",
            Self::Refused(_) => "refused",
        }
    }

    const fn code(self) -> Option<i32> {
        match self {
            Self::Error(code) => Some(code),
            _ => None,
        }
    }

    /// Whether it was refused before it was read as a message.
    pub(crate) const fn is_refused(self) -> bool {
        matches!(self, Self::Refused(_))
    }

    const fn status(self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }
}

/// A request that has ended, as [`Server::report_requests_to`](crate::Server::report_requests_to) gives it to a log.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EndedRequest<'a> {
    /// The name that the client gave itself (`clientInfo.name`), of at most 64 bytes; `None` if it gave none.
    pub client: Option<&'a str>,
    /// Who sent it, as a key of the process: requests with the same key are of the same token, user or address.
    pub principal: u128,
    /// The method; `None` if the message could not be read or names none of this server. Of a request that was refused, it
    /// is what its headers say.
    pub method: Option<&'static str>,
    /// The tool that was called, if it is one of this server.
    pub tool: Option<&'a str>,
    /// What became of it.
    pub result: RequestResult,
    /// Bytes of the answer, without the framing of its transport.
    pub answer_bytes: usize,
    /// From its first byte to its answer.
    pub took: Duration,
}

impl EndedRequest<'_> {
    /// Who sent it, for people: `this machine`, an address, `unix, user 1000`, or a few digits of a token's digest.
    ///
    /// ```
    /// # use mcpool::traffic::EndedRequest;
    /// fn log(request: &EndedRequest<'_>) {
    ///     eprintln!("{} of {}", request.method.unwrap_or("?"), request.sender());
    /// }
    /// ```
    pub fn sender(&self) -> impl fmt::Display {
        ClientName(self.principal)
    }

    fn took_ms(&self) -> Milliseconds {
        Milliseconds { us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX) }
    }

    /// Appends it as a line of JSON, of the moment `time`, before which `left_out` requests have no line.
    #[cfg(feature = "cli")]
    pub(super) fn write_json(&self, time: &[u8], left_out: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(time);
        out.push(b'"');
        if let Some(client) = self.client {
            write_member(out, b",\"client\":", client);
        }
        out.extend_from_slice(b",\"principal\":\"");
        // Its texts have nothing that would be escaped, and writing to a `Vec` does not fail.
        let _ = write!(out, "{}", self.sender());
        out.push(b'"');
        if let Some(method) = self.method {
            write_member(out, b",\"method\":", method);
        }
        if let Some(tool) = self.tool {
            write_member(out, b",\"tool\":", tool);
        }
        write_member(out, b",\"result\":", self.result.name());
        let mut digits = itoa::Buffer::new();
        if let Some(code) = self.result.code() {
            out.extend_from_slice(b",\"code\":");
            out.extend_from_slice(digits.format(code).as_bytes());
        }
        if let Some(status) = self.result.status() {
            out.extend_from_slice(b",\"status\":");
            out.extend_from_slice(digits.format(status).as_bytes());
        }
        out.extend_from_slice(b",\"bytes\":");
        out.extend_from_slice(digits.format(self.answer_bytes).as_bytes());
        out.extend_from_slice(b",\"ms\":");
        let us = self.took_ms().us;
        out.extend_from_slice(digits.format(us / 1_000).as_bytes());
        out.push(b'.');
        out.extend_from_slice(&thousandths(us % 1_000));
        if left_out > 0 {
            out.extend_from_slice(b",\"left_out\":");
            out.extend_from_slice(digits.format(left_out).as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Three digits.
#[cfg(feature = "cli")]
pub(super) fn thousandths(number: u64) -> [u8; 3] {
    [number / 100 % 10, number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8)
}

/// Appends a member of an object whose value is a text.
#[cfg(feature = "cli")]
fn write_member(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        visible::write_json_string(out, text);
    }
}

impl fmt::Display for EndedRequest<'_> {
    /// In the order of a log that people read: what, how, who.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Some(method) => f.write_str(method)?,
            None if self.result.is_refused() => f.write_str("HTTP")?,
            None => f.write_str("unreadable")?,
        }
        if let Some(tool) = self.tool {
            write!(f, " {tool}")?;
        }
        write!(f, " {}", self.result.name())?;
        if let Some(number) = self.result.code().or(self.result.status().map(i32::from)) {
            write!(f, " {number}")?;
        }
        write!(f, " {} B {} ms", self.answer_bytes, self.took_ms())?;
        if let Some(client) = self.client {
            write!(f, " client={}", Quoted(client))?;
        }
        write!(f, " from=\"{}\"", self.sender())
    }
}

/// A duration in milliseconds, always with three digits behind the point.
struct Milliseconds {
    us: u64,
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.us / 1_000, self.us % 1_000)
    }
}

/// Bytes of the longest line, twice over.
const LINE_BYTES: usize = 1_024;

/// Room for one line, on the stack of the thread that serves.
pub(crate) struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; LINE_BYTES], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = &mut self.bytes[self.len..];
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.len += count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;
    use crate::memory::{KIND_SHIFT, kind};

    fn request() -> EndedRequest<'static> {
        EndedRequest {
            client: Some("a \"client\""),
            principal: kind::THIS_MACHINE << KIND_SHIFT,
            method: Some("tools/call"),
            tool: Some("read_text_file"),
            result: RequestResult::Ok,
            answer_bytes: 1_234,
            took: Duration::from_micros(4_056),
        }
    }

    fn json(request: &EndedRequest<'_>) -> String {
        let mut line = Vec::new();
        request.write_json(b"2026-11-30T14:03:20.123Z", 0, &mut line);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn a_line_says_who_what_and_how() {
        assert_eq!(
            json(&request()),
            "{\"time\":\"2026-11-30T14:03:20.123Z\",\"client\":\"a \\\"client\\\"\",\"principal\":\"this machine\",\
             \"method\":\"tools/call\",\"tool\":\"read_text_file\",\"result\":\"ok\",\"bytes\":1234,\"ms\":4.056}\n"
        );
        assert_eq!(
            request().to_string(),
            "tools/call read_text_file ok 1234 B 4.056 ms client=\"a \\\"client\\\"\" from=\"this machine\""
        );
        let refused = EndedRequest {
            client: None,
            method: None,
            tool: None,
            result: RequestResult::Error(-32_700),
            ..request()
        };
        assert_eq!(refused.to_string(), "unreadable error -32700 1234 B 4.056 ms from=\"this machine\"");
        let value: serde_json::Value = serde_json::from_str(&json(&refused)).expect("JSON");
        assert_eq!((&value["result"], &value["code"]), (&"error".into(), &(-32_700).into()));
        assert!(value.get("client").is_none() && value.get("tool").is_none());
        let at_the_door = EndedRequest { result: RequestResult::Refused(401), ..refused };
        assert_eq!(at_the_door.to_string(), "HTTP refused 401 1234 B 4.056 ms from=\"this machine\"");
        let mut line = Vec::new();
        at_the_door.write_json(b"now", 7, &mut line);
        let want = "{\"time\":\"now\",\"principal\":\"this machine\",\"result\":\"refused\",\"status\":401,\"bytes\":1234,\
                    \"ms\":4.056,\"left_out\":7}\n";
        assert_eq!(String::from_utf8(line).expect("text"), want);
    }

    #[test]
    fn the_longest_line_has_room() {
        let (client, tool) = ("\"".repeat(64), "t".repeat(128));
        let request = EndedRequest {
            client: Some(&client),
            tool: Some(&tool),
            principal: kind::IPV6 << KIND_SHIFT | 0xffff_ffff_ffff_ffff,
            result: RequestResult::Error(i32::MIN),
            answer_bytes: usize::MAX,
            took: Duration::MAX,
            ..request()
        };
        let line = json(&request);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["client"], client);
        assert!(line.len().max(request.to_string().len()) < LINE_BYTES / 2, "{line}");
    }

    #[test]
    fn whatever_a_client_calls_itself_a_line_is_json_and_shows_itself() {
        for client in ["plain", "a\\b", "\u{e9}\"", ""].into_iter().chain(visible::HOSTILE) {
            let named = EndedRequest { client: Some(client), ..request() };
            let (line, shown) = (json(&named), named.to_string());
            assert!(
                line.strip_suffix('\n').is_some_and(|line| line.chars().all(visible::is_visible)),
                "{line:?}"
            );
            assert!(shown.chars().all(visible::is_visible), "{shown:?}");
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!((&value["client"], &value["ms"]), (&client.into(), &4.056.into()));
        }
    }
}
