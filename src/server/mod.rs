//! One frame served: methods dispatched, tools called, answers written. Knows no transport.

mod after_lock;
mod answer;
mod batch;
mod call_state;
mod catalog;
mod changes;
mod charge;
mod coercion;
mod content;
mod context;
mod correlation;
mod dispatch;
mod drain;
mod event_store;
mod handler;
mod in_flight;
mod inputs;
mod judge;
mod listen;
mod memory_account;
mod memory_resource;
mod methods;
mod offers;
mod operations;
mod outgoing;
mod pools;
mod prompts;
mod request;
mod request_state;
mod resources;
mod serve;
mod session;
mod sessions;
mod shares;
mod slot;
mod stopper;
mod task_store;
mod tasks;
mod tool_usage;
mod turns;
#[cfg(feature = "validation")]
mod validation;

pub use catalog::CatalogError;
pub use content::{DataBlock, TextBlock};
pub use context::{CallContext, Finished, ToolError};
pub use dispatch::ToolRequest;
pub use drain::Drain;
pub use handler::{Chain, NoTools, Single, Tool, Toolset};
pub use inputs::{Elicited, InputKind, InputRequest, InputResponse};
pub use prompts::{Completer, CompletionRequest, CompletionTarget, Completions, PromptContext, Prompts};
pub use request::RequestContext;
pub use resources::{ReadContext, Resources};
pub use session::{LogLevel, SessionValues};

pub(crate) use batch::{Batch, BatchMessage};
pub(crate) use call_state::Caller;
use event_store::EventStore;
pub(crate) use event_store::{StreamItem, StreamReader, StreamWriter};
pub(crate) use in_flight::{IdKey, InFlight, RequestIds};
pub(crate) use outgoing::Outgoing;
pub(crate) use serve::{HeadPart, HttpFacts, Incoming, Outcome, SessionField, Surroundings};
pub(crate) use session::{NotBegun, Session};
pub(crate) use shares::{Place, Shares};
pub(crate) use slot::RequestSlot;
pub(crate) use stopper::{Stopped, Stopper};

use crate::limits::{Limits, LimitsError};
use crate::memory::{Managed, MemoryManager};
use crate::metrics::Metrics;
use crate::protocol::{Era, Id, ProtocolError, ToolDefinition};
use crate::wire::{Lexer, Outline, Reply, TooLong};
use answer::AnswerId;
use arc_swap::ArcSwap;
use bumpalo::Bump;
use call_state::Failure;
use catalog::{Catalog, CatalogSource, Implementation};
use changes::{Changes, Kind};
use correlation::{ClientAnswer, Correlation};
use mcpool_pools::{
    BufferLease, BufferPool, Lease, NameTaken, ObjectPool, PoolConfig, PoolRegistry, Recycle,
};
use offers::Offers;
use operations::Operations;
use pools::Pools;
use request_state::Sealer;
use serde_json::value::RawValue;
use sessions::Sessions;
use slot::SlotFactory;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use task_store::TaskStore;
use thiserror::Error;
use tool_usage::ToolUsage;
use turns::Turns;

/// How many looks after the server lie between two tellings that the memory report is another one: ten seconds.
const KEEPS_A_TELLING: u32 = 10;

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
    /// What lists show; exchanged as a whole when one changes.
    pub(crate) catalog: ArcSwap<Catalog>,
    description: Description,
    pub(crate) offers: Offers,
    pub(crate) changes: Changes,
    pub(crate) sessions: Sessions,
    /// In the place of a session where there is none: requests of the modern era, and before a handshake.
    pub(crate) stateless: Arc<Session>,
    pub(crate) correlation: Arc<Correlation>,
    pub(crate) events: EventStore,
    pub(crate) tasks: Arc<TaskStore>,
    /// Who may use the blocking threads.
    turns: Turns,
    pub(crate) sealer: Sealer,
    #[cfg(feature = "validation")]
    pub(crate) validators: validation::Validators,
    /// The `_meta` of modern results.
    pub(crate) server_meta: Box<RawValue>,
    pub(crate) metrics: Metrics,
    operations: Operations,
    tool_usage: ToolUsage,
    /// The memory report is a resource; how often it was looked after tells when it has changed.
    told_memory: Option<AtomicU32>,
    pub(crate) memory: MemoryManager,
}

