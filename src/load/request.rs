//! The requests of a load test as bytes, in either era, over lines or HTTP.
//!
//! Built once for each step; for each request only its id, what is generated and the length of its body are written.

use super::answer::ExpectedShape;
use super::step::LoadStep;
use super::target::LoadTarget;
use super::template::{self, MAX_REQUEST_BYTES, Sources, Template, TemplateError, push_number};
use crate::client::{MODERN, initialize_params, modern_meta};
use serde_json::{Map, Value, json};

/// The id of a greeting; requests have higher ones.
pub(super) const GREETING_ID: u64 = 0;
/// The revision that has batches; those after it have none.
const WITH_BATCHES: &str = "2025-03-26";

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
    /// The only revision that will do.
    pub(super) revision: Option<&'static str>,
    /// The lines of the head that all requests over HTTP share; `None` over lines.
    http_head: Option<String>,
}

/// A step, ready to be sent.
pub(super) struct PreparedStep {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) expected: ExpectedShape,
    pub(super) takes_any_id: bool,
    /// How many messages a request is: a batch where it is more than one.
    pub(super) batch: usize,
    head: Vec<u8>,
    /// The message up to its parameters.
    envelope: Template,
    /// The parameters, without their braces.
    members: Template,
    /// `_meta`, the last of them.
    meta: Template,
}

