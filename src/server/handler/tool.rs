//! The traits that a tool implements, and how a server combines tools without boxes or function tables.
//!
//! A [`Tool`] is one tool with its own type of arguments. A [`Toolset`] is a family of tools that dispatches by index;
//! a chain of tools is a toolset too. Calls are dispatched statically: the future of a call is part of the future that
//! serves its frame.

use crate::limits::Limits;
use crate::protocol::ToolDefinition;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::arguments::ThreadArguments;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::handler_end::Finished;
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
/// use mcpool::ToolDefinition;
/// use mcpool::toolsets::{Finished, ToolRequest, Toolset};
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

    /// Serves, on a thread that may block, a call that [`Toolset::call`] ended with
    /// [`ToolRequest::admit_for_thread`]. The frame is there as well, and is decoded here for the first time.
    ///
    /// A thread cannot be stopped from outside: long work should check
    /// [`RequestContext::is_cancelled`](crate::RequestContext::is_cancelled) in each of its loops.
    ///
    /// # Errors
    /// As for [`Tool::call`].
    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let _ = (index, arguments, call);
        Err(ToolError::failed("this tool does not work on a thread"))
    }

    /// Shows the toolsets that this one is made of, if it is made of any. What is asked of all of them, from
    /// [`Toolset::wants_roots`] on, is asked of each then, and need not be passed on.
    fn each_part(&self, show: &mut dyn FnMut(&dyn AnyToolset)) {
        let _ = show;
    }

    /// Whether the tools use the directories that a legacy client offers (`roots/list`).
    fn wants_roots(&self) -> bool {
        let mut wants_roots = false;
        self.each_part(&mut |part| wants_roots |= part.wants_roots());
        wants_roots
    }

    /// Heap bytes that the tools hold between calls, for the memory report. Bytes that they hold for one session are
    /// reported with [`SessionValues::put`] instead.
    fn state_bytes(&self) -> usize {
        let mut bytes = 0;
        self.each_part(&mut |part| bytes += part.state_bytes());
        bytes
    }

    /// Heap bytes that the tools may keep at most beside what they reserve in the budgets of their server, with those
    /// limits. The memory ceiling leaves room for them.
    fn max_state_bytes(&self, limits: &Limits) -> usize {
        let mut bytes = 0_usize;
        self.each_part(&mut |part| bytes = bytes.saturating_add(part.max_state_bytes(limits)));
        bytes
    }

    /// Gives [`Toolset::state_bytes`] under the name that the memory report shows: a line for each name.
    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        let mut has_parts = false;
        self.each_part(&mut |part| {
            has_parts = true;
            part.report_state(enter);
        });
        if !has_parts {
            enter(UNNAMED_STATE, self.state_bytes());
        }
    }

    /// Receives the directories that the client offers, as URIs. Store what later calls need in `session`; they find it
    /// with [`RequestContext::session_values`](crate::RequestContext::session_values).
    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        self.each_part(&mut |part| part.take_roots(uris, session));
    }
}

/// A toolset without its type, as a toolset that is made of others shows each of them ([`Toolset::each_part`]). Each
/// [`Toolset`] is one; nobody else implements it.
///
/// ```
/// use mcpool::ToolDefinition;
/// use mcpool::toolsets::{AnyToolset, Finished, ToolRequest, Toolset};
///
/// /// A toolset whose calls are counted by others.
/// struct Named<T> {
///     toolset: T,
/// }
///
/// impl<T: Toolset> Toolset for Named<T> {
///     fn definitions(&self) -> Vec<ToolDefinition> {
///         let named = |tool: ToolDefinition| {
///             let name = format!("my_{}", tool.name());
///             tool.named(name)
///         };
///         self.toolset.definitions().into_iter().map(named).collect()
///     }
///
///     fn call<'f>(&'f self, index: usize, request: ToolRequest<'f>) -> impl Future<Output = Finished> + Send + 'f {
///         self.toolset.call(index, request)
///     }
///
///     fn each_part(&self, show: &mut dyn FnMut(&dyn AnyToolset)) {
///         show(&self.toolset);
///     }
/// }
/// ```
pub trait AnyToolset: Send + Sync {
    /// [`Toolset::definitions`].
    fn definitions(&self) -> Vec<ToolDefinition>;