/// What the catalog is made from.
struct Description {
    implementation: Implementation,
    instructions: Option<String>,
    tools: Vec<ToolDefinition>,
    /// Names of tools that are not offered at the moment.
    hidden: Mutex<HashSet<String>>,
}

impl Description {
    fn catalog(&self, offers: &Offers, limits: &Limits) -> Result<Catalog, CatalogError> {
        // A copy: families that list what they have may hide a tool, and would wait for the lock.
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Catalog::new(&CatalogSource {
            implementation: &self.implementation,
            instructions: self.instructions.as_deref(),
            tools: &self.tools,
            hidden: &hidden,
            resources: &offers.resources(),
            templates: &offers.templates(),
            prompts: &offers.prompts(),
            has_resources: offers.has_resources(),
            has_prompts: offers.has_prompts(),
            has_completions: offers.completer.is_some(),
            has_tasks: offers.has_tasks,
            page_entries: limits.page_entries,
        })
    }
}

impl Shared {
    /// A place for an answer; no buffer is leased before the first write.
    pub(crate) fn reply(&self) -> Reply {
        Reply::new(self.pools.buffers.clone(), self.limits.max_reply_bytes)
    }

    /// A written answer; an error in its place where it passed the limit and is not whole.
    pub(crate) fn answered(&self, reply: Reply, id: AnswerId<'_>) -> Outcome {
        match reply.finish() {
            Ok(answer) => Outcome::Reply(answer),
            Err(TooLong { limit_bytes }) => {
                let mut refusal = self.reply();
                answer::error(&mut refusal, Era::Modern, id, &ProtocolError::ReplyTooLong { limit_bytes });
                // The least of limits has room for this sentence and the longest of ids.
                refusal.finish().map_or(Outcome::Silent, Outcome::Reply)
            }
        }
    }

    /// An error answer to what no era could be told of.
    pub(crate) fn refusal(&self, id: AnswerId<'_>, error: &ProtocolError<'_>) -> Outcome {
        self.refusal_in(Era::Modern, id, error)
    }

    /// An error answer.
    pub(crate) fn refusal_in(&self, era: Era, id: AnswerId<'_>, error: &ProtocolError<'_>) -> Outcome {
        tracing::debug!(%error, "message refused");
        self.metrics.protocol_errors.add(1);
        let mut reply = self.reply();
        answer::error(&mut reply, era, id, error);
        match self.answered(reply, id) {
            Outcome::Reply(answer) => Outcome::Refused { answer, status: error.http_status(era) },
            outcome => outcome,
        }
    }