/// What a request of a trace has in the place of what its step says.
#[derive(Debug, Clone, Copy)]
pub(super) struct TracedParams<'a> {
    /// What the head says of the URI in the modern era.
    pub(super) uri: Option<&'a str>,
    /// The bytes of a template of its parameters, without their braces.
    pub(super) members: &'a [u8],
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
        Self { era, revision: None, http_head }
    }

    /// Speaks the one revision that has batches.
    pub(super) fn for_batches(self) -> Self {
        Self { revision: Some(WITH_BATCHES), ..self }
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
        let mut own_meta = params.remove("_meta");
        if self.era == Era::Modern
            && let Value::Object(meta) = own_meta.get_or_insert_with(|| json!({}))
        {
            meta.extend(modern_meta());
        }
        let mut envelope = Template::default();
        envelope.push_text(r#"{"jsonrpc":"2.0","id":"#);
        envelope.push_id();
        envelope.push_text(&format!(r#","method":{}"#, Value::from(step.method.as_str())));
        let (mut members, mut meta) = (Template::default(), Template::default());
        members.push_members(&params, false)?;
        if let Some(own_meta) = own_meta {
            meta.push_members(&Map::from_iter([("_meta".to_owned(), own_meta)]), false)?;
        }
        let bytes = [&envelope, &members, &meta].map(Template::most_bytes);
        let request_bytes = bytes.into_iter().fold(0, u64::saturating_add).saturating_mul(step.batch as u64);
        if request_bytes > MAX_REQUEST_BYTES {
            return Err(TemplateError::TooLong { name: step.name().to_owned(), request_bytes });
        }
        let uri = step.params.get("uri").and_then(Value::as_str).filter(|_| step.method == "resources/read");
        Ok(PreparedStep {
            name: step.name().to_owned(),
            method: step.method.clone(),
            expected: ExpectedShape::of_method(&step.method),
            takes_any_id: step.takes_any_id,
            batch: step.batch,
            head: self.mirrored(&step.method, step.tool().or(uri)),
            envelope,
            members,
            meta,
        })
    }

    /// The request that opens a session.
    pub(super) fn initialize(&self) -> Vec<u8> {
        let mut params = initialize_params();
        if let Some(revision) = self.revision {
            params["protocolVersion"] = revision.into();
        }
        let body = json!({"jsonrpc": "2.0", "id": GREETING_ID, "method": "initialize", "params": params});
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

    /// Writes one request, of a trace if `traced` is there; `scratch` is room for its body, `session` the head lines that
    /// name its session.
    pub(super) fn write(
        &self,
        (step, traced): (&PreparedStep, Option<TracedParams<'_>>),
        sources: &mut Sources<'_>,
        session: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let members = traced.map_or(step.members.as_bytes(), |traced| traced.members);
        if self.http_head.is_none() {
            step.write_bodies(members, sources, out);
            out.push(b'\n');
            return;
        }
        scratch.clear();
        step.write_bodies(members, sources, scratch);
        out.extend_from_slice(&step.head);
        if let Some(uri) = traced.and_then(|traced| traced.uri).filter(|_| self.era == Era::Modern) {
            for part in ["Mcp-Name: ", uri, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(session);
        end(out, true, scratch);
    }
}

impl PreparedStep {
    /// Writes a message, or a batch of them with ids from that of `sources` on.
    fn write_bodies(&self, members: &[u8], sources: &mut Sources<'_>, out: &mut Vec<u8>) {
        if self.batch == 1 {
            return self.write_body(members, sources, out);
        }
        for number in 0..self.batch {
            out.push(if number == 0 { b'[' } else { b',' });
            self.write_body(members, sources, out);
            sources.id += 1;
            sources.count += 1;
        }
        out.push(b']');
    }

    fn write_body(&self, members: &[u8], sources: &mut Sources<'_>, out: &mut Vec<u8>) {
        let meta = self.meta.as_bytes();
        template::write(self.envelope.as_bytes(), sources, out);
        if !members.is_empty() || !meta.is_empty() {
            out.extend_from_slice(br#","params":{"#);
            template::write(members, sources, out);
            if !members.is_empty() && !meta.is_empty() {
                out.push(b',');
            }
            template::write(meta, sources, out);
            out.push(b'}');
        }
        out.push(b'}');
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
        wording.write((&step, None), &mut sources, b"Mcp-Session-Id: s\r\n", &mut scratch, &mut out);
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
        let text = written("unix:/x", Era::Legacy, &LoadStep::method("ping", Map::new()));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("POST /mcp HTTP/1.1") && head.contains("\r\nMcp-Session-Id: s\r\n"), "{head}");
        assert!(!head.contains("Mcp-Method"), "{head}");
        assert_eq!(body, r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    }

    #[test]
    fn what_would_be_too_long_is_refused_by_name() {
        let arguments = json!({"a": "{{text 40000000}}", "b": "{{text 40000000}}"});
        let step = LoadStep::call("echo", arguments.as_object().cloned().expect("an object"));
        let wording = Wording::new(&LoadTarget::parse("unix:/x").expect("a target"), Era::Legacy, None);
        let error = wording.prepare(&step).err().expect("too long").to_string();
        assert_eq!(
            error,
            "a request of echo would have 76.3 MiB: its texts are to come to 64.0 MiB at most together"
        );
    }

    /// A server that reads the name first decodes the arguments as they come.
    #[test]
    fn the_name_of_a_tool_comes_before_its_arguments() {
        for era in [Era::Modern, Era::Legacy] {
            let text = written("unix-lines:/x", era, &echo());
            let (name, arguments) = (text.find(r#""name":"echo""#), text.find(r#""arguments":"#));
            assert!(name.is_some() && name < arguments, "{text}");
        }
    }

    #[test]
    fn a_batch_is_one_line_of_messages_with_ids_of_their_own() {
        let step = LoadStep::call("echo", Map::from_iter([("n".to_owned(), json!("{{count}}"))])).batch(3);
        let text = written("unix-lines:/x", Era::Legacy, &step);
        let messages: Vec<Value> =
            serde_json::from_str(text.strip_suffix('\n').expect("a line")).expect("JSON");
        let found: Vec<_> =
            messages.iter().map(|one| (&one["id"], &one["params"]["arguments"]["n"])).collect();
        assert_eq!(found, [(&json!(9), &json!(0)), (&json!(10), &json!(1)), (&json!(11), &json!(2))]);
        let target = LoadTarget::parse("unix:/x").expect("a target");
        let wording = Wording::new(&target, Era::Legacy, None).for_batches();
        let greeting = String::from_utf8(wording.initialize()).expect("text");
        assert!(greeting.contains(r#""protocolVersion":"2025-03-26""#), "{greeting}");
    }

    #[test]
    fn over_lines_a_request_is_a_line() {
        let text = written("unix-lines:/x", Era::Legacy, &echo());
        let body: Value = serde_json::from_str(text.strip_suffix('\n').expect("a line")).expect("JSON");
        assert_eq!(body["params"]["arguments"]["text"].as_str().map(str::len), Some(3));
        assert_eq!(text.matches('\n').count(), 1);
    }
}
