//! What MCP says: revisions, eras, methods, ids, messages, tools and errors.
//!
//! One noun of the specification a file. This room knows no transport, no session and no memory
//! accounting; it reads and writes JSON through [`crate::wire`].

mod capability;
mod era;
mod error;
mod form;
mod id;
mod input;
mod log_level;
mod message;
mod meta;
mod method;
pub(crate) mod mirror;
pub(crate) mod mirrored;
mod owned;
mod prompt;
mod resource;
mod revision;
mod schema;
mod tool;

pub use capability::{Capability, ClientCapabilities};
pub use era::Era;
pub(crate) use error::Echo;
pub use error::{ErrorCode, ProtocolError};
pub use id::{Id, IdField};
pub use input::{Elicited, InputKind, InputRequest, InputResponse};
pub use log_level::LogLevel;
pub use message::{ArgumentsAt, Message, MessageDecoder, ParamsField, ShapeFault, WantedTask};
pub use meta::Meta;
pub use method::Method;
pub use owned::{OwnedMessage, RetainMessage};
pub use prompt::{Prompt, PromptArgument, Role};
pub use resource::{Resource, ResourceTemplate};
pub use revision::Revision;
pub use tool::{TaskSupport, ToolAnnotations, ToolDefinition};
