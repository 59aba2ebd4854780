//! A Model Context Protocol server whose memory is bounded, measured and tunable.
//!
//! A tool is a function. Its arguments may borrow their strings from the message, and its answer is written straight into
//! the buffer that is sent. A warm request allocates nothing.
//!
//! ```no_run
//! # #[cfg(feature = "macros")]
//! # mod words {
//! use mcpool::Server;
//!
//! /// Counts the words of a text.
//! #[mcpool::tool(read_only)]
//! fn count_words(text: &str) -> usize {
//!     text.split_whitespace().count()
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! # pub
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     Server::builder("words", "1.0.0").tool(CountWords).build()?.serve_stdio().await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! What the attribute writes is an implementation of the trait [`Tool`], which may be written by hand as well:
//!
//! ```
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
//! let server = Server::builder("words", "1.0.0").tool(CountWords).build()?;
//! # Ok::<(), mcpool::BuildError>(())
//! ```
//!
//! | you want | look at |
//! | --- | --- |
//! | to write a tool | `#[tool]` on a function, `#[toolset]` on an `impl` block, [`CallContext`], [`ToolError`] |
//! | to write a tool without attributes | [`Tool`], [`BlockingTool`], [`ToolDefinition`] |
//! | tools by condition, from a list, shown and hidden while the server runs | [`toolsets::Single`], [`BoxedTool`], [`Server::offer_tool`] |
//! | tools that are known at run time only, and come and go while the server runs | [`DynamicTool`], [`Server::add_tool`] |
//! | a time limit, or turns, for one tool; something around each of its calls | `#[tool(timeout_ms = .., max_concurrent = ..)]`, [`Layered`], [`TimeLimit`], [`AtMost`], [`CallLayer`] |
//! | a family of tools that dispatches by itself | [`toolsets::Toolset`], [`toolsets::ToolRequest`] |
//! | the tools that are here already | [`tools`] |
//! | to offer resources, prompts or completion | [`resources::Resources`], [`prompts::Prompts`], [`prompts::Completer`] |
//! | to ask the client's user or model, to continue as a task | [`RequestContext`] |
//! | HTTP for the programs of this machine, in one call | [`Server::serve_local_http`] |
//! | to serve many clients over HTTP or a Unix socket | [`transport::serve_http`], [`transport::Listener`], [`transport::admission`] |
//! | to serve a trusted stream, whose peer is treated as the owner | [`transport::serve_lines`], [`Drain`], [`Server::maintain`] |
//! | to test tools of your own without a process | [`transport::connect_in_process`] |
//! | bounds, and what they cost | [`Limits`], [`Server::pools`], [`Server::metrics`] |
//! | to call another server | the `client` module, with the feature of that name |
//! | to record the requests of a server, to load another with them | [`traffic::TrafficRecorder`], [`Server::record_traffic_to`] |
//! | to load a server, ours or not, and believe the figures | the `load` module, with the feature of that name |
//! | the pools alone | [`pools`] |
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `macros` (by default) | the attributes `tool`, `toolset`, `arguments`, `answer` |
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
//! | `tower` | layers of `tower` around the calls of a tool: the `tower` module |
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
mod visible;
mod watched_file;
pub mod wire;

