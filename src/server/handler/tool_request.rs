//! A tool call before it is admitted: its arguments become the tool's own type, then its message is checked.

use crate::protocol::{ArgumentsAt, Message, MessageDecoder, ProtocolError};
use crate::server::answer::outcome::{Finished, Outcome};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::call_context::CallContext;
use crate::server::handler::request_context::RequestContext;
use crate::server::incoming::checks::Unchecked;
use crate::server::incoming::coercion::{Correction, reread};
use crate::server::incoming::frame_context::FrameContext;
use crate::server::state::session::SessionValues;
use crate::wire::{DecodeError, Lexer};
use bumpalo::Bump;
use serde::Deserialize;

/// A call of a tool whose arguments are not decoded yet.
pub struct ToolRequest<'f> {
    pub(crate) context: FrameContext<'f>,
    pub(crate) decoder: MessageDecoder<'f>,
    pub(crate) arguments_at: ArgumentsAt,
    /// The tool's place among all tools of the server; none where it is not offered.
    pub(crate) index: Option<usize>,
}

impl<'f> ToolRequest<'f> {
    /// The values that toolsets store for the client's session.
    pub fn session_values(&self) -> &SessionValues {
        self.context.session.values()
    }

    /// Decodes the arguments into the tool's own type, in the same pass as the message around them, and admits the
    /// call: only a message that was read to its end can be checked.
    ///
    /// # Errors
    /// The finished answer, where the message or its arguments are faulty.
    pub fn admit<A: Deserialize<'f>>(self) -> Result<(A, CallContext), Finished> {
        self.admit_with_json().map(|(arguments, _, context)| (arguments, context))
    }

    /// Like [`ToolRequest::admit`], and also gives the arguments' JSON text, to be owned by a call
    /// that outlives its frame.
    ///
    /// # Errors
    /// As for [`ToolRequest::admit`].
    pub fn admit_with_json<A: Deserialize<'f>>(mut self) -> Result<(A, &'f str, CallContext), Finished> {
        let decoded = match self.decode_arguments::<A>() {
            Ok(decoded) => decoded,
            Err(error) => return Err(self.context.refuse_unreadable(error).into()),
        };
        let request = self.check_and_admit()?;
        let message = self.decoder.message();
        // Arguments that are not there are not read twice.
        let is_two_pass = self.arguments_at == ArgumentsAt::End && message.arguments.is_some();
        let arena_bytes = self.decoder.arena().allocated_bytes();
        self.context.shared.tool_usage.note_call(self.index, is_two_pass, arena_bytes);
        let context = CallContext::new(request, self.index);
        let json = message.arguments.map_or("{}", |raw| raw.as_str());
        let fault = match decoded {
            Ok(arguments) => match self.context.shared.check_arguments(self.index, json) {
                Ok(()) => return Ok((arguments, json, context)),
                Err(fault) => Unfit::Schema(fault),
            },
            Err(error) => Unfit::Type(error),
        };
        match self.read_again(json, &fault) {
            Ok((arguments, json)) => Ok((arguments, json, context)),
            Err(text) => Err(context.finish(Err(ToolError::Failed(text)))),
        }
    }

    /// Old name of [`ToolRequest::admit`].
    ///
    /// # Errors
    /// As for [`ToolRequest::admit`].
    #[deprecated(note = "is called `admit`")]
    pub fn decode<A: Deserialize<'f>>(self) -> Result<(A, CallContext), Finished> {
        self.admit()
    }

    /// Old name of [`ToolRequest::admit_with_json`].
    ///
    /// # Errors
    /// As for [`ToolRequest::admit`].
    #[deprecated(note = "is called `admit_with_json`")]
    pub fn decode_with_raw<A: Deserialize<'f>>(self) -> Result<(A, &'f str, CallContext), Finished> {
        self.admit_with_json()
    }

    /// Decodes the arguments and reads the message to its end. The outer error says that the message is not JSON, the
    /// inner one that the arguments are of another type.
    fn decode_arguments<A: Deserialize<'f>>(&mut self) -> Result<Result<A, DecodeError>, DecodeError> {
        let metrics = &self.context.shared.metrics;
        match self.arguments_at {
            ArgumentsAt::Here => {
                metrics.one_pass_messages.add(1);
                self.decoder.arguments::<A>()
            }
            ArgumentsAt::End => {
                metrics.two_pass_messages.add(1);
                Ok(decode_late(self.decoder.message(), self.decoder.arena()))
            }
        }
    }

    /// Checks and admits the message, which was read to its end.
    fn check_and_admit(&self) -> Result<RequestContext, Outcome> {
        let unchecked = Unchecked::new(&self.context, self.decoder.message(), self.decoder.arena());
        unchecked.check()?.admit_call().map(RequestContext::new)
    }

    /// Corrects arguments that do not fit, and gives their JSON text too; or lists everything that is wrong.
    #[cold]
    fn read_again<A: Deserialize<'f>>(&self, json: &'f str, fault: &Unfit) -> Result<(A, &'f str), String> {
        let (shared, arena) = (self.context.shared, self.decoder.arena());
        let name = self.decoder.message().name.unwrap_or_default();
        let explain = |json: &'f str, fault: &Unfit| match fault {
            Unfit::Schema(fault) => invalid_arguments(name, fault, ""),
            Unfit::Type(error) => {
                let path = Lexer::from_text(json).raw().ok().and_then(|raw| raw.fault_path::<A>(arena));
                explain_arguments(name, path.as_deref(), error)
            }
        };
        let json = if json == "null" { "{}" } else { json };
        let reread = shared.definition_of(self.index).map(|tool| reread(tool, json, arena));
        match reread.unwrap_or(Correction::Unchanged) {
            Correction::Unchanged => Err(explain(json, fault)),
            Correction::Faulty(faults) => Err(invalid_arguments(name, &faults, "")),
            Correction::Corrected(meant) => {
                let json: &'f str = arena.alloc_str(&meant);
                let arguments = Lexer::from_text(json)
                    .decode::<A>(arena)
                    .map_err(|error| explain(json, &Unfit::Type(error)))?;
                let checked = shared.check_arguments(self.index, json);
                checked.map_err(|fault| explain(json, &Unfit::Schema(fault)))?;
                Ok((arguments, json))
            }
        }
    }

    /// Answers a call of a tool that does not exist.
    pub fn refuse_unknown(mut self) -> Finished {
        if self.arguments_at == ArgumentsAt::Here
            && let Err(error) = self.decoder.skip_arguments()
        {
            return self.context.refuse_unreadable(error).into();
        }
        match self.check_and_admit() {
            Err(outcome) => outcome.into(),
            Ok(context) => match self.decoder.message().name {
                Some(name) => context.refuse(&ProtocolError::UnknownTool { name }),
                None => context.refuse(&ProtocolError::InvalidParams("name must be a string")),
            },
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

/// Decodes arguments that came before the tool's name, or not at all, or as `null`.
fn decode_late<'f, A: Deserialize<'f>>(message: &Message<'f>, arena: &'f Bump) -> Result<A, DecodeError> {
    match message.arguments {
        Some(raw) if raw.as_str() != "null" => raw.decode(arena),
        _ => Lexer::from_text("{}").decode(arena),
    }
}
