//! From a frame to the handler of its method.
//!
//! Everything here runs before the first await of the request: the envelope and a tool's arguments are
//! decoded, and all methods but a tool's own work are answered on the spot. The order of checks is that of
//! the specification's error table: JSON, shape, era, `_meta`, version, method, parameters.

use super::answer::{self, AnswerId};
use super::call_state::CallState;
use super::context::{CallContext, Finished, ToolError};
use super::handler::Toolset;
use super::serve::{Outcome, Surroundings};
use super::session::{LogLevel, Session};
use super::{Core, Shared};
use crate::protocol::{
    ArgumentsAt, Era, Id, IdField, Message, MessageDecoder, Method, ParamsField, ProtocolError, Revision,
};
use crate::wire::{DecodeError, Lexer, Raw};
use bumpalo::Bump;
use pin_project_lite::pin_project;
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pin_project! {
    /// Where a frame goes; a future of what becomes of it.
    #[project = RoutedProjection]
    pub(super) enum Routed<F> {
        /// Nothing is left to do. Empty once it was polled.
        Done { outcome: Option<Outcome> },
        /// A tool goes to work.
        Call { #[pin] call: F },
    }
}

impl<F> Routed<F> {
    fn done(outcome: Outcome) -> Self {
        Self::Done { outcome: Some(outcome) }
    }
}

impl<F: Future<Output = Finished>> Future for Routed<F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.project() {
            RoutedProjection::Done { outcome } => Poll::Ready(outcome.take().unwrap_or(Outcome::Silent)),
            RoutedProjection::Call { call } => call.poll(cx).map(|finished| finished.0),
        }
    }
}

/// What all steps of one frame's dispatch share.
struct Route<'f> {
    shared: &'f Arc<Shared>,
    session: &'f Arc<Session>,
    call: &'f Arc<CallState>,
    surroundings: Surroundings,
}

/// Decodes a frame and finds who serves it.
pub(super) fn route<'f, T: Toolset>(
    core: &'f Core<T>,
    session: &'f Arc<Session>,
    call: &'f Arc<CallState>,
    surroundings: Surroundings,
    frame: &'f [u8],
    arena: &'f Bump,
) -> Routed<impl Future<Output = Finished> + Send + 'f> {
    let route = Route { shared: &core.shared, session, call, surroundings };
    let mut decoder = match MessageDecoder::new(frame, arena) {
        Ok(decoder) => decoder,
        Err(error) => return Routed::done(route.refuse_unreadable(error)),
    };
    match decoder.begin() {
        Err(error) => Routed::done(route.refuse_unreadable(error)),
        Ok(ArgumentsAt::End) if decoder.message().method != Some(Method::ToolsCall.as_str()) => {
            Routed::done(route.serve_method(&core.toolset, decoder.message(), arena))
        }
        Ok(arguments_at) => {
            // Where the name is unknown, any index leads to a refusal with the right error.
            let index = decoder.message().name.and_then(|name| core.shared.catalog.tool(name));
            let request = ToolRequest { route, decoder, arguments_at };
            match index {
                None => Routed::done(request.refuse_unknown().0),
                Some(index) => Routed::Call { call: core.toolset.call(index, request) },
            }
        }
    }
}

/// A call of a tool whose arguments are still to be decoded.
pub struct ToolRequest<'f> {
    route: Route<'f>,
    decoder: MessageDecoder<'f>,
    arguments_at: ArgumentsAt,
}

