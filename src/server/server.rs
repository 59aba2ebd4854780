//! The server, as its users and the transports see it.

use crate::limits::Limits;
use crate::lock::lock;
use crate::memory::{MemoryManager, lasting};
use crate::metrics::{Metrics, Moment};
use crate::monitor::{Alert, SavedBaseline};
use crate::protocol::{Era, Id, ProtocolError, ToolDefinition};
#[cfg(feature = "otel")]
use crate::server::answer::catalog::Implementation;
use crate::server::answer::definitions::AddToolError;
use crate::server::answer::envelope::AnswerId;
use crate::server::answer::outcome::Outcome;
use crate::server::handler::dynamic_tool::{DynamicTool, DynamicTools};
use crate::server::handler::resources::{ALERTS_URI, REPORT_URI};
use crate::server::handler::tool::Tool;
use crate::server::incoming::facts::Saturation;
use crate::server::incoming::observed;
#[cfg(feature = "otel")]
use crate::server::incoming::traced;
use crate::server::serving::serve::ServedFrame;
use crate::server::serving::slot::RequestSlot;
use crate::server::serving::{listen, recorded, tasks};
use crate::server::shared::Shared;
use crate::server::state::answer_stream::{AnswerStream, StreamMeans};
#[cfg(feature = "cli")]
use crate::server::state::changes;
use crate::server::state::changes::Kind;
use crate::server::state::drain::Drain;
use crate::server::state::event_store::{StreamReader, StreamWriter};
use crate::server::state::fair_limit::FairLimit;
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::latencies::Latencies;
use crate::server::state::pools::Pools;
use crate::server::state::request_observer::{ClientNumber, RequestObserver};
use crate::server::state::session::{CannotDetach, Session};
#[cfg(feature = "cli")]
use crate::server::state::sessions;
use crate::server::state::streamed::StreamedAnswer;
use crate::server::state::undelivered::Undelivered;
#[cfg(feature = "otel")]
use crate::traces::{TraceExport, TraceExportError, TraceExporter};
use crate::traffic::{EndedRequest, TrafficRecorder};
use crate::wire::{Lexer, Outline};
use bumpalo::Bump;
#[cfg(feature = "cli")]
use mcpool_pools::BufferConfig;
use mcpool_pools::{
    BufferLease, BufferPool, Lease, MemoryBudget, ObjectPool, PoolConfig, PoolRegistry, Recycle,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::{SystemTime, UNIX_EPOCH};

/// Maintenance ticks between two notifications that the memory report changed: ten seconds.
const REPORT_NOTIFY_TICKS: u32 = 10;

/// A server: its tools, its pools and its limits. A clone is another handle to the same server.
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) slots: ObjectPool<RequestSlot>,
}

impl Server {
    /// The memory of this server: where its bytes are, and advice for the sizes of its pools.
    pub fn memory(&self) -> &MemoryManager {
        &self.shared.memory
    }

    /// The counters of this server.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The tools of this server, those too that the list hides at the moment.
    #[cfg(feature = "cli")]
    pub(crate) fn tool_definitions(&self) -> &[ToolDefinition] {
        self.shared.description.tools.built()
    }

    /// The limits of this server.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The large answers that wait for their peers.
    pub(crate) fn undelivered(&self) -> &Arc<Undelivered> {
        self.shared.pools.turns.undelivered()
    }

    /// The pool of buffers of this server.
    pub fn buffers(&self) -> &BufferPool {
        &self.shared.pools.buffers
    }

    /// All pools of this server, to inspect and resize by name.
    pub fn pools(&self) -> &PoolRegistry {
        &self.shared.pools.registry
    }

    /// Whether a message of this size needs a buffer that should be freed after a burst.
    pub(crate) fn is_large(bytes: usize) -> bool {
        bytes > Pools::LARGE_BYTES
    }

    /// Heap of a session, as the ledger enters it.
    #[cfg(feature = "cli")]
    pub(crate) const fn session_bytes() -> usize {
        sessions::SESSION_BYTES + sessions::MAX_INDEX_BYTES
    }

    /// Heap of a subscription, as the ledger enters it.
    #[cfg(feature = "cli")]
    pub(crate) const fn subscription_bytes() -> usize {
        changes::SUBSCRIPTION_BYTES
    }

