//! What a server may ask a client for, and what the client answers: forms, messages of its model, its roots.

use super::capability::Capability;
use super::method::Method;
use crate::wire::{Kind, Raw, Reply};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The kinds of things that a client can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Something that its user fills in or confirms.
    Elicitation,
    /// Something that its model writes.
    Sampling,
    /// The directories that it offers.
    Roots,
}

/// Bytes of a form's parameters beside its message and its schema.
const FORM_BYTES: usize = r#"{"message":"","requestedSchema":}"#.len();

/// A request to the client.
#[derive(Debug, Clone)]
pub struct InputRequest {
    kind: InputKind,
    capability: Capability,
    /// What it asks, or why that is no JSON.
    params: Option<Result<Box<RawValue>, Box<str>>>,
}

impl InputRequest {
    /// A form for the user. `schema` is the JSON of a flat object schema; where it is none, asking fails.
    pub fn elicitation(message: &str, schema: &str) -> Self {
        let params = match Raw::check(schema) {
            Ok(schema) if schema.kind() == Kind::Object => {
                let schema = schema.as_str();
                // As long as it becomes where nothing of the message is escaped, so that it is allocated once.
                let mut params = Vec::with_capacity(message.len() + schema.len() + FORM_BYTES);
                params.extend_from_slice(br#"{"message":"#);
                let written = serde_json::to_writer(&mut params, message);
                params.extend_from_slice(br#","requestedSchema":"#);
                params.extend_from_slice(schema.as_bytes());
                params.push(b'}');
                written
                    .map_err(|error| error.to_string())
                    .and_then(|()| String::from_utf8(params).map_err(|error| error.to_string()))
                    .map_or_else(|error| Err(error.into()), checked)
            }
            Ok(_) => Err("the schema of a form must be an object".into()),
            Err(error) => Err(format!("the schema of a form must be JSON: {error}").into()),
        };
        Self { kind: InputKind::Elicitation, capability: Capability::Elicitation, params: Some(params) }
    }

    /// An address that the user shall visit.
    pub fn url(message: &str, url: &str) -> Self {
        let params = serde_json::json!({"mode": "url", "message": message, "url": url});
        Self {
            kind: InputKind::Elicitation,
            capability: Capability::ElicitationUrl,
            params: Some(checked(params.to_string())),
        }
    }

    /// A message that the model shall write; `params` is the JSON of `CreateMessageRequestParams`. Where it is no
    /// object, asking fails.
    pub fn sampling(params: impl Into<String>) -> Self {
        let params = checked(params.into());
        Self { kind: InputKind::Sampling, capability: Capability::Sampling, params: Some(params) }
    }

    /// The directories that the client offers.
    pub fn roots() -> Self {
        Self { kind: InputKind::Roots, capability: Capability::Roots, params: None }
    }

    pub(crate) fn kind(&self) -> InputKind {
        self.kind
    }

    pub(crate) fn capability(&self) -> Capability {
        self.capability
    }

    pub(crate) fn params(&self) -> Option<Raw<'_>> {
        self.params.as_ref()?.as_deref().ok().map(Raw::from)
    }

    /// Why it cannot be sent.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.params.as_ref()?.as_ref().err().map(|fault| &**fault)
    }

    /// Writes the request without its envelope: `{"method":..,"params":..}`.
    pub(crate) fn write(&self, reply: &mut Reply) {
        reply.raw(r#"{"method":""#);
        reply.raw(self.method());
        reply.raw(r#"","params":"#);
        match self.params() {
            Some(params) => reply.json(params),
            None => reply.raw("{}"),
        }
        reply.raw("}");
    }

    pub(crate) fn method(&self) -> &'static str {
        match self.kind {
            InputKind::Elicitation => Method::ELICIT,
            InputKind::Sampling => Method::SAMPLE,
            InputKind::Roots => Method::ROOTS_LIST,
        }
    }
}

/// Parameters as JSON text, read to their end.
fn checked(params: String) -> Result<Box<RawValue>, Box<str>> {
    match Raw::check(&params).map(Raw::kind) {
        Ok(Kind::Object) => RawValue::from_string(params)
            .map_err(|error| format!("its parameters must be JSON: {error}").into()),
        Ok(_) => Err("its parameters must be an object".into()),
        Err(error) => Err(format!("its parameters must be JSON: {error}").into()),
    }
}

/// What a client answered.
#[derive(Debug, Clone)]
pub struct InputResponse {
    json: Box<str>,
}

/// What became of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elicited<T> {
    /// The user filled it in.
    Accepted(T),
    /// The user said no.
    Declined,
    /// The user closed it.
    Cancelled,
}

impl<T> Elicited<T> {
    /// What the user filled in, if it did.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(content) => Some(content),
            Self::Declined | Self::Cancelled => None,
        }
    }
}

impl InputResponse {
    pub(crate) fn new(json: impl Into<Box<str>>) -> Self {
        Self { json: json.into() }
    }

    /// The answer's JSON text.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Decodes the answer.
    ///
    /// # Errors
    /// When it does not fit `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.json)
    }

    /// The answer to a form; `None` if it is none, or its content does not fit `T`.
    pub fn elicited<T: DeserializeOwned>(&self) -> Option<Elicited<T>> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            action: &'a str,
            #[serde(borrow)]
            content: Option<&'a RawValue>,
        }
        let answer: Answer<'_> = serde_json::from_str(&self.json).ok()?;
        match answer.action {
            "accept" => {
                let content = answer.content.map_or("{}", RawValue::get);
                serde_json::from_str(content).ok().map(Elicited::Accepted)
            }
            "decline" => Some(Elicited::Declined),
            "cancel" => Some(Elicited::Cancelled),
            _ => None,
        }
    }

    /// Whether the answer has the shape of an answer to a request of that kind.
    pub(crate) fn fits(&self, kind: InputKind) -> bool {
        #[derive(Deserialize)]
        struct Shape<'a> {
            #[serde(borrow)]
            action: Option<&'a RawValue>,
            #[serde(borrow)]
            role: Option<&'a RawValue>,
            #[serde(borrow)]
            roots: Option<&'a RawValue>,
        }
        let Ok(shape) = serde_json::from_str::<Shape<'_>>(&self.json) else { return false };
        match kind {
            InputKind::Elicitation => shape
                .action
                .is_some_and(|action| matches!(action.get(), r#""accept""# | r#""decline""# | r#""cancel""#)),
            InputKind::Sampling => shape.role.is_some(),
            InputKind::Roots => shape.roots.is_some_and(|roots| roots.get().starts_with('[')),
        }
    }
}
