//! Why a handler has no answer: what a tool, a resource or a prompt returns instead of one.

use crate::protocol::{Capability, ProtocolError};
use crate::wire::Raw;
use serde::Serialize;
use std::fmt;

/// Why a tool has no answer.
///
/// `?` converts any error into [`ToolError::Failed`] with the error's message. For this conversion to exist, the type
/// itself cannot implement [`std::error::Error`].
///
/// ```
/// use mcpool::ToolError;
///
/// fn half(text: &str) -> Result<u64, ToolError> {
///     let number: u64 = text.parse()?;
///     if number % 2 == 1 {
///         return Err(ToolError::failed(format_args!("{number} is odd")));
///     }
///     Ok(number / 2)
/// }
/// assert_eq!(half("7"), Err(ToolError::Failed("7 is odd".to_owned())));
/// assert_eq!(half("x"), Err(ToolError::Failed("invalid digit found in string".to_owned())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolError {
    /// The call failed in a way that the model may react to: a result with `isError` and this text.
    Failed(String),
    /// The parameters are not valid: JSON-RPC error -32602.
    InvalidParams(&'static str),
    /// Nothing has the requested name or URI: JSON-RPC error -32602.
    NotFound,
    /// The client gets this JSON-RPC error.
    Protocol {
        /// The code; JSON-RPC reserves -32768 to -32000.
        code: i32,
        /// A message of one sentence.
        message: String,
    },
    /// The same, with data; [`ToolError::with_data`] makes it.
    ProtocolWithData(Box<ErrorWithData>),
    /// The client did not declare a capability that the call needs.
    MissingCapability(Capability),
    /// The client has to be asked first; [`RequestContext::ask`](crate::RequestContext::ask) returns it.
    InputRequired,
    /// The call continues as a task; [`RequestContext::prefer_task`](crate::RequestContext::prefer_task) returns it.
    NeedsTask,
    /// The call was cancelled, and gets no answer.
    Cancelled,
}

/// A JSON-RPC error with data, of [`ToolError::with_data`].
///
/// ```
/// use mcpool::ToolError;
///
/// let error = ToolError::with_data(-31_001, "the branch is gone", &"main");
/// assert!(matches!(error, ToolError::ProtocolWithData(_)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorWithData {
    code: i32,
    message: String,
    /// JSON text.
    data: String,
}

impl ErrorWithData {
    pub(crate) fn as_protocol_error(&self) -> ProtocolError<'_> {
        match Raw::check(&self.data) {
            Ok(data) => ProtocolError::CustomWithData { code: self.code, message: &self.message, data },
            Err(_) => ProtocolError::Custom { code: self.code, message: &self.message },
        }
    }
}

impl ToolError {
    /// The client gets this JSON-RPC error, with data for its program. Data that cannot be written as JSON fail the call.
    ///
    /// ```
    /// use mcpool::ToolError;
    ///
    /// let error = ToolError::with_data(-31_001, "the branch is gone", &serde_json::json!({"branch": "main"}));
    /// assert!(matches!(error, ToolError::ProtocolWithData(_)));
    /// ```
    pub fn with_data<T: Serialize + ?Sized>(code: i32, message: impl Into<String>, data: &T) -> Self {
        match serde_json::to_string(data) {
            Ok(data) => {
                Self::ProtocolWithData(Box::new(ErrorWithData { code, message: message.into(), data }))
            }
            Err(error) => Self::failed(format_args!("the data of an error cannot be written: {error}")),
        }
    }

    /// [`ToolError::Failed`] with this message.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }
}

impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::failed(error)
    }
}
