//! The checks of a message before it is served, in the order of the specification's error table: shape, era, `_meta`,
//! headers against body, revision, handshake.
//!
//! The type of a message says which checks it passed: [`Unchecked`], then [`Checked`], then [`AdmittedRequest`]. Each
//! step consumes the value before it, so that no check runs twice.

use crate::protocol::{
    ClientCapabilities, Era, ErrorCode, IdField, LogLevel, Message, Meta, Method, ParamsField, ProtocolError,
    Revision, mirror,
};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::facts::{Saturation, SessionField};
use crate::server::incoming::frame_context::FrameContext;
use crate::server::incoming::inputs::Inputs;
use crate::server::incoming::observed;
use crate::server::shared::Shared;
use crate::server::state::call_state::CallState;
use crate::server::state::session::Session;
use crate::wire::{DecodeError, Kind, Lexer, Raw};
use bumpalo::Bump;
use serde::Deserialize;
use std::sync::Arc;

/// Bytes of the path to a faulty member that an error shows.
const MAX_PATH_IN_ERROR: usize = 128;

/// A message that was read to its end and not checked.
pub(crate) struct Unchecked<'m, 'f> {
    context: &'m FrameContext<'f>,
    message: &'m Message<'f>,
    arena: &'f Bump,
}

/// A message that passed the checks of all messages.
pub(crate) struct Checked<'m, 'f> {
    pub(crate) context: &'m FrameContext<'f>,
    pub(crate) message: &'m Message<'f>,
    pub(crate) arena: &'f Bump,
    pub(crate) era: Era,
    /// Its method, if this server knows it.
    pub(crate) method: Option<Method>,
}

/// A message that a handler may serve, with all that the handler works on.
pub(crate) struct AdmittedRequest {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) call: Arc<CallState>,
    pub(crate) era: Era,
    /// Log messages from this level on go to the client.
    pub(crate) log_level: Option<LogLevel>,
    /// The call runs as a task, without a connection.
    pub(crate) in_task: bool,
    /// What the client answered in earlier rounds.
    pub(crate) inputs: Option<Box<Inputs>>,
}

impl<'m, 'f> Unchecked<'m, 'f> {
    pub(crate) fn new(context: &'m FrameContext<'f>, message: &'m Message<'f>, arena: &'f Bump) -> Self {
        Self { context, message, arena }
    }

    /// Runs the checks of all messages, and copies the id, the progress token and the capabilities of the
    /// message into the state of its call.
    ///
    /// # Errors
    /// The outcome of a message that must not be served.
    pub(crate) fn check(self) -> Result<Checked<'m, 'f>, Outcome> {
        let (context, message, arena) = (self.context, self.message, self.arena);
        let era = context.era_of(message);
        if let IdField::Valid(id) = message.id {
            let mut names = context.call.details();
            names.id.push_str(id.as_json());
            if let Some(token) = message.meta.progress_token {
                names.progress_token.push_str(token.as_str());
            }
            if let (Era::Modern, Some(raw)) = (era, message.meta.client_capabilities) {
                names.capabilities = ClientCapabilities::decode(raw, arena);
            }
        }
        if era == Era::Legacy {
            context.call.mark_legacy();
        }
        let method = message.method.and_then(Method::parse);
        context.call.note_method(method);
        if let Some(observer) = context.shared.requests.get() {
            observed::begin(observer, context, message, era, arena);
        }
        #[cfg(feature = "otel")]
        crate::server::incoming::traced::begin(context, message, era, method);
        let Some(error) = self.fault(era, method) else {
            return Ok(Checked { context, message, arena, era, method });
        };
        let is_notification =
            message.method.is_some() && message.id == IdField::Absent && message.fault.is_none();
        if is_notification && context.origin.http.is_none() {
            // A notification is never answered, not even a faulty one. Over HTTP it gets a status, which is no answer.
            return Err(Outcome::Silent);
        }
        Err(context.refuse(message, &error))
    }
}

