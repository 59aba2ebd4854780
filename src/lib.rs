//! A Model Context Protocol server whose memory is bounded, measured and tunable.
//!
//! A server is built from tools and served to a client. Each tool declares the type of its arguments, which
//! may borrow their strings from the message; its answer is written straight into the buffer that is sent.
//! A warm request allocates nothing.
//!
//! ```no_run
//! use mcpool::{CallContext, Server, Tool, ToolDefinition, ToolError};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Words<'a> {
//!     /// The text whose words are counted.
//!     text: &'a str,
//! }
//!
//! struct CountWords;
//!
//! impl Tool for CountWords {
//!     type Arguments<'a> = Words<'a>;
//!
//!     fn definition(&self) -> ToolDefinition {
//!         ToolDefinition::new("count_words", "Counts the words of a text.").arguments::<Words<'_>>()
//!     }
//!
//!     async fn call<'a>(&'a self, arguments: Words<'a>, call: &mut CallContext) -> Result<(), ToolError> {
//!         call.structured(&arguments.text.split_whitespace().count())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let server = Server::builder("words", "1.0.0").tool(CountWords).build()?;
//! runtime.block_on(server.serve_stdio())?;
//! # Ok(())
//! # }
//! ```
//!
//! | you want | look at |
//! | --- | --- |
//! | to write a tool | [`Tool`], [`CallContext`], [`ToolDefinition`], [`ToolError`] |
//! | a family of tools that dispatches by itself | [`Toolset`], [`ToolRequest`] |
//! | the tools that are here already | [`tools`] |
//! | to offer resources, prompts or completion | [`Resources`], [`Prompts`], [`Completer`] |
//! | to ask the client's user or model, to continue as a task | [`RequestContext`] |
//! | to serve many clients over HTTP or a Unix socket | [`transport::serve_http`], [`transport::Listener`], [`transport::admission`] |
//! | to serve a trusted stream, whose peer is treated as the owner | [`transport::serve_lines`], [`Drain`], [`Server::maintain`] |
//! | bounds, and what they cost | [`Limits`], [`Server::pools`], [`Server::metrics`] |
//! | to call another server | the `client` module, with the feature of that name |
//! | to record the requests of a server, to load another with them | [`traffic::TrafficRecorder`], [`Server::record_traffic_to`] |
//! | to load a server, ours or not, and believe the figures | the `load` module, with the feature of that name |
//! | the pools alone | [`pools`] |
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `report` | the `report` module: memory reports as tables, page, metrics and diagnosis, and as a resource for agents |
//! | `filesystem` | the filesystem tools |
//! | `git` | the git tools |
//! | `everything` | the exerciser of clients; brings `fetch` |
//! | `fetch` | the fetch tool |
//! | `memory` | the memory tools: a knowledge graph in a file |
//! | `time`, `thinking` | the time tools, the thinking tool |
//! | `socket-activation` | sockets that a service manager opened |
//! | `client` | the `client` module |
//! | `load` | the `load` module, and `client` |
//! | `validation` | checks arguments and answers against schemas that are given as text |
//! | `webhook` | the program can send alerts to a webhook |
//! | `otel` | spans of requests for an OpenTelemetry collector: `Server::export_traces` |
//! | `oauth`, `tls` | access tokens of OAuth 2.1, encrypted connections |
//! | `cli` (by default) | the program `mcpool`, with those up to `load` |

// The program and the filesystem tools use parts of the rooms below them that nothing else uses yet; a build with them
// finds what nobody uses.
#![cfg_attr(not(feature = "cli"), allow(dead_code))]

#[cfg(not(unix))]
compile_error!(
    "mcpool runs on Linux and macOS. On Windows, build and run it in WSL (https://learn.microsoft.com/windows/wsl/install): \
     clients of Windows start it with the command `wsl` and the arguments [\"mcpool\", \"serve\", ...]"
);

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod limits;
#[cfg(feature = "load")]
pub mod load;
mod lock;
pub mod memory;
pub mod metrics;
pub mod monitor;
pub mod protocol;
#[cfg(feature = "report")]
pub mod report;
mod server;
mod stdio;
pub mod tools;
#[cfg(feature = "otel")]
mod traces;
pub mod traffic;
pub mod transport;
mod watched_file;
pub mod wire;

pub use limits::Limits;
/// The pools that everything here is built on, as a crate of their own.
pub use mcpool_pools as pools;
pub use protocol::{
    Capability, Elicited, InputKind, InputRequest, InputResponse, LogLevel, Prompt, PromptArgument, Resource,
    ResourceTemplate, Role, TaskSupport, ToolAnnotations, ToolDefinition,
};
pub use server::{
    Blocking, BlockingTool, BuildError, CallContext, CatalogError, Chain, Completer, CompletionRequest,
    CompletionTarget, Completions, DataBlock, Drain, ErrorWithData, Finished, NoTools, PromptContext,
    Prompts, ReadContext, RequestContext, ResourcePage, ResourceWatch, Resources, Server, ServerBuilder,
    SessionValues, Single, TextBlock, ThreadArguments, Tool, ToolError, ToolRequest, Toolset,
};
#[cfg(feature = "otel")]
pub use traces::{TraceExport, TraceExportError};
