//! What a span says of a request, in the words of the semantic conventions for MCP.

use super::parent::ParentSpan;
use opentelemetry::KeyValue;
use std::borrow::Cow;
use std::time::SystemTime;

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanTarget<'r> {
    None,
    /// A tool; `is_known` if the server has it: a name that a client makes up stands in no name of a span.
    Tool {
        name: &'r str,
        is_known: bool,
    },
    /// A prompt; `is_known` as for a tool.
    Prompt {
        name: &'r str,
        is_known: bool,
    },
    /// A resource, by its URI.
    Resource(&'r str),
}

/// A request that ended.
#[derive(Debug)]
pub(crate) struct RequestSpan<'r> {
    pub(crate) parent: Option<ParentSpan>,
    pub(crate) method: &'static str,
    pub(crate) target: SpanTarget<'r>,
    /// Its id as JSON text; empty for a notification.
    pub(crate) id: &'r str,
    pub(crate) revision: Option<&'static str>,
    /// The number of its session in this process: the id of a session is a secret between the server and its client.
    pub(crate) session: Option<u64>,
    /// `pipe`, `tcp` or `unix`.
    pub(crate) transport: &'static str,
    /// `tool_error`, `cancelled`, or the code of an error answer.
    pub(crate) error: Option<String>,
    /// The code of an error answer.
    pub(crate) code: Option<i32>,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
}

impl RequestSpan<'_> {
    pub(super) fn name(&self) -> Cow<'static, str> {
        match self.target {
            SpanTarget::Tool { name, is_known: true } | SpanTarget::Prompt { name, is_known: true } => {
                Cow::Owned(format!("{} {name}", self.method))
            }
            _ => Cow::Borrowed(self.method),
        }
    }

    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("mcp.method.name", self.method),
            KeyValue::new("network.transport", self.transport),
        ];
        match self.target {
            SpanTarget::None => {}
            SpanTarget::Tool { name, .. } => {
                attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
                attributes.push(KeyValue::new("gen_ai.tool.name", name.to_owned()));
            }
            SpanTarget::Prompt { name, .. } => {
                attributes.push(KeyValue::new("gen_ai.prompt.name", name.to_owned()));
            }
            SpanTarget::Resource(uri) => attributes.push(KeyValue::new("mcp.resource.uri", uri.to_owned())),
        }
        if !self.id.is_empty() {
            attributes.push(KeyValue::new("jsonrpc.request.id", unquoted(self.id)));
        }
        if let Some(revision) = self.revision {
            attributes.push(KeyValue::new("mcp.protocol.version", revision));
        }
        if let Some(session) = self.session {
            attributes.push(KeyValue::new("mcp.session.id", session.to_string()));
        }
        if let Some(error) = &self.error {
            attributes.push(KeyValue::new("error.type", error.clone()));
        }
        if let Some(code) = self.code {
            attributes.push(KeyValue::new("rpc.response.status_code", code.to_string()));
        }
        attributes
    }
}

/// An id as text: a string without its quotes.
fn unquoted(id: &str) -> String {
    serde_json::from_str(id).unwrap_or_else(|_| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(target: SpanTarget<'static>) -> RequestSpan<'static> {
        RequestSpan {
            parent: None,
            method: "tools/call",
            target,
            id: "",
            revision: None,
            session: None,
            transport: "pipe",
            error: None,
            code: None,
            began: SystemTime::UNIX_EPOCH,
            ended: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn only_names_that_the_server_knows_stand_in_the_name_of_a_span() {
        for (target, want) in [
            (SpanTarget::Tool { name: "echo", is_known: true }, "tools/call echo"),
            (SpanTarget::Tool { name: "made up", is_known: false }, "tools/call"),
            (SpanTarget::Prompt { name: "greet", is_known: true }, "tools/call greet"),
            (SpanTarget::Resource("file:///a"), "tools/call"),
            (SpanTarget::None, "tools/call"),
        ] {
            assert_eq!(span(target).name(), want);
        }
    }

    #[test]
    fn an_id_is_text_whatever_its_type() {
        for (id, want) in [("7", "7"), (r#""7""#, "7"), (r#""a\"b""#, "a\"b"), ("-1", "-1")] {
            let told = RequestSpan { id, ..span(SpanTarget::None) };
            let found = told.attributes().into_iter().find(|pair| pair.key.as_str() == "jsonrpc.request.id");
            assert_eq!(found.expect("an id").value.as_str(), want);
        }
        let none = span(SpanTarget::None).attributes();
        assert!(none.iter().all(|pair| pair.key.as_str() != "jsonrpc.request.id"), "a notification has none");
    }
}