    /// Heap of a resource that a subscription names, with a URI of 256 bytes.
    #[cfg(feature = "cli")]
    pub(crate) const fn resource_bytes() -> usize {
        const URI_BYTES: usize = 256;
        changes::resource_bytes(URI_BYTES)
    }

    /// The sizes of small buffers.
    #[cfg(feature = "cli")]
    pub(crate) fn small_buffer_bytes() -> Vec<usize> {
        let classes = BufferConfig::default().classes.into_iter().map(|class| class.bytes);
        classes.filter(|bytes| !Self::is_large(*bytes)).collect()
    }

    /// How long requests take, and the ways of their bytes.
    pub(crate) fn latencies(&self) -> &Latencies {
        &self.shared.latencies
    }

    /// The pools that every transport uses.
    pub(crate) fn common_pools(&self) -> &Pools {
        &self.shared.pools
    }

    /// What keeps a connection or session with so many requests in flight from another one that may have to wait. Where
    /// memory is scarce, those that have one in flight wait for those that have none.
    #[inline]
    pub(crate) fn saturation(&self, in_flight: usize) -> Option<Saturation> {
        let Shared { limits, pools, memory, .. } = &*self.shared;
        if in_flight >= limits.max_concurrent_requests {
            return Some(Saturation::Connection);
        }
        let is_scarce = pools.are_scarce() || memory.is_critical();
        let lacks_memory = pools.are_spent() || (in_flight > 0 && is_scarce);
        lacks_memory.then_some(Saturation::Memory)
    }

    /// The budget of small objects.
    pub(crate) fn small_objects(&self) -> &MemoryBudget {
        &self.shared.pools.small
    }

    /// Whether small objects leave no more memory than what is reserved for small requests.
    pub(crate) fn is_scarce_of_memory(&self) -> bool {
        self.shared.pools.are_scarce()
    }

    /// Whether a call waits for room among the large messages.
    pub(crate) fn is_room_collected(&self) -> bool {
        self.shared.pools.turns.has_collector()
    }