impl<'f> Checked<'_, 'f> {
    /// An error answer to the message.
    pub(crate) fn refuse(&self, error: &ProtocolError<'_>) -> Outcome {
        self.context.refuse(self.message, error)
    }

    /// Decodes the parameters as a whole; a message without any has an empty object.
    ///
    /// # Errors
    /// The refusal, which names the member that does not fit.
    pub(crate) fn decode_params<P: Deserialize<'f>>(&self) -> Result<P, Outcome> {
        self.message.decode_params(self.arena).map_err(|error| self.refuse_params::<P>(error))
    }

    #[cold]
    fn refuse_params<P: Deserialize<'f>>(&self, error: DecodeError) -> Outcome {
        let path = match self.message.params {
            ParamsField::Object(text) => Raw::trusted(text).fault_path::<P>(self.arena),
            ParamsField::Absent | ParamsField::Other => None,
        };
        let Some(path) = path else { return self.refuse(&ProtocolError::UndecodableParams(error)) };
        // Names that the client chose may be as long as its message.
        let path = &path[..path.floor_char_boundary(MAX_PATH_IN_ERROR)];
        let why = format!("Invalid params: {path}: {}", error.fault());
        self.refuse(&ProtocolError::Custom { code: ErrorCode::InvalidParams as i32, message: &why })
    }

    /// What the client can do: a modern one says so with each message, a legacy one in its handshake.
    pub(crate) fn capabilities(&self) -> ClientCapabilities {
        match self.era {
            Era::Modern => self.context.call.details().capabilities,
            Era::Legacy => self.context.session.capabilities(),
        }
    }

    /// Admits a call of a tool.
    ///
    /// # Errors
    /// The outcome of a call that must not be served.
    pub(crate) fn admit_call(self) -> Result<AdmittedRequest, Outcome> {
        let IdField::Valid(_) = self.message.id else {
            return Err(Outcome::Silent);
        };
        if self.era == Era::Modern {
            self.check_mirrored()?;
        }
        self.admit()
    }

    /// Admits a request that has a handler.
    ///
    /// # Errors
    /// The outcome of a request that must not be served.
    pub(crate) fn admit(self) -> Result<AdmittedRequest, Outcome> {
        let (context, message) = (self.context, self.message);
        self.refuse_if_saturated()?;
        if message.arguments.is_some_and(|raw| !raw.as_str().starts_with('{') && raw.as_str() != "null") {
            return Err(self.refuse(&ProtocolError::InvalidParams("arguments must be an object")));
        }
        let mut inputs = None;
        let log_level = match self.era {
            Era::Legacy => Some(context.session.log_level()),
            Era::Modern => {
                if message.request_state.is_some() || message.input_responses.is_some() {
                    let principal = context.call.details().principal();
                    match Inputs::of(context.shared, principal, message, self.arena) {
                        Ok(found) => inputs = Some(found),
                        Err(error) => return Err(self.refuse(&error)),
                    }
                }
                message.meta.log_level.and_then(parse_level)
            }
        };
        Ok(AdmittedRequest {
            shared: Arc::clone(context.shared),
            session: Arc::clone(context.session),
            call: Arc::clone(context.call),
            era: self.era,
            log_level,
            in_task: context.origin.in_task,
            inputs,
        })
    }

    /// Refuses a request that may have to wait, if there is no room for what waits.
    pub(crate) fn refuse_if_saturated(&self) -> Result<(), Outcome> {
        let shared = self.context.shared;
        let error = match self.context.origin.saturation {
            None => return Ok(()),
            Some(Saturation::Connection) => {
                let limit = shared.limits.max_concurrent_requests;
                tracing::warn!(limit, "refused: a client has max_concurrent_requests in flight");
                ProtocolError::TooManyRequests { limit }
            }
            Some(Saturation::Memory) => {
                shared.memory.note_refused();
                ProtocolError::NoMemoryToWait
            }
        };
        Err(self.refuse(&error))
    }

    /// Checks the headers that repeat arguments of a tool.
    fn check_mirrored(&self) -> Result<(), Outcome> {
        let Self { context, message, .. } = self;
        let Some(name) = message.name.filter(|_| context.origin.http.is_some()) else { return Ok(()) };
        let catalog = context.shared.catalog.load();
        for param in catalog.mirrored(name) {
            let argument = message.arguments.and_then(|raw| argument_at(raw, &param.path, self.arena));
            let header = mirror::find_header(context.frame.head(), mirror::PARAM_PREFIX, &param.header);
            if !says(header, argument, self.arena) {
                let header = format!("{}{}", mirror::PARAM_PREFIX, param.header);
                return Err(self.refuse(&ProtocolError::HeaderMismatch { header: &header }));
            }
        }
        Ok(())
    }
}

