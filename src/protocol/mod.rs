//! What MCP says: revisions, eras, methods, ids, messages, tools and errors.
//!
//! One noun of the specification a file. This room knows no transport, no session and no memory
//! accounting; it reads JSON through [`crate::wire`] and writes none itself.

mod era;
mod error;
mod id;
mod message;
mod meta;
mod method;
mod owned;
mod revision;
mod tool;

pub use era::Era;
pub(crate) use error::Echo;
pub use error::{ErrorCode, ProtocolError};
pub use id::{Id, IdField};
pub use message::{ArgumentsAt, Message, MessageDecoder, ParamsField, ShapeFault};
pub use meta::Meta;
pub use method::Method;
pub use owned::{OwnedMessage, RetainMessage};
pub use revision::Revision;
pub use tool::{ToolAnnotations, ToolDefinition};
