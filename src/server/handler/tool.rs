//! The traits that a tool implements, and how a server combines tools without boxes or function tables.
//!
//! A [`Tool`] is one tool with its own type of arguments. A [`Toolset`] is a family of tools that dispatches by index;
//! a chain of tools is a toolset too. Calls are dispatched statically: the future of a call is part of the future that
//! serves its frame.

use crate::protocol::ToolDefinition;
use crate::server::answer::outcome::Finished;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::tool_request::ToolRequest;
use crate::server::state::session::SessionValues;
use pin_project_lite::pin_project;
use serde::Deserialize;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One tool.
///
/// ```
/// use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Greeting<'a> {
///     /// Whom to greet.
///     name: &'a str,
/// }
///
/// struct Greet;
///
/// impl Tool for Greet {
///     type Arguments<'a> = Greeting<'a>;
///
///     fn definition(&self) -> ToolDefinition {
///         ToolDefinition::new("greet", "Greets somebody.").arguments::<Greeting<'_>>()
///     }
///
///     async fn call<'a>(
///         &'a self,
///         arguments: Greeting<'a>,
///         call: &mut CallContext,
///     ) -> Result<(), ToolError> {
///         call.text_with(|text| {
///             text.push_str("Hello, ");
///             text.push_str(arguments.name);
///             text.push_str("!");
///         });
///         Ok(())
///     }
/// }
/// ```
pub trait Tool: Send + Sync + 'static {
    /// The arguments, decoded in the same pass as the message. Strings may be borrowed, escaped or not.
    type Arguments<'a>: Deserialize<'a> + Send;

    /// What `tools/list` says about the tool. The server asks once, when it is built.
    fn definition(&self) -> ToolDefinition;

    /// Serves one call. The future is dropped when the client cancels.
    ///
    /// # Errors
    /// [`ToolError::Failed`] becomes a result with `isError`, which the model can read and act on.
    /// [`ToolError::InvalidParams`] becomes a protocol error.
    fn call<'a>(
        &'a self,
        arguments: Self::Arguments<'a>,
        call: &mut CallContext,
    ) -> impl Future<Output = Result<(), ToolError>> + Send;
}

/// A family of tools that dispatches its calls by itself.
///
/// Implement it for tools whose number is known only at run time, or that share a step before each call. Otherwise
/// [`Tool`] is simpler.
///
/// ```
/// use mcpool::{Finished, ToolDefinition, ToolRequest, Toolset};
///
/// /// Tools that do nothing, as many as the configuration names.
/// struct Placeholders(Vec<String>);
///
/// impl Toolset for Placeholders {
///     fn definitions(&self) -> Vec<ToolDefinition> {
///         self.0.iter().map(|name| ToolDefinition::new(name.clone(), "Does nothing.")).collect()
///     }
///
///     fn call<'f>(&'f self, index: usize, request: ToolRequest<'f>) -> impl Future<Output = Finished> + Send + 'f {
///         let decoded = request.admit::<serde_json::Map<String, serde_json::Value>>();
///         async move {
///             match decoded {
///                 Ok((_, mut call)) => {
///                     call.text(&self.0[index]);
///                     call.finish(Ok(()))
///                 }
///                 Err(refused) => refused,
///             }
///         }
///     }
/// }
/// ```
pub trait Toolset: Send + Sync + 'static {
    /// The tools, in the order in which `tools/list` shows them.
    fn definitions(&self) -> Vec<ToolDefinition>;

    /// Serves a call of the tool at `index` of [`Toolset::definitions`].
    ///
    /// Decode the arguments before you return the future: a future that held the arena could not move between threads.
    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f;

    /// Whether the tools use the directories that a legacy client offers (`roots/list`).
    fn wants_roots(&self) -> bool {
        false
    }

    /// Heap bytes that the tools hold between calls, for the memory report. Bytes that they hold for one session are
    /// reported with [`SessionValues::put`] instead.
    fn state_bytes(&self) -> usize {
        0
    }

    /// Receives the directories that the client offers, as URIs. Store what later calls need in `session`; they find it
    /// with [`RequestContext::session_values`](crate::RequestContext::session_values).
    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        let _ = (uris, session);
    }
}

/// A toolset without tools: each chain begins with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

impl Toolset for NoTools {
    fn definitions(&self) -> Vec<ToolDefinition> {
        Vec::new()
    }

    fn call<'f>(
        &'f self,
        _index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(request.refuse_unknown())
    }
}

/// One tool as a toolset.
#[derive(Debug)]
pub struct Single<T>(pub(crate) T);

impl<T: Tool> Toolset for Single<T> {
    fn definitions(&self) -> Vec<ToolDefinition> {
        vec![self.0.definition()]
    }

    fn call<'f>(
        &'f self,
        _index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        match request.admit::<T::Arguments<'f>>() {
            Err(refused) => Either::Front { future: std::future::ready(refused) },
            Ok((arguments, mut call)) => Either::Back {
                future: async move {
                    let result = self.0.call(arguments, &mut call).await;
                    call.finish(result)
                },
            },
        }
    }
}

/// Two toolsets as one: first the tools of `Front`, then those of `Back`.
#[derive(Debug)]
pub struct Chain<Front, Back> {
    pub(crate) front: Front,
    pub(crate) front_len: usize,
    pub(crate) back: Back,
}

impl<Front: Toolset, Back: Toolset> Toolset for Chain<Front, Back> {
    fn definitions(&self) -> Vec<ToolDefinition> {
        let mut definitions = self.front.definitions();
        definitions.extend(self.back.definitions());
        definitions
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        match index.checked_sub(self.front_len) {
            None => Either::Front { future: self.front.call(index, request) },
            Some(index) => Either::Back { future: self.back.call(index, request) },
        }
    }

    fn wants_roots(&self) -> bool {
        self.front.wants_roots() || self.back.wants_roots()
    }

    fn state_bytes(&self) -> usize {
        self.front.state_bytes() + self.back.state_bytes()
    }

    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        self.front.take_roots(uris, session);
        self.back.take_roots(uris, session);
    }
}

pin_project! {
    /// One of two futures with the same output; it is as large as the larger one.
    #[project = EitherProjection]
    enum Either<F, B> {
        Front { #[pin] future: F },
        Back { #[pin] future: B },
    }
}

impl<F: Future, B: Future<Output = F::Output>> Future for Either<F, B> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            EitherProjection::Front { future } => future.poll(cx),
            EitherProjection::Back { future } => future.poll(cx),
        }
    }
}