    /// Takes a session in, and gives its secret id.
    fn open_session(&self, session: &Arc<Session>) -> Result<u128, ProtocolError<'static>> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| ProtocolError::Internal("the system gives no random bytes"))?;
        let id = u128::from_ne_bytes(id);
        self.metrics.sessions_opened.add(1);
        for evicted in self.sessions.open(id, Arc::clone(session)) {
            self.metrics.sessions_expired.add(1);
            tracing::debug!(session = evicted.number(), "session evicted: max_sessions are open");
            self.close_session(&evicted);
        }
        Ok(id)
    }

    /// Ends a session that nobody can find any more, with all that belongs to it.
    pub(crate) fn close_session(&self, session: &Session) {
        self.operations.note_session(session.age_ns());
        session.close();
        self.correlation.close_owner(session.number());
        self.events.drop_session(session.number());
    }

    /// A tool as it was defined.
    fn definition_of(&self, tool: Option<usize>) -> Option<&ToolDefinition> {
        self.description.tools.get(tool?)
    }

    /// Holds the arguments of a tool, as JSON text, against its schema where no type does.
    #[cfg_attr(not(feature = "validation"), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    fn check_arguments(&self, tool: Option<usize>, json: &str) -> Result<(), String> {
        #[cfg(feature = "validation")]
        if let Some(tool) = tool {
            return self.validators.check_arguments(tool, json);
        }
        let _ = (tool, json);
        Ok(())
    }

    /// The same for its structured answer.
    #[cfg_attr(not(feature = "validation"), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    fn check_output(&self, tool: Option<usize>, json: &[u8]) -> Result<(), String> {
        #[cfg(feature = "validation")]
        if let (Some(tool), Ok(json)) = (tool, std::str::from_utf8(json)) {
            return self.validators.check_output(tool, json);
        }
        let _ = (tool, json);
        Ok(())
    }

    /// Hands a client's answer to the request that waits for it.
    fn take_answer(&self, session: &Session, id: &str, is_error: bool, body: &str) {
        let Ok(id) = id.parse() else { return };
        let mut owned = self.pools.owned_messages.acquire();
        owned.copy_arguments(body);
        self.metrics.owned_messages.add(1);
        if !self.correlation.resolve(session.number(), id, ClientAnswer::new(is_error, owned)) {
            tracing::debug!(id, "a client answered what it was not asked");
        }
    }

    /// Lists anew, and tells all who listen.
    pub(crate) fn list_changed(&self, kind: Kind) {
        match self.description.catalog(&self.offers, &self.limits) {
            Ok(catalog) => self.catalog.store(Arc::new(catalog)),
            Err(error) => tracing::error!(%error, "the list stays as it was"),
        }
        self.changes.changed(kind);
    }

    /// Offers a tool, or no longer.
    pub(crate) fn offer_tool(&self, name: &str, offered: bool) {
        let mut hidden = self.description.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = if offered { hidden.remove(name) } else { hidden.insert(name.to_owned()) };
        drop(hidden);
        if has_changed {
            self.list_changed(Kind::Tools);
        }
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
            offers: Offers::default(),
            request_state_key: None,
            offers_memory: false,
            #[cfg(feature = "validation")]
            validates: true,
        }
    }

    /// Where the bytes of this server are, and how its pools should be sized.
    pub fn memory(&self) -> &MemoryManager {
        &self.shared.memory
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

    /// Tells all who subscribed to it that a resource has new contents.
    pub fn resource_updated(&self, uri: &str) {
        self.shared.changes.updated(uri);
    }

    /// Lists the resources anew, and tells all who listen.
    pub fn resources_changed(&self) {
        self.shared.list_changed(Kind::Resources);
    }

    /// Lists the prompts anew, and tells all who listen.
    pub fn prompts_changed(&self) {
        self.shared.list_changed(Kind::Prompts);
    }

    /// Offers a tool from now on, or no longer; all who listen are told. Names that are no tool's are ignored.
    pub fn offer_tool(&self, name: &str, offered: bool) {
        self.shared.offer_tool(name, offered);
    }

    /// The session of the peer that this process was started for: its handshake is still to come.
    pub(crate) fn owner_session(&self) -> Arc<Session> {
        Arc::new(Session::new(self.shared.sessions.next_number(), 0).of_owner())
    }

    /// The pool of what transports lease for their connections, one for each type, made at its first use.
    pub(crate) fn transport_pool<P: Send + 'static, R: Recycle<P>>(
        &self,
        config: PoolConfig,
        recycle: impl FnOnce() -> R,
    ) -> ObjectPool<P> {
        self.shared.pools.of_transport(config, recycle)
    }

    /// In the place of a session where there is none.
    pub(crate) fn stateless_session(&self) -> Arc<Session> {
        Arc::clone(&self.shared.stateless)
    }

    /// The session of that id, if `principal` opened it.
    pub(crate) fn find_session(&self, id: u128, principal: u128) -> Option<Arc<Session>> {
        self.shared.sessions.find(id, principal)
    }

    /// Ends the session of that id, if `principal` opened it.
    pub(crate) fn end_session(&self, id: u128, principal: u128) {
        if let Some(session) = self.shared.sessions.remove(id, principal) {
            self.shared.close_session(&session);
        }
    }

    /// Ends all sessions of principals that have to go.
    pub(crate) fn end_sessions(&self, must_go: impl Fn(u128) -> bool) {
        for session in self.shared.sessions.remove_of(must_go) {
            self.shared.close_session(&session);
        }
    }

    /// How many sessions are kept.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.len()
    }

    /// How many subscriptions to changes are open.
    pub fn subscriptions(&self) -> usize {
        self.shared.changes.len()
    }

    /// How many tasks are kept, finished ones included.
    pub fn tasks(&self) -> usize {
        self.shared.tasks.len()
    }

    /// How many tasks run: not finished, and not waiting to be forgotten.
    pub fn running_tasks(&self) -> usize {
        self.shared.tasks.running()
    }

    /// Serves by `serving` to its end, and then waits for the tasks that run. From the moment when `drain` begins, or
    /// `serving` ends by itself, tasks have `drain_timeout_ms`; then they are cancelled.
    pub(crate) async fn with_tasks<T>(&self, drain: &Drain, serving: impl Future<Output = T>) -> T {
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = drain.wait() => None,
        };
        let deadline = tokio::time::Instant::now() + self.shared.limits.drain_timeout();
        let ended = match ended {
            Some(ended) => ended,
            None => serving.await,
        };
        tasks::finish_all(&self.shared, deadline).await;
        ended
    }

    /// How many requests wait for an answer of their client.
    pub fn client_requests(&self) -> usize {
        self.shared.correlation.waiting()
    }

    /// Bytes of the events that are kept for clients that come back.
    pub fn event_bytes(&self) -> usize {
        self.shared.events.bytes()
    }

    /// Lets a legacy peer be told of changes from now on.
    pub(crate) fn tell_of_changes(&self, session: &Session) {
        listen::tell_of_changes(&self.shared, session);
    }

    /// A new stream of a session.
    pub(crate) fn open_event_stream(&self, session: &Session) -> (StreamWriter, StreamReader) {
        self.shared.events.open(session.number())
    }

    /// The rest of the stream of which a client saw the event `last`.
    pub(crate) fn resume_event_stream(&self, session: &Session, last: &[u8]) -> Option<StreamReader> {
        self.shared.events.resume(session.number(), last)
    }

    /// An error answer to an HTTP request without a message.
    pub(crate) fn refusal_without_request(&self, error: &ProtocolError<'_>) -> Outcome {
        self.shared.refusal_in(Era::Legacy, AnswerId::Omitted, error)
    }

    /// The answer to a request that cannot run without its connection.
    pub(crate) fn refuse_unbegun(&self, slot: &RequestSlot, reason: NotBegun) -> Outcome {
        let error = match reason {
            NotBegun::TooMany => {
                ProtocolError::TooManyRequests { limit: self.shared.limits.max_concurrent_requests }
            }
            NotBegun::Repeated => ProtocolError::REPEATED_ID,
        };
        let names = slot.call().names();
        self.shared.refusal(AnswerId::Of(&names.id), &error)
    }

    /// Ends a session with all that belongs to it.
    pub(crate) fn close_session(&self, session: &Session) {
        self.shared.close_session(session);
    }

    /// The next message for a legacy peer that belongs to no request; `cx` is woken when there is one.
    pub(crate) fn next_notice(&self, session: &Session, cx: &mut Context<'_>) -> Option<BufferLease> {
        listen::next_notice(&self.shared, session, cx)
    }

    /// Looks after the server: call it every second. Gives back what expired (sessions, events, tasks), and has the
    /// [`MemoryManager`] look at the pools and at the pressure.
    ///
    /// Transports that serve sockets do so by themselves.
    pub fn keep(&self) {
        self.sweep();
        let before = self.shared.memory.pressure();
        self.shared.memory.tick(std::time::Instant::now());
        if let Some(told) = &self.shared.told_memory {
            let is_due = told.fetch_add(1, Ordering::Relaxed) % KEEPS_A_TELLING == KEEPS_A_TELLING - 1;
            if is_due || self.shared.memory.pressure() != before {
                self.resource_updated(memory_resource::REPORT_URI);
            }
        }
    }

    /// Gives back what expired: sessions, events, tasks.
    pub(crate) fn sweep(&self) {
        let now = std::time::Instant::now();
        for session in self.shared.sessions.sweep(now) {
            self.shared.metrics.sessions_expired.add(1);
            tracing::debug!(session = session.number(), "session expired");
            self.shared.close_session(&session);
        }
        self.shared.events.sweep(now);
        self.shared.tasks.sweep(std::time::SystemTime::now());
    }

    /// An error answer to bytes in which no id could be read.
    pub(crate) fn refusal_without_id(&self, session: &Session, error: &ProtocolError<'_>) -> Outcome {
        self.shared.refusal(AnswerId::unreadable(session.revision()), error)
    }

    /// The answer to a message that was too long and is gone but for its outline. A request learns by its id that it has
    /// failed; the id of an answer is one of ours, and would hit a request of the client's own.
    pub(crate) fn refuse_skipped(
        &self,
        session: &Session,
        outline: &Outline,
        error: &ProtocolError<'_>,
    ) -> Outcome {
        let arena = Bump::new();
        let id = outline.id.as_deref().filter(|_| outline.has_method).and_then(|json| {
            let mut lexer = Lexer::from_text(json);
            let raw = lexer.raw().ok()?;
            lexer.finish().ok()?;
            Id::from_raw(raw, &arena)
        });
        match id {
            Some(id) => self.shared.refusal(AnswerId::Of(id.as_json()), error),
            None => self.refusal_without_id(session, error),
        }
    }

    /// Turns the outcome of a slot's request into what its connection can act on: a panic becomes an
    /// answer, a task goes its own way. The operation counts as ended.
    pub(crate) fn settle(&self, outcome: Outcome, slot: &RequestSlot) -> Outcome {
        if matches!(outcome, Outcome::Panicked) {
            slot.call().fail(Failure::Code(ProtocolError::Internal("").code(Era::Modern)));
        }
        self.shared.operations.note(slot.call());
        self.resolve(outcome, slot)
    }

    /// The same for what is no operation of its own: the part of a call that goes on as a task.
    fn resolve(&self, outcome: Outcome, slot: &RequestSlot) -> Outcome {
        match outcome {
            Outcome::Panicked => {
                let names = slot.call().names();
                tracing::error!(id = names.id, "a tool panicked");
                if names.id.is_empty() {
                    return Outcome::Silent;
                }
                self.shared.refusal(AnswerId::Of(&names.id), &ProtocolError::Internal("the tool panicked"))
            }
            Outcome::Detached { answer, work } => {
                tasks::run(self, *work);
                Outcome::Reply(answer)
            }
            outcome => outcome,
        }
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
    /// There is no key to seal `requestState` with.
    #[error("no key for requestState: {0}")]
    Key(#[from] request_state::NoRandomness),
}

/// A server under construction.
pub struct ServerBuilder<T> {
    implementation: Implementation,
    instructions: Option<String>,
    limits: Limits,
    toolset: T,
    tools: usize,
    offers: Offers,
    request_state_key: Option<[u8; 32]>,
    offers_memory: bool,
    #[cfg(feature = "validation")]
    validates: bool,
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
            offers: self.offers,
            request_state_key: self.request_state_key,
            offers_memory: self.offers_memory,
            #[cfg(feature = "validation")]
            validates: self.validates,
        }
    }

    /// Adds a family of resources behind those that are there.
    #[must_use]
    pub fn resources(mut self, resources: impl Resources) -> Self {
        self.offers.resources.push(Box::new(resources));
        self
    }

    /// Offers the memory report as the resource `mcpool://memory/report`, to be read and subscribed to, and a
    /// prompt that asks for tuning; for those who may see what concerns the operator
    /// ([`RequestContext::is_admin`]).
    #[must_use]
    pub fn memory_resource(mut self) -> Self {
        self.offers_memory = true;
        self.resources(memory_resource::MemoryResource).prompts(memory_resource::MemoryResource)
    }

    /// Adds a family of prompts behind those that are there.
    #[must_use]
    pub fn prompts(mut self, prompts: impl Prompts) -> Self {
        self.offers.prompts.push(Box::new(prompts));
        self
    }

    /// Completes arguments of prompts and variables of resource templates.
    #[must_use]
    pub fn completer(mut self, completer: impl Completer) -> Self {
        self.offers.completer = Some(Box::new(completer));
        self
    }

    /// Lets tools go on as tasks ([`RequestContext::prefer_task`]), for clients that know the extension.
    #[must_use]
    pub fn tasks(mut self) -> Self {
        self.offers.has_tasks = true;
        self
    }

    /// The key that seals `requestState`. Processes that serve the same clients need the same one; without it
    /// each process makes its own.
    #[must_use]
    pub fn request_state_key(mut self, key: [u8; 32]) -> Self {
        self.request_state_key = Some(key);
        self
    }

    /// Tells the model how the server is best used.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Whether calls are held against schemas that are given as text; they are unless this says otherwise.
    #[cfg(feature = "validation")]
    #[must_use]
    pub fn validate(mut self, validates: bool) -> Self {
        self.validates = validates;
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
        let implementation = serde_json::to_string(&self.implementation).map_err(CatalogError::from)?;
        let description = Description {
            implementation: self.implementation,
            instructions: self.instructions,
            tools: self.toolset.definitions(),
            hidden: Mutex::default(),
        };
        let catalog = description.catalog(&self.offers, &limits)?;
        #[cfg(feature = "validation")]
        let validators = if self.validates {
            validation::Validators::new(&description.tools, &limits)?
        } else {
            validation::Validators::default()
        };
        let sessions = Sessions::new(limits.max_sessions, limits.session_timeout());
        let tool_usage = ToolUsage::new(description.tools.len(), limits.arena_retain_bytes);
        let pools = Pools::new(&limits)?;
        let managed = Managed {
            name: description.implementation.name.clone(),
            version: description.implementation.version.clone(),
            limits: limits.clone(),
            registry: pools.registry.clone(),
            budget: pools.budget.clone(),
        };
        let shared = Arc::new(Shared {
            memory: MemoryManager::new(managed, std::time::Instant::now()),
            pools,
            catalog: ArcSwap::from_pointee(catalog),
            description,
            offers: self.offers,
            changes: Changes::new(&limits),
            stateless: Arc::new(Session::new(sessions.next_number(), 0)),
            sessions,
            correlation: Arc::new(Correlation::new(limits.max_client_requests)),
            events: EventStore::new(&limits),
            tasks: Arc::new(TaskStore::new(&limits)),
            turns: Turns::new(limits.max_blocking_threads),
            #[cfg(feature = "validation")]
            validators,
            sealer: Sealer::new(self.request_state_key, &limits)?,
            server_meta: answer::server_meta(&implementation).map_err(CatalogError::from)?,
            metrics: Metrics::default(),
            operations: Operations::default(),
            tool_usage,
            told_memory: self.offers_memory.then(AtomicU32::default),
            limits,
        });
        shared.memory.open_account(&shared);
        let core = Arc::new(Core { shared: Arc::clone(&shared), toolset: self.toolset });
        shared.memory.open_account(&core);
        let serve = move |incoming| serve::serve_frame(Arc::clone(&core), incoming);
        let factory = SlotFactory::new(serve, shared.limits.arena_retain_bytes);
        let slots = shared.pools.slots(&shared.limits, factory)?;
        Ok(Server { shared, slots })
    }
}
