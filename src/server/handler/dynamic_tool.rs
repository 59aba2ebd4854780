//! Tools of which nothing is known before the program runs, and the toolset that has room for them on a server that
//! serves already.

use crate::protocol::ToolDefinition;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::tool::{Either, Tool, Toolset};
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::handler_end::Finished;
use crate::wire::{Kind, Raw};
use arc_swap::ArcSwapOption;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

/// What a call gives that is served by a closure.
type Served<'a> = Pin<Box<dyn Future<Output = Result<(), ToolError>> + Send + 'a>>;

/// What serves the calls of a tool.
type Serve = dyn for<'a> Fn(&'a str, &'a mut CallContext) -> Served<'a> + Send + Sync;

/// A tool whose name, description and schema are values, and whose calls are served by a closure, which is given the
/// arguments as the JSON text of an object.
///
/// It is added to a server that is being built as any other [`Tool`], and with [`Server::add_tool`](crate::Server::add_tool)
/// to one that runs. A call allocates the box of its future, and what the closure allocates. With the feature `validation`
/// calls are checked against a schema that is given as text before the closure sees them; the closure checks them otherwise.
///
/// ```
/// use mcpool::{DynamicTool, Server, ToolDefinition};
///
/// // As a configuration names them, or another server.
/// let (name, schema) = ("greet", r#"{"type":"object","properties":{"whom":{"type":"string"}},"required":["whom"]}"#);
/// let definition = ToolDefinition::new(name, "Greets somebody.").input_schema(schema);
/// let greet = DynamicTool::new(definition, |arguments, call| {
///     Box::pin(async move {
///         let arguments: serde_json::Value = serde_json::from_str(arguments)?;
///         call.text(&format!("Hello, {}!", arguments["whom"].as_str().unwrap_or("world")));
///         Ok(())
///     })
/// });
/// let server = Server::builder("greetings", "1.0.0").tool(greet).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub struct DynamicTool {
    definition: ToolDefinition,
    serve: Box<Serve>,
}

impl DynamicTool {
    /// Makes a tool of its definition and what serves its calls: with the arguments, and as [`Tool::call`] does.
    pub fn new<F>(definition: ToolDefinition, serve: F) -> Self
    where
        F: for<'a> Fn(
                &'a str,
                &'a mut CallContext,
            ) -> Pin<Box<dyn Future<Output = Result<(), ToolError>> + Send + 'a>>
            + Send
            + Sync
            + 'static,
    {
        Self { definition, serve: Box::new(serve) }
    }

    /// The name that calls use.
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// Bytes on the heap, without what the closure points at.
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.serve)
    }
}

impl fmt::Debug for DynamicTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicTool").field("definition", &self.definition).finish_non_exhaustive()
    }
}

impl Tool for DynamicTool {
    type Arguments<'a> = Raw<'a>;

    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    async fn call<'a>(&'a self, arguments: Raw<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        let arguments = match arguments.kind() {
            Kind::Object => arguments.as_str(),
            Kind::Null => "{}",
            _ => return Err(ToolError::failed("the arguments of a tool are an object")),
        };
        (self.serve)(arguments, call).await
    }
}

/// Room for tools that come and go while a server runs, as
/// [`ServerBuilder::dynamic_tools`](crate::ServerBuilder::dynamic_tools) makes it.
///
/// ```
/// use mcpool::Server;
///
/// let builder = Server::builder("plugins", "1.0.0").dynamic_tools(16);
/// let server = builder.build()?;
/// assert!(!server.remove_tool("none"));
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct DynamicTools {
    room: Arc<Room>,
}

struct Room {
    tools: Box<[ArcSwapOption<DynamicTool>]>,
    /// Held while a tool comes or goes.
    changing: Mutex<()>,
}

impl DynamicTools {
    pub(crate) fn new(most: usize) -> Self {
        let tools = (0..most).map(|_| ArcSwapOption::empty()).collect();
        Self { room: Arc::new(Room { tools, changing: Mutex::default() }) }
    }

    /// How many tools can be there at once.
    pub(crate) fn most(&self) -> usize {
        self.room.tools.len()
    }

    /// Held while a tool comes or goes.
    pub(crate) fn changing(&self) -> &Mutex<()> {
        &self.room.changing
    }

    /// Puts a tool where none is, or takes the one away that is there.
    pub(crate) fn set(&self, index: usize, tool: Option<DynamicTool>) {
        if let Some(place) = self.room.tools.get(index) {
            place.store(tool.map(Arc::new));
        }
    }
}

impl fmt::Debug for DynamicTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools = self.room.tools.iter().filter_map(ArcSwapOption::load_full);
        f.debug_list().entries(tools.map(|tool| tool.name().to_owned())).finish()
    }
}

impl Toolset for DynamicTools {
    fn definitions(&self) -> Vec<ToolDefinition> {
        self.room.tools.iter().map(|_| ToolDefinition::vacant()).collect()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        let tool = self.room.tools.get(index).and_then(ArcSwapOption::load_full);
        // Another tool may be there by now than the one that was listed.
        let Some(tool) = tool.filter(|tool| request.name() == Some(tool.name())) else {
            return Either::Front { future: std::future::ready(request.refuse_unknown()) };
        };
        match request.admit::<Raw<'f>>() {
            Err(refused) => Either::Front { future: std::future::ready(refused) },
            Ok((arguments, mut call)) => Either::Back {
                future: async move {
                    // A tool that is removed meanwhile ends this call first.
                    let result = tool.call(arguments, &mut call).await;
                    call.finish(result)
                },
            },
        }
    }

    fn state_bytes(&self) -> usize {
        let tools = self.room.tools.iter().filter_map(ArcSwapOption::load_full);
        size_of_val(&*self.room.tools) + tools.map(|tool| tool.bytes()).sum::<usize>()
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        enter("dynamic tools", self.state_bytes());
    }
}
