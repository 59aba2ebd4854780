//! One frame served: methods dispatched, tools called, answers written. Knows no transport.

mod answer;
mod batch;
mod call_state;
mod catalog;
mod content;
mod context;
mod dispatch;
mod drain;
mod handler;
mod in_flight;
mod pools;
mod serve;
mod session;
mod slot;

pub use catalog::CatalogError;
pub use content::{DataBlock, TextBlock};
pub use context::{CallContext, Finished, ToolError};
pub use dispatch::ToolRequest;
pub use drain::Drain;
pub use handler::{Chain, NoTools, Single, Tool, Toolset};
pub use session::LogLevel;

pub(crate) use batch::Batch;
pub(crate) use in_flight::InFlight;
pub(crate) use serve::{Incoming, Outcome, Surroundings};
pub(crate) use session::Session;
pub(crate) use slot::RequestSlot;

use crate::limits::{Limits, LimitsError};
use crate::metrics::Metrics;
use crate::protocol::{ProtocolError, ToolDefinition};
use crate::wire::Reply;
use answer::AnswerId;
use catalog::{Catalog, Implementation};
use mcpool_pools::{BufferPool, Lease, NameTaken, ObjectPool, PoolRegistry};
use pools::Pools;
use slot::SlotFactory;
use std::sync::Arc;
use thiserror::Error;

/// A server: its tools, its pools and its bounds. Cloning makes another handle to the same server.
///
/// ```
/// use mcpool::Server;
///
/// let server = Server::builder("demo", "1.0.0").build()?;
/// assert_eq!(server.metrics().frames.total(), 0);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    slots: ObjectPool<RequestSlot>,
}

/// What every request of a server uses.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) pools: Pools,
    pub(crate) catalog: Catalog,
    pub(crate) server_info_member: String,
    pub(crate) metrics: Metrics,
}

impl Shared {
    /// A place for an answer; no buffer is leased before the first write.
    pub(crate) fn reply(&self) -> Reply {
        Reply::new(self.pools.buffers.clone(), self.limits.max_reply_bytes)
    }

    /// A written answer; an error in its place where it passed the limit and is not whole.
    pub(crate) fn answered(&self, reply: Reply, id: AnswerId<'_>) -> Outcome {
        if !reply.is_full() {
            return Outcome::Reply(reply.into_lease());
        }
        let mut refusal = self.reply();
        answer::error(
            &mut refusal,
            id,
            &ProtocolError::ReplyTooLong { limit_bytes: self.limits.max_reply_bytes },
        );
        Outcome::Reply(refusal.into_lease())
    }

    /// An error answer.
    pub(crate) fn refusal(&self, id: AnswerId<'_>, error: &ProtocolError<'_>) -> Outcome {
        tracing::debug!(%error, "message refused");
        self.metrics.protocol_errors.add(1);
        let mut reply = self.reply();
        answer::error(&mut reply, id, error);
        self.answered(reply, id)
    }
}

/// A server together with its tools: the part whose type depends on them.
pub(crate) struct Core<T> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) toolset: T,
}

impl Server {
    /// Begins a server of that name and version, as clients will see them.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder<NoTools> {
        ServerBuilder {
            implementation: Implementation { name: name.into(), version: version.into() },
            instructions: None,
            limits: Limits::default(),
            toolset: NoTools,
            tools: 0,
        }
    }

    /// What was counted so far.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The buffers of this server.
    pub fn buffers(&self) -> &BufferPool {
        &self.shared.pools.buffers
    }

    /// All pools of this server, to be looked at and resized by name.
    pub fn pools(&self) -> &PoolRegistry {
        &self.shared.pools.registry
    }

    /// Whether a message of so many bytes leaves a buffer behind that should not stay when the burst is over.
    pub(crate) fn is_large(bytes: usize) -> bool {
        bytes > Pools::LARGE_BYTES
    }

    /// Gives large idle buffers back to the allocator, and tells their bytes.
    pub(crate) fn trim_large_buffers(&self) -> usize {
        self.shared.pools.trim_large_buffers()
    }

    /// Leases a slot for a request.
    pub(crate) fn slot(&self) -> Lease<RequestSlot> {
        self.slots.acquire()
    }

    /// An error answer to bytes in which no id could be read.
    pub(crate) fn refusal_without_id(&self, session: &Session, error: &ProtocolError<'_>) -> Outcome {
        self.shared.refusal(AnswerId::unreadable(session.revision()), error)
    }

    /// Turns the outcome of a slot's request into what its connection can act on: a panic becomes an
    /// answer.
    pub(crate) fn settle(&self, outcome: Outcome, slot: &RequestSlot) -> Outcome {
        if !matches!(outcome, Outcome::Panicked) {
            return outcome;
        }
        let names = slot.call().names();
        tracing::error!(id = names.id, "a tool panicked");
        if names.id.is_empty() {
            return Outcome::Silent;
        }
        self.shared.refusal(AnswerId::Of(&names.id), &ProtocolError::Internal("the tool panicked"))
    }
}

/// Why a server cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The bounds contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The tools cannot be advertised.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Two pools have the same name.
    #[error(transparent)]
    Pools(#[from] NameTaken),
}

/// A server under construction.
pub struct ServerBuilder<T> {
    implementation: Implementation,
    instructions: Option<String>,
    limits: Limits,
    toolset: T,
    tools: usize,
}

impl<T: Toolset> ServerBuilder<T> {
    /// Adds a tool behind those that are there.
    pub fn tool<U: Tool>(self, tool: U) -> ServerBuilder<Chain<T, Single<U>>> {
        self.toolset(Single(tool))
    }

    /// Adds a family of tools behind those that are there.
    pub fn toolset<U: Toolset>(self, toolset: U) -> ServerBuilder<Chain<T, U>> {
        let front_len = self.tools;
        ServerBuilder {
            implementation: self.implementation,
            instructions: self.instructions,
            limits: self.limits,
            tools: front_len + toolset.definitions().len(),
            toolset: Chain { front: self.toolset, front_len, back: toolset },
        }
    }

    /// Tells the model how the server is best used.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Builds the server.
    ///
    /// # Errors
    /// When the bounds contradict each other or a tool cannot be advertised.
    pub fn build(self) -> Result<Server, BuildError> {
        self.limits.validate()?;
        let limits = self.limits;
        let definitions: Vec<ToolDefinition> = self.toolset.definitions();
        let catalog = Catalog::new(&definitions, &self.implementation, self.instructions.as_deref())?;
        let implementation = serde_json::to_string(&self.implementation).map_err(CatalogError::from)?;
        let shared = Arc::new(Shared {
            pools: Pools::new(&limits)?,
            server_info_member: answer::server_info_member(&implementation),
            metrics: Metrics::default(),
            catalog,
            limits,
        });
        let core = Arc::new(Core { shared: Arc::clone(&shared), toolset: self.toolset });
        let serve = move |incoming| serve::serve_frame(Arc::clone(&core), incoming);
        let factory = SlotFactory::new(serve, shared.limits.arena_retain_bytes);
        let slots = shared.pools.slots(&shared.limits, factory)?;
        Ok(Server { shared, slots })
    }
}