    /// Whether what has not come whole must go, as small objects leave no memory for it.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.shared.pools.are_spent()
    }

    /// What buffers have that has not come of messages of a known length.
    pub(crate) fn announced(&self) -> &MemoryBudget {
        &self.shared.pools.announced
    }

    /// Whether a message of so many bytes is more than all large messages together may be.
    pub(crate) fn is_over_budget(&self, bytes: usize) -> bool {
        bytes > self.shared.pools.leased.limit_bytes()
    }

    /// Leases a slot for a request.
    pub(crate) fn slot(&self) -> Lease<RequestSlot> {
        self.slots.acquire()
    }

    /// Notifies subscribers of a resource that its contents changed.
    pub fn resource_updated(&self, uri: &str) {
        self.shared.changes.updated(uri);
    }

    /// Lists the resources again, and notifies subscribers of the list.
    pub fn resources_changed(&self) {
        self.shared.list_changed(Kind::Resources);
    }

    /// Lists the prompts again, and notifies subscribers of the list.
    pub fn prompts_changed(&self) {
        self.shared.list_changed(Kind::Prompts);
    }

    /// Shows or hides a tool in the list of tools, and notifies subscribers of the list. Unknown names are ignored.
    pub fn offer_tool(&self, name: &str, offered: bool) {
        self.shared.offer_tool(name, offered);
    }

    /// Adds a tool while the server runs, lists it, and notifies subscribers of the list. The server was built with room for
    /// it ([`ServerBuilder::dynamic_tools`](crate::ServerBuilder::dynamic_tools)); a tool that was removed makes room for
    /// another one.
    ///
    /// ```
    /// use mcpool::{DynamicTool, Server, ToolDefinition};
    ///
    /// let server = Server::builder("plugins", "1.0.0").dynamic_tools(16).build()?;
    /// let hello = DynamicTool::new(ToolDefinition::new("hello", "Greets."), |_arguments, call| {
    ///     Box::pin(async move { Ok(call.text("Hello!")) })
    /// });
    /// server.add_tool(hello)?;
    /// // When it is no longer wanted.
    /// assert!(server.remove_tool("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the server has no room for it, or when it cannot be listed beside the other tools; nothing is changed then.
    pub fn add_tool(&self, tool: DynamicTool) -> Result<(), AddToolError> {
        let room = self.dynamic_tools().ok_or(AddToolError::NoRoom { most: 0 })?;
        let tools = &self.shared.description.tools;
        let changing = lock(room.changing());
        let (number, is_taken_over) = tools.add(tool.definition(), &self.shared.limits)?;
        if is_taken_over {
            self.shared.tool_usage.forget(number);
        }
        room.set(number - tools.first_added(), Some(tool));
        drop(changing);
        self.shared.list_changed(Kind::Tools);
        Ok(())
    }

    /// Removes a tool that was added while the server runs, and notifies subscribers of the list; whether it was there. Calls
    /// of it that have begun go on to their end.
    pub fn remove_tool(&self, name: &str) -> bool {
        let Some(room) = self.dynamic_tools() else { return false };
        let tools = &self.shared.description.tools;
        let changing = lock(room.changing());
        let Some(number) = tools.remove(name) else { return false };
        room.set(number - tools.first_added(), None);
        drop(changing);
        self.shared.list_changed(Kind::Tools);
        true
    }

    fn dynamic_tools(&self) -> Option<&DynamicTools> {
        self.shared.dynamic_tools.as_ref()?.downcast_ref()
    }

    /// A session for the owner before its handshake: the client came without an address, over standard input and output
    /// or a stream given to [`serve_lines`](crate::transport::serve_lines).
    pub(crate) fn owner_session(&self) -> Arc<Session> {
        Arc::new(Session::new(self.shared.sessions.next_number(), 0).of_owner())
    }

    /// The pool of objects that a transport leases for its connections: one for each type, made at its first use.
    pub(crate) fn transport_pool<P: Send + 'static, R: Recycle<P>>(
        &self,
        config: PoolConfig,
        recycle: impl FnOnce() -> R,
    ) -> ObjectPool<P> {
        self.shared.pools.of_transport(config, recycle)
    }

    /// Registers whose connections are open: tasks of who has none make room first.
    pub(crate) fn see_connections(&self, permits: &Arc<FairLimit>) {
        self.shared.tasks.see_connections(permits);
    }

    /// The session that all requests share which have none of their own.
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

    /// Ends all sessions of the principals that `must_go` selects.
    pub(crate) fn end_sessions(&self, must_go: impl Fn(u128) -> bool) {
        for session in self.shared.sessions.remove_of(must_go) {
            self.shared.close_session(&session);
        }
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.len()
    }

    /// How many subscriptions to changes are open.
    pub fn subscriptions(&self) -> usize {
        self.shared.changes.len()
    }

    /// How many tasks are stored, including finished ones.
    pub fn tasks(&self) -> usize {
        self.shared.tasks.len()
    }

    /// How many tasks run.
    pub fn running_tasks(&self) -> usize {
        self.shared.tasks.running()
    }

    /// Awaits `serving`, and then the running tasks. Tasks are cancelled `drain_timeout_ms` after `drain` began or
    /// `serving` ended by itself.
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
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.shared.traces.get() {
            exporter.flush(deadline).await;
        }
        ended
    }

    /// How many requests wait for an answer of their client.
    pub fn client_requests(&self) -> usize {
        self.shared.client_requests.waiting()
    }

    /// Bytes of the events that are stored for clients that reconnect.
    pub fn event_bytes(&self) -> usize {
        self.shared.events.bytes()
    }

    /// Subscribes a legacy client to changes.
    pub(crate) fn subscribe_legacy_client(&self, session: &Session) {
        listen::subscribe_legacy_client(&self.shared, session);
    }

    /// Opens a stream of a session.
    pub(crate) fn open_event_stream(&self, session: &Session) -> (StreamWriter, StreamReader) {
        self.shared.events.open(session.number())
    }

    /// The rest of a stream after the event `last`.
    pub(crate) fn resume_event_stream(&self, session: &Session, last: &[u8]) -> Option<StreamReader> {
        self.shared.events.resume(session.number(), last)
    }

    /// Begins to send an answer that a session kept.
    pub(crate) fn send_streamed(&self, answer: &Arc<StreamedAnswer>, session: &Session) -> AnswerStream {
        let pools = &self.shared.pools;
        let means = StreamMeans {
            threads: self.shared.thread_permits.clone(),
            key: SessionKey { principal: session.principal(), session: session.number() },
            buffers: pools.buffers.clone(),
            windows: pools.windows.clone(),
            window: None,
        };
        AnswerStream::new(Arc::clone(answer), means)
    }

    /// An error answer to an HTTP request without a message.
    pub(crate) fn refusal_without_request(&self, error: &ProtocolError<'_>) -> Outcome {
        self.shared.refusal_in(Era::Legacy, AnswerId::Omitted, error)
    }

    /// The answer to a request that cannot run without its connection.
    pub(crate) fn refuse_to_detach(&self, slot: &RequestSlot, reason: CannotDetach) -> Outcome {
        let error = match reason {
            CannotDetach::TooMany => {
                ProtocolError::TooManyRequests { limit: self.shared.limits.max_concurrent_requests }
            }
            CannotDetach::Repeated => ProtocolError::REPEATED_ID,
        };
        let names = slot.call().details();
        self.shared.refusal(AnswerId::Of(&names.id), &error)
    }

    /// Ends a session with all that belongs to it.
    pub(crate) fn close_session(&self, session: &Session) {
        self.shared.close_session(session);
    }

    /// The next message for a legacy client that belongs to no request; `cx` is woken when there is one.
    pub(crate) fn next_notice(&self, session: &Session, cx: &mut Context<'_>) -> Option<BufferLease> {
        listen::next_notice(&self.shared, session, cx)
    }

    /// Does what is due from time to time: frees expired sessions, events and tasks, and has the [`MemoryManager`]
    /// measure the pools and the memory pressure. **Call it once a second** unless the server is served by
    /// [`serve_http`](crate::transport::serve_http), which calls it itself.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use mcpool::transport::serve_lines;
    /// use mcpool::{Drain, Server};
    /// use std::time::Duration;
    ///
    /// let server = Server::builder("demo", "1.0.0").build()?;
    /// # let (peer, stream) = tokio::io::duplex(64);
    /// # drop(peer);
    /// # let (reader, writer) = tokio::io::split(stream);
    /// let maintenance = tokio::spawn({
    ///     let server = server.clone();
    ///     async move {
    ///         loop {
    ///             tokio::time::sleep(Duration::from_secs(1)).await;
    ///             server.maintain();
    ///         }
    ///     }
    /// });
    /// serve_lines(&server, reader, writer, &Drain::default()).await?;
    /// maintenance.abort();
    /// # Ok(())
    /// # }
    /// ```
    pub fn maintain(&self) {
        // What this makes stays, mostly: what is usual for each kind of request, what a pool remembers, alerts.
        lasting(|| self.maintain_apart());
    }

    fn maintain_apart(&self) {
        self.sweep();
        self.observe_performance();
        let before = self.shared.memory.pressure();
        self.shared.memory.tick(std::time::Instant::now());
        if let Some(ticks) = &self.shared.memory_report_ticks {
            let is_due =
                ticks.fetch_add(1, Ordering::Relaxed) % REPORT_NOTIFY_TICKS == REPORT_NOTIFY_TICKS - 1;
            if is_due || self.shared.memory.pressure() != before {
                self.resource_updated(REPORT_URI);
            }
        }
    }

    /// Compares the last ten seconds with what is usual and what is required, when they have just ended.
    fn observe_performance(&self) {
        let Shared { latencies, performance, description, .. } = &*self.shared;
        let tools = description.tools.all();
        let tools = tools.iter().map(ToolDefinition::name);
        if !latencies.tick(Moment::coarse()) {
            return performance.make_room(latencies, tools);
        }
        let now_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let has_changed = performance.observe(latencies, tools, now_unix_ms);
        if has_changed && self.shared.memory_report_ticks.is_some() {
            self.resource_updated(ALERTS_URI);
        }
    }

    /// Has each alert of the monitor given to `sink`, when it begins and when it ends, beside the log. Only the first call
    /// has an effect, and `sink` must not block: it is called by [`Server::maintain`].
    ///
    /// ```
    /// let server = mcpool::Server::builder("demo", "1.0.0").build()?;
    /// server.report_alerts_to(|alert| eprintln!("{}: {}", alert.subject, alert.what));
    /// # Ok::<(), mcpool::BuildError>(())
    /// ```
    pub fn report_alerts_to(&self, sink: impl Fn(&Alert) + Send + Sync + 'static) {
        self.shared.performance.report_to(sink);
    }

    /// Sends a span of each request and notification that ends from now on to a collector. A request whose `_meta` has a
    /// `traceparent` belongs to that trace. No request waits for the collector, and a drain waits five seconds at most.
    ///
    /// The span of a request that is cancelled, or whose client is gone, has the `error.type` `cancelled`. `mcp.session.id` is the number of the session
    /// as the log has it, as its id is a secret. [`TraceExport`] has an example.
    ///
    /// # Errors
    /// When the endpoint is no URL, or this server has an export already.
    #[cfg(feature = "otel")]
    pub fn export_traces(&self, export: &TraceExport) -> Result<(), TraceExportError> {
        let Implementation { name, version } = &self.shared.description.implementation;
        let exporter = TraceExporter::start(export, name, version)?;
        self.shared.traces.set(exporter).map_err(|_| TraceExportError::Repeated)
    }

    /// Has the requests of this server written down, those that come from now on. Only the first call has an effect.
    /// [`TrafficRecorder`] has an example.
    pub fn record_traffic_to(&self, recorder: &TrafficRecorder) {
        // A second one is ignored.
        let _ = self.shared.traffic.set(recorder.clone());
    }

    /// Has each request of this server given to `sink` when it has ended, whether it was answered or not. Only the first
    /// call has an effect. `sink` must not block, and is called by the threads that serve; a request that allocates nothing
    /// still does not, if `sink` does not.
    ///
    /// ```
    /// let server = mcpool::Server::builder("demo", "1.0.0").build()?;
    /// server.report_requests_to(|request| println!("{request}"));
    /// # Ok::<(), mcpool::BuildError>(())
    /// ```
    pub fn report_requests_to(&self, sink: impl Fn(&EndedRequest<'_>) + Send + Sync + 'static) {
        // A second one is ignored.
        let _ = self.shared.requests.set(Box::new(RequestObserver::new(Box::new(sink))));
    }

    /// Reports a request that its transport refused before it was read as a message.
    #[cold]
    pub(crate) fn note_refused_request(&self, request: &EndedRequest<'_>) {
        if let Some(observer) = self.shared.requests.get() {
            observer.note(ClientNumber::UNNAMED, request);
        }
    }

    /// The number of a new connection.
    pub(crate) fn next_connection(&self) -> u32 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// What is usual for this server by now: how long each method and tool takes, by load.
    pub fn baseline(&self) -> SavedBaseline {
        self.shared.performance.baseline(&self.shared.description.implementation.version)
    }

    /// Compares with what was usual in an earlier run, or of another version, instead of with what is learnt.
    ///
    /// # Errors
    /// When the baseline is of another kind.
    pub fn compare_with(&self, baseline: SavedBaseline) -> Result<(), String> {
        self.shared.performance.compare_with(baseline)
    }

    /// Old name of [`Server::maintain`].
    #[deprecated(note = "is called `maintain`")]
    pub fn keep(&self) {
        self.maintain();
    }

    /// Frees expired sessions, events and tasks: the stores remove them, and `Shared::close_session` frees what belongs
    /// to a removed session.
    pub(crate) fn sweep(&self) {
        let now = std::time::Instant::now();
        for session in self.shared.sessions.sweep(now) {
            self.shared.metrics.sessions_expired.add(1);
            tracing::debug!(session = session.number(), "session expired");
            self.shared.close_session(&session);
        }
        self.shared.events.sweep(now);
        self.shared.tasks.sweep(SystemTime::now());
    }

    /// An error answer to bytes in which no id could be read.
    pub(crate) fn refusal_without_id(&self, session: &Session, error: &ProtocolError<'_>) -> Outcome {
        self.shared.refusal_without_id(session, error)
    }

    /// The answer to a message that was too long, and of which only the outline is known. Only a request gets its id
    /// back: the id of a response is one of the server's, and could be that of another request of the client.
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

    /// Records that the request of a slot ended at `now`, and starts the task that it became. The connection acts on
    /// the outcome.
    pub(crate) fn record_end(&self, served: ServedFrame, slot: &RequestSlot, now: Moment) -> Outcome {
        let call = slot.call();
        if let Some(came) = call.came() {
            let ns = now.ns_since(came);
            self.shared.operations.note(call, ns);
            self.shared.latencies.note(call, ns);
            if call.failure().is_some() {
                self.shared.tool_usage.note_error(call.tool());
            }
            #[cfg(feature = "otel")]
            traced::end(&self.shared, call, ns);
            observed::end(&self.shared, call, &served.outcome, served.detached.is_some(), ns);
            if self.shared.traffic.get().is_some() {
                recorded::end(call, &served.outcome, now);
            }
        }
        if let Some(call) = served.detached {
            tasks::run(&self.shared, &self.slots, *call);
        }
        served.outcome
    }
}