impl<'f> Unchecked<'_, 'f> {
    /// Whether another request has the same id and is not answered. A client could not tell the two answers apart.
    fn repeats_id(&self) -> bool {
        if self.context.origin.repeats_id || self.context.origin.in_batch {
            return self.context.origin.repeats_id;
        }
        let names = self.context.call.details();
        let ids = self.context.origin.ids.as_ref();
        let is_in_use = ids.is_some_and(|ids| ids.contains(&names.id));
        is_in_use || (self.context.origin.http.is_some() && self.context.session.has_in_flight(&names.id))
    }

    fn fault(&self, era: Era, method: Option<Method>) -> Option<ProtocolError<'f>> {
        if let Some(fault) = self.message.fault {
            return Some(ProtocolError::InvalidRequest(fault.explain()));
        }
        let is_answer = self.message.result.is_some() || self.message.error.is_some();
        if self.message.method.is_none() {
            match (is_answer, self.message.result.is_some() && self.message.error.is_some(), self.message.id)
            {
                (false, ..) => return Some(ProtocolError::InvalidRequest("method is missing")),
                (_, true, _) => {
                    let explained = "a response has a result or an error, never both";
                    return Some(ProtocolError::InvalidRequest(explained));
                }
                (.., IdField::Absent) => {
                    return Some(ProtocolError::InvalidRequest("a response has the id of its request"));
                }
                _ => {}
            }
        }
        if self.message.method.is_some() && self.repeats_id() {
            return Some(ProtocolError::REPEATED_ID);
        }
        if era == Era::Modern && self.context.origin.in_batch {
            return Some(ProtocolError::InvalidRequest("revision 2026-07-28 has no batches"));
        }
        if era == Era::Modern && self.message.method.is_none() && self.context.origin.http.is_some() {
            return Some(ProtocolError::InvalidRequest("in revision 2026-07-28 clients send no responses"));
        }
        if self.message.params == ParamsField::Other {
            return Some(ProtocolError::InvalidParams("params must be an object"));
        }
        match era {
            Era::Modern => self.modern_fault(method),
            Era::Legacy => self.legacy_fault(method),
        }
    }

    fn modern_fault(&self, method: Option<Method>) -> Option<ProtocolError<'f>> {
        let meta = &self.message.meta;
        let is_notification = self.message.id == IdField::Absent;
        if is_notification && self.context.origin.http.is_some() && !meta.claims_version {
            // Header rules for notifications are undefined: it is taken and dropped.
            return None;
        }
        let Some(requested) = meta.protocol_version else {
            return Some(ProtocolError::Meta { field: Meta::PROTOCOL_VERSION });
        };
        if meta.client_capabilities.is_none() && !is_notification {
            return Some(ProtocolError::Meta { field: Meta::CLIENT_CAPABILITIES });
        }
        if let Some(version) = self.context.header(|http| http.version)
            && mirror::matches_text(version, requested).is_err()
        {
            return Some(ProtocolError::HeaderMismatch { header: mirror::VERSION });
        }
        if !Revision::parse(requested).is_some_and(Revision::is_modern) {
            return Some(ProtocolError::UnsupportedVersion { requested });
        }
        if self.context.origin.http.is_some()
            && !is_notification
            && let Some(header) = self.unmirrored(method)
        {
            return Some(ProtocolError::HeaderMismatch { header });
        }
        if meta.log_level.is_some_and(|level| parse_level(level).is_none()) {
            return Some(ProtocolError::Meta { field: Meta::LOG_LEVEL });
        }
        None
    }

    /// The first header that should say the same as the body and does not.
    fn unmirrored(&self, method: Option<Method>) -> Option<&'f str> {
        if self.context.header(|http| http.version).is_none() {
            return Some(mirror::VERSION);
        }
        if let Some(header) = self.unreadable_header() {
            return Some(header);
        }
        let says = |header: Option<&[u8]>, body: Option<&str>| match (header, body) {
            (Some(header), Some(body)) => mirror::matches_text(header, body).is_ok(),
            _ => false,
        };
        if !says(self.context.header(|http| http.method), self.message.method) {
            return Some(mirror::METHOD);
        }
        let named = match method {
            Some(Method::ToolsCall | Method::PromptsGet) => self.message.name,
            Some(Method::ResourcesRead) => self.message.uri,
            Some(Method::TasksGet | Method::TasksUpdate | Method::TasksCancel) => self.message.task_id,
            _ => return None,
        };
        // Where the body has no name either, the parameters are at fault, not the header.
        let header = self.context.header(|http| http.name);
        if named.is_none() && header.is_none() {
            return None;
        }
        (!says(header, named)).then_some(mirror::NAME)
    }

    /// A header that a gateway may read otherwise than this server, whether or not it must be there.
    fn unreadable_header(&self) -> Option<&'f str> {
        let method = (self.context.header(|http| http.method), mirror::METHOD);
        let name = (self.context.header(|http| http.name), mirror::NAME);
        let has_params = self.context.origin.http.as_ref().is_some_and(|http| http.has_params);
        [method, name]
            .into_iter()
            .find(|(header, _)| header.is_some_and(|header| !mirror::is_visible(header)))
            .map(|(_, name)| name)
            .or_else(|| has_params.then(|| mirror::ambiguous_param(self.context.frame.head())).flatten())
    }

    fn legacy_fault(&self, method: Option<Method>) -> Option<ProtocolError<'f>> {
        let is_handshake = method == Some(Method::Initialize);
        if self.context.origin.in_batch && is_handshake {
            return Some(ProtocolError::InvalidRequest("initialize must not be part of a batch"));
        }
        if let Some(http) = &self.context.origin.http {
            if is_handshake {
                return None;
            }
            let version = self.context.header(|http| http.version);
            if version.is_some_and(|version| Revision::from_header(version).is_none()) {
                return Some(ProtocolError::InvalidRequest(ProtocolError::UNKNOWN_VERSION_HEADER));
            }
            return match http.session {
                SessionField::Known => None,
                SessionField::Unknown => Some(ProtocolError::UnknownSession),
                SessionField::Absent => Some(ProtocolError::SessionRequired),
            };
        }
        let is_early = self.context.session.revision().is_none();
        let works_early = method.is_none_or(|method| {
            method.is_notification() || !method.is_legacy() || is_handshake || method == Method::Ping
        });
        (is_early && !works_early).then_some(ProtocolError::NotInitialized)
    }
}

