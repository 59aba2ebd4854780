//! A call's arguments as the tool's own type: validated, corrected where they have one meaning, or explained.

use crate::protocol::ProtocolError;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::incoming::coercion::{Correction, reread};
use crate::server::incoming::made_memory::MadeMemory;
use crate::server::shared::Shared;
use crate::wire::{DecodeError, Frame, Lexer};
use bumpalo::Bump;
use serde::Deserialize;

/// The arguments of a call on a thread that may block, in the frame that they came in.
///
/// ```
/// use mcpool::toolsets::{Finished, ThreadArguments, ToolRequest, Toolset};
/// use mcpool::{CallContext, ToolDefinition, ToolError};
///
/// /// A toolset of one tool that works on a thread.
/// struct Files;
///
/// type Arguments = std::collections::BTreeMap<String, String>;
///
/// impl Toolset for Files {
///     fn definitions(&self) -> Vec<ToolDefinition> {
///         vec![ToolDefinition::new("count_lines", "Counts the lines of a file.")]
///     }
///
///     fn call<'f>(&'f self, _: usize, request: ToolRequest<'f>) -> impl Future<Output = Finished> + Send + 'f {
///         std::future::ready(request.admit_for_thread::<Arguments>())
///     }
///
///     fn call_on_thread(
///         &self,
///         _: usize,
///         arguments: ThreadArguments<'_>,
///         call: &mut CallContext,
///     ) -> Result<(), ToolError> {
///         let arguments: Arguments = arguments.decode(call)?;
///         let text = std::fs::read_to_string(arguments.get("path").map_or("", String::as_str))?;
///         call.structured(&text.lines().count())
///     }
/// }
/// # let server = mcpool::Server::builder("files", "1.0.0").toolset(Files).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ThreadArguments<'a> {
    json: &'a str,
    frame: &'a Frame,
    arena: &'a Bump,
    made: &'a MadeMemory,
}

impl<'a> ThreadArguments<'a> {
    pub(crate) fn new(json: &'a str, frame: &'a Frame, arena: &'a Bump, made: &'a MadeMemory) -> Self {
        MadeMemory::bound(frame, arena);
        Self { json, frame, arena, made }
    }

    /// The arguments as they are written.
    #[cfg(feature = "memory")]
    pub(crate) fn json(&self) -> &'a str {
        self.json
    }

    /// Decodes the arguments, which nobody did before. Strings with escapes go to an arena of this thread.
    ///
    /// # Errors
    /// What is wrong with the arguments, in words for the model.
    pub fn decode<A: Deserialize<'a>>(&self, call: &mut CallContext) -> Result<A, ToolError> {
        let Self { json, frame, arena, made } = *self;
        let mut decoded = decode_object(json, arena);
        let lacks_room = decoded.as_ref().is_err_and(DecodeError::lacks_room);
        // Arguments are read again where they have to be validated or corrected.
        if decoded.is_err() || call.shared.validates_arguments(call.tool()) {
            call.give_way_to(frame.most_made_bytes());
            if let Err(spent) = made.make_room(frame, arena) {
                call.note_lack(spent);
                return Err(ToolError::failed(ProtocolError::OutOfMemory.to_string()));
            }
        }
        if lacks_room {
            decoded = decode_object(json, arena);
        }
        let shared = &call.shared;
        let tool = shared.definition_of(call.tool());
        let name = tool.as_ref().map_or("", |tool| tool.name());
        let arguments = Arguments { shared, tool: call.tool(), name, json, arena };
        let has_owned = decoded.as_ref().map_or(true, |decoded| decoded.has_owned);
        let accepted = arguments.accept(decoded.map(|decoded| decoded.value));
        made.settle(frame, arena, has_owned);
        shared.tool_usage.note_arena(call.tool(), arena_bytes(arena));
        accepted.map(|(arguments, _)| arguments).map_err(ToolError::Failed)
    }
}

/// Bytes of an arena that are taken: one that a large message left may have far more.
pub(crate) fn arena_bytes(arena: &Bump) -> usize {
    arena.allocated_bytes() - arena.chunk_capacity()
}

