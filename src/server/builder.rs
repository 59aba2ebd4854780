//! Building a server, and why building may fail.

use crate::limits::{Limits, LimitsError};
use crate::memory::{Ceiling, LimitTooSmall, MemoryConfig, MemoryManager};
use crate::metrics::{Metrics, Moment};
use crate::protocol::ToolDefinition;
use crate::server::answer::catalog::{CatalogError, Implementation};
use crate::server::answer::definitions::Definitions;
use crate::server::answer::envelope;
#[cfg(feature = "validation")]
use crate::server::answer::validation::Validators;
use crate::server::handler::dynamic_tool::DynamicTools;
use crate::server::handler::families::Families;
#[cfg(feature = "report")]
use crate::server::handler::memory_resource::MemoryResource;
use crate::server::handler::prompts::{Completer, Prompts};
use crate::server::handler::resources::Resources;
use crate::server::handler::tool::{Blocking, BlockingTool, Chain, NoTools, Single, Tool, Toolset};
use crate::server::handler::tool_list::{BoxedTool, ToolList};
use crate::server::server::Server;
use crate::server::serving::core::Core;
use crate::server::serving::slot::{SlotFactory, slot_pool};
use crate::server::shared::{Description, Shared};
use crate::server::state::changes::Changes;
use crate::server::state::client_requests::ClientRequestLimit;
use crate::server::state::event_store::EventStore;
use crate::server::state::fair_permits::FairPermits;
use crate::server::state::latencies::Latencies;
use crate::server::state::operations::Operations;
use crate::server::state::performance::Performance;
use crate::server::state::pools::Pools;
use crate::server::state::request_state::{NoRandomness, Sealer};
use crate::server::state::session::Session;
use crate::server::state::sessions::Sessions;
use crate::server::state::task_store::TaskStore;
use crate::server::state::tool_usage::ToolUsage;
use arc_swap::ArcSwap;
use mcpool_pools::NameTaken;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock};
use thiserror::Error;

/// Why a server cannot be built.
///
/// ```
/// use mcpool::{BuildError, Limits, Server};
///
/// let limits = Limits { max_frame_bytes: 1, ..Limits::default() };
/// let error = Server::builder("small", "1.0.0").limits(limits).build().err();
/// assert!(matches!(error, Some(BuildError::Limits(_))));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The bounds contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The memory limit is below what the process needs.
    #[error(transparent)]
    Memory(#[from] LimitTooSmall),
    /// The tools cannot be advertised.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Two pools have the same name.
    #[error(transparent)]
    Pools(#[from] NameTaken),
    /// The system gave no key to seal `requestState`.
    #[error("no key for requestState: {0}")]
    Key(#[from] NoRandomness),
}

/// Collects the parts of a server; [`Server::builder`] begins.
///
/// ```
/// use mcpool::{Limits, Server};
///
/// let limits = Limits { max_frame_bytes: 1024 * 1024, ..Limits::default() };
/// let server = Server::builder("demo", "1.0.0")
///     .instructions("Ask for one thing at a time.")
///     .limits(limits)
///     .build()?;
/// assert_eq!(server.limits().max_frame_bytes, 1024 * 1024);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub struct ServerBuilder<T> {
    implementation: Implementation,
    instructions: Option<String>,
    limits: Limits,
    toolset: T,
    /// What the toolset offers, asked of each part once: some parse theirs.
    tools: Vec<ToolDefinition>,
    /// Room for tools that come later, and the number of the first of them.
    dynamic_tools: Option<(usize, DynamicTools)>,
    families: Families,
    request_state_key: Option<[u8; 32]>,
    has_memory_resource: bool,
    #[cfg(feature = "validation")]
    validates: bool,
}

impl Server {
    /// Begins to build a server with the name and version that clients see.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder<NoTools> {
        ServerBuilder {
            implementation: Implementation { name: name.into(), version: version.into() },
            instructions: None,
            limits: Limits::default(),
            toolset: NoTools,
            tools: Vec::new(),
            dynamic_tools: None,
            families: Families::default(),
            request_state_key: None,
            has_memory_resource: false,
            #[cfg(feature = "validation")]
            validates: true,
        }
    }
}

impl<T: Toolset> ServerBuilder<T> {
    /// Adds a tool; lists show it after the tools that were added before.
    pub fn tool<U: Tool>(self, tool: U) -> ServerBuilder<Chain<T, Single<U>>> {
        self.toolset(Single(tool))
    }

