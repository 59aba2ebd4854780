//! Tools whose number and kinds are known at run time only: each behind a box, with one box more for each call.
//!
//! Other tools have none: their futures are parts of the pooled slots.

use crate::limits::Limits;
use crate::protocol::ToolDefinition;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::arguments::ThreadArguments;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::resources::BoxedFuture;
use crate::server::handler::tool::{Blocking, BlockingTool, Single, Tool, Toolset};
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::handler_end::Finished;
use crate::server::state::session::SessionValues;
use std::fmt;

/// A tool, or a toolset, of a type that is known at run time only.
///
/// Its calls are as those of the tool itself, but for one allocation each, of the future.
///
/// ```
/// use mcpool::{BoxedTool, Server};
/// # use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
/// # struct Say(String);
/// # impl Tool for Say {
/// #     type Arguments<'a> = std::collections::BTreeMap<String, String>;
/// #     fn definition(&self) -> ToolDefinition {
/// #         ToolDefinition::new(self.0.clone(), "Says its name.")
/// #     }
/// #     async fn call<'a>(&'a self, _: Self::Arguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
/// #         Ok(call.text(&self.0))
/// #     }
/// # }
///
/// // As many as the configuration names.
/// let tools = ["hello", "good_bye"].map(|name| BoxedTool::new(Say(name.to_owned())));
/// let server = Server::builder("words", "1.0.0").tools(tools).build()?;
/// // Out of the list, and with a word to the clients that listen.
/// server.offer_tool("good_bye", false);
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub struct BoxedTool {
    toolset: Box<dyn AnyToolset>,
}

impl BoxedTool {
    /// Puts a tool into a box.
    pub fn new(tool: impl Tool) -> Self {
        Self::of_toolset(Single::new(tool))
    }

    /// Puts a tool that works on a thread into a box.
    pub fn blocking(tool: impl BlockingTool) -> Self {
        Self::of_toolset(Blocking::new(tool))
    }

    /// Puts a family of tools into a box.
    pub fn of_toolset(toolset: impl Toolset) -> Self {
        Self { toolset: Box::new(toolset) }
    }
}

impl fmt::Debug for BoxedTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let definitions = self.toolset.definitions();
        f.debug_list().entries(definitions.iter().map(ToolDefinition::name)).finish()
    }
}

/// The toolset of a list of tools, as [`ServerBuilder::tools`](crate::ServerBuilder::tools) adds it.
#[derive(Debug, Default)]
pub struct ToolList {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    tool: BoxedTool,
    /// The index of its first tool among those of the list.
    first: usize,
}

impl FromIterator<BoxedTool> for ToolList {
    fn from_iter<I: IntoIterator<Item = BoxedTool>>(tools: I) -> Self {
        let mut first = 0;
        let entries = tools.into_iter().filter_map(|tool| {
            let count = tool.toolset.definitions().len();
            let entry = Entry { tool, first };
            first += count;
            // An entry without tools would hide the one behind it.
            (count > 0).then_some(entry)
        });
        Self { entries: entries.collect() }
    }
}

impl ToolList {
    /// The entry of a tool, and the tool's index in it.
    fn entry(&self, index: usize) -> Option<(&dyn AnyToolset, usize)> {
        let after = self.entries.partition_point(|entry| entry.first <= index);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        Some((&*entry.tool.toolset, index - entry.first))
    }

    fn toolsets(&self) -> impl Iterator<Item = &dyn AnyToolset> {
        self.entries.iter().map(|entry| &*entry.tool.toolset)
    }
}

impl Toolset for ToolList {
    fn definitions(&self) -> Vec<ToolDefinition> {
        self.toolsets().flat_map(AnyToolset::definitions).collect()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        match self.entry(index) {
            Some((toolset, index)) => toolset.call(index, request),
            None => Box::pin(std::future::ready(request.refuse_unknown())),
        }
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        match self.entry(index) {
            Some((toolset, index)) => toolset.call_on_thread(index, arguments, call),
            None => Err(ToolError::NotFound),
        }
    }

    fn wants_roots(&self) -> bool {
        self.toolsets().any(AnyToolset::wants_roots)
    }

    fn state_bytes(&self) -> usize {
        self.toolsets().map(AnyToolset::state_bytes).sum()
    }

    fn max_state_bytes(&self, limits: &Limits) -> usize {
        self.toolsets().fold(0, |sum, toolset| sum.saturating_add(toolset.max_state_bytes(limits)))
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        for toolset in self.toolsets() {
            toolset.report_state(enter);
        }
    }

    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        for toolset in self.toolsets() {
            toolset.take_roots(uris, session);
        }
    }
}

/// A toolset without its type.
trait AnyToolset: Send + Sync {
    fn definitions(&self) -> Vec<ToolDefinition>;
    fn call<'f>(&'f self, index: usize, request: ToolRequest<'f>) -> BoxedFuture<'f, Finished>;
    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError>;
    fn wants_roots(&self) -> bool;
    fn state_bytes(&self) -> usize;
    fn max_state_bytes(&self, limits: &Limits) -> usize;
    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize));
    fn take_roots(&self, uris: &[&str], session: &SessionValues);
}

impl<T: Toolset> AnyToolset for T {
    fn definitions(&self) -> Vec<ToolDefinition> {
        Toolset::definitions(self)
    }

    fn call<'f>(&'f self, index: usize, request: ToolRequest<'f>) -> BoxedFuture<'f, Finished> {
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