    /// [`Toolset::call`], in a box.
    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> Pin<Box<dyn Future<Output = Finished> + Send + 'f>>;

    /// [`Toolset::call_on_thread`].
    ///
    /// # Errors
    /// As for [`Tool::call`].
    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError>;

    /// [`Toolset::wants_roots`].
    fn wants_roots(&self) -> bool;

    /// [`Toolset::state_bytes`].
    fn state_bytes(&self) -> usize;

    /// [`Toolset::max_state_bytes`].
    fn max_state_bytes(&self, limits: &Limits) -> usize;

    /// [`Toolset::report_state`].
    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize));

    /// [`Toolset::take_roots`].
    fn take_roots(&self, uris: &[&str], session: &SessionValues);
}

impl<T: Toolset> AnyToolset for T {
    fn definitions(&self) -> Vec<ToolDefinition> {
        Toolset::definitions(self)
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> Pin<Box<dyn Future<Output = Finished> + Send + 'f>> {
        Box::pin(Toolset::call(self, index, request))
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        Toolset::call_on_thread(self, index, arguments, call)
    }

    fn wants_roots(&self) -> bool {
        Toolset::wants_roots(self)
    }

    fn state_bytes(&self) -> usize {
        Toolset::state_bytes(self)
    }

    fn max_state_bytes(&self, limits: &Limits) -> usize {
        Toolset::max_state_bytes(self, limits)
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        Toolset::report_state(self, enter);
    }

    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        Toolset::take_roots(self, uris, session);
    }
}
/// The line of the memory report for toolsets that have none of their own, and for values of sessions.
pub(crate) const UNNAMED_STATE: &str = "tool state";

/// A toolset without tools: each chain begins with it.
///
/// ```
/// use mcpool::toolsets::{NoTools, Toolset};
///
/// assert!(NoTools.definitions().is_empty());
/// ```
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

/// One tool as a toolset, for one that may be left out:
///
/// ```
/// use mcpool::Server;
/// use mcpool::toolsets::Single;
/// # use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
/// # struct Write;
/// # impl Tool for Write {
/// #     type Arguments<'a> = std::collections::BTreeMap<String, String>;
/// #     fn definition(&self) -> ToolDefinition {
/// #         ToolDefinition::new("write", "Writes.")
/// #     }
/// #     async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
/// #         Ok(call.text("written"))
/// #     }
/// # }
///
/// let may_write = std::env::args().any(|argument| argument == "--write");
/// let server = Server::builder("notes", "1.0.0").toolset(may_write.then(|| Single::new(Write))).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Single<T>(pub(crate) T);

impl<T: Tool> Single<T> {
    /// The toolset of this tool.
    pub fn new(tool: T) -> Self {
        Self(tool)
    }
}

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

/// A tool that works on a thread that may block: it waits for a disk or another program, or computes for long.
///
/// The frame of a call goes to the thread, where its arguments are decoded for the first time: nothing of a large message
/// is there twice.
///
/// ```
/// use mcpool::{BlockingTool, CallContext, Server, ToolDefinition, ToolError};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct File<'a> {
///     path: &'a str,
/// }
///
/// struct CountLines;
///
/// impl BlockingTool for CountLines {
///     type Arguments<'a> = File<'a>;
///
///     fn definition(&self) -> ToolDefinition {
///         ToolDefinition::new("count_lines", "Counts the lines of a file.").arguments::<File<'_>>()
///     }
///
///     fn call(&self, file: File<'_>, call: &mut CallContext) -> Result<(), ToolError> {
///         let lines = std::fs::read_to_string(file.path)?.lines().count();
///         call.structured(&lines)
///     }
/// }
///
/// let server = Server::builder("lines", "1.0.0").blocking_tool(CountLines).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub trait BlockingTool: Send + Sync + 'static {
    /// The arguments; strings may be borrowed, escaped or not.
    type Arguments<'a>: Deserialize<'a> + Send;

    /// What `tools/list` says about the tool. The server asks once, when it is built.
    fn definition(&self) -> ToolDefinition;

    /// Serves one call, on a thread that may block. When the client cancels,
    /// [`RequestContext::is_cancelled`](crate::RequestContext::is_cancelled) says so, and the answer is dropped.
    ///
    /// # Errors
    /// As for [`Tool::call`].
    fn call(&self, arguments: Self::Arguments<'_>, call: &mut CallContext) -> Result<(), ToolError>;
}