/// A decoded object.
pub(crate) struct Decoded<A> {
    pub(crate) value: A,
    /// Whether it may have memory of its own, beside the arena.
    pub(crate) has_owned: bool,
}

/// Decodes arguments; those that are not there, or `null`, are an empty object.
pub(crate) fn decode_object<'f, A: Deserialize<'f>>(
    json: &'f str,
    arena: &'f Bump,
) -> Result<Decoded<A>, DecodeError> {
    let json = if json == "null" { "{}" } else { json };
    let mut lexer = Lexer::from_text(json);
    let value = lexer.decode(arena)?;
    Ok(Decoded { value, has_owned: lexer.has_owned() })
}

/// The arguments of one call, and of which tool.
pub(crate) struct Arguments<'s, 'f> {
    pub(crate) shared: &'s Shared,
    pub(crate) tool: Option<usize>,
    /// The tool's name, as an error says it.
    pub(crate) name: &'s str,
    pub(crate) json: &'f str,
    pub(crate) arena: &'f Bump,
}

impl<'f> Arguments<'_, 'f> {
    /// Whether they are read once more, to be validated.
    pub(crate) fn are_validated(&self) -> bool {
        self.shared.validates_arguments(self.tool)
    }

    /// The decoded arguments if they fit the schema, and their JSON; else those that were meant.
    ///
    /// # Errors
    /// What is wrong with them, in words for the model.
    pub(crate) fn accept<A: Deserialize<'f>>(
        &self,
        decoded: Result<A, DecodeError>,
    ) -> Result<(A, &'f str), String> {
        let fault = match decoded {
            Ok(arguments) => match self.shared.check_arguments(self.tool, self.json) {
                Ok(()) => return Ok((arguments, self.json)),
                Err(fault) => Unfit::Schema(fault),
            },
            Err(error) => Unfit::Type(error),
        };
        self.read_again(&fault)
    }

    /// Corrects arguments that do not fit, and gives their JSON text too; or lists everything that is wrong.
    #[cold]
    fn read_again<A: Deserialize<'f>>(&self, fault: &Unfit) -> Result<(A, &'f str), String> {
        let Self { shared, tool, name, json, arena } = *self;
        let explain = |json: &'f str, fault: &Unfit| match fault {
            Unfit::Schema(fault) => invalid_arguments(name, fault, ""),
            Unfit::Type(error) => {
                let path = Lexer::from_text(json).raw().ok().and_then(|raw| raw.fault_path::<A>(arena));
                explain_arguments(name, path.as_deref(), error)
            }
        };
        let json = if json == "null" { "{}" } else { json };
        let reread = shared.definition_of(tool).map(|tool| reread(&tool, json, arena));
        match reread.unwrap_or(Correction::Unchanged) {
            Correction::Unchanged => Err(explain(json, fault)),
            Correction::Faulty(faults) => Err(invalid_arguments(name, &faults, "")),
            Correction::Corrected(meant) => {
                let json: &'f str = arena.alloc_str(&meant);
                let arguments = Lexer::from_text(json)
                    .decode::<A>(arena)
                    .map_err(|error| explain(json, &Unfit::Type(error)))?;
                let checked = shared.check_arguments(tool, json);
                checked.map_err(|fault| explain(json, &Unfit::Schema(fault)))?;
                Ok((arguments, json))
            }
        }
    }
}

/// What the arguments do not fit.
enum Unfit {
    /// The type that they are decoded into.
    Type(DecodeError),
    /// The schema that validates them.
    Schema(String),
}

/// Explains to the model what is wrong with its arguments, in the form of the reference servers: without positions in
/// the frame, and without Rust types.
#[cold]
fn explain_arguments(name: &str, path: Option<&str>, error: &DecodeError) -> String {
    let fault = error.fault().to_string();
    let place = path.map(|path| format!(" at {path}")).unwrap_or_default();
    invalid_arguments(name, &fault, &place)
}

fn invalid_arguments(name: &str, fault: &str, place: &str) -> String {
    format!("MCP error -32602: Input validation error: Invalid arguments for tool {name}: {fault}{place}")
}
