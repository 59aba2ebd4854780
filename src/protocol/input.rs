//! What a server may ask a client for, and what the client answers: forms, messages of its model, its roots.

use super::capability::Capability;
use super::form::form_schema;
use super::meta::Meta;
use super::method::Method;
use crate::wire::{Kind, Raw, Reply};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a client can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// A form that the user fills in, or an address that the user visits.
    Elicitation,
    /// A message that the client's model writes.
    Sampling,
    /// The directories that the client offers.
    Roots,
    /// A form, or the task of the client that asks for it.
    ElicitationTask,
    /// A message of the client's model, or the task of the client that writes it.
    SamplingTask,
    /// How far a task of the client is.
    TaskStatus,
    /// What a task of the client came to.
    TaskResult,
}

/// Bytes of a form's parameters without its message and its schema.
const FORM_BYTES: usize = r#"{"message":"","requestedSchema":}"#.len();

/// A request to the client, for [`RequestContext::ask`](crate::RequestContext::ask).
///
/// ```
/// use mcpool::{CallContext, InputRequest, ToolError};
///
/// async fn list_roots(call: &mut CallContext) -> Result<(), ToolError> {
///     let response = call.ask("roots", InputRequest::roots()).await?;
///     call.text(response.as_json());
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct InputRequest {
    kind: InputKind,
    capability: Capability,
    /// The parameters as JSON, or why they are not valid.
    params: Option<Result<Box<RawValue>, Box<str>>>,
}