/// One blocking tool as a toolset, as [`Single`] is for others.
///
/// ```
/// use mcpool::toolsets::Blocking;
/// use mcpool::{BlockingTool, CallContext, Server, ToolDefinition, ToolError};
///
/// struct CountLines;
///
/// impl BlockingTool for CountLines {
///     type Arguments<'a> = std::collections::BTreeMap<String, String>;
///
///     fn definition(&self) -> ToolDefinition {
///         ToolDefinition::new("count_lines", "Counts the lines of a file.")
///     }
///
///     fn call(&self, arguments: Self::Arguments<'_>, call: &mut CallContext) -> Result<(), ToolError> {
///         let path = arguments.get("path").map_or("", String::as_str);
///         call.structured(&std::fs::read_to_string(path)?.lines().count())
///     }
/// }
///
/// // Left out where files may not be read.
/// let may_read = true;
/// let server = Server::builder("lines", "1.0.0").toolset(may_read.then(|| Blocking::new(CountLines))).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Blocking<T>(pub(crate) T);

impl<T: BlockingTool> Blocking<T> {
    /// The toolset of this tool.
    pub fn new(tool: T) -> Self {
        Self(tool)
    }
}

impl<T: BlockingTool> Toolset for Blocking<T> {
    fn definitions(&self) -> Vec<ToolDefinition> {
        vec![self.0.definition()]
    }

    fn call<'f>(
        &'f self,
        _index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(request.admit_for_thread::<T::Arguments<'f>>())
    }

    fn call_on_thread(
        &self,
        _index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        let arguments = arguments.decode::<T::Arguments<'_>>(call)?;
        self.0.call(arguments, call)
    }
}

/// Two toolsets as one: first the tools of `Front`, then those of `Back`.
///
/// ```
/// use mcpool::toolsets::{Chain, NoTools, Single};
/// use mcpool::{DynamicTool, Server, ServerBuilder, ToolDefinition};
///
/// /// What a builder with one tool is: each tool that is added makes the chain longer.
/// fn with_echo() -> ServerBuilder<Chain<NoTools, Single<DynamicTool>>> {
///     let echo = DynamicTool::new(ToolDefinition::new("echo", "Says back."), |arguments, call| {
///         Box::pin(async move { Ok(call.text(arguments)) })
///     });
///     Server::builder("echo", "1.0.0").tool(echo)
/// }
/// # with_echo().build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
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

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        match index.checked_sub(self.front_len) {
            None => self.front.call_on_thread(index, arguments, call),
            Some(index) => self.back.call_on_thread(index, arguments, call),
        }
    }

    fn each_part(&self, show: &mut dyn FnMut(&dyn AnyToolset)) {
        show(&self.front);
        show(&self.back);
    }
}

/// A toolset that may be left out. One that is not there has no tools and no heap.
impl<T: Toolset> Toolset for Option<T> {
    fn definitions(&self) -> Vec<ToolDefinition> {
        self.as_ref().map(Toolset::definitions).unwrap_or_default()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        match self {
            Some(toolset) => Either::Front { future: toolset.call(index, request) },
            None => Either::Back { future: std::future::ready(request.refuse_unknown()) },
        }
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        match self {
            Some(toolset) => toolset.call_on_thread(index, arguments, call),
            None => Err(ToolError::NotFound),
        }
    }

    fn each_part(&self, show: &mut dyn FnMut(&dyn AnyToolset)) {
        if let Some(toolset) = self {
            show(toolset);
        }
    }
}

pin_project! {
    /// One of two futures with the same output; it is as large as the larger one.
    #[project = EitherProjection]
    pub(crate) enum Either<F, B> {
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
