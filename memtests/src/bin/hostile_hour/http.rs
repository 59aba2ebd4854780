//! Requests as bytes, and what became of them.

use crate::PATIENCE;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A request of the modern era, whole.
pub(crate) fn request(method: &str, name: &str, members: &str, further_bytes: usize) -> Vec<u8> {
    let body = message(method, members);
    let named = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\r\n") };
    let fields = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{named}");
    post(&body, &fields, further_bytes)
}

pub(crate) fn message(method: &str, members: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"hostile","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{members}{meta}}}}}"#)
}

pub(crate) fn post(body: &str, fields: &str, further_bytes: usize) -> Vec<u8> {
    let length = body.len() + further_bytes;
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(crate) fn call(name: &str, arguments: &str) -> Vec<u8> {
    request("tools/call", name, &format!(r#""name":"{name}","arguments":{{{arguments}}},"#), 0)
}

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    Fast,
    Slow,
}

/// How a request ended.
pub(crate) enum Outcome {
    Status(u16),
    /// With what the tool says.
    Failed(String),
    Unreachable,
    Lost(&'static str),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Failed(text) => write!(f, "200, an error of the tool: {text}"),
            Self::Unreachable => f.write_str("refused before the request was whole"),
            Self::Lost(why) => write!(f, "LOST, {why}"),
        }
    }
}

/// Status and fields of an answer, and what came of its body with them.
pub(crate) struct Head {
    pub(crate) status: u16,
    text: String,
    begun: Vec<u8>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

pub(crate) async fn head_of_answer(stream: &mut TcpStream) -> Option<Head> {
    let mut input = Vec::new();
    loop {
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&input[..end]).into_owned();
            let status = text.split(' ').nth(1)?.parse().ok()?;
            return Some(Head { status, text, begun: input.split_off(end + 4) });
        }
        if stream.read_buf(&mut input).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads an answer. It is lost if it ends, or if nothing comes of it for two minutes: how long all of it takes is the
/// reader's own affair.
pub(crate) async fn answer(stream: &mut TcpStream, pace: Pace) -> Outcome {
    let head = match timeout(PATIENCE, head_of_answer(stream)).await {
        Ok(Some(head)) => head,
        Ok(None) => return Outcome::Lost("the connection ended before the answer"),
        Err(_) => return Outcome::Lost("no answer in two minutes"),
    };
    let length = head.field("content-length").and_then(|length| length.parse().ok());
    let is_chunked = head.field("transfer-encoding").is_some();
    let mut body = Body { length, seen: 0, first: String::new(), last: Vec::new(), is_error: false };
    body.take(&head.begun);
    if !is_chunked && length.is_none() {
        return Outcome::Status(head.status);
    }
    match body.read(stream, pace).await {
        Ok(()) if body.is_error => Outcome::Failed(body.text()),
        Ok(()) => Outcome::Status(head.status),
        Err(why) => Outcome::Lost(why),
    }
}

/// A body of known length, or in chunks.
struct Body {
    length: Option<u64>,
    seen: u64,
    first: String,
    last: Vec<u8>,
    is_error: bool,
}

impl Body {
    fn take(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let more = bytes.len().min(240_usize.saturating_sub(self.first.len()));
        self.first.push_str(&String::from_utf8_lossy(&bytes[..more]));
        self.last.extend_from_slice(bytes);
        self.is_error |= self.last.windows(14).any(|part| part == br#""isError":true"#);
        let old = self.last.len().saturating_sub(16);
        self.last.drain(..old);
    }

    /// What the first text of the answer says, without the names of files.
    fn text(&self) -> String {
        let text = self.first.split_once(r#""text":""#).map_or(&*self.first, |(_, text)| text);
        text.split(' ').filter(|word| !word.contains('/')).take(12).collect::<Vec<_>>().join(" ")
    }

    fn is_whole(&self) -> bool {
        self.length.map_or_else(|| self.last.ends_with(b"\r\n0\r\n\r\n"), |length| self.seen >= length)
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin), pace: Pace) -> Result<(), &'static str> {
        let mut part = vec![0; 64 * 1024];
        while !self.is_whole() {
            match timeout(PATIENCE, stream.read(&mut part)).await {
                Ok(Ok(0) | Err(_)) => return Err("the answer ended in the middle"),
                Ok(Ok(bytes)) => self.take(&part[..bytes]),
                Err(_) => return Err("nothing more of the answer in two minutes"),
            }
            if matches!(pace, Pace::Slow) {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}
