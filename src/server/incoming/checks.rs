//! What every message must fulfil before anybody serves it, in the order of the specification's error table:
//! shape, era, `_meta`, headers against body, revision, handshake.

use crate::protocol::{
    ClientCapabilities, Era, IdField, LogLevel, Message, Meta, Method, ParamsField, ProtocolError, Revision,
    mirror,
};
use crate::server::serving::dispatch::Route;
use crate::server::serving::serve::{HeadPart, HttpFacts, Outcome, SessionField};
use crate::wire::{Kind, Lexer, Raw};
use bumpalo::Bump;

impl<'f> Route<'f> {
    /// Checks what every message must fulfil, and tells its era and its method, if that is one of ours.
    pub(crate) fn judge(
        &self,
        message: &Message<'f>,
        arena: &'f Bump,
    ) -> Result<(Era, Option<Method>), Outcome> {
        let era = self.era_of(message);
        if let IdField::Valid(id) = message.id {
            let mut names = self.call.names();
            names.id.push_str(id.as_json());
            if let Some(token) = message.meta.progress_token {
                names.progress_token.push_str(token.as_str());
            }
            if let (Era::Modern, Some(raw)) = (era, message.meta.client_capabilities) {
                names.capabilities = ClientCapabilities::decode(raw, arena);
            }
        }
        if era == Era::Legacy {
            self.call.mark_legacy();
        }
        let method = message.method.and_then(Method::parse);
        self.call.note_method(method);
        let Some(error) = self.fault(message, era, method) else { return Ok((era, method)) };
        let is_notification =
            message.method.is_some() && message.id == IdField::Absent && message.fault.is_none();
        if is_notification && self.surroundings.http.is_none() {
            // A notification is never answered, however wrong it is; over HTTP its status is no answer.
            return Err(Outcome::Silent);
        }
        Err(self.refuse(message, &error))
    }

    /// Whether another request has the same id and is not answered. A client could not tell the two answers apart.
    fn repeats_id(&self) -> bool {
        if self.surroundings.repeats_id || self.surroundings.in_batch {
            return self.surroundings.repeats_id;
        }
        let names = self.call.names();
        let ids = self.surroundings.ids.as_ref();
        let is_in_use = ids.is_some_and(|ids| ids.contains(&names.id));
        is_in_use || (self.surroundings.http.is_some() && self.session.has_in_flight(&names.id))
    }

    /// The body decides; a header that names a modern revision only where the body claims none.
    pub(crate) fn era_of(&self, message: &Message<'f>) -> Era {
        let of_body = Era::of(message);
        let names_modern = || {
            let version = self.header(|http| http.version);
            version.and_then(parse_revision).is_some_and(Revision::is_modern)
        };
        if of_body == Era::Legacy
            && self.surroundings.http.is_some()
            && message.method != Some(Method::Initialize.as_str())
            && names_modern()
        {
            return Era::Modern;
        }
        of_body
    }