/// The value at the end of a path of property names; `null` counts as absent.
fn argument_at<'f>(arguments: Raw<'f>, path: &[Box<str>], arena: &'f Bump) -> Option<Raw<'f>> {
    let mut value = arguments;
    for name in path {
        let mut lexer = Lexer::from_text(value.as_str());
        if lexer.kind().ok()? != Kind::Object {
            return None;
        }
        lexer.enter_object().ok()?;
        value = loop {
            let key = lexer.next_key(arena).ok()??;
            let raw = lexer.raw().ok()?;
            if *key == **name {
                break raw;
            }
        };
    }
    (value.kind() != Kind::Null).then_some(value)
}

/// Whether a header says what an argument says. Without the argument nothing is expected.
fn says<'f>(header: Option<&[u8]>, argument: Option<Raw<'f>>, arena: &'f Bump) -> bool {
    let Some(argument) = argument else { return true };
    let Some(header) = header else { return false };
    if !mirror::is_visible(header) {
        return false;
    }
    match argument.kind() {
        Kind::String => {
            argument.decode::<&str>(arena).is_ok_and(|text| mirror::matches_text(header, text).is_ok())
        }
        Kind::Number => mirror::matches_integer(header, argument.as_str()).is_ok(),
        Kind::Bool => header == argument.as_str().as_bytes(),
        // The tool will say that the type is wrong.
        Kind::Null | Kind::Array | Kind::Object => true,
    }
}

/// The level that a message asks for.
fn parse_level(raw: Raw<'_>) -> Option<LogLevel> {
    LogLevel::parse(raw.as_str().trim_matches('"'))
}