impl InputRequest {
    /// A form for the user. `schema` is the JSON of a flat object schema. If it is not an object, `ask` fails.
    pub fn elicitation(message: &str, schema: &str) -> Self {
        let params = match Raw::check(schema) {
            Ok(schema) if schema.kind() == Kind::Object => {
                let schema = schema.as_str();
                // Allocated once, unless a character of the message must be escaped.
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

    /// A form with the fields of a struct: texts, numbers, truth values and enums without data. One that has others makes
    /// `ask` fail. [`RequestContext::elicit_form`](crate::RequestContext::elicit_form) has an example.
    pub fn form<T: JsonSchema>(message: &str) -> Self {
        match form_schema::<T>() {
            Ok(schema) => Self::elicitation(message, &schema),
            Err(fault) => Self { params: Some(Err(fault.into())), ..Self::elicitation(message, "{}") },
        }
    }

    /// An address that the user is asked to visit.
    pub fn url(message: &str, url: &str) -> Self {
        let params = serde_json::json!({"mode": "url", "message": message, "url": url});
        Self {
            kind: InputKind::Elicitation,
            capability: Capability::ElicitationUrl,
            params: Some(checked(params.to_string())),
        }
    }

    /// An address that the user is asked to visit, with an id for clients of older revisions, which want one.
    #[cfg(feature = "everything")]
    pub(crate) fn url_with_id(message: &str, url: &str, id: &str) -> Self {
        let params = serde_json::json!({"mode": "url", "message": message, "url": url, "elicitationId": id});
        Self { params: Some(checked(params.to_string())), ..Self::url(message, url) }
    }

    /// A message that the client's model is asked to write. `params` is the JSON of `CreateMessageRequestParams`. If it
    /// is not an object, `ask` fails.
    pub fn sampling(params: impl Into<String>) -> Self {
        let params = checked(params.into());
        Self { kind: InputKind::Sampling, capability: Capability::Sampling, params: Some(params) }
    }

    /// The same with the parameters as a value.
    ///
    /// ```
    /// use mcpool::InputRequest;
    ///
    /// let question = serde_json::json!({"role": "user", "content": {"type": "text", "text": "Sum this up: ..."}});
    /// let request = InputRequest::sampling_of(&serde_json::json!({"messages": [question], "maxTokens": 200}));
    /// ```
    pub fn sampling_of<P: Serialize + ?Sized>(params: &P) -> Self {
        let params =
            serde_json::to_string(params).map_err(|error| error.to_string().into()).and_then(checked);
        Self { kind: InputKind::Sampling, capability: Capability::Sampling, params: Some(params) }
    }

    /// The directories that the client offers.
    pub fn roots() -> Self {
        Self { kind: InputKind::Roots, capability: Capability::Roots, params: None }
    }

    /// The parameters of a form, which the client serves as a task of its own.
    #[cfg(feature = "everything")]
    pub(crate) fn elicitation_task(params: String) -> Self {
        let (capability, params) = (Capability::ElicitationTasks, Some(checked(params)));
        Self { kind: InputKind::ElicitationTask, capability, params }
    }

    /// The parameters of a message of the client's model, which the client serves as a task of its own.
    #[cfg(feature = "everything")]
    pub(crate) fn sampling_task(params: String) -> Self {
        let (capability, params) = (Capability::SamplingTasks, Some(checked(params)));
        Self { kind: InputKind::SamplingTask, capability, params }
    }

    /// How far a task is that the client made for this request, or what it came to.
    #[cfg(feature = "everything")]
    pub(crate) fn of_task(&self, kind: InputKind, task_id: &str) -> Self {
        let params = serde_json::json!({"taskId": task_id}).to_string();
        Self { kind, capability: self.capability, params: Some(checked(params)) }
    }

    /// The same request as one of a task of revision 2025-11-25.
    pub(crate) fn related_to(&self, task: &str) -> Self {
        let params = self.params().map_or("{}", Raw::as_str);
        // A server that set one of its own has said all that is to be said.
        if params.contains(r#""_meta""#) {
            return self.clone();
        }
        let members = params[1..].trim_ascii_start();
        let comma = if members.starts_with('}') { "" } else { "," };
        let related =
            format!(r#"{{"_meta":{{"{}":{{"taskId":"{task}"}}}}{comma}{members}"#, Meta::RELATED_TASK);
        Self { params: Some(checked(related)), ..self.clone() }
    }

    pub(crate) fn kind(&self) -> InputKind {
        self.kind
    }

    pub(crate) fn capability(&self) -> Capability {
        self.capability
    }

    /// Frees the parameters, where another copy of them is sent.
    pub(crate) fn give_up_params(&mut self) {
        self.params = None;
    }

    pub(crate) fn params(&self) -> Option<Raw<'_>> {
        self.params.as_ref()?.as_deref().ok().map(Raw::from)
    }

    /// Why the request cannot be sent, if it cannot.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.params.as_ref()?.as_ref().err().map(|fault| &**fault)
    }

    /// Writes the request without its envelope: `{"method":..,"params":..}`.
    pub(crate) fn write(&self, reply: &mut Reply) {
        reply.literal(r#"{"method":""#);
        reply.literal(self.method());
        reply.literal(r#"","params":"#);
        match self.params() {
            Some(params) => reply.raw(params),
            None => reply.literal("{}"),
        }
        reply.literal("}");
    }

    pub(crate) fn method(&self) -> &'static str {
        match self.kind {
            InputKind::Elicitation | InputKind::ElicitationTask => Method::ELICIT,
            InputKind::Sampling | InputKind::SamplingTask => Method::SAMPLE,
            InputKind::Roots => Method::ROOTS_LIST,
            InputKind::TaskStatus => Method::CLIENT_TASK_STATUS,
            InputKind::TaskResult => Method::CLIENT_TASK_RESULT,
        }
    }
}

/// Checks that `params` is a complete JSON object.
fn checked(params: String) -> Result<Box<RawValue>, Box<str>> {
    match Raw::check(&params).map(Raw::kind) {
        Ok(Kind::Object) => RawValue::from_string(params)
            .map_err(|error| format!("its parameters must be JSON: {error}").into()),
        Ok(_) => Err("its parameters must be an object".into()),
        Err(error) => Err(format!("its parameters must be JSON: {error}").into()),
    }
}

/// The answer of a client to an [`InputRequest`].
///
/// ```
/// use mcpool::{CallContext, InputRequest, ToolError};
///
/// #[derive(serde::Deserialize)]
/// struct Roots {
///     roots: Vec<Root>,
/// }
/// #[derive(serde::Deserialize)]
/// struct Root {
///     uri: String,
/// }
///
/// async fn first_root(call: &mut CallContext) -> Result<(), ToolError> {
///     let answer = call.ask("roots", InputRequest::roots()).await?;
///     let Roots { roots } = answer.decode()?;
///     call.text(roots.first().map_or("none", |root| &root.uri));
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct InputResponse {
    json: Box<str>,
}

/// The user's reaction to a form.
///
/// ```
/// use mcpool::Elicited;
///
/// assert_eq!(Elicited::Accepted("main").accepted(), Some("main"));
/// assert_eq!(Elicited::<&str>::Declined.accepted(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elicited<T> {
    /// The user filled the form in.
    Accepted(T),
    /// The user refused to fill the form in.
    Declined,
    /// The user closed the form.
    Cancelled,
}

impl<T> Elicited<T> {
    /// What the user filled in, if the form was accepted.
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

    /// The answer as JSON text.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Decodes the answer.
    ///
    /// # Errors
    /// When the answer does not fit `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.json)
    }

    /// The answer as one to a form; `None` if it is not one, or its content does not fit `T`.
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

    /// The text of a message that the client's model wrote; `None` if the answer is no such message, or has no text.
    ///
    /// Of several text blocks it is all of them, one after the other.
    pub fn sampled_text(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Message {
            content: Content,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Content {
            One(Block),
            Several(Vec<Block>),
        }
        #[derive(Deserialize)]
        struct Block {
            text: Option<String>,
        }
        let Message { content } = self.decode().ok()?;
        let texts: Vec<String> = match content {
            Content::One(block) => block.text.into_iter().collect(),
            Content::Several(blocks) => blocks.into_iter().filter_map(|block| block.text).collect(),
        };
        (!texts.is_empty()).then(|| texts.concat())
    }

    /// Whether the answer has the members of an answer to a request of that kind.
    pub(crate) fn fits(&self, kind: InputKind) -> bool {
        Self::json_fits(&self.json, kind)
    }

    /// Whether JSON text has the members of an answer to a request of that kind.
    pub(crate) fn json_fits(json: &str, kind: InputKind) -> bool {
        #[derive(Deserialize)]
        struct Shape<'a> {
            #[serde(borrow)]
            action: Option<&'a RawValue>,
            #[serde(borrow)]
            content: Option<&'a RawValue>,
            #[serde(borrow)]
            role: Option<&'a RawValue>,
            #[serde(borrow)]
            roots: Option<&'a RawValue>,
            #[serde(borrow)]
            task: Option<&'a RawValue>,
            #[serde(borrow)]
            status: Option<&'a RawValue>,
        }
        let Ok(shape) = serde_json::from_str::<Shape<'_>>(json) else { return false };
        let is_task = shape.task.is_some_and(|task| task.get().starts_with('{'));
        match kind {
            InputKind::ElicitationTask | InputKind::SamplingTask if is_task => true,
            InputKind::TaskStatus => shape.status.is_some_and(|status| status.get().starts_with('"')),
            InputKind::TaskResult => true,
            InputKind::Elicitation | InputKind::ElicitationTask => {
                let is_action = |action: &RawValue| {
                    matches!(action.get(), r#""accept""# | r#""decline""# | r#""cancel""#)
                };
                shape.action.is_some_and(is_action)
                    && shape.content.is_none_or(|content| content.get().starts_with('{'))
            }
            InputKind::Sampling | InputKind::SamplingTask => shape.role.is_some(),
            InputKind::Roots => shape.roots.is_some_and(|roots| roots.get().starts_with('[')),
        }
    }
}
