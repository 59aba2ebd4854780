//! The MCP requests that servers are measured with, as bytes, in both eras.
//!
//! Knows the protocol's text and no socket, except for [`open_session`], which speaks to one blockingly while
//! nothing is measured yet.

use crate::http_client::{AnswerReader, Expected, request};
use std::io::{self, Read, Write};
use std::net::TcpStream;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"benches","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
/// The body that opens a session or a connection of the legacy era.
pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"benches","version":"1"}}}"#;
/// The body that says that it is open.
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// The path that MCP is served on.
pub const PATH: &str = "/mcp";
/// Bytes of a text that an everyday call sends.
pub const SMALL_BYTES: usize = 100;
/// Bytes of a text that its answer is recognised by.
const MARKER_BYTES: usize = 64;
const SENTENCE: &str = "the quick brown fox jumps over the lazy dog and sits down to write; ";

const ACCEPT: (&str, &str) = ("Accept", "application/json, text/event-stream");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Which revision a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28: everything is in the request.
    Modern,
    /// 2025-11-25: a session comes first.
    Legacy,
}

impl Era {
    /// The revision that clients of this era speak here.
    pub fn revision(self) -> &'static str {
        match self {
            Self::Modern => "2026-07-28",
            Self::Legacy => "2025-11-25",
        }
    }
}

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `ping`, of the legacy era.
    Ping,
    /// `server/discover`, of the modern era.
    Discover,
    /// `tools/list`.
    ListTools,
    /// The tool `echo` with a text of so many bytes.
    Echo(usize),
    /// The tool `length` with a text of so many bytes: a large body, a small answer.
    Length(usize),
    /// The tool `read_text_file` on a file of [`file_text`].
    ReadFile {
        /// The file.
        path: String,
        /// How long it is.
        bytes: usize,
    },
}

impl Call {
    fn method(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Discover => "server/discover",
            Self::ListTools => "tools/list",
            Self::Echo(_) | Self::Length(_) | Self::ReadFile { .. } => "tools/call",
        }
    }

    fn tool(&self) -> Option<&'static str> {
        match self {
            Self::Ping | Self::Discover | Self::ListTools => None,
            Self::Echo(_) => Some("echo"),
            Self::Length(_) => Some("length"),
            Self::ReadFile { .. } => Some("read_text_file"),
        }
    }

    fn arguments(&self) -> String {
        match self {
            Self::Ping | Self::Discover | Self::ListTools => String::new(),
            Self::Echo(bytes) => format!(r#""text":"{}""#, text(*bytes)),
            Self::Length(bytes) => format!(r#""text":"{}""#, "x".repeat(*bytes)),
            Self::ReadFile { path, .. } => format!(r#""path":{}"#, serde_json::Value::from(path.as_str())),
        }
    }

    /// What the answer contains.
    pub fn expected(&self) -> Expected {
        let (marker, least_body_bytes) = match self {
            Self::Ping => (r#""result":{}"#.to_owned(), 0),
            Self::Discover => (r#""supportedVersions""#.to_owned(), 0),
            Self::ListTools => (r#""inputSchema""#.to_owned(), 0),
            Self::Length(bytes) => (bytes.to_string(), 0),
            Self::Echo(bytes) | Self::ReadFile { bytes, .. } => (text(*bytes.min(&MARKER_BYTES)), *bytes),
        };
        Expected { least_body_bytes: least_body_bytes as u64, ..Expected::ok(&marker) }
    }

    /// How long the text is that it moves.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Ping | Self::Discover | Self::ListTools => 0,
            Self::Echo(bytes) | Self::Length(bytes) | Self::ReadFile { bytes, .. } => *bytes,
        }
    }

    /// As the tables call it.
    pub fn name(&self) -> String {
        match self {
            Self::Ping => "ping".to_owned(),
            Self::Discover => "server/discover".to_owned(),
            Self::ListTools => "tools/list".to_owned(),
            Self::Echo(bytes) => format!("echo {}", size(*bytes)),
            Self::Length(bytes) => format!("length {}", size(*bytes)),
            Self::ReadFile { bytes, .. } => format!("read_text_file {}", size(*bytes)),
        }
    }

    /// The body of the request.
    pub fn body(&self, era: Era) -> String {
        self.body_with_id(era, 7)
    }

    /// The body of a request with an id of the caller's making.
    pub fn body_with_id(&self, era: Era, id: usize) -> String {
        let mut members = Vec::new();
        if let Some(tool) = self.tool() {
            members.push(format!(r#""name":"{tool}","arguments":{{{}}}"#, self.arguments()));
        }
        if era == Era::Modern {
            members.push(META.to_owned());
        }
        let (method, members) = (self.method(), members.join(","));
        if members.is_empty() {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#)
        } else {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}}}}}"#)
        }
    }

    /// The whole request of the modern era.
    pub fn modern(&self) -> Vec<u8> {
        self.modern_with(&self.body(Era::Modern))
    }

    /// The whole request of the modern era with a body of the caller's making.
    pub fn modern_with(&self, body: &str) -> Vec<u8> {
        modern(self.method(), self.tool(), body)
    }

    /// The whole request of the legacy era, in a session.
    pub fn legacy(&self, session: &str) -> Vec<u8> {
        legacy(session, &self.body(Era::Legacy))
    }
}

/// A text of so many bytes without escapes.
pub fn text(bytes: usize) -> String {
    SENTENCE.chars().cycle().take(bytes).collect()
}

/// A text of so many bytes in lines, as a file has it.
pub fn file_text(bytes: usize) -> String {
    let breaks = |(at, char)| if at % SENTENCE.len() == SENTENCE.len() - 1 { '\n' } else { char };
    text(bytes).chars().enumerate().map(breaks).collect()
}

