//! Layers of [`tower`](https://docs.rs/tower) around the calls of a tool, with the feature `tower`.
//!
//! A tool without one pays nothing for it. A call through one allocates the box of its future, and what the layers allocate.

use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::layer::CallLayer;
use crate::server::handler::tool::Tool;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// The error of a service.
type BoxedError = Box<dyn Error + Send + Sync>;

type Serving<'c> = Pin<Box<dyn Future<Output = Result<(), CallFailed>> + Send + 'c>>;

/// A layer of `tower`, or a stack of them, as a [`CallLayer`].
///
/// The layer is put around [`ServeCall`] once, and each call gets a clone of the service that came of it, waits until that is
/// ready, and is its request. So it needs a layer whose services share what they count, as those for limits and time do; one
/// whose service is no `Clone`, such as that for rates, cannot be used. An error of a layer becomes
/// [`ToolError::Failed`] with its text, and that of the tool stays what it was.
///
/// ```
/// use mcpool::tower::TowerLayer;
/// use mcpool::{Layered, Server};
/// use std::time::Duration;
/// use tower::limit::ConcurrencyLimitLayer;
/// use tower::timeout::TimeoutLayer;
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
/// // Four calls run at once; the wait for their turn is no part of their ten seconds.
/// let four = TowerLayer::new(ConcurrencyLimitLayer::new(4));
/// let ten_seconds = TowerLayer::new(TimeoutLayer::new(Duration::from_secs(10)));
/// let search = Layered::new(four, Layered::new(ten_seconds, Search));
/// let server = Server::builder("search", "1.0.0").tool(search).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TowerLayer<S> {
    service: S,
}

impl<S> TowerLayer<S> {
    /// Of a layer. A clone shares what its services share: give one to each of several tools, and they have four turns
    /// together.
    pub fn new<L: Layer<ServeCall, Service = S>>(layer: L) -> Self {
        Self { service: layer.layer(ServeCall) }
    }
}

impl<S> CallLayer for TowerLayer<S>
where
    S: for<'c> Service<ToolCall<'c>, Response = (), Error: Into<BoxedError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    async fn around<'a, T: Tool>(
        &'a self,
        tool: &'a T,
        arguments: T::Arguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let serving = async move { tool.call(arguments, call).await.map_err(CallFailed) };
        serve(self.service.clone(), ToolCall { serving: Box::pin(serving) }).await
    }
}

async fn serve<'c, S>(mut service: S, call: ToolCall<'c>) -> Result<(), ToolError>
where
    S: Service<ToolCall<'c>, Response = (), Error: Into<BoxedError>>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(tool_error)?;
    service.call(call).await.map_err(tool_error)
}

fn tool_error(error: impl Into<BoxedError>) -> ToolError {
    match error.into().downcast::<CallFailed>() {
        Ok(failed) => failed.0,
        Err(of_layer) => ToolError::failed(of_layer),
    }
}

/// One call, as the request that goes through layers. It begins when [`ServeCall`] is polled.
///
/// [`TowerLayer`] has an example.
///
/// [`TowerLayer`] has an example.
pub struct ToolCall<'c> {
    serving: Serving<'c>,
}

impl fmt::Debug for ToolCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall").finish_non_exhaustive()
    }
}

/// The innermost service, which serves the call.
///
/// ```
/// use mcpool::tower::ServeCall;
/// use std::time::Duration;
/// use tower::timeout::Timeout;
///
/// // What `TowerLayer::new` makes of `TimeoutLayer`.
/// let service = Timeout::new(ServeCall, Duration::from_secs(10));
/// # let _ = service;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ServeCall;

impl<'c> Service<ToolCall<'c>> for ServeCall {
    type Response = ();
    type Error = CallFailed;
    type Future = Serving<'c>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ToolCall<'c>) -> Serving<'c> {
        call.serving
    }
}

/// The error of a tool, as layers see it.
///
/// ```
/// use mcpool::ToolError;
/// use mcpool::tower::CallFailed;
///
/// /// Whether a layer should count a call as one that failed.
/// fn counts(failed: &CallFailed) -> bool {
///     !matches!(failed.tool_error(), ToolError::Cancelled | ToolError::NeedsTask | ToolError::InputRequired)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailed(ToolError);

impl CallFailed {
    /// What the tool returned.
    pub fn tool_error(&self) -> &ToolError {
        &self.0
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ToolError::Failed(text) => f.write_str(text),
            other => write!(f, "the call failed: {other:?}"),
        }
    }
}

impl Error for CallFailed {}