impl<'f> ToolRequest<'f> {
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
        let context = self.route.admit(message).map_err(Finished)?;
        match decoded {
            Ok(arguments) => Ok((arguments, message.arguments.map_or("{}", |raw| raw.as_str()), context)),
            Err(error) => {
                let name = message.name.unwrap_or_default();
                let path = message.arguments.and_then(|raw| raw.fault_path::<A>(self.decoder.arena()));
                Err(context.finish(Err(ToolError::Failed(explain_arguments(name, path.as_deref(), &error)))))
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
        match self.route.admit(message) {
            Err(outcome) => Finished(outcome),
            Ok(context) => match message.name {
                Some(name) => context.refuse(&ProtocolError::UnknownTool { name }),
                None => context.refuse(&ProtocolError::InvalidParams("name must be a string")),
            },
        }
    }
}

/// Tells the model what is wrong with its arguments, in the form that the reference servers use. Where the
/// fault stands in the frame is of no use to it, nor is how this server holds its strings.
#[cold]
fn explain_arguments(name: &str, path: Option<&str>, error: &DecodeError) -> String {
    let fault = error.fault().to_string().replace("a borrowed string", "a string");
    let place = path.map(|path| format!(" at {path}")).unwrap_or_default();
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
    /// Serves every method but `tools/call`.
    fn serve_method<T: Toolset>(&self, toolset: &T, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        let era = match self.judge(message) {
            Ok(era) => era,
            Err(outcome) => return outcome,
        };
        let Some(name) = message.method else {
            return self.take_response(toolset, message, arena);
        };
        let method = Method::parse(name).filter(|method| match era {
            Era::Modern => method.is_modern(),
            Era::Legacy => method.is_legacy(),
        });
        let IdField::Valid(id) = message.id else {
            return self.take_notification(toolset, method, message, arena);
        };
        let catalog = &self.shared.catalog;
        match method {
            Some(Method::Ping) => self.result(id.as_json(), "{}"),
            Some(Method::ToolsList) if has_cursor(message, arena) => {
                self.refuse(message, &ProtocolError::InvalidParams("this cursor was not given out here"))
            }
            Some(Method::ToolsList) => self.result(id.as_json(), catalog.tools_list(era)),
            Some(Method::Discover) => self.result(id.as_json(), catalog.discover()),
            Some(Method::Initialize) => self.initialize(message, arena),
            Some(Method::SetLevel) => self.set_level(message, arena),
            _ => self.refuse(message, &ProtocolError::MethodNotFound { method: name }),
        }
    }

    /// Checks what every message must fulfil, and tells its era.
    fn judge(&self, message: &Message<'f>) -> Result<Era, Outcome> {
        if let IdField::Valid(id) = message.id {
            id.as_json().clone_into(&mut self.call.names().id);
        }
        let era = Era::of(message);
        match self.fault(message, era) {
            None => Ok(era),
            // A notification is never answered, however wrong it is.
            Some(_)
                if message.method.is_some() && message.id == IdField::Absent && message.fault.is_none() =>
            {
                Err(Outcome::Silent)
            }
            Some(error) => Err(self.refuse(message, &error)),
        }
    }

    fn fault(&self, message: &Message<'f>, era: Era) -> Option<ProtocolError<'f>> {
        if let Some(fault) = message.fault {
            return Some(ProtocolError::InvalidRequest(fault.explain()));
        }
        let is_answer = message.result.is_some() || message.error.is_some();
        if message.method.is_none() && !is_answer {
            return Some(ProtocolError::InvalidRequest("method is missing"));
        }
        if era == Era::Modern && self.surroundings.in_batch {
            return Some(ProtocolError::InvalidRequest("revision 2026-07-28 has no batches"));
        }
        if message.params == ParamsField::Other {
            return Some(ProtocolError::InvalidParams("params must be an object"));
        }
        match era {
            Era::Modern => modern_fault(message),
            Era::Legacy => self.legacy_fault(message),
        }
    }

    fn legacy_fault(&self, message: &Message<'f>) -> Option<ProtocolError<'f>> {
        let is_handshake = message.method == Some(Method::Initialize.as_str());
        if self.surroundings.in_batch && is_handshake {
            return Some(ProtocolError::InvalidRequest("initialize must not be part of a batch"));
        }
        let is_early = self.session.revision().is_none();
        let needs_session = message
            .method
            .and_then(Method::parse)
            .is_some_and(|method| matches!(method, Method::ToolsList | Method::ToolsCall | Method::SetLevel));
        (is_early && needs_session).then_some(ProtocolError::NotInitialized)
    }

    /// Checks a `tools/call`, and gives the context that its tool works with.
    fn admit(&self, message: &Message<'f>) -> Result<CallContext, Outcome> {
        let era = self.judge(message)?;
        let IdField::Valid(_) = message.id else {
            return Err(Outcome::Silent);
        };
        if self.surroundings.is_saturated {
            let limit = self.shared.limits.max_concurrent_requests;
            return Err(self.refuse(message, &ProtocolError::TooManyRequests { limit }));
        }
        if message.arguments.is_some_and(|raw| !raw.as_str().starts_with('{') && raw.as_str() != "null") {
            return Err(self.refuse(message, &ProtocolError::InvalidParams("arguments must be an object")));
        }
        if let Some(token) = message.meta.progress_token {
            token.as_str().clone_into(&mut self.call.names().progress_token);
        }
        let log_level = match era {
            Era::Legacy => Some(self.session.log_level()),
            Era::Modern => message.meta.log_level.and_then(parse_level),
        };
        let (shared, session) = (Arc::clone(self.shared), Arc::clone(self.session));
        Ok(CallContext::new(shared, session, Arc::clone(self.call), era, log_level))
    }

    fn initialize(&self, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialize<'a> {
            protocol_version: &'a str,
            #[serde(default, borrow)]
            capabilities: Capabilities<'a>,
        }
        #[derive(Deserialize, Default)]
        struct Capabilities<'a> {
            #[serde(borrow)]
            roots: Option<Raw<'a>>,
        }
        let asked = match params::<Initialize<'_>>(message, arena) {
            Ok(asked) => asked,
            Err(error) => return self.refuse(message, &ProtocolError::UndecodableParams(error)),
        };
        let revision = Revision::negotiate(asked.protocol_version);
        self.session.agree(revision, asked.capabilities.roots.is_some());
        let mut reply = self.shared.reply();
        let names = self.call.names();
        answer::initialize(&mut reply, &names.id, revision, self.shared.catalog.initialize_rest());
        self.shared.answered(reply, AnswerId::Of(&names.id))
    }