/// A size as people say it.
pub fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// A POST of the modern era with the headers that mirror its body.
pub fn modern(method: &str, tool: Option<&str>, body: &str) -> Vec<u8> {
    let mut headers = vec![JSON, ACCEPT, ("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
    headers.extend(tool.map(|tool| ("Mcp-Name", tool)));
    request("POST", PATH, &headers, body.as_bytes())
}

/// A POST of the legacy era in a session.
pub fn legacy(session: &str, body: &str) -> Vec<u8> {
    request("POST", PATH, &[JSON, ACCEPT, VERSION, ("Mcp-Session-Id", session)], body.as_bytes())
}

const VERSION: (&str, &str) = ("MCP-Protocol-Version", "2025-11-25");

/// The GET that opens the stream of a session.
pub fn session_stream(session: &str) -> Vec<u8> {
    request("GET", PATH, &[("Accept", "text/event-stream"), VERSION, ("Mcp-Session-Id", session)], b"")
}

/// The DELETE that ends a session.
pub fn delete(session: &str) -> Vec<u8> {
    request("DELETE", PATH, &[VERSION, ("Mcp-Session-Id", session)], b"")
}

/// The `subscriptions/listen` that opens a stream of changes.
pub fn listen() -> Vec<u8> {
    let notifications = r#""notifications":{"toolsListChanged":true}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{{{notifications},{META}}}}}"#
    );
    modern("subscriptions/listen", None, &body)
}

/// A call of a tool that reports its progress, with the token that has it stream: the tool's name and the members of
/// its arguments.
pub fn with_progress(tool: &str, arguments: &str) -> Vec<u8> {
    let meta = META.replacen('{', r#"{"progressToken":"p","#, 1);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{{{arguments}}},{meta}}}}}"#
    );
    modern("tools/call", Some(tool), &body)
}

/// The POST that opens a session.
pub fn initialize() -> Vec<u8> {
    request("POST", PATH, &[JSON, ACCEPT], INITIALIZE.as_bytes())
}

/// The POST that says that a session is open.
pub fn initialized(session: &str) -> Vec<u8> {
    legacy(session, INITIALIZED)
}

/// Sends a request and waits for the whole answer.
///
/// # Errors
/// When the connection breaks or what comes is no answer.
pub fn exchange(socket: &mut TcpStream, request: &[u8], answer: &mut AnswerReader) -> io::Result<()> {
    socket.write_all(request)?;
    answer.reset();
    let mut buffer = [0; 16 * 1024];
    while !answer.is_complete() {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        answer.feed(&buffer[..read]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}

/// Opens a session of the legacy era; gives its id.
///
/// # Errors
/// When the connection breaks or the server opens none.
pub fn open_session(socket: &mut TcpStream) -> io::Result<String> {
    let mut answer = AnswerReader::new(16 * 1024);
    exchange(socket, &initialize(), &mut answer)?;
    let Some(session) = answer.header("mcp-session-id").map(str::to_owned) else {
        let body = String::from_utf8_lossy(answer.body());
        let message = format!("`initialize` opened no session: status {}, {body}", answer.status());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    };
    exchange(socket, &initialized(&session), &mut answer)?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head's lines and the body of a request.
    fn parts(request: &[u8]) -> (Vec<String>, serde_json::Value) {
        let text = String::from_utf8(request.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let lines: Vec<_> = head.lines().map(str::to_owned).collect();
        assert!(lines.contains(&format!("Content-Length: {}", body.len())), "{head}");
        (lines, serde_json::from_str(body).expect("JSON"))
    }

    #[test]
    fn the_headers_of_a_modern_request_mirror_its_body() {
        let read = Call::ReadFile { path: "/a \"b\"".to_owned(), bytes: 0 };
        for call in [Call::Discover, Call::ListTools, Call::Echo(3), Call::Length(3), read] {
            let (head, body) = parts(&call.modern());
            let method = body["method"].as_str().expect("a method");
            assert!(head.contains(&format!("Mcp-Method: {method}")), "{head:?}");
            let name = body["params"]["name"].as_str();
            assert_eq!(head.iter().find(|line| line.starts_with("Mcp-Name")).map(|line| &line[10..]), name);
            assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        }
        let (_, body) = parts(&Call::Length(3).modern());
        assert_eq!(body["params"]["arguments"]["text"], "xxx");
    }

    #[test]
    fn requests_for_streams_are_json() {
        let (head, body) = parts(&with_progress("search_files", r#""path":".""#));
        assert!(head.contains(&"Mcp-Name: search_files".to_owned()));
        assert_eq!(body["params"]["_meta"]["progressToken"], "p");
        assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(parts(&listen()).1["params"]["notifications"]["toolsListChanged"], true);
    }

    #[test]
    fn texts_have_their_length_and_begin_with_what_they_are_recognised_by() {
        for bytes in [0, 1, 64, 100, 1024, 1 << 20] {
            let file = file_text(bytes);
            assert_eq!((text(bytes).len(), file.len()), (bytes, bytes));
            assert!(file.starts_with(&text(bytes.min(MARKER_BYTES))));
        }
        assert!(file_text(1024).lines().count() > 10);
        assert_eq!([100, 10 << 10, 1 << 20].map(size), ["100 B", "10 KiB", "1 MiB"]);
    }

    #[test]
    fn a_legacy_request_names_its_session_and_has_no_claim() {
        let (head, body) = parts(&Call::Ping.legacy("abc"));
        assert!(head.contains(&"Mcp-Session-Id: abc".to_owned()));
        assert_eq!(body, serde_json::json!({"jsonrpc": "2.0", "id": 7, "method": "ping"}));
    }
}
