//! The tools that ask the client: its user for a form or a visit, its model for a message, and for its roots.

use super::js_number::JsNumber;
use super::pretty::Pretty;
use super::session::{Kept, Nothing};
use crate::protocol::{Capability, InputRequest, InputResponse};
use crate::server::{CallContext, ToolError};
use serde::Deserialize;
use serde_json::Value;

/// The form of the reference: a field of each kind.
const FORM: &str = include_str!("form.json");
/// What the answer shows of a form: the member, its name, and whether it is shown even if it is empty, 0 or false.
const SHOWN: [(&str, &str, bool); 9] = [
    ("name", "Name", false),
    ("check", "Agreed to terms", true),
    ("color", "Favorite Color", false),
    ("email", "Email", false),
    ("homepage", "Homepage", false),
    ("birthdate", "Birthdate", false),
    ("integer", "Favorite Integer", true),
    ("number", "Favorite Number", true),
    ("petType", "Pet Type", false),
];

/// What a user does with a form or an address.
#[derive(Debug, Deserialize)]
struct Reaction {
    action: String,
    content: Option<serde_json::Map<String, Value>>,
}

/// Asks the user to fill in a form.
pub(super) async fn form(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    let request = InputRequest::elicitation("Please provide inputs for the following fields:", FORM);
    let response = call.ask("form", request).await?;
    let reaction = reaction(&response)?;
    match (reaction.action.as_str(), reaction.content) {
        ("accept", Some(content)) => {
            call.text("✅ User provided the requested information!");
            let shown = SHOWN.iter().filter_map(|(member, name, is_always)| {
                let value = content.get(*member)?;
                (*is_always || is_truthy(value)).then(|| format!("- {name}: {}", shown(value)))
            });
            call.text(&format!("User inputs:\n{}", shown.collect::<Vec<_>>().join("\n")));
        }
        ("decline", _) => call.text("❌ User declined to provide the requested information."),
        ("cancel", _) => call.text("⚠️ User cancelled the elicitation dialog."),
        _ => {}
    }
    raw_result(&response, call);
    Ok(())
}

fn reaction(response: &InputResponse) -> Result<Reaction, ToolError> {
    let unreadable =
        |error| ToolError::failed(format_args!("the client's answer is none to a form: {error}"));
    response.decode().map_err(unreadable)
}

/// Whether JavaScript takes a value for true.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => JsNumber(number.as_f64().unwrap_or_default()).to_string(),
        other => other.to_string(),
    }
}

fn raw_result(response: &InputResponse, call: &mut CallContext) {
    call.text(&format!("\nRaw result: {}", Pretty(response.as_json())));
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Visit<'a> {
    url: &'a str,
    #[serde(default = "please")]
    message: &'a str,
    #[serde(default)]
    elicitation_id: Option<&'a str>,
    #[serde(default)]
    error_path: bool,
}

fn please() -> &'static str {
    "Please open the link to complete this action."
}

/// Asks the user to visit an address.
pub(super) async fn visit(visit: Visit<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    let Visit { url, message, elicitation_id, error_path } = visit;
    if url::Url::parse(url).is_err() {
        return Err(ToolError::failed(format_args!("url must be a URL, not {url:?}")));
    }
    call.require(Capability::ElicitationUrl)?;
    if error_path && !call.is_modern() && Kept::of(call)?.is_first_try(&[url, elicitation_id.unwrap_or("")]) {
        return Err(visit_first());
    }
    // A call that is repeated with the answer keeps its id.
    let id = elicitation_id.or(call.carried()).map_or_else(random_id, str::to_owned);
    call.carry(&id);
    let response = call.ask("visit", InputRequest::url_with_id(message, url, &id)).await?;
    match reaction(&response)?.action.as_str() {
        "accept" => {
            call.text(&format!(
                "✅ User completed the URL elicitation flow.\nElicitation ID: {id}\nURL: {url}"
            ));
        }
        "decline" => call.text(&format!("❌ User declined to open the URL (Elicitation ID: {id}).")),
        "cancel" => call.text(&format!("⚠️ User cancelled the URL elicitation (Elicitation ID: {id}).")),
        _ => {}
    }
    raw_result(&response, call);
    Ok(())
}

