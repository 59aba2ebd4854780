//! The state that all requests of a server share, and the answers that need only this state.

use crate::limits::Limits;
use crate::lock::lock;
use crate::memory::MemoryManager;
use crate::metrics::Metrics;
use crate::protocol::{Era, ProtocolError};
use crate::server::answer::catalog::{Catalog, CatalogError, Implementation};
use crate::server::answer::definitions::{Definition, Definitions};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
#[cfg(feature = "validation")]
use crate::server::answer::validation::Validators;
use crate::server::state::changes::{Changes, Kind};
use crate::server::state::client_requests::{ClientAnswer, ClientRequestLimit};
use crate::server::state::event_store::EventStore;
use crate::server::state::fair_permits::FairPermits;
use crate::server::state::latencies::Latencies;
use crate::server::state::operations::Operations;
use crate::server::state::performance::Performance;
use crate::server::state::pools::Pools;
use crate::server::state::request_observer::RequestObserver;
use crate::server::state::request_state::Sealer;
use crate::server::state::session::Session;
use crate::server::state::sessions::{MAX_INDEX_BYTES, SESSION_BYTES, Sessions};
use crate::server::state::task_store::TaskStore;
use crate::server::state::tool_usage::ToolUsage;
#[cfg(feature = "otel")]
use crate::traces::TraceExporter;
use crate::traffic::TrafficRecorder;
use crate::wire::Reply;
use arc_swap::ArcSwap;
use serde_json::value::RawValue;
use std::any::Any;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// Catalogs that one change makes at most, where others come at the same time. Handlers that list what they have may change
/// a list themselves, each time.
const MAX_RELISTS: u32 = 4;

/// The state that all requests of a server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) pools: Pools,
    /// The serialised lists; replaced as a whole when one changes.
    pub(crate) catalog: ArcSwap<Catalog>,
    pub(crate) description: Description,
    /// The room for tools that come while the server runs, if it was built with some: the handlers know its type. It is not
    /// a field of `Server`, which each connection has.
    pub(crate) dynamic_tools: Option<Box<dyn Any + Send + Sync>>,
    /// How often a list changed.
    pub(crate) list_changes: AtomicU32,
    /// Makes a new catalog; empty until the handlers are registered.
    pub(crate) relist: OnceLock<Weak<dyn Relist>>,
    pub(crate) changes: Changes,
    pub(crate) sessions: Sessions,
    /// The session that all requests share which have none of their own: those of the modern era, and those before a
    /// handshake.
    pub(crate) stateless: Arc<Session>,
    /// How many requests wait for clients.
    pub(crate) client_requests: ClientRequestLimit,
    pub(crate) events: EventStore,
    pub(crate) tasks: Arc<TaskStore>,
    /// Who may use the blocking threads.
    pub(crate) thread_permits: FairPermits,
    pub(crate) sealer: Sealer,
    #[cfg(feature = "validation")]
    pub(crate) validators: Validators,
    /// The `_meta` of modern results.
    pub(crate) server_meta: Box<RawValue>,
    pub(crate) metrics: Metrics,
    pub(crate) operations: Operations,
    pub(crate) latencies: Latencies,
    pub(crate) performance: Performance,
    pub(crate) tool_usage: ToolUsage,
    /// Maintenance ticks since the start, where the memory report is a resource.
    pub(crate) memory_report_ticks: Option<AtomicU32>,
    pub(crate) memory: MemoryManager,
    /// Where spans are exported, if they are.
    #[cfg(feature = "otel")]
    pub(crate) traces: OnceLock<TraceExporter>,
    /// Who writes requests down, if anybody does.
    pub(crate) traffic: OnceLock<TrafficRecorder>,
    /// Who is given the requests that end, if anybody is.
    pub(crate) requests: OnceLock<Box<RequestObserver>>,
    /// How many connections there were: each has the next number.
    pub(crate) connections: AtomicU32,
}

/// The parts of the catalog that come from the builder, and which tools there are.
pub(crate) struct Description {
    pub(crate) implementation: Implementation,
    pub(crate) instructions: Option<String>,
    pub(crate) tools: Definitions,
    /// Whether calls may go on as tasks.
    pub(crate) has_tasks: bool,
    /// Names of tools that the list leaves out at the moment.
    pub(crate) hidden: Mutex<HashSet<String>>,
}

/// Makes the catalog. Its implementation knows the handlers, which this file does not.
pub(crate) trait Relist: Send + Sync {
    /// A catalog of all that the handlers list now.
    ///
    /// # Errors
    /// When it cannot be written.
    fn catalog(&self) -> Result<Catalog, CatalogError>;
}

impl Shared {
    /// Registers what makes the catalog.
    pub(crate) fn register_relist(&self, relist: &Arc<impl Relist + 'static>) {
        let relist = Arc::downgrade(relist);
        // A second one is ignored: a server has one set of handlers.
        let _ = self.relist.set(relist);
    }

    /// An empty answer; it leases a buffer at its first write.
    pub(crate) fn reply(&self) -> Reply {
        Reply::new(self.pools.buffers.clone(), self.limits.max_reply_bytes)
    }

    /// A written answer, or an error if there was no room for all of it.
    pub(crate) fn answered(&self, reply: Reply, id: AnswerId<'_>) -> Outcome {
        match reply.finish() {
            Ok(answer) => Outcome::Reply(answer),
            Err(error) => {
                let mut refusal = self.reply();
                envelope::error(&mut refusal, Era::Modern, id, &error.into());
                // The smallest limit has room for this sentence and the longest id.
                refusal.finish().map_or(Outcome::Silent, Outcome::Reply)
            }
        }
    }

