//! Requests as lines, each with what its answer contains: those that people send, and frames of a given size.

use crate::in_process::InProcess;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// The `_meta` that makes a request one of the modern era.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"benches","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// One request.
#[derive(Debug, Clone)]
pub struct NamedRequest {
    /// What it is.
    pub name: String,
    /// The line, with its newline.
    pub line: Rc<[u8]>,
    /// A part of its answer.
    pub expected: String,
}

impl NamedRequest {
    fn new(name: impl Into<String>, line: &str, expected: impl Into<String>) -> Self {
        Self { name: name.into(), line: format!("{line}\n").into_bytes().into(), expected: expected.into() }
    }

    /// Whether it is of the modern era, which its `_meta` says.
    pub fn is_modern(&self) -> bool {
        self.name.ends_with("modern")
    }

    /// The same request so many times in a row.
    #[must_use]
    pub fn repeated(&self, times: usize) -> Rc<[u8]> {
        self.line.repeat(times).into()
    }

    /// Sends it once, and gives the bytes of its answer.
    ///
    /// # Panics
    /// When the answer differs.
    pub fn check(&self, connection: &mut InProcess) -> usize {
        let answer = connection.answer(&self.line);
        assert!(answer.contains(&self.expected), "{}: {answer:.300}", self.name);
        answer.len()
    }
}

fn request(method: &str, params: &str) -> String {
    if params.is_empty() {
        format!(r#"{{"jsonrpc":"2.0","id":4711,"method":"{method}"}}"#)
    } else {
        format!(r#"{{"jsonrpc":"2.0","id":4711,"method":"{method}","params":{{{params}}}}}"#)
    }
}

fn call(tool: &str, arguments: &str) -> String {
    request("tools/call", &format!(r#""name":"{tool}","arguments":{{{arguments}}}"#))
}

const HUNDRED: &str =
    "The quick brown fox jumps over the lazy dog, and then sits down to write a line of a hundred letters.";
/// About as long, and an escape every thirty bytes.
const ESCAPED: &str = r#"    if name == \"quick\" {\n        return Err(fox.jumps(over));\n    }\n\n    let lazy = dog.first();\n"#;

/// A ping.
pub fn ping() -> NamedRequest {
    NamedRequest::new("ping", &request("ping", ""), r#""result":{}"#)
}

/// Messages that differ in where they are routed, and have next to nothing to decode or to write.
pub fn routed() -> Vec<NamedRequest> {
    let nothing = format!(r#""name":"nothing","arguments":{{}},{META}"#);
    vec![
        NamedRequest::new("ping", &request("ping", ""), r#""result":{}"#),
        NamedRequest::new(
            "notification",
            r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#,
            "",
        ),
        NamedRequest::new("tools/call", &call("nothing", ""), r#""content":[]"#),
        NamedRequest::new("tools/call, modern", &request("tools/call", &nothing), r#""content":[]"#),
        NamedRequest::new("unknown tool", &call("nobody", ""), r#""error":"#),
        NamedRequest::new("unknown method", &request("tools/nothing", ""), r#""error":"#),
    ]
}

/// The list of the tools.
pub fn list() -> NamedRequest {
    NamedRequest::new("tools/list", &request("tools/list", ""), r#""name":"read_text_file""#)
}

/// A hundred bytes said back.
pub fn echo() -> NamedRequest {
    NamedRequest::new("echo 100 B", &call("echo", &format!(r#""text":"{HUNDRED}""#)), HUNDRED)
}

/// The same as a request of the modern era.
pub fn modern_echo() -> NamedRequest {
    let params = format!(r#""name":"echo","arguments":{{"text":"{HUNDRED}"}},{META}"#);
    NamedRequest::new("echo 100 B, modern", &request("tools/call", &params), HUNDRED)
}

/// A hundred bytes of source code said back.
pub fn escaped_echo() -> NamedRequest {
    NamedRequest::new("echo 100 B, escaped", &call("echo", &format!(r#""text":"{ESCAPED}""#)), ESCAPED)
}

/// A file of a kilobyte, which is written into `directory` first.
///
/// # Errors
/// When it cannot be written.
pub fn read_file(directory: &Path) -> io::Result<NamedRequest> {
    let line = "sixteen bytes \"\n";
    std::fs::write(directory.join("kilobyte.txt"), line.repeat(64))?;
    let path = directory.join("kilobyte.txt");
    let arguments = format!(r#""path":"{}""#, path.display());
    Ok(NamedRequest::new(
        "read_text_file 1 KiB",
        &call("read_text_file", &arguments),
        r#"sixteen bytes \"\n"#,
    ))
}

/// The requests that people send.
///
/// # Errors
/// When the file to be read cannot be written.
pub fn usual(directory: &Path) -> io::Result<Vec<NamedRequest>> {
    Ok(vec![ping(), list(), echo(), modern_echo(), escaped_echo(), read_file(directory)?])
}

/// What a frame of a given size is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// One string without escapes.
    Plain,
    /// Source code as one string: an escape every twenty to forty bytes.
    Escaped,
    /// A list of small objects.
    Structured,
}

impl Filling {
    /// The name in the rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Escaped => "escaped",
            Self::Structured => "structured",
        }
    }

    /// A call whose arguments take about so many bytes, and whose answer says them all back.
    pub fn request(self, bytes: usize) -> NamedRequest {
        const PLAIN: &str = "Lorem ipsum dolor sit amet, consectetur adipiscing elit. ";
        const LINES: &str = concat!(
            r"    let Some(value) = arguments.first() else {\n        return Err(missing(name, place));\n    };\n",
            r"\tif value.is_empty() && !is_optional {\n        continue 'members;\n    }\n    total += value.len() * 2;\n",
            r#"    writeln!(out, \"{total} bytes in {number} members\")?;\n    // The rest is walked over when asked for.\n"#,
        );
        let echo = |text: &str| {
            let text = text.repeat(bytes.div_ceil(text.len()));
            (call("echo", &format!(r#""text":"{text}""#)), text)
        };
        let (line, expected) = match self {
            Self::Plain => echo(PLAIN),
            Self::Escaped => echo(LINES),
            Self::Structured => {
                let entries = entries(bytes);
                (call("put_entries", &format!(r#""entries":{entries}"#)), entries)
            }
        };
        NamedRequest::new(self.name(), &line, expected)
    }
}

/// A list of small objects of about so many bytes.
fn entries(bytes: usize) -> String {
    let mut list = "[".to_owned();
    for number in 0_usize.. {
        if list.len() >= bytes {
            break;
        }
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            list,
            r#"{comma}{{"id":{number},"name":"entry {number}","size":{},"is_dir":{},"tags":["a","b"]}}"#,
            number * 37 % 10_000,
            number % 3 == 0
        );
    }
    list.push(']');
    list
}