    /// Adds a tool that works on a thread that may block; lists show it after the tools that were added before.
    pub fn blocking_tool<U: BlockingTool>(self, tool: U) -> ServerBuilder<Chain<T, Blocking<U>>> {
        self.toolset(Blocking(tool))
    }

    /// Adds as many tools as there are, of whatever types; lists show them after the tools that were added before. Each
    /// call of one allocates once, which calls of tools that are added one by one do not. [`BoxedTool`] has an example.
    pub fn tools(self, tools: impl IntoIterator<Item = BoxedTool>) -> ServerBuilder<Chain<T, ToolList>> {
        self.toolset(tools.into_iter().collect())
    }

    /// Adds a family of tools; lists show it after the tools that were added before.
    pub fn toolset<U: Toolset>(self, toolset: U) -> ServerBuilder<Chain<T, U>> {
        let mut tools = self.tools;
        let front_len = tools.len();
        tools.extend(toolset.definitions());
        ServerBuilder {
            implementation: self.implementation,
            instructions: self.instructions,
            limits: self.limits,
            tools,
            toolset: Chain { front: self.toolset, front_len, back: toolset },
            dynamic_tools: self.dynamic_tools,
            families: self.families,
            request_state_key: self.request_state_key,
            has_memory_resource: self.has_memory_resource,
            #[cfg(feature = "validation")]
            validates: self.validates,
        }
    }

    /// Makes room for `most` tools that come and go while the server runs ([`Server::add_tool`],
    /// [`Server::remove_tool`]); lists show them after the tools that were added before. Each costs about 250 bytes while it
    /// is empty. Where it is called twice, the last call counts.
    ///
    /// ```
    /// use mcpool::Server;
    ///
    /// let server = Server::builder("plugins", "1.0.0").dynamic_tools(16).build()?;
    /// # Ok::<(), mcpool::BuildError>(())
    /// ```
    pub fn dynamic_tools(mut self, most: usize) -> ServerBuilder<Chain<T, DynamicTools>> {
        let tools = DynamicTools::new(most);
        self.dynamic_tools = Some((self.tools.len(), tools.clone()));
        self.toolset(tools)
    }

    /// Adds a family of resources.
    #[must_use]
    pub fn resources(mut self, resources: impl Resources) -> Self {
        self.families.resources.push(Arc::new(resources));
        self
    }

    /// Adds the memory report as the resource `mcpool://memory/report`, and a prompt that asks for tuning. Only
    /// administrators see them ([`RequestContext::is_admin`](crate::RequestContext::is_admin)).
    #[cfg(feature = "report")]
    #[must_use]
    pub fn memory_resource(mut self) -> Self {
        self.has_memory_resource = true;
        self.resources(MemoryResource).prompts(MemoryResource)
    }

    /// Adds a family of prompts.
    #[must_use]
    pub fn prompts(mut self, prompts: impl Prompts) -> Self {
        self.families.prompts.push(Box::new(prompts));
        self
    }

    /// Adds what completes arguments of prompts and variables of resource templates. Of several, the first that knows the
    /// prompt or the template answers: the others end with [`ToolError::NotFound`](crate::ToolError::NotFound).
    #[must_use]
    pub fn completer(mut self, completer: impl Completer) -> Self {
        self.families.completers.push(Box::new(completer));
        self
    }

    /// Lets calls continue as tasks ([`RequestContext::prefer_task`](crate::RequestContext::prefer_task)), for clients
    /// that support the extension.
    #[must_use]
    pub fn tasks(mut self) -> Self {
        self.families.has_tasks = true;
        self
    }

    /// Sets the key that seals `requestState`. Processes that serve the same clients need the same key. By default each
    /// process makes its own.
    #[must_use]
    pub fn request_state_key(mut self, key: [u8; 32]) -> Self {
        self.request_state_key = Some(key);
        self
    }

    /// Sets the text that tells a model how to use the server.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Sets whether schemas that are given as text validate calls. By default they do.
    #[cfg(feature = "validation")]
    #[must_use]
    pub fn validate(mut self, validates: bool) -> Self {
        self.validates = validates;
        self
    }

