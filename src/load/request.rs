//! The requests of a load test as bytes, in either era, over lines or HTTP.
//!
//! Built once for each step; for each request only its id, what is generated and the length of its body are written.

use super::answer::ExpectedShape;
use super::step::LoadStep;
use super::target::LoadTarget;
use super::template::{Sources, Template, TemplateError, push_number};
use crate::client::{MODERN, initialize_params, modern_meta};
use serde_json::{Value, json};

/// The id of a greeting; requests have higher ones.
pub(super) const GREETING_ID: u64 = 0;

/// Which kind of revision requests are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28: each request says all by itself.
    Modern,
    /// Up to 2025-11-25: a handshake opens a session.
    Legacy,
}

/// How requests to one server look.
pub(super) struct Wording {
    pub(super) era: Era,
    /// The lines of the head that all requests over HTTP share; `None` over lines.
    http_head: Option<String>,
}

/// A step, ready to be sent.
pub(super) struct PreparedStep {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) expected: ExpectedShape,
    pub(super) takes_any_id: bool,
    /// The number of what is counted together.
    pub(super) operation: usize,
    head: Vec<u8>,
    body: Template,
}

impl Wording {
    pub(super) fn new(target: &LoadTarget, era: Era, bearer_token: Option<&str>) -> Self {
        let http_head = target.is_http().then(|| {
            let (host, path) = target.host_and_path();
            let mut head = format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            );
            if let Some(token) = bearer_token {
                head.extend(["Authorization: Bearer ", token, "\r\n"]);
            }
            head
        });
        Self { era, http_head }
    }

    /// Head lines of a modern request: what its body says, too.
    fn mirrored(&self, method: &str, name: Option<&str>) -> Vec<u8> {
        let Some(head) = &self.http_head else { return Vec::new() };
        let mut head = head.clone();
        if self.era == Era::Modern {
            head.extend(["MCP-Protocol-Version: ", MODERN, "\r\nMcp-Method: ", method, "\r\n"]);
            if let Some(name) = name {
                head.extend(["Mcp-Name: ", name, "\r\n"]);
            }
        }
        head.into_bytes()
    }

    pub(super) fn prepare(&self, step: &LoadStep) -> Result<PreparedStep, TemplateError> {
        let mut params = step.params.clone();
        if self.era == Era::Modern {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            if let Value::Object(meta) = meta {
                meta.extend(modern_meta());
            }
        }
        let mut body = Template::default();
        body.push_text(r#"{"jsonrpc":"2.0","id":"#);
        body.push_id();
        body.push_text(&format!(r#","method":{}"#, Value::from(step.method.as_str())));
        if !params.is_empty() {
            body.push_text(r#","params":"#);
            let params = Value::Object(params);
            if step.is_literal {
                body.push_text(&params.to_string());
            } else {
                body.push_json(&params)?;
            }
        }
        body.push_text("}");
        let uri = step.params.get("uri").and_then(Value::as_str).filter(|_| step.method == "resources/read");
        Ok(PreparedStep {
            name: step.name().to_owned(),
            method: step.method.clone(),
            expected: ExpectedShape::of_method(&step.method),
            takes_any_id: step.takes_any_id,
            operation: 0,
            head: self.mirrored(&step.method, step.tool().or(uri)),
            body,
        })
    }

    /// The request that opens a session.
    pub(super) fn initialize(&self) -> Vec<u8> {
        let body = json!({
            "jsonrpc": "2.0", "id": GREETING_ID, "method": "initialize", "params": initialize_params()
        });
        self.message(&body.to_string(), b"")
    }

    /// The notification that a session is open; `session` are the head lines that name it.
    pub(super) fn initialized(&self, session: &[u8]) -> Vec<u8> {
        self.message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, session)
    }

    /// The request that asks which revisions a server speaks.
    pub(super) fn discover(&self) -> Vec<u8> {
        let mut out = self.mirrored("server/discover", None);
        let params = json!({"_meta": Value::Object(modern_meta())});
        let body =
            json!({"jsonrpc": "2.0", "id": GREETING_ID, "method": "server/discover", "params": params});
        end(&mut out, self.http_head.is_some(), body.to_string().as_bytes());
        out
    }

    fn message(&self, body: &str, session: &[u8]) -> Vec<u8> {
        let mut out = self.http_head.clone().unwrap_or_default().into_bytes();
        out.extend_from_slice(session);
        end(&mut out, self.http_head.is_some(), body.as_bytes());
        out
    }

    /// Writes one request; `scratch` is room for its body, `session` the head lines that name its session.
    pub(super) fn write(
        &self,
        step: &PreparedStep,
        sources: &mut Sources<'_>,
        session: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        if self.http_head.is_none() {
            step.body.write(sources, out);
            out.push(b'\n');
            return;
        }
        scratch.clear();
        step.body.write(sources, scratch);
        out.extend_from_slice(&step.head);
        out.extend_from_slice(session);
        end(out, true, scratch);
    }
}

/// The end of a head with the body behind it, or a line with its end.
fn end(out: &mut Vec<u8>, is_http: bool, body: &[u8]) {
    if is_http {
        out.extend_from_slice(b"Content-Length: ");
        push_number(out, body.len() as u64);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    } else {
        out.extend_from_slice(body);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn written(target: &str, era: Era, step: &LoadStep) -> String {
        let wording = Wording::new(&LoadTarget::parse(target).expect("a target"), era, Some("secret"));
        let step = wording.prepare(step).expect("a step");
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        let mut sources = Sources { id: 9, count: 0, random: &mut Random(1) };
        wording.write(&step, &mut sources, b"Mcp-Session-Id: s\r\n", &mut scratch, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn echo() -> LoadStep {
        let arguments = json!({"text": "{{text 3}}"});
        LoadStep::call("echo", arguments.as_object().cloned().expect("an object"))
    }

    #[test]
    fn the_head_of_a_modern_request_mirrors_its_body() {
        let text = written("http://localhost:1/x", Era::Modern, &echo());
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        for line in [
            "POST /x HTTP/1.1",
            "Host: localhost:1",
            "Authorization: Bearer secret",
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name: echo",
            &format!("Content-Length: {}", body.len()),
        ] {
            assert!(head.lines().any(|found| found == line), "{line} is missing in\n{head}");
        }
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "mcpool");
        assert_eq!((&body["id"], &body["params"]["name"]), (&json!(9), &json!("echo")));
    }

    #[test]
    fn a_legacy_request_names_its_session_and_claims_nothing() {
        let text = written("unix:/x", Era::Legacy, &LoadStep::method("ping", serde_json::Map::new()));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("POST /mcp HTTP/1.1") && head.contains("\r\nMcp-Session-Id: s\r\n"), "{head}");
        assert!(!head.contains("Mcp-Method"), "{head}");
        assert_eq!(body, r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    }

    #[test]
    fn over_lines_a_request_is_a_line() {
        let text = written("unix-lines:/x", Era::Legacy, &echo());
        let body: Value = serde_json::from_str(text.strip_suffix('\n').expect("a line")).expect("JSON");
        assert_eq!(body["params"]["arguments"]["text"].as_str().map(str::len), Some(3));
        assert_eq!(text.matches('\n').count(), 1);
    }
}
