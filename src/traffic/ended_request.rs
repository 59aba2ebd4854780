//! [`EndedRequest`]: what a log says of a request, and the two ways in which it is written.
//!
//! Invariants: nothing of its arguments is in it, and no text of the client but the name that the client gives itself,
//! which is bounded and visible; writing allocates nothing.

use crate::memory::ClientName;
use serde::Serialize;
use std::fmt;
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
        }
    }

    const fn code(self) -> Option<i32> {
        match self {
            Self::Error(code) => Some(code),
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
    /// The method; `None` if the message could not be read or names none of this server.
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

    /// Writes it as a line of JSON, of the moment `time`; less than all if `out` has no room for it.
    pub(super) fn write_json(
        &self,
        time: &dyn fmt::Display,
        out: &mut Line,
    ) -> Result<(), serde_json::Error> {
        let sender = self.sender();
        let shown = Shown {
            time: Displayed(time),
            client: self.client,
            principal: Displayed(&sender),
            method: self.method,
            tool: self.tool,
            result: self.result.name(),
            code: self.result.code(),
            bytes: self.answer_bytes,
            ms: self.took.as_micros() as f64 / 1e3,
        };
        serde_json::to_writer(&mut *out, &shown)?;
        out.push(b'\n').map_err(serde_json::Error::io)
    }
}

impl fmt::Display for EndedRequest<'_> {
    /// In the order of a log that people read: what, how, who.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method.unwrap_or("unreadable"))?;
        if let Some(tool) = self.tool {
            write!(f, " {tool}")?;
        }
        write!(f, " {}", self.result.name())?;
        if let Some(code) = self.result.code() {
            write!(f, " {code}")?;
        }
        write!(f, " {} B {} ms", self.answer_bytes, self.took_ms())?;
        if let Some(client) = self.client {
            write!(f, " client={client:?}")?;
        }
        write!(f, " from=\"{}\"", self.sender())
    }
}

/// The members of a line of JSON.
#[derive(Serialize)]
struct Shown<'a> {
    time: Displayed<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    principal: Displayed<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    bytes: usize,
    ms: f64,
}

/// Something that is shown as a text.
struct Displayed<'a>(&'a dyn fmt::Display);

impl Serialize for Displayed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
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

/// Bytes of the longest line: names of tools have at most 128, and each byte of a client's name may be an escape.
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

    fn push(&mut self, byte: u8) -> std::io::Result<()> {
        std::io::Write::write_all(self, &[byte])
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

#[cfg(test)]
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
        let mut line = Line::new();
        request.write_json(&"2026-11-30T14:03:20.123Z", &mut line).expect("it has room");
        String::from_utf8(line.as_bytes().to_vec()).expect("text")
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
        assert!(json(&request).ends_with("}\n"));
    }
}
