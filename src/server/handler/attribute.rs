//! What the attributes `tool`, `toolset`, `arguments` and `answer` expand to, beside the traits.
//!
//! All of it is public for generated code alone, as `mcpool::__private`; people write none of these names.

use crate::protocol::{ToolAnnotations, ToolDefinition};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::layer::{AtMost, too_long};
use crate::server::handler::tool::{Chain, Toolset};
use pin_project_lite::pin_project;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

/// The arguments of a tool that has none. Members that a client sends all the same are ignored.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(expecting = "an object")]
pub struct NoArguments {}

/// The hints, in the order of the specification: read only, destructive, idempotent, open world.
pub fn annotations([read_only, destructive, idempotent, open_world]: [Option<bool>; 4]) -> ToolAnnotations {
    ToolAnnotations {
        title: None,
        read_only_hint: read_only,
        destructive_hint: destructive,
        idempotent_hint: idempotent,
        open_world_hint: open_world,
    }
}

/// Two toolsets as one.
pub fn chain<Front: Toolset, Back: Toolset>(front: Front, back: Back) -> Chain<Front, Back> {
    let front_len = front.definitions().len();
    Chain { front, front_len, back }
}

/// Answers with the text of a value.
///
/// # Errors
/// When the value refuses to be written.
pub fn answer_text<T: fmt::Display + ?Sized>(call: &mut CallContext, value: &T) -> Result<(), ToolError> {
    Ok(call.text_with(|text| write!(text, "{value}"))?)
}

/// How values of one type become structured answers: an object as it stands, all else as the member `result` of one,
/// since the protocol has objects only.
#[derive(Debug, Default)]
pub struct AnswerShape {
    is_object: OnceLock<bool>,
}

/// An answer whose value is no object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Answer")]
struct Wrapped<T> {
    /// The answer.
    result: T,
}

impl AnswerShape {
    /// For a static.
    pub const fn new() -> Self {
        Self { is_object: OnceLock::new() }
    }

    /// The definition with the schema of answers.
    pub fn declare<T: JsonSchema>(&self, definition: ToolDefinition) -> ToolDefinition {
        if self.is_object::<T>() { definition.output::<T>() } else { definition.output::<Wrapped<T>>() }
    }

    /// Answers with a value.
    ///
    /// # Errors
    /// When it cannot be serialised.
    pub fn answer<T: Serialize + JsonSchema>(
        &self,
        call: &mut CallContext,
        value: &T,
    ) -> Result<(), ToolError> {
        if self.is_object::<T>() {
            call.structured(value)
        } else {
            call.structured(&Wrapped { result: value })
        }
    }

    fn is_object<T: JsonSchema>(&self) -> bool {
        *self.is_object.get_or_init(|| {
            let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
            let has_type = schema.get("type").and_then(serde_json::Value::as_str) == Some("object");
            // Clients refuse alternatives at the root.
            has_type && !["oneOf", "anyOf", "allOf"].iter().any(|key| schema.get(*key).is_some())
        })
    }
}

pin_project! {
    /// A future, and what becomes of its output.
    #[derive(Debug)]
    pub struct Then<F, M> {
        #[pin]
        future: F,
        map: Option<M>,
    }
}

/// Awaits `future`, and then calls `map` with its output. An `async` block would hold what the future is made of twice.
pub fn then<F, M>(future: F, map: M) -> Then<F, M>
where
    F: Future,
    M: FnOnce(F::Output) -> Result<(), ToolError>,
{
    Then { future, map: Some(map) }
}

impl<F, M> Future for Then<F, M>
where
    F: Future,
    M: FnOnce(F::Output) -> Result<(), ToolError>,
{
    type Output = Result<(), ToolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        match this.map.take() {
            Some(map) => Poll::Ready(map(output)),
            None => Poll::Pending,
        }
    }
}

/// Waits for the turn of a call.
///
/// # Errors
/// None: its type is that of a tool.
pub async fn turn(turns: &AtMost) -> Result<SemaphorePermit<'_>, ToolError> {
    turns.turn().await
}

/// A call that ends with an error when it takes longer.
pub fn in_time(
    limit: Duration,
    call: impl Future<Output = Result<(), ToolError>> + Send,
) -> impl Future<Output = Result<(), ToolError>> + Send {
    then(timeout(limit, call), move |ended| ended.unwrap_or_else(|_| Err(too_long(limit))))
}

/// Errors that become a [`ToolError`] by themselves: `ToolError`, and what implements `std::error::Error`.
pub trait IntoError {
    /// How an error of this type is converted.
    fn kind_of_error(&self) -> ByConversion {
        ByConversion
    }
}

impl<E: Into<ToolError>> IntoError for E {}

/// All other errors that can be shown: strings, boxed errors, those of `anyhow`. The reference in the implementation has
/// the compiler prefer [`IntoError`].
pub trait DisplayedError {
    /// How an error of this type is converted.
    fn kind_of_error(&self) -> ByText {
        ByText
    }
}

impl<E: fmt::Display> DisplayedError for &E {}

/// Converts an error by `Into`.
#[derive(Debug, Clone, Copy)]
pub struct ByConversion;

impl ByConversion {
    /// The error of the tool.
    pub fn tool_error(self, error: impl Into<ToolError>) -> ToolError {
        error.into()
    }
}

/// Converts an error by its text, with its causes where the type writes them.
#[derive(Debug, Clone, Copy)]
pub struct ByText;

impl ByText {
    /// The error of the tool.
    pub fn tool_error(self, error: impl fmt::Display) -> ToolError {
        ToolError::failed(format_args!("{error:#}"))
    }
}

/// A text that may be missing, borrowed where it can be: inside of an `Option`, serde copies it.
///
/// # Errors
/// When the value is neither a string nor `null`.
pub fn optional_cow<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(Option::<Borrowed<'a>>::deserialize(deserializer)?.map(|text| text.0))
}
