//! mcpool: a Model Context Protocol server whose memory is bounded, measured and tunable.

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod limits;
pub mod metrics;
pub mod protocol;
pub mod server;
pub mod tools;
pub mod transport;
pub mod wire;

pub use limits::Limits;
/// The pools that everything here is built on, as a crate of their own.
pub use mcpool_pools as pools;
pub use protocol::{ToolAnnotations, ToolDefinition};
pub use server::{BuildError, CallContext, Drain, LogLevel, Server, ServerBuilder, Tool, ToolError, Toolset};
