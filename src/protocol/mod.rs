//! What MCP says: revisions, eras, methods, ids, messages, tools and errors.
//!
//! One noun of the specification a file. This room knows no transport, no session and no memory
//! accounting; it reads and writes JSON through [`crate::wire`].

pub(crate) mod capability;
mod era;
mod error;
mod form;
mod id;
pub(crate) mod input;
pub(crate) mod log_level;
mod message;
mod meta;
mod method;
pub(crate) mod mirror;
pub(crate) mod mirrored;
mod owned;
pub(crate) mod prompt;
pub(crate) mod resource;
mod revision;
mod schema;
pub(crate) mod tool;

pub(crate) use capability::Capability;
pub use capability::ClientCapabilities;
pub use era::Era;
pub(crate) use error::Echo;
pub use error::{ErrorCode, ProtocolError};
pub use id::{Id, IdField};
pub(crate) use input::{Elicited, InputKind, InputRequest, InputResponse};
pub(crate) use log_level::LogLevel;
pub use message::{ArgumentsAt, Message, MessageDecoder, ParamsField, ShapeFault, WantedTask};
pub use meta::Meta;
pub use method::Method;
pub use owned::{OwnedMessage, RetainMessage};
#[cfg_attr(not(feature = "cli"), allow(unused_imports, reason = "the features say who uses them"))]
pub(crate) use prompt::{Prompt, PromptArgument, Role};
pub(crate) use resource::{Resource, ResourceTemplate};
pub use revision::Revision;
#[cfg_attr(
    not(all(feature = "cli", feature = "macros")),
    allow(unused_imports, reason = "the features say who uses them")
)]
pub(crate) use tool::{TaskSupport, ToolAnnotations, ToolDefinition};
