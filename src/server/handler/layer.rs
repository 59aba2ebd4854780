//! What happens around the calls of a tool: layers, and two that are ready.
//!
//! A layer is part of the tool's type. A tool without one pays nothing for it.

use crate::protocol::ToolDefinition;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::tool::Tool;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// What happens around each call of a tool: before it, after it, or instead of it.
///
/// ```
/// use mcpool::{CallContext, CallLayer, Layered, Server, Tool, ToolError};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// # use mcpool::ToolDefinition;
/// # struct Echo;
/// # impl Tool for Echo {
/// #     type Arguments<'a> = std::collections::BTreeMap<String, String>;
/// #     fn definition(&self) -> ToolDefinition {
/// #         ToolDefinition::new("echo", "Says back.")
/// #     }
/// #     async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
/// #         Ok(call.text("echo"))
/// #     }
/// # }
///
/// /// Counts the calls that fail.
/// #[derive(Default)]
/// struct CountFailures {
///     failures: AtomicU64,
/// }
///
/// impl CallLayer for CountFailures {
///     async fn around<'a, T: Tool>(
///         &'a self,
///         tool: &'a T,
///         arguments: T::Arguments<'a>,
///         call: &mut CallContext,
///     ) -> Result<(), ToolError> {
///         let ended = tool.call(arguments, call).await;
///         if ended.is_err() {
///             self.failures.fetch_add(1, Ordering::Relaxed);
///         }
///         ended
///     }
/// }
///
/// let echo = Layered::new(CountFailures::default(), Echo);
/// let server = Server::builder("echo", "1.0.0").tool(echo).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub trait CallLayer: Send + Sync + 'static {
    /// Serves one call, with or without the tool.
    ///
    /// # Errors
    /// As for [`Tool::call`].
    fn around<'a, T: Tool>(
        &'a self,
        tool: &'a T,
        arguments: T::Arguments<'a>,
        call: &mut CallContext,
    ) -> impl Future<Output = Result<(), ToolError>> + Send;
}

/// A tool with a layer around its calls. Several layers are put around each other; the outermost is asked first.
///
/// ```
/// use mcpool::{AtMost, Layered, Server, TimeLimit};
/// use std::time::Duration;
/// # use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
/// # struct Search;
/// # impl Tool for Search {
/// #     type Arguments<'a> = std::collections::BTreeMap<String, String>;
/// #     fn definition(&self) -> ToolDefinition {
/// #         ToolDefinition::new("search", "Searches.")
/// #     }
/// #     async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
/// #         Ok(call.text("found"))
/// #     }
/// # }
///
/// // Four calls run at once, and none takes longer than ten seconds, the wait for its turn included.
/// let search = Layered::new(TimeLimit(Duration::from_secs(10)), Layered::new(AtMost::new(4), Search));
/// let server = Server::builder("search", "1.0.0").tool(search).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Layered<L, T> {
    layer: L,
    tool: T,
}

impl<L: CallLayer, T: Tool> Layered<L, T> {
    /// Puts a layer around a tool.
    pub fn new(layer: L, tool: T) -> Self {
        Self { layer, tool }
    }
}

impl<L: CallLayer, T: Tool> Tool for Layered<L, T> {
    type Arguments<'a> = T::Arguments<'a>;

    fn definition(&self) -> ToolDefinition {
        self.tool.definition()
    }

    fn call<'a>(
        &'a self,
        arguments: T::Arguments<'a>,
        call: &mut CallContext,
    ) -> impl Future<Output = Result<(), ToolError>> + Send {
        self.layer.around(&self.tool, arguments, call)
    }
}

/// A layer that ends calls which take longer: the model reads how long they may take. A call that waits holds a timer, some
/// 120 bytes.
///
/// ```
/// use mcpool::{Layered, Server, TimeLimit};
/// use std::time::Duration;
/// # use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
/// # struct Search;
/// # impl Tool for Search {
/// #     type Arguments<'a> = std::collections::BTreeMap<String, String>;
/// #     fn definition(&self) -> ToolDefinition {
/// #         ToolDefinition::new("search", "Searches.")
/// #     }
/// #     async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
/// #         Ok(call.text("found"))
/// #     }
/// # }
///
/// let search = Layered::new(TimeLimit(Duration::from_secs(10)), Search);
/// let server = Server::builder("search", "1.0.0").tool(search).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit(pub Duration);

impl CallLayer for TimeLimit {
    async fn around<'a, T: Tool>(
        &'a self,
        tool: &'a T,
        arguments: T::Arguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        timeout(self.0, tool.call(arguments, call)).await.unwrap_or_else(|_| Err(too_long(self.0)))
    }
}

/// What a model reads whose call took longer than it may.
pub(crate) fn too_long(limit: Duration) -> ToolError {
    ToolError::failed(format_args!("the call was ended: it took longer than {limit:?}"))
}

/// A layer that lets so many calls run at once. The others wait for their turn, in the order in which they came.
///
/// ```
/// use mcpool::{AtMost, Layered, Server};
/// # use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
/// # struct Search;
/// # impl Tool for Search {
/// #     type Arguments<'a> = std::collections::BTreeMap<String, String>;
/// #     fn definition(&self) -> ToolDefinition {
/// #         ToolDefinition::new("search", "Searches.")
/// #     }
/// #     async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
/// #         Ok(call.text("found"))
/// #     }
/// # }
///
/// let server = Server::builder("search", "1.0.0").tool(Layered::new(AtMost::new(4), Search)).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug)]
pub struct AtMost {
    turns: Semaphore,
}

impl AtMost {
    /// Lets `calls` run at once; none at all would be no tool, so it is one at least.
    pub const fn new(calls: usize) -> Self {
        let calls = if calls == 0 { 1 } else { calls };
        let most = if calls > Semaphore::MAX_PERMITS { Semaphore::MAX_PERMITS } else { calls };
        Self { turns: Semaphore::const_new(most) }
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, ToolError> {
        // It is never closed.
        Ok(self.turns.acquire().await?)
    }
}

impl CallLayer for AtMost {
    async fn around<'a, T: Tool>(
        &'a self,
        tool: &'a T,
        arguments: T::Arguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let _turn = self.turn().await?;
        tool.call(arguments, call).await
    }
}
