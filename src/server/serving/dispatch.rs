//! From a frame to the handler of its method.
//!
//! Everything here runs before the first await of the request: the envelope and a tool's arguments are
//! decoded, and all methods but a tool's own work are answered on the spot. The order of checks is that of
//! the specification's error table: JSON, shape, era, `_meta`, version, method, parameters.

use crate::protocol::{ArgumentsAt, Era, IdField, Message, MessageDecoder, Method, ProtocolError};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::handler::call_context::{CallContext, Finished, ToolError};
use crate::server::handler::inputs::Inputs;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::BoxedFuture;
use crate::server::handler::tool::Toolset;
use crate::server::incoming::coercion::{Reread, reread};
use crate::server::serving::serve::{Outcome, Surroundings};
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::session::{Session, SessionValues};
use crate::server::{Core, Shared};
use crate::wire::{DecodeError, Frame, Lexer, Raw};
use bumpalo::Bump;
use pin_project_lite::pin_project;
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pin_project! {
    /// Where a frame goes; a future of what becomes of it.
    #[project = RoutedProjection]
    pub(crate) enum Routed<'f, F> {
        /// Nothing is left to do. Empty once it was polled.
        Done { outcome: Option<Outcome> },
        /// A tool goes to work.
        Call { #[pin] call: F },
        /// A handler of another kind goes to work.
        Later { later: BoxedFuture<'f, Finished> },
    }
}

impl<F> Routed<'_, F> {
    fn done(outcome: Outcome) -> Self {
        Self::Done { outcome: Some(outcome) }
    }
}

impl<F: Future<Output = Finished>> Future for Routed<'_, F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.project() {
            RoutedProjection::Done { outcome } => Poll::Ready(outcome.take().unwrap_or(Outcome::Silent)),
            RoutedProjection::Call { call } => call.poll(cx).map(|finished| finished.0),
            RoutedProjection::Later { later } => later.as_mut().poll(cx).map(|finished| finished.0),
        }
    }
}

/// What all steps of one frame's dispatch share.
pub(crate) struct Route<'f> {
    pub(crate) shared: &'f Arc<Shared>,
    pub(crate) session: &'f Arc<Session>,
    pub(crate) call: &'f Arc<CallState>,
    pub(crate) surroundings: &'f Surroundings,
    pub(crate) frame: &'f Frame,
}

/// Decodes a frame and finds who serves it.
pub(crate) fn route<'f, T: Toolset>(
    core: &'f Core<T>,
    session: &'f Arc<Session>,
    call: &'f Arc<CallState>,
    surroundings: &'f Surroundings,
    frame: &'f Frame,
    arena: &'f Bump,
) -> Routed<'f, impl Future<Output = Finished> + Send + 'f> {
    let route = Route { shared: &core.shared, session, call, surroundings, frame };
    let mut decoder = match MessageDecoder::new(frame.bytes(), arena) {
        Ok(decoder) => decoder,
        Err(error) => return Routed::done(route.refuse_unreadable(error)),
    };
    match decoder.begin() {
        Err(error) => Routed::done(route.refuse_unreadable(error)),
        Ok(ArgumentsAt::End) if decoder.message().method != Some(Method::ToolsCall.as_str()) => {
            match route.serve_method(&core.toolset, decoder.message(), arena) {
                Served::Now(outcome) => Routed::done(outcome),
                Served::Later(later) => Routed::Later { later },
            }
        }
        Ok(arguments_at) => {
            // Where the name is unknown, any index leads to a refusal with the right error.
            let name = decoder.message().name;
            let index = name.and_then(|name| core.shared.catalog.load().tool(name));
            let request = ToolRequest { route, decoder, arguments_at, index };
            match index {
                None => Routed::done(request.refuse_unknown().0),
                Some(index) => Routed::Call { call: core.toolset.call(index, request) },
            }
        }
    }
}