    /// Sets the limits.
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
        let (limits, ceiling) = divided(self.limits, &self.toolset)?;
        let implementation = serde_json::to_string(&self.implementation).map_err(CatalogError::from)?;
        let description = Description {
            implementation: self.implementation,
            instructions: self.instructions,
            tools: definitions(self.tools, self.dynamic_tools.as_ref()),
            has_tasks: self.families.has_tasks,
            hidden: Mutex::default(),
        };
        let catalog = self.families.catalog(&description, &limits)?;
        #[cfg(feature = "validation")]
        let validators = validators(self.validates, description.tools.built(), &limits)?;
        let sessions = Sessions::new(limits.max_sessions, limits.session_timeout());
        let (tool_usage, latencies, performance) = measured(description.tools.built().len(), &limits);
        let pools = Pools::new(&limits, &ceiling)?;
        let managed = managed(&description, &pools, &limits, ceiling);
        let events = EventStore::with_news(&limits, Arc::clone(pools.turns.news()));
        let shared = Arc::new(Shared {
            memory: MemoryManager::new(managed, std::time::Instant::now()),
            catalog: ArcSwap::from_pointee(catalog),
            description,
            dynamic_tools: self.dynamic_tools.map(|(_, room)| Box::new(room) as _),
            list_changes: AtomicU32::default(),
            relist: OnceLock::new(),
            changes: Changes::new(&limits, pools.lasting.clone()),
            pools,
            stateless: Arc::new(Session::new(sessions.next_number(), 0)),
            sessions,
            client_requests: ClientRequestLimit::new(limits.max_client_requests),
            events,
            tasks: Arc::new(TaskStore::new(&limits)),
            thread_permits: FairPermits::new(limits.max_blocking_threads),
            #[cfg(feature = "validation")]
            validators,
            sealer: Sealer::new(self.request_state_key, &limits)?,
            server_meta: envelope::server_meta(&implementation).map_err(CatalogError::from)?,
            metrics: Metrics::default(),
            operations: Operations::default(),
            latencies,
            performance,
            tool_usage,
            #[cfg(feature = "otel")]
            traces: OnceLock::new(),
            traffic: OnceLock::new(),
            requests: OnceLock::new(),
            connections: AtomicU32::new(0),
            memory_report_ticks: self.has_memory_resource.then(AtomicU32::default),
            limits,
        });
        shared.memory.open_account(&shared);
        let (toolset, families) = (self.toolset, self.families);
        let core = Arc::new(Core { shared: Arc::clone(&shared), toolset, families });
        shared.register_relist(&core);
        shared.memory.open_account(&core);
        let slots = slot_pool(&shared.pools, &shared.limits, SlotFactory::new(core))?;
        Ok(Server { shared, slots })
    }
}

/// What calls are checked against.
#[cfg(feature = "validation")]
fn validators(
    validates: bool,
    tools: &[ToolDefinition],
    limits: &Limits,
) -> Result<Validators, CatalogError> {
    if validates { Validators::new(tools, limits) } else { Ok(Validators::default()) }
}

/// The definitions of all tools, with the numbers that are left for those that come later.
fn definitions(mut tools: Vec<ToolDefinition>, dynamic_tools: Option<&(usize, DynamicTools)>) -> Definitions {
    tools.shrink_to_fit();
    let vacant = dynamic_tools.map(|(first, room)| *first..*first + room.most());
    Definitions::new(tools, vacant)
}

/// What the memory manager of a server works on.
fn managed(description: &Description, pools: &Pools, limits: &Limits, ceiling: Ceiling) -> MemoryConfig {
    MemoryConfig {
        leased: pools.leased.clone(),
        small: pools.small.clone(),
        reserved_bytes: pools.reserved_bytes,
        name: description.implementation.name.clone(),
        version: description.implementation.version.clone(),
        limits: limits.clone(),
        ceiling,
        registry: pools.registry.clone(),
        budget: pools.budget.clone(),
    }
}

/// What is measured of so many tools.
fn measured(tools: usize, limits: &Limits) -> (ToolUsage, Latencies, Performance) {
    let tool_usage = ToolUsage::new(tools, limits.arena_retain_bytes);
    (tool_usage, Latencies::new(tools, Moment::coarse()), Performance::new(limits))
}

/// The limits, with what follows from the ceiling of this process.
fn divided(mut limits: Limits, toolset: &impl Toolset) -> Result<(Limits, Ceiling), BuildError> {
    limits.validate()?;
    let ceiling = Ceiling::of_process(&mut limits, |limits| toolset.max_state_bytes(limits))?;
    Ok((limits, ceiling))
}