    fn set_level(&self, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        #[derive(Deserialize)]
        struct SetLevel {
            level: LogLevel,
        }
        match params::<SetLevel>(message, arena) {
            Ok(SetLevel { level }) => {
                self.session.set_log_level(level);
                self.result(&self.call.names().id, "{}")
            }
            Err(error) => self.refuse(message, &ProtocolError::UndecodableParams(error)),
        }
    }

    fn take_notification<T: Toolset>(
        &self,
        toolset: &T,
        method: Option<Method>,
        message: &Message<'f>,
        arena: &'f Bump,
    ) -> Outcome {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled<'a> {
            #[serde(borrow)]
            request_id: Raw<'a>,
        }
        match method {
            Some(Method::Cancelled) => match params::<Cancelled<'_>>(message, arena) {
                Ok(cancelled) => match Id::from_raw(cancelled.request_id) {
                    Some(id) => {
                        id.as_json().clone_into(&mut self.call.names().id);
                        Outcome::Cancel
                    }
                    None => Outcome::Silent,
                },
                Err(_) => Outcome::Silent,
            },
            Some(Method::Initialized | Method::RootsListChanged) => {
                if toolset.wants_roots() && self.session.client_has_roots() {
                    let mut request = self.shared.reply();
                    answer::roots_request(&mut request, self.session.next_roots_request());
                    let _ = self.session.send(request.into_lease());
                }
                Outcome::Silent
            }
            _ => Outcome::Silent,
        }
    }

    /// Takes the client's answer to a request of ours; answers to anything else are ignored.
    fn take_response<T: Toolset>(&self, toolset: &T, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        #[derive(Deserialize)]
        struct Roots<'a> {
            #[serde(borrow)]
            roots: Vec<Root<'a>>,
        }
        #[derive(Deserialize)]
        struct Root<'a> {
            uri: &'a str,
        }
        if let (IdField::Valid(id), Some(result)) = (message.id, message.result)
            && answer::is_roots_request(id.as_json(), self.session.latest_roots_request())
            && let Ok(Roots { roots }) = result.decode::<Roots<'_>>(arena)
        {
            let uris: Vec<_> = roots.iter().map(|root| root.uri).collect();
            toolset.take_roots(&uris);
        }
        Outcome::Silent
    }

    fn result(&self, id: &str, body: &str) -> Outcome {
        let mut reply = self.shared.reply();
        answer::result(&mut reply, id, body);
        self.shared.answered(reply, AnswerId::Of(id))
    }

    fn refuse(&self, message: &Message<'f>, error: &ProtocolError<'_>) -> Outcome {
        let id = match message.id {
            IdField::Valid(id) => AnswerId::Of(id.as_json()),
            _ => AnswerId::unreadable(self.session.revision()),
        };
        self.refuse_as(id, error)
    }

    fn refuse_unreadable(&self, error: DecodeError) -> Outcome {
        self.refuse_as(AnswerId::unreadable(self.session.revision()), &ProtocolError::Parse(error))
    }

    fn refuse_as(&self, id: AnswerId<'_>, error: &ProtocolError<'_>) -> Outcome {
        self.shared.refusal(id, error)
    }
}

fn modern_fault<'f>(message: &Message<'f>) -> Option<ProtocolError<'f>> {
    let meta = &message.meta;
    let Some(requested) = meta.protocol_version else {
        return Some(ProtocolError::Meta { field: crate::protocol::Meta::PROTOCOL_VERSION });
    };
    if meta.client_capabilities.is_none() && message.id != IdField::Absent {
        return Some(ProtocolError::Meta { field: crate::protocol::Meta::CLIENT_CAPABILITIES });
    }
    if !Revision::parse(requested).is_some_and(Revision::is_modern) {
        return Some(ProtocolError::UnsupportedVersion { requested });
    }
    if meta.log_level.is_some_and(|level| parse_level(level).is_none()) {
        return Some(ProtocolError::Meta { field: crate::protocol::Meta::LOG_LEVEL });
    }
    None
}

fn parse_level(raw: Raw<'_>) -> Option<LogLevel> {
    LogLevel::parse(raw.as_str().trim_matches('"'))
}

fn params<'f, P: Deserialize<'f>>(message: &Message<'f>, arena: &'f Bump) -> Result<P, DecodeError> {
    match message.params {
        ParamsField::Object(text) => Lexer::from_text(text).decode(arena),
        _ => Lexer::from_text("{}").decode(arena),
    }
}

/// Whether a list is asked for a further page; all lists here have one.
fn has_cursor(message: &Message<'_>, arena: &Bump) -> bool {
    #[derive(Deserialize)]
    struct Paginated<'a> {
        #[serde(borrow)]
        cursor: Option<Raw<'a>>,
    }
    params::<Paginated<'_>>(message, arena).is_ok_and(|page| page.cursor.is_some())
}
