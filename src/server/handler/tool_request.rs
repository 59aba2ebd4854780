//! A tool call before it is admitted: its arguments become the tool's own type, then its message is checked.

use crate::protocol::{
    ArgumentsAt, Era, Message, MessageDecoder, ProtocolError, Revision, TaskSupport, WantedTask,
};
use crate::server::answer::outcome::Outcome;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::arguments::{Arguments, arena_bytes, decode_object};
use crate::server::handler::call_context::CallContext;
use crate::server::handler::request_context::RequestContext;
use crate::server::incoming::checks::{AdmittedRequest, Unchecked};
use crate::server::incoming::frame_context::FrameContext;
use crate::server::incoming::handler_end::{ArgumentsPlace, Finished, HandlerEnd, ThreadCall};
use crate::server::state::session::SessionValues;
use crate::wire::DecodeError;
#[cfg(any(feature = "filesystem", feature = "memory"))]
use crate::wire::Frame;
use bumpalo::Bump;
use serde::Deserialize;

/// Where a call goes on that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    Here,
    /// In the background: its message is served anew there.
    AsTask(WantedTask),
}

/// A call of a tool whose arguments are not decoded yet.
///
/// ```
/// use mcpool::ToolDefinition;
/// use mcpool::toolsets::{Finished, ToolRequest, Toolset};
///
/// /// A tool that is told no arguments.
/// struct Ping;
///
/// impl Toolset for Ping {
///     fn definitions(&self) -> Vec<ToolDefinition> {
///         vec![ToolDefinition::new("ping", "Answers.")]
///     }
///
///     fn call<'f>(&'f self, index: usize, request: ToolRequest<'f>) -> impl Future<Output = Finished> + Send + 'f {
///         let finished = if index > 0 {
///             request.refuse_unknown()
///         } else {
///             match request.admit::<serde::de::IgnoredAny>() {
///                 Ok((_, mut call)) => {
///                     call.text("pong");
///                     call.finish(Ok(()))
///                 }
///                 Err(refused) => refused,
///             }
///         };
///         std::future::ready(finished)
///     }
/// }
/// # let server = mcpool::Server::builder("ping", "1.0.0").toolset(Ping).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
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

    /// The name of the tool that is called, as the client has it.
    pub(crate) fn name(&self) -> Option<&'f str> {
        self.decoder.message().name
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
        let decoded = self.decode_arguments::<A>()?;
        let (admitted, goes_on) = self.check_and_admit()?;
        let context = CallContext::new(RequestContext::new(admitted), self.index);
        let (message, arena) = (self.decoder.message(), self.decoder.arena());
        let json = message.arguments.map_or("{}", |raw| raw.as_str());
        let name = message.name.unwrap_or_default();
        let arguments = Arguments { shared: self.context.shared, tool: self.index, name, json, arena };
        // Arguments are read again where they have to be validated or corrected.
        if (decoded.is_err() || arguments.are_validated())
            && let Err(error) = self.context.make_room(arena)
        {
            return Err(self.context.refuse(message, &error).into());
        }
        let accepted = arguments.accept(decoded);
        let has_owned = self.arguments_at == ArgumentsAt::End || self.decoder.has_owned();
        self.context.made.settle(self.context.frame, arena, accepted.is_err() || has_owned);
        match accepted {
            Ok((arguments, json)) => match goes_on {
                GoesOn::AsTask(wanted) => Err(Finished(HandlerEnd::NeedsTask(wanted))),
                GoesOn::Here => Ok((arguments, json, context)),
            },
            Err(text) => Err(context.finish(Err(ToolError::Failed(text)))),
        }
    }

    /// Admits a call that goes on, with its frame, on a thread that may block: there
    /// [`Toolset::call_on_thread`](crate::toolsets::Toolset::call_on_thread) decodes the arguments into `A` and serves the call.
    /// Here they are checked to be JSON, and nothing is copied.
    ///
    /// Return what this gives from [`Toolset::call`](crate::toolsets::Toolset::call).
    pub fn admit_for_thread<A: Deserialize<'f>>(mut self) -> Finished {
        let metrics = &self.context.shared.metrics;
        let walked = match self.arguments_at {
            ArgumentsAt::Here => {
                metrics.one_pass_messages.add(1);
                self.with_room(MessageDecoder::skip_arguments_of::<A>)
            }
            ArgumentsAt::End => {
                metrics.two_pass_messages.add(1);
                Ok(())
            }
        };
        if let Err(refused) = walked {
            return refused;
        }
        let request = match self.check_and_admit() {
            Ok((request, GoesOn::Here)) => request,
            Ok((_, GoesOn::AsTask(wanted))) => return Finished(HandlerEnd::NeedsTask(wanted)),
            Err(outcome) => return outcome.into(),
        };
        let json = self.decoder.message().arguments.map_or("{}", |raw| raw.as_str());
        let arguments = ArgumentsPlace::of(json, self.context.frame);
        Finished(HandlerEnd::OnThread(ThreadCall { request, tool: self.index, arguments, may_repeat: false }))
    }

    /// The frame that the call came in.
    #[cfg(any(feature = "filesystem", feature = "memory"))]
    pub(crate) fn frame(&self) -> &'f Frame {
        self.context.frame
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

    /// Decodes the arguments and reads the message to its end. The outer error is the answer to a message that is not JSON
    /// or has no room, the inner one says that the arguments are of another type.
    fn decode_arguments<A: Deserialize<'f>>(&mut self) -> Result<Result<A, DecodeError>, Finished> {
        let metrics = &self.context.shared.metrics;
        match self.arguments_at {
            ArgumentsAt::Here => {
                metrics.one_pass_messages.add(1);
                self.with_room(MessageDecoder::arguments::<A>)
            }
            ArgumentsAt::End => {
                metrics.two_pass_messages.add(1);
                self.with_room(|decoder| match decode_late(decoder.message(), decoder.arena()) {
                    Err(error) if error.lacks_room() => Err(error),
                    decoded => Ok(decoded),
                })
            }
        }
    }

    /// Has `decode` walk over what is left of the message: again from the same place, with room for all that comes of it,
    /// where there was not enough.
    fn with_room<R>(
        &mut self,
        mut decode: impl FnMut(&mut MessageDecoder<'f>) -> Result<R, DecodeError>,
    ) -> Result<R, Finished> {
        let start = self.context.frame.is_large().then(|| self.decoder.clone());
        let first = decode(&mut self.decoder);
        let walked = match (first, start) {
            (Err(error), Some(start)) if error.lacks_room() => {
                self.decoder = start;
                if let Err(error) = self.context.make_room(self.decoder.arena()) {
                    return Err(self.context.refuse(self.decoder.message(), &error).into());
                }
                decode(&mut self.decoder)
            }
            (first, _) => first,
        };
        walked.map_err(|error| self.context.refuse_unreadable(error).into())
    }

    /// Checks and admits the message, which was read to its end, and counts the call.
    fn check_and_admit(&self) -> Result<(AdmittedRequest, GoesOn), Outcome> {
        let (message, arena) = (self.decoder.message(), self.decoder.arena());
        // What a client answers to questions is decoded with the checks.
        if message.input_responses.is_some() || message.request_state.is_some() {
            self.context.make_room(arena).map_err(|error| self.context.refuse(message, &error))?;
        }
        let checked = Unchecked::new(&self.context, message, arena).check()?;
        let goes_on = if self.context.shared.description.has_tasks { self.goes_on()? } else { GoesOn::Here };
        let admitted = checked.admit_call()?;
        // Arguments that are not there are not read twice.
        let is_two_pass = self.arguments_at == ArgumentsAt::End && message.arguments.is_some();
        self.context.shared.tool_usage.note_call(self.index, is_two_pass, arena_bytes(arena));
        self.context.call.note_tool(self.index);
        Ok((admitted, goes_on))
    }

    /// Where the call goes on: a client of revision 2025-11-25 says so with each.
    fn goes_on(&self) -> Result<GoesOn, Outcome> {
        let (context, message) = (&self.context, self.decoder.message());
        let has_tasks = context.session.revision().is_some_and(Revision::has_tasks);
        let is_asked = !context.origin.in_task && has_tasks && context.era_of(message) == Era::Legacy;
        let Some(name) = message.name.filter(|_| is_asked) else { return Ok(GoesOn::Here) };
        match (context.shared.catalog.load().task_support(name), message.task) {
            (Some(TaskSupport::Optional | TaskSupport::Required), Some(Ok(wanted))) => {
                Ok(GoesOn::AsTask(wanted))
            }
            (Some(_), Some(Err(why))) => Err(context.refuse(message, &ProtocolError::InvalidParams(why))),
            (Some(TaskSupport::Forbidden), Some(Ok(_))) => {
                Err(context.refuse(message, &ProtocolError::TaskForbidden { name }))
            }
            (Some(TaskSupport::Required), None) => {
                Err(context.refuse(message, &ProtocolError::TaskRequired { name }))
            }
            (Some(TaskSupport::Forbidden | TaskSupport::Optional), None) | (None, _) => Ok(GoesOn::Here),
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
            Ok((admitted, _)) => {
                let context = RequestContext::new(admitted);
                match self.decoder.message().name {
                    Some(name) => context.refuse(&ProtocolError::UnknownTool { name }),
                    None => context.refuse(&ProtocolError::InvalidParams("name must be a string")),
                }
            }
        }
    }
}

/// Decodes arguments that came before the tool's name, or not at all, or as `null`.
fn decode_late<'f, A: Deserialize<'f>>(message: &Message<'f>, arena: &'f Bump) -> Result<A, DecodeError> {
    decode_object(message.arguments.map_or("{}", |raw| raw.as_str()), arena).map(|decoded| decoded.value)
}