/// The error that has the client send its user to another address, and then repeat the call.
fn visit_first() -> ToolError {
    const URL_ELICITATION_REQUIRED: i32 = -32_042;
    let visit = serde_json::json!({
        "mode": "url",
        "url": "https://modelcontextprotocol.io",
        "message": "Open this link to satisfy the prerequisite, then retry the request.",
        "elicitationId": random_id(),
    });
    let message = "MCP error -32042: This request requires browser-based authorization.";
    ToolError::with_data(URL_ELICITATION_REQUIRED, message, &serde_json::json!({"elicitations": [visit]}))
}

/// A random UUID.
fn random_id() -> String {
    let random = u128::from(getrandom::u64().unwrap_or_default()) << 64
        | u128::from(getrandom::u64().unwrap_or_default());
    let id = (random & !(0xf << 76) & !(0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{id:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sampling<'a> {
    prompt: &'a str,
    #[serde(default = "hundred")]
    max_tokens: f64,
}

fn hundred() -> f64 {
    100.0
}

impl Sampling<'_> {
    /// What the client's model is asked, by the tool of that name.
    pub(super) fn params(&self, tool: &str) -> Value {
        let text = format!("Resource {tool} context: {}", self.prompt);
        let max_tokens = self.max_tokens;
        let max_tokens =
            if max_tokens.fract() == 0.0 { Value::from(max_tokens as i64) } else { max_tokens.into() };
        serde_json::json!({
            "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
            "systemPrompt": "You are a helpful test server.",
            "maxTokens": max_tokens,
            "temperature": 0.7,
        })
    }
}

/// Asks the client's model for a message.
pub(super) async fn sample(sampling: Sampling<'_>, call: &mut CallContext) -> Result<(), ToolError> {
    let params = sampling.params("trigger-sampling-request");
    let response = call.ask("sampling", InputRequest::sampling(params.to_string())).await?;
    call.text(&format!("LLM sampling result: \n{}", Pretty(response.as_json())));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Roots {
    roots: Vec<Root>,
}

#[derive(Debug, Deserialize)]
struct Root {
    uri: String,
    name: Option<String>,
}

/// Asks the client for its roots.
pub(super) async fn list_roots(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    let response = call.ask("roots", InputRequest::roots()).await?;
    let unreadable =
        |error| ToolError::failed(format_args!("the client's answer is no list of roots: {error}"));
    let Roots { roots } = response.decode().map_err(unreadable)?;
    if roots.is_empty() {
        call.text(
            "The client supports roots but no roots are currently configured.\n\nThis could mean:\n1. The client hasn't \
             provided any roots yet\n2. The client provided an empty roots list\n3. The roots configuration is still being \
             loaded",
        );
        return Ok(());
    }
    let listed = roots.iter().enumerate().map(|(index, Root { uri, name })| {
        let name = name.as_deref().filter(|name| !name.is_empty()).unwrap_or("Unnamed Root");
        format!("{}. {name}\n   URI: {uri}", index + 1)
    });
    call.text(&format!(
        "Current MCP Roots ({} total):\n\n{}\n\nNote: This server demonstrates the roots protocol capability but doesn't \
         actually access files. The roots are provided by the MCP client and can be used by servers that need file system \
         access.",
        roots.len(),
        listed.collect::<Vec<_>>().join("\n\n")
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::random_id;

    #[test]
    fn random_ids_are_uuids_of_version_4() {
        let id = random_id();
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(id.as_bytes()[14], b'4', "{id}");
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        assert_ne!(id, random_id());
    }
}