    fn fault(&self, message: &Message<'f>, era: Era, method: Option<Method>) -> Option<ProtocolError<'f>> {
        if let Some(fault) = message.fault {
            return Some(ProtocolError::InvalidRequest(fault.explain()));
        }
        let is_answer = message.result.is_some() || message.error.is_some();
        if message.method.is_none() {
            match (is_answer, message.result.is_some() && message.error.is_some(), message.id) {
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
        if message.method.is_some() && self.repeats_id() {
            return Some(ProtocolError::REPEATED_ID);
        }
        if era == Era::Modern && self.surroundings.in_batch {
            return Some(ProtocolError::InvalidRequest("revision 2026-07-28 has no batches"));
        }
        if era == Era::Modern && message.method.is_none() && self.surroundings.http.is_some() {
            return Some(ProtocolError::InvalidRequest("in revision 2026-07-28 clients send no responses"));
        }
        if message.params == ParamsField::Other {
            return Some(ProtocolError::InvalidParams("params must be an object"));
        }
        match era {
            Era::Modern => self.modern_fault(message, method),
            Era::Legacy => self.legacy_fault(method),
        }
    }

    fn modern_fault(&self, message: &Message<'f>, method: Option<Method>) -> Option<ProtocolError<'f>> {
        let meta = &message.meta;
        let is_notification = message.id == IdField::Absent;
        if is_notification && self.surroundings.http.is_some() && !meta.claims_version {
            // Header rules for notifications are undefined: it is taken and dropped.
            return None;
        }
        let Some(requested) = meta.protocol_version else {
            return Some(ProtocolError::Meta { field: Meta::PROTOCOL_VERSION });
        };
        if meta.client_capabilities.is_none() && !is_notification {
            return Some(ProtocolError::Meta { field: Meta::CLIENT_CAPABILITIES });
        }
        if let Some(version) = self.header(|http| http.version)
            && mirror::matches_text(version, requested).is_err()
        {
            return Some(ProtocolError::HeaderMismatch { header: mirror::VERSION });
        }
        if !Revision::parse(requested).is_some_and(Revision::is_modern) {
            return Some(ProtocolError::UnsupportedVersion { requested });
        }
        if self.surroundings.http.is_some()
            && !is_notification
            && let Some(header) = self.unmirrored(message, method)
        {
            return Some(ProtocolError::HeaderMismatch { header });
        }
        if meta.log_level.is_some_and(|level| parse_level(level).is_none()) {
            return Some(ProtocolError::Meta { field: Meta::LOG_LEVEL });
        }
        None
    }

    /// The first header that should say the same as the body and does not.
    fn unmirrored(&self, message: &Message<'f>, method: Option<Method>) -> Option<&'f str> {
        if self.header(|http| http.version).is_none() {
            return Some(mirror::VERSION);
        }
        if let Some(header) = self.unreadable_header() {
            return Some(header);
        }
        let says = |header: Option<&[u8]>, body: Option<&str>| match (header, body) {
            (Some(header), Some(body)) => mirror::matches_text(header, body).is_ok(),
            _ => false,
        };
        if !says(self.header(|http| http.method), message.method) {
            return Some(mirror::METHOD);
        }
        let named = match method {
            Some(Method::ToolsCall | Method::PromptsGet) => message.name,
            Some(Method::ResourcesRead) => message.uri,
            Some(Method::TasksGet | Method::TasksUpdate | Method::TasksCancel) => message.task_id,
            _ => return None,
        };
        // Where the body has no name either, the parameters are at fault, not the header.
        let header = self.header(|http| http.name);
        if named.is_none() && header.is_none() {
            return None;
        }
        (!says(header, named)).then_some(mirror::NAME)
    }

    /// A header that a gateway may read otherwise than this server, whether or not it must be there.
    fn unreadable_header(&self) -> Option<&'f str> {
        let method = (self.header(|http| http.method), mirror::METHOD);
        let name = (self.header(|http| http.name), mirror::NAME);
        let has_params = self.surroundings.http.as_ref().is_some_and(|http| http.has_params);
        [method, name]
            .into_iter()
            .find(|(header, _)| header.is_some_and(|header| !mirror::is_visible(header)))
            .map(|(_, name)| name)
            .or_else(|| has_params.then(|| mirror::ambiguous_param(self.frame.head())).flatten())
    }

    /// Checks the headers that repeat arguments of a tool.
    pub(crate) fn check_mirrored(&self, message: &Message<'f>, arena: &'f Bump) -> Result<(), Outcome> {
        let Some(name) = message.name.filter(|_| self.surroundings.http.is_some()) else { return Ok(()) };
        let catalog = self.shared.catalog.load();
        for param in catalog.mirrored(name) {
            let argument = message.arguments.and_then(|raw| argument_at(raw, &param.path, arena));
            let header = mirror::find_header(self.frame.head(), mirror::PARAM_PREFIX, &param.header);
            if !says(header, argument, arena) {
                let header = format!("{}{}", mirror::PARAM_PREFIX, param.header);
                return Err(self.refuse(message, &ProtocolError::HeaderMismatch { header: &header }));
            }
        }
        Ok(())
    }

    fn legacy_fault(&self, method: Option<Method>) -> Option<ProtocolError<'f>> {
        let is_handshake = method == Some(Method::Initialize);
        if self.surroundings.in_batch && is_handshake {
            return Some(ProtocolError::InvalidRequest("initialize must not be part of a batch"));
        }
        if let Some(http) = &self.surroundings.http {
            if is_handshake {
                return None;
            }
            let version = self.header(|http| http.version);
            if version.is_some_and(|version| parse_revision(version).is_none()) {
                return Some(ProtocolError::InvalidRequest(ProtocolError::UNKNOWN_VERSION_HEADER));
            }
            return match http.session {
                SessionField::Known => None,
                SessionField::Unknown => Some(ProtocolError::UnknownSession),
                SessionField::Absent => Some(ProtocolError::SessionRequired),
            };
        }
        let is_early = self.session.revision().is_none();
        let works_early = method.is_none_or(|method| {
            method.is_notification() || !method.is_legacy() || is_handshake || method == Method::Ping
        });
        (is_early && !works_early).then_some(ProtocolError::NotInitialized)
    }

    /// A header of the HTTP request, if the frame came with one.
    pub(crate) fn header(&self, part: impl Fn(&HttpFacts) -> Option<HeadPart>) -> Option<&'f [u8]> {
        part(self.surroundings.http.as_ref()?)?.of(self.frame.head())
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

fn parse_revision(header: &[u8]) -> Option<Revision> {
    Revision::parse(std::str::from_utf8(header).ok()?)
}

pub(crate) fn parse_level(raw: Raw<'_>) -> Option<LogLevel> {
    LogLevel::parse(raw.as_str().trim_matches('"'))
}
