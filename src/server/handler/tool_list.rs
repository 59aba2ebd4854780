//! Tools whose number and kinds are known at run time only: each behind a box, with one box more for each call.
//!
//! Other tools have none: their futures are parts of the pooled slots.

use crate::protocol::ToolDefinition;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::arguments::ThreadArguments;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::tool::{AnyToolset, Blocking, BlockingTool, Single, Tool, Toolset};
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::handler_end::Finished;
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
///
/// ```
/// use mcpool::toolsets::{ToolList, Toolset};
/// use mcpool::{BoxedTool, DynamicTool, ToolDefinition};
///
/// let names = ["hello", "good_bye"];
/// let tool = |name| DynamicTool::new(ToolDefinition::new(name, "Greets."), |_, _| Box::pin(async { Ok(()) }));
/// let list: ToolList = names.into_iter().map(|name| BoxedTool::new(tool(name))).collect();
/// assert_eq!(list.definitions().len(), 2);
/// ```
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
}

impl Toolset for ToolList {
    fn definitions(&self) -> Vec<ToolDefinition> {
        self.entries.iter().flat_map(|entry| entry.tool.toolset.definitions()).collect()
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

    fn each_part(&self, show: &mut dyn FnMut(&dyn AnyToolset)) {
        self.entries.iter().for_each(|entry| show(&*entry.tool.toolset));
    }
}