/// What became of a message at once.
pub(crate) enum Served<'f> {
    /// All of it is done.
    Now(Outcome),
    /// A handler goes to work.
    Later(BoxedFuture<'f, Finished>),
}

/// A call of a tool whose arguments are still to be decoded.
pub struct ToolRequest<'f> {
    route: Route<'f>,
    decoder: MessageDecoder<'f>,
    arguments_at: ArgumentsAt,
    /// The tool's place among all tools of the server.
    index: Option<usize>,
}

impl<'f> ToolRequest<'f> {
    /// What toolsets keep for the client's session.
    pub fn session_values(&self) -> &SessionValues {
        self.route.session.values()
    }

    /// Decodes the arguments into the tool's own type, in the same pass as the message around them.
    ///
    /// # Errors
    /// The finished answer, where the message or its arguments are faulty.
    pub fn decode<A: Deserialize<'f>>(self) -> Result<(A, CallContext), Finished> {
        self.decode_with_raw().map(|(arguments, _, context)| (arguments, context))
    }

    /// Like [`ToolRequest::decode`], and also gives the arguments' JSON text, to be owned by a call
    /// that outlives its frame.
    ///
    /// # Errors
    /// As for [`ToolRequest::decode`].
    pub fn decode_with_raw<A: Deserialize<'f>>(mut self) -> Result<(A, &'f str, CallContext), Finished> {
        let metrics = &self.route.shared.metrics;
        let decoded = match self.arguments_at {
            ArgumentsAt::Here => {
                metrics.one_pass_messages.add(1);
                self.decoder.arguments::<A>()
            }
            ArgumentsAt::End => {
                metrics.two_pass_messages.add(1);
                Ok(decode_late(self.decoder.message(), self.decoder.arena()))
            }
        };
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return Err(Finished(self.route.refuse_unreadable(error))),
        };
        let message = self.decoder.message();
        let request = self.route.admit(message, self.decoder.arena()).map_err(Finished)?;
        // Arguments that are not there are not read twice.
        let is_two_pass = self.arguments_at == ArgumentsAt::End && message.arguments.is_some();
        let arena_bytes = self.decoder.arena().allocated_bytes();
        self.route.shared.tool_usage.note_call(self.index, is_two_pass, arena_bytes);
        let context = CallContext::new(request, self.index);
        let json = message.arguments.map_or("{}", |raw| raw.as_str());
        let fault = match decoded {
            Ok(arguments) => match self.route.shared.check_arguments(self.index, json) {
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

    /// Arguments that do not fit, as they are meant: as JSON text, too. Or else all that is wrong with them.
    #[cold]
    fn read_again<A: Deserialize<'f>>(&self, json: &'f str, fault: &Unfit) -> Result<(A, &'f str), String> {
        let (shared, arena) = (self.route.shared, self.decoder.arena());
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
        match reread.unwrap_or(Reread::AsBefore) {
            Reread::AsBefore => Err(explain(json, fault)),
            Reread::Faulty(faults) => Err(invalid_arguments(name, &faults, "")),
            Reread::Meant(meant) => {
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
            return Finished(self.route.refuse_unreadable(error));
        }
        let message = self.decoder.message();
        match self.route.admit(message, self.decoder.arena()) {
            Err(outcome) => Finished(outcome),
            Ok(context) => match message.name {
                Some(name) => context.refuse(&ProtocolError::UnknownTool { name }),
                None => context.refuse(&ProtocolError::InvalidParams("name must be a string")),
            },
        }
    }
}

/// What arguments do not fit.
enum Unfit {
    /// The type that they are decoded into.
    Type(DecodeError),
    /// The schema that they are held against.
    Schema(String),
}

/// Tells the model what is wrong with its arguments, in the form that the reference servers use. Where the
/// fault stands in the frame is of no use to it, nor is how this server holds its strings.
#[cold]
fn explain_arguments(name: &str, path: Option<&str>, error: &DecodeError) -> String {
    let fault = error.fault().to_string();
    let place = path.map(|path| format!(" at {path}")).unwrap_or_default();
    invalid_arguments(name, &fault, &place)
}

fn invalid_arguments(name: &str, fault: &str, place: &str) -> String {
    format!("MCP error -32602: Input validation error: Invalid arguments for tool {name}: {fault}{place}")
}

/// Decodes arguments that came before the names they depend on, or not at all, or as `null`.
fn decode_late<'f, A: Deserialize<'f>>(message: &Message<'f>, arena: &'f Bump) -> Result<A, DecodeError> {
    match message.arguments {
        Some(raw) if raw.as_str() != "null" => raw.decode(arena),
        _ => Lexer::from_text("{}").decode(arena),
    }
}

impl<'f> Route<'f> {
    /// Checks a request that has a handler, and gives the context that the handler works with.
    pub(crate) fn admit(&self, message: &Message<'f>, arena: &'f Bump) -> Result<RequestContext, Outcome> {
        let (era, _) = self.judge(message, arena)?;
        let IdField::Valid(_) = message.id else {
            return Err(Outcome::Silent);
        };
        if era == Era::Modern {
            self.check_mirrored(message, arena)?;
        }
        self.admit_judged(message, era, arena)
    }

    /// The part of [`Route::admit`] that comes after [`Route::judge`].
    pub(crate) fn admit_judged(
        &self,
        message: &Message<'f>,
        era: Era,
        arena: &'f Bump,
    ) -> Result<RequestContext, Outcome> {
        if self.surroundings.is_saturated {
            let limit = self.shared.limits.max_concurrent_requests;
            return Err(self.refuse(message, &ProtocolError::TooManyRequests { limit }));
        }
        if message.arguments.is_some_and(|raw| !raw.as_str().starts_with('{') && raw.as_str() != "null") {
            return Err(self.refuse(message, &ProtocolError::InvalidParams("arguments must be an object")));
        }
        let mut inputs = None;
        let log_level = match era {
            Era::Legacy => Some(self.session.log_level()),
            Era::Modern => {
                if message.request_state.is_some() || message.input_responses.is_some() {
                    let principal = self.call.names().principal();
                    match Inputs::of(self.shared, principal, message, arena) {
                        Ok(found) => inputs = Some(found),
                        Err(error) => return Err(self.refuse(message, &error)),
                    }
                }
                message.meta.log_level.and_then(crate::server::incoming::checks::parse_level)
            }
        };
        Ok(RequestContext {
            shared: Arc::clone(self.shared),
            session: Arc::clone(self.session),
            call: Arc::clone(self.call),
            era,
            log_level,
            in_task: self.surroundings.in_task,
            last_progress: None,
            inputs,
        })
    }

    pub(crate) fn result(&self, id: &str, body: Raw<'_>) -> Outcome {
        let mut reply = self.shared.reply();
        envelope::result(&mut reply, id, body);
        self.shared.answered(reply, AnswerId::Of(id))
    }

    pub(crate) fn refuse(&self, message: &Message<'f>, error: &ProtocolError<'_>) -> Outcome {
        let id = match message.id {
            // The id of a response is one of ours: the peer would take it for that of a request of its own.
            IdField::Valid(id)
                if message.method.is_some() || message.result.is_none() && message.error.is_none() =>
            {
                AnswerId::Of(id.as_json())
            }
            _ => AnswerId::unreadable(self.session.revision()),
        };
        let era = self.era_of(message);
        self.call.fail(Failure::Code(error.code(era)));
        self.shared.refusal_in(era, id, error)
    }

    fn refuse_unreadable(&self, error: DecodeError) -> Outcome {
        let id = AnswerId::unreadable(self.session.revision());
        let error = ProtocolError::Parse(error);
        self.call.fail(Failure::Code(error.code(Era::Modern)));
        self.shared.refusal(id, &error)
    }
}