pub use limits::Limits;
/// Derives what a type of answers needs: `Serialize` and `JsonSchema`. A crate that uses it needs neither serde nor
/// schemars; their attributes can be used all the same. [`tool`] has an example.
#[cfg(feature = "macros")]
pub use mcpool_macros::answer;
/// Derives what a type of arguments needs: `Deserialize` and `JsonSchema`. Fields with a lifetime borrow from the message:
/// each gets `#[serde(borrow)]`. A crate that uses it needs neither serde nor schemars; their attributes can be used all
/// the same.
///
/// ```
/// use mcpool::{CallContext, ToolError};
///
/// #[mcpool::arguments]
/// struct Edit<'a> {
///     /// What is looked for.
///     old: &'a str,
///     /// What takes its place.
///     new: Option<&'a str>,
/// }
///
/// /// Replaces pieces of a text, one after the other.
/// #[mcpool::tool]
/// fn edit_text(text: &str, edits: Vec<Edit<'_>>) -> String {
///     edits.iter().fold(text.to_owned(), |text, edit| text.replace(edit.old, edit.new.unwrap_or_default()))
/// }
/// ```
#[cfg(feature = "macros")]
pub use mcpool_macros::arguments;
/// Makes a function a tool: `count_words` becomes the type `CountWords`, which implements [`Tool`], and stays a function.
///
/// The name is that of the function, the description for the model its comment up to the first heading, and the schema of
/// the arguments comes from the parameters:
///
/// ```
/// use mcpool::{CallContext, Server, ToolError};
/// use std::sync::Mutex;
///
/// /// Finds a word in a text.
/// #[mcpool::tool(title = "Find a word", read_only, open_world = false)]
/// fn find(
///     /// Where to look.
///     text: &str,
///     /// What to look for.
///     word: &str,
///     #[default(10)] at_most: usize,
/// ) -> Found {
///     Found { positions: text.match_indices(word).map(|(at, _)| at).take(at_most).collect() }
/// }
///
/// #[mcpool::answer]
/// struct Found {
///     /// Where it begins, in bytes.
///     positions: Vec<usize>,
/// }
///
/// /// Remembers a line.
/// #[mcpool::tool(destructive = false)]
/// async fn remember(line: String, #[state] notes: &Mutex<Vec<String>>, call: &mut CallContext) -> Result<(), ToolError> {
///     let mut notes = notes.lock().map_err(|_| ToolError::failed("the notes are lost"))?;
///     call.text("remembered:");
///     call.text(&line);
///     notes.push(line);
///     Ok(())
/// }
///
/// assert_eq!(find("a b a", "a", 1).positions, [0]);
/// let remember = Remember(Mutex::default().into());
/// let server = Server::builder("notes", "1.0.0").tool(Find).tool(remember).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
///
/// | parameter | what it is given |
/// | --- | --- |
/// | `name: T` | the argument `name`; attributes of serde and schemars may stand before it; an `Option` may be left out |
/// | `name: &str`, `&[u8]`, `&Path`, `Cow<str>` | the same, borrowed from the message |
/// | `name: &[T]`, `&T` | the same, decoded into a `Vec<T>` or `T`, which allocates what that allocates |
/// | `#[default] name: T`, `#[default(value)] name: T` | the same, if it is there; else the default |
/// | `#[arguments] all: T` or `T { a, b }: T` | all arguments as one value, whose type has its schema ([`arguments`]) |
/// | `call: &mut CallContext` | the context of the call, to write the answer, report progress, ask the client |
/// | `#[state] state: &T` | what calls share: the type has it as an `Arc<T>` in its only field |
///
/// | returned | the answer |
/// | --- | --- |
/// | nothing | what was written through [`CallContext`] |
/// | `String`, `&str`, `Cow<str>`; any [`Display`](std::fmt::Display) with the option `text` | a text block |
/// | any other type, which implements `Serialize` and `JsonSchema` ([`answer`]) | a structured answer, and its schema in the definition. What is no object becomes the member `result` of one |
/// | `Result` of one of these | the same, or a result with `isError` and the text of the error, which the model can read; [`ToolError`] says more. Any error that can be shown will do |
///
/// Options: `name = ".."`, `title = ".."`, `description = ".."`, the hints `read_only`, `destructive`, `idempotent` and
/// `open_world` (each also with `= false`), `text`, `blocking`, and `type = Name` where the name of the type is taken: by
/// the type of its arguments, say. `timeout_ms = 500` ends calls that take longer, and `max_concurrent = 4` lets so many
/// run at once while others wait for their turn, which counts as time; a constant will do in place of the number. All
/// servers of a process share the turns of a function, and each value of a [`toolset`] has its own:
///
/// ```
/// # async fn look_up(word: &str) -> std::io::Result<String> { Ok(word.to_owned()) }
/// /// Looks a word up.
/// #[mcpool::tool(read_only, timeout_ms = 10_000, max_concurrent = 4)]
/// async fn explain(word: &str) -> std::io::Result<String> {
///     look_up(word).await
/// }
/// # let server = mcpool::Server::builder("words", "1.0.0").tool(Explain).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
///
/// A `blocking` tool is a plain function that works on a thread that may block, and goes to
/// [`ServerBuilder::blocking_tool`]:
///
/// ```
/// /// Counts the lines of a file.
/// #[mcpool::tool(blocking, read_only)]
/// fn count_lines(path: &str) -> std::io::Result<usize> {
///     Ok(std::fs::read_to_string(path)?.lines().count())
/// }
///
/// let server = mcpool::Server::builder("lines", "1.0.0").blocking_tool(CountLines).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
///
/// `Result`, `String`, `Cow`, `CallContext` and `Arc` are known by their names, so they are to be written as such in the
/// signature. A warm call allocates what the function allocates, as with the trait.
#[cfg(feature = "macros")]
pub use mcpool_macros::tool;
/// Makes the methods of a type that `#[tool]` stands on tools which share its value. The type gets two functions:
/// `into_toolset(self)`, and `shared_toolset(Arc<Self>)` for a value that others hold as well. [`tool`] says what
/// parameters, results and options mean; methods take `&self`.
///
/// ```
/// use mcpool::Server;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default)]
/// struct Counter {
///     count: AtomicU64,
/// }
///
/// #[mcpool::toolset]
/// impl Counter {
///     /// Adds to the counter, and tells what it is now.
///     #[tool(idempotent = false)]
///     fn add(&self, #[default(1)] amount: u64) -> u64 {
///         self.count.fetch_add(amount, Ordering::Relaxed) + amount
///     }
///
///     /// Tells what the counter is.
///     #[tool(read_only)]
///     fn count(&self) -> u64 {
///         self.count.load(Ordering::Relaxed)
///     }
/// }
///
/// let server = Server::builder("counter", "1.0.0").toolset(Counter::default().into_toolset()).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[cfg(feature = "macros")]
pub use mcpool_macros::toolset;
/// The pools that everything here is built on, as a crate of their own.
pub use mcpool_pools as pools;
pub use protocol::capability::Capability;
pub use protocol::input::{Elicited, InputRequest, InputResponse};
pub use protocol::log_level::LogLevel;
pub use protocol::prompt::Role;
pub use protocol::tool::{TaskSupport, ToolAnnotations, ToolDefinition};
/// The crate that schemas come from, in the version that [`ToolDefinition`] takes.
pub use schemars;
pub use server::{
    AddToolError, AtMost, BlockingTool, BoxedTool, BuildError, CallContext, CallLayer, CatalogError,
    DataBlock, Drain, DynamicTool, ErrorWithData, Layered, RequestContext, Server, ServerBuilder,
    SessionValues, TextBlock, TimeLimit, Tool, ToolError,
};
#[cfg(feature = "otel")]
pub use traces::{TraceExport, TraceExportError};

/// Prompts, and what completes their arguments.
pub mod prompts {
    pub use crate::protocol::prompt::{Prompt, PromptArgument};
    pub use crate::server::{
        Completer, CompletionRequest, CompletionTarget, Completions, PromptContext, Prompts,
    };
}

/// Resources: what a client reads by its URI, and subscribes to.
pub mod resources {
    pub use crate::protocol::resource::{Resource, ResourceTemplate};
    pub use crate::server::{ReadContext, ResourcePage, ResourceWatch, Resources};
}

/// Families of tools that dispatch their calls by themselves, and what servers are put together of.
pub mod toolsets {
    pub use crate::server::{
        AnyToolset, Blocking, Chain, DynamicTools, Finished, NoTools, Single, ThreadArguments, ToolList,
        ToolRequest, Toolset,
    };
}

/// Layers of `tower` around the calls of a tool.
#[cfg(feature = "tower")]
pub mod tower {
    pub use crate::server::{CallFailed, ServeCall, ToolCall, TowerLayer};
}

/// What generated code names.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use crate::server::attribute::*;
    pub use {schemars, serde};
}
