//! The entries in the tool list of a server, and the answers of tools.

use super::error::ClientError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// One entry of the server's list of tools.
///
/// ```
/// use mcpool::client::Tool;
///
/// let tool: Tool = serde_json::from_str(r#"{"name":"echo","inputSchema":{"type":"object"}}"#)?;
/// assert_eq!(tool.name, "echo");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name, as calls use it.
    pub name: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, written for a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON schema of its arguments.
    #[serde(default)]
    pub input_schema: Value,
    /// Everything else: annotations, icons, the schema of its output.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The answer of one call, as the server sent it.
///
/// ```
/// use mcpool::client::{Answer, CallResult, ClientError};
///
/// fn failed(answer: &Answer) -> Result<bool, ClientError> {
///     let result: CallResult = answer.decode()?;
///     Ok(result.is_error)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) raw: Box<RawValue>,
}

impl Answer {
    /// The `result` object, as JSON text.
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    /// Decodes the answer.
    ///
    /// # Errors
    /// When it is no `CallToolResult`, or asks for an input that this client cannot give.
    pub fn decode(&self) -> Result<CallResult, ClientError> {
        let method = || "tools/call".to_owned();
        let result: CallResult = serde_json::from_str(self.raw())
            .map_err(|source| ClientError::Malformed { method: method(), source })?;
        match &result.result_type {
            Some(other) if other != "complete" => {
                Err(ClientError::ResultType { method: method(), result_type: other.clone() })
            }
            _ => Ok(result),
        }
    }
}

/// A decoded [`Answer`].
///
/// ```
/// use mcpool::client::{Answer, CallResult, ClientError};
///
/// fn failed(answer: &Answer) -> Result<bool, ClientError> {
///     let result: CallResult = answer.decode()?;
///     Ok(result.is_error)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallResult {
    /// The blocks for a person or a model.
    #[serde(default)]
    pub content: Vec<Content>,
    /// The structured content, for a program.
    pub structured_content: Option<Value>,
    /// Whether the tool failed.
    #[serde(default)]
    pub is_error: bool,
    result_type: Option<String>,
}

/// A block of content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    #[serde(rename_all = "camelCase")]
    Image {
        /// Base64.
        data: String,
        /// Its media type.
        mime_type: String,
    },
    /// Sound.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// Base64.
        data: String,
        /// Its media type.
        mime_type: String,
    },
    /// A resource that can be read from the server.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// What it is called.
        #[serde(default)]
        name: String,
    },
    /// A resource, with its contents.
    Resource {
        /// The resource.
        resource: Resource,
    },
    /// A kind of content that this client does not know.
    #[serde(other)]
    Unknown,
}

/// A resource within an answer.
///
/// ```
/// use mcpool::client::Resource;
///
/// let resource: Resource = serde_json::from_str(r#"{"uri":"note://1","text":"a note"}"#)?;
/// assert_eq!(resource.text.as_deref(), Some("a note"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Where it is.
    pub uri: String,
    /// Its media type.
    pub mime_type: Option<String>,
    /// Its text, unless it is binary.
    pub text: Option<String>,
    /// Its bytes in base64, unless it is text.
    pub blob: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: &str) -> Result<CallResult, ClientError> {
        Answer { raw: RawValue::from_string(json.to_owned()).expect("JSON") }.decode()
    }

    #[test]
    fn every_kind_of_content_is_read_and_an_unknown_one_does_no_harm() {
        let result = decode(
            r#"{"content":[{"type":"text","text":"a"},{"type":"image","data":"QUJD","mimeType":"image/png"},
                {"type":"resource_link","uri":"file:///x","name":"x"},{"type":"hologram","depth":3},
                {"type":"resource","resource":{"uri":"file:///y","mimeType":"a/b","blob":"QQ=="}}],
                "structuredContent":{"n":1},"resultType":"complete"}"#,
        )
        .expect("a result");
        assert_eq!(result.content.len(), 5);
        assert_eq!(result.content[3], Content::Unknown);
        assert!(!result.is_error);
    }

    #[test]
    fn an_answer_that_asks_for_input_is_refused_by_name() {
        let error = decode(r#"{"resultType":"input_required","inputRequests":{}}"#).expect_err("refused");
        assert!(error.to_string().contains("input_required"), "{error}");
        assert!(matches!(decode("[]"), Err(ClientError::Malformed { .. })));
    }

    #[test]
    fn a_tool_keeps_what_this_client_does_not_know() {
        let text = r#"{"annotations":{"readOnlyHint":true},"inputSchema":{"type":"object"},"name":"t"}"#;
        let tool: Tool = serde_json::from_str(text).expect("a tool");
        let again = serde_json::to_value(&tool).expect("JSON");
        assert_eq!(again, serde_json::from_str::<Value>(text).expect("JSON"));
    }
}