    /// An error answer in the form of the modern era, where the era of the message is not known.
    pub(crate) fn refusal(&self, id: AnswerId<'_>, error: &ProtocolError<'_>) -> Outcome {
        self.refusal_in(Era::Modern, id, error)
    }

    /// An error answer to bytes in which no id could be read.
    pub(crate) fn refusal_without_id(&self, session: &Session, error: &ProtocolError<'_>) -> Outcome {
        self.refusal(AnswerId::unreadable(session.revision()), error)
    }

    /// An error answer.
    pub(crate) fn refusal_in(&self, era: Era, id: AnswerId<'_>, error: &ProtocolError<'_>) -> Outcome {
        tracing::debug!(%error, "message refused");
        self.metrics.protocol_errors.add(1);
        let mut reply = self.reply();
        envelope::error(&mut reply, era, id, error);
        match self.answered(reply, id) {
            Outcome::Reply(answer) => Outcome::Refused { answer, status: error.http_status(era) },
            outcome => outcome,
        }
    }

    /// Stores a new session, and returns its secret id.
    pub(crate) fn open_session(&self, session: &Arc<Session>) -> Result<u128, ProtocolError<'static>> {
        // What toolsets keep in a session is charged apart.
        let memory = self.pools.lasting.try_reserve(session.principal(), SESSION_BYTES + MAX_INDEX_BYTES);
        let memory = memory.map_err(|_| ProtocolError::NoMemoryToWait)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| ProtocolError::Internal("the system gives no random bytes"))?;
        let id = u128::from_ne_bytes(id);
        self.metrics.sessions_opened.add(1);
        for evicted in self.sessions.open(id, Arc::clone(session), memory) {
            self.metrics.sessions_expired.add(1);
            tracing::debug!(session = evicted.number(), "session evicted: max_sessions are open");
            self.close_session(&evicted);
        }
        Ok(id)
    }

    /// Ends a session that was removed from the store, with all that belongs to it.
    pub(crate) fn close_session(&self, session: &Session) {
        self.operations.note_session(session.age_ns());
        session.close();
        // Nobody else may ask for them.
        if session.has_tasks() {
            self.tasks.end_session(session.number());
        }
        self.events.drop_session(session.number());
    }

    /// The definition of a tool.
    pub(crate) fn definition_of(&self, tool: Option<usize>) -> Option<Definition<'_>> {
        self.description.tools.find(tool?)
    }

    /// Whether the arguments of a tool are validated.
    #[cfg_attr(not(feature = "validation"), allow(clippy::unused_self))]
    pub(crate) fn validates_arguments(&self, tool: Option<usize>) -> bool {
        #[cfg(feature = "validation")]
        if let Some(tool) = tool {
            return match self.description.tools.validators(tool) {
                Some(added) => added.has_arguments(0),
                None => self.validators.has_arguments(tool),
            };
        }
        let _ = tool;
        false
    }

    /// Validates the arguments of a tool, as JSON text, if its schema was given as text.
    #[cfg_attr(not(feature = "validation"), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    pub(crate) fn check_arguments(&self, tool: Option<usize>, json: &str) -> Result<(), String> {
        #[cfg(feature = "validation")]
        if let Some(tool) = tool {
            return match self.description.tools.validators(tool) {
                Some(added) => added.check_arguments(0, json),
                None => self.validators.check_arguments(tool, json),
            };
        }
        let _ = (tool, json);
        Ok(())
    }

    /// The same for its structured answer.
    #[cfg_attr(not(feature = "validation"), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    pub(crate) fn check_output(&self, tool: Option<usize>, json: &[u8]) -> Result<(), String> {
        #[cfg(feature = "validation")]
        if let (Some(tool), Ok(json)) = (tool, std::str::from_utf8(json)) {
            return match self.description.tools.validators(tool) {
                Some(added) => added.check_output(0, json),
                None => self.validators.check_output(tool, json),
            };
        }
        let _ = (tool, json);
        Ok(())
    }

    /// Gives a client's answer to the request that waits for it.
    pub(crate) fn take_answer(&self, session: &Session, id: &str, is_error: bool, body: &str) {
        let Ok(id) = id.parse() else { return };
        let mut owned = self.pools.owned_messages.acquire();
        owned.copy_arguments(body);
        self.metrics.owned_messages.add(1);
        let answer = ClientAnswer::new(is_error, owned);
        if !self.latencies.correlate(|| session.take_answer(id, answer)) {
            tracing::debug!(id, "a client answered what it was not asked");
        }
    }

    /// Makes a new catalog, and notifies all subscribers of the list.
    pub(crate) fn list_changed(&self, kind: Kind) {
        let mut seen = self.list_changes.fetch_add(1, Ordering::SeqCst) + 1;
        for _ in 0..MAX_RELISTS {
            match self.relist.get().and_then(Weak::upgrade).map(|relist| relist.catalog()) {
                Some(Ok(catalog)) => self.catalog.store(Arc::new(catalog)),
                Some(Err(error)) => tracing::error!(%error, "the list stays as it was"),
                // The server was dropped, and lists nothing any more.
                None => {}
            }
            // What changed meanwhile may be missing here, and the list that has it may just have been replaced.
            let latest = self.list_changes.load(Ordering::SeqCst);
            if latest == seen {
                break;
            }
            seen = latest;
        }
        self.changes.changed(kind);
    }

    /// Shows a tool in the list, or hides it.
    pub(crate) fn offer_tool(&self, name: &str, offered: bool) {
        let mut hidden = lock(&self.description.hidden);
        let has_changed = if offered { hidden.remove(name) } else { hidden.insert(name.to_owned()) };
        drop(hidden);
        if has_changed {
            self.list_changed(Kind::Tools);
        }
    }
}
