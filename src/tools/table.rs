//! The table of a toolset: one line for each tool, and the two functions that serve its calls.

use crate::protocol::ToolDefinition;
use crate::server::{CallContext, Finished, ThreadArguments, ToolError, ToolRequest};

/// A tool of the toolset `S`, in its table.
#[derive(Debug)]
pub(crate) struct Entry<S: 'static> {
    pub(crate) name: &'static str,
    /// Whether the tool changes anything; `--read-only` leaves out those that do.
    pub(crate) changes: bool,
    /// Whether a call that lacked memory may begin again on its thread: it changes nothing, or has all its memory before
    /// it does.
    pub(crate) may_repeat: bool,
    /// Admits a call, and serves it if nothing has to be waited for.
    pub(crate) start: for<'f> fn(&'f S, ToolRequest<'f>) -> Finished,
    /// Serves a call on a thread that may block.
    pub(crate) work: fn(&S, ThreadArguments<'_>, &mut CallContext) -> Result<(), ToolError>,
}

/// Starts a call of a tool; without one, says that there is none.
pub(crate) fn start<'f, S>(tool: Option<&Entry<S>>, toolset: &'f S, request: ToolRequest<'f>) -> Finished {
    match tool {
        Some(tool) => (tool.start)(toolset, request).may_repeat(tool.may_repeat),
        None => request.refuse_unknown(),
    }
}

/// Serves a call of a tool on a thread that may block.
///
/// # Errors
/// Those of the tool; [`ToolError::NotFound`] without one.
pub(crate) fn work<S>(
    tool: Option<&Entry<S>>,
    toolset: &S,
    arguments: ThreadArguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    match tool {
        Some(tool) => (tool.work)(toolset, arguments, call),
        None => Err(ToolError::NotFound),
    }
}

/// The tools that clients see, in order: without those that change anything if `read_only`.
pub(crate) fn listed<S>(table: &'static [Entry<S>], read_only: bool) -> Vec<&'static Entry<S>> {
    table.iter().filter(|tool| !(read_only && tool.changes)).collect()
}

/// The definitions of the tools that are listed, out of the text of all of them.
pub(crate) fn definitions<S>(text: &str, listed: &[&Entry<S>]) -> Vec<ToolDefinition> {
    // invariant: the text is part of the program, and a test of each toolset reads it.
    let all = ToolDefinition::parse_list(text).expect("the definitions are readable");
    all.into_iter().filter(|tool| listed.iter().any(|entry| entry.name == tool.name())).collect()
}

/// Makes a type for each tool, and `TOOLS`, the table of all of them.
///
/// The first line names the toolset, its trait of tools, and what a tool is given and may fail with. Each further line
/// is a tool: its type, name, arguments, function, and the fields of `Flags`, a type beside the trait. `entry::<T>()`
/// beside it makes the line of the table.
#[cfg(any(feature = "filesystem", feature = "git"))]
macro_rules! tools {
    (
        $toolset:ty: $tool_trait:ident($context:ty) -> $error:ty;
        $($tool:ident $name:literal ($arguments:ty) $run:path, $($flag:ident: $value:literal),+;)*
    ) => {
        $(
            struct $tool;

            impl $tool_trait for $tool {
                type Arguments<'a> = $arguments;

                const NAME: &'static str = $name;
                const FLAGS: Flags = Flags { $($flag: $value),+ };

                fn run(
                    arguments: &Self::Arguments<'_>,
                    context: &$context,
                    call: &mut CallContext,
                ) -> Result<(), $error> {
                    $run(arguments, context, call)
                }
            }
        )*

        /// All tools, in the order of the reference.
        static TOOLS: &[Entry<$toolset>] = &[$(entry::<$tool>()),*];
    };
}
#[cfg(any(feature = "filesystem", feature = "git"))]
pub(crate) use tools;
