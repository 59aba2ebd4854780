//! One frame served: methods dispatched, tools called, answers written. Knows no transport.

pub(crate) mod answer;
mod builder;
pub(crate) mod handler;
pub(crate) mod incoming;
#[allow(clippy::module_inception)]
mod server;
pub(crate) mod serving;
mod shared;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use answer::catalog::CatalogError;
#[cfg(feature = "filesystem")]
pub(crate) use answer::content::DataKind;
pub use answer::content::{DataBlock, TextBlock};
pub use answer::definitions::AddToolError;
pub use answer::tool_error::{ErrorWithData, ToolError};
pub use builder::{BuildError, ServerBuilder};
pub use handler::arguments::ThreadArguments;
#[cfg(feature = "macros")]
pub(crate) use handler::attribute;
pub use handler::call_context::CallContext;
#[cfg(feature = "filesystem")]
pub(crate) use handler::change_notifier::ChangeNotifier;
pub use handler::dynamic_tool::{DynamicTool, DynamicTools};
pub use handler::layer::{AtMost, CallLayer, Layered, TimeLimit};
pub use handler::prompts::{
    Completer, CompletionRequest, CompletionTarget, Completions, PromptContext, Prompts,
};
pub use handler::request_context::RequestContext;
pub use handler::resource_page::ResourcePage;
#[cfg(feature = "filesystem")]
pub(crate) use handler::resources::ContentsKind;
pub use handler::resources::{ReadContext, Resources};
#[cfg(feature = "everything")]
pub(crate) use handler::session_notices::SessionNotices;
pub use handler::tool::{AnyToolset, Blocking, BlockingTool, Chain, NoTools, Single, Tool, Toolset};
pub use handler::tool_list::{BoxedTool, ToolList};
pub use handler::tool_request::ToolRequest;
#[cfg(feature = "tower")]
pub use handler::tower::{CallFailed, ServeCall, ToolCall, TowerLayer};
pub use incoming::handler_end::Finished;
pub use server::Server;
pub use state::drain::Drain;
pub use state::resource_watch::ResourceWatch;
pub use state::session::SessionValues;

pub(crate) use answer::outcome::Outcome;
pub(crate) use incoming::facts::{FrameOrigin, HeadPart, HttpFacts, Saturation, SessionField};
#[cfg(any(feature = "filesystem", feature = "memory"))]
pub(crate) use incoming::handler_end::ArgumentsPlace;
pub(crate) use serving::batch::{Batch, BatchMessage, BatchTurn};
pub(crate) use serving::in_flight::{CountedRequest, InFlight};
pub(crate) use serving::slot::RequestSlot;
pub(crate) use state::answer_stream::{AnswerStream, REST_BYTES, SegmentFrame};
#[cfg(any(feature = "fetch", feature = "filesystem"))]
pub(crate) use state::blocking::cancellation::{CancellationToken, Cancelled};
pub(crate) use state::call_state::{Caller, InBatch};
pub(crate) use state::event_store::{EventData, StreamItem, StreamReader, StreamWriter};
#[cfg(feature = "cli")]
pub(crate) use state::fair_limit::HOLDER_BYTES;
pub(crate) use state::fair_limit::{FairLimit, Permit};
#[cfg(feature = "everything")]
pub(crate) use state::fair_permits::FairPermit;
pub(crate) use state::fair_queue::SessionKey;
#[cfg(any(feature = "everything", feature = "filesystem"))]
pub(crate) use state::lasting::Lasting;
pub(crate) use state::latencies::Latencies;
pub(crate) use state::outgoing::Outgoing;
pub(crate) use state::request_ids::{IdKey, RequestIds};
pub(crate) use state::session::Session;
#[cfg(any(test, feature = "filesystem"))]
pub(crate) use state::streamed::{BlockSource, Cursor, Filled};
#[cfg(test)]
pub(crate) use state::undelivered::Shortage;
pub(crate) use state::undelivered::{HeldAnswers, Undelivered, UndeliveredAnswers};
