//! Where a request goes, decided from its head alone: what is answered at once, and whose body is read.

use super::answer::{Answer, AnswerBody, parse_session};
use super::codec::head::{RequestHead, Span};
use super::codec::words::{ContentType, Status, Verb};
use super::endpoint::Endpoint;
use super::sender::Sender;
use super::stream::SessionStream;
use crate::protocol::{Method, ProtocolError, Revision};
use crate::server::{Permit, Session, SessionKey};
use crate::transport::admission::{
    AdmittedPeer, Credentials, PeerAddress, Principal, Refusal, RequestSource,
};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

/// Paths of the endpoint of MCP. Clients that join a base and a path may add a slash at the end.
const PATHS: [&[u8]; 2] = [b"/mcp", b"/mcp/"];

/// Paths that tell how the server is.
const HEALTH: [&[u8]; 3] = [b"/livez", b"/readyz", b"/healthz"];

/// The verbs of the endpoint, as `Allow` lists them.
const ALLOWED: &str = "GET, POST, DELETE";
/// The verbs of the modern era, which has no sessions.
const ALLOWED_MODERN: &str = "POST";

/// The error for a client that uses a verb of sessions with a revision that has none.
const NO_SESSIONS: &str =
    "revision 2026-07-28 has no sessions and no streams apart from answers: send a POST";
/// The error for a principal that has too many connections.
const SHARE_IS_TAKEN: &str = "too many connections of one principal: close some, or come back later (setting \
    principal_share_percent)";
/// What a person sees who opens the address in a browser.
const WELCOME: &str = include_str!("welcome.html");
/// The error for a client that uses any other path.
const NOT_HERE: &str =
    "nothing is here: MCP is spoken at /mcp, and /livez, /readyz and /healthz tell how the server is";

/// What the head of a request decides.
pub(super) enum HeadDecision {
    /// It is answered; its body is dropped.
    Answered,
    /// It is answered, and the connection ends without waiting for its peer.
    CutOff,
    /// The peer is admitted: its body is read next.
    ReadBody(AdmittedPeer),
    /// It is answered by a stream of its session.
    Stream(SessionStream),
}

/// A request whose head has come.
pub(super) struct Arrival<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) sender: &'a mut Sender,
    pub(super) head: &'a RequestHead,
    /// The bytes that the head was read from.
    pub(super) input: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// Answers a request that needs no body, or admits its sender if the body is needed. `permit` is the
    /// permit of the connection.
    pub(super) fn route(&mut self, peer: PeerAddress, permit: &mut Permit) -> HeadDecision {
        let admission = &self.endpoint.admission;
        let origin = self.text(self.head.origin);
        let cors = origin.filter(|origin| admission.allows_cors() && admission.allows_origin(origin));
        self.sender.set_cors(cors.map(Box::from));
        let path = self.head.path.text(self.input);
        let fetch_site = self.text(self.head.fetch_site);
        let source = RequestSource { host: self.text(self.head.host), origin, fetch_site };
        // Probes ask under whatever name or address they know this server by.
        let checked = if HEALTH.contains(&path) {
            admission.check_page(&source)
        } else {
            admission.check_source(&source, peer)
        };
        if let Err(refusal) = checked {
            self.reject(peer, &refusal);
            return HeadDecision::Answered;
        }
        if PATHS.contains(&path) {
            return self.route_endpoint(peer, permit);
        }
        self.answer_elsewhere(path);
        HeadDecision::Answered
    }

    fn text(&self, span: Option<Span>) -> Option<&'a [u8]> {
        span.map(|span| span.text(self.input))
    }

    fn route_endpoint(&mut self, peer: PeerAddress, permit: &mut Permit) -> HeadDecision {
        if self.head.verb == Verb::Options {
            self.answer_preflight();
            return HeadDecision::Answered;
        }
        let credentials = Credentials { authorization: self.text(self.head.authorization), peer };
        let admitted = match self.endpoint.admission.admit(&credentials, Instant::now()) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.reject(peer, &refusal);
                return HeadDecision::Answered;
            }
        };
        let principal = admitted.principal.key();
        self.sender.admitted = Some(principal);
        if !permit.belongs_to(principal) && !permit.move_to(principal) {
            tracing::warn!(%peer, "refused: {SHARE_IS_TAKEN}");
            return self.refuse_connection(permit);
        }
        self.route_verb(admitted)
    }

    /// Answers a request that admission does not let in.
    fn reject(&mut self, peer: PeerAddress, refusal: &Refusal) {
        let status = refusal.status();
        // Clients that get their tokens from an issuer begin without one, to be told which it is.
        if matches!(refusal, Refusal::Unauthorized { is_expected: true, .. }) {
            tracing::info!(%peer, status, "refused: {refusal}");
        } else {
            tracing::warn!(%peer, status, "refused: {refusal}");
        }
        self.sender.admitted = refusal.principal().map(Principal::key);
        let method = self.text(self.head.mcp_method).and_then(|method| std::str::from_utf8(method).ok());
        self.sender.asked = method.and_then(Method::parse);
        self.sender.reject(self.endpoint, self.head, refusal);
    }

    /// Refuses a connection whose principal has no permit left. The connection ends, and its permit counts for nobody
    /// while it lingers: a client that is refused all the time must not take the permits of its address, which other
    /// clients need.
    fn refuse_connection(&mut self, permit: &mut Permit) -> HeadDecision {
        let may_linger = permit.linger();
        self.sender.refuse_and_close(self.endpoint, Some(self.head), Status::Unavailable, &SHARE_IS_TAKEN);
        if may_linger { HeadDecision::Answered } else { HeadDecision::CutOff }
    }

    fn route_verb(&mut self, admitted: AdmittedPeer) -> HeadDecision {
        let version = self.text(self.head.protocol_version).map(|version| std::str::from_utf8(version).ok());
        let revision = version.map(|version| version.and_then(Revision::parse));
        match self.head.verb {
            Verb::Post if self.head.content_type == ContentType::Json => {
                return HeadDecision::ReadBody(admitted);
            }
            Verb::Post => self.refuse(Status::UnsupportedMediaType, &"the body must be application/json"),
            _ if revision.flatten().is_some_and(Revision::is_modern) => {
                let refusal = Answer::refusal(Status::MethodNotAllowed, &NO_SESSIONS);
                self.answer(Answer { allow: Some(ALLOWED_MODERN), ..refusal });
            }
            Verb::Get | Verb::Delete if revision == Some(None) => {
                self.refuse_message(&ProtocolError::InvalidRequest(ProtocolError::UNKNOWN_VERSION_HEADER));
            }
            Verb::Get => {
                if let Some(stream) = self.open_stream(admitted.principal.key()) {
                    return HeadDecision::Stream(stream);
                }
            }
            Verb::Delete => self.end_session(admitted.principal.key()),
            _ => self.answer(Answer { allow: Some(ALLOWED), ..Answer::plain(Status::MethodNotAllowed) }),
        }
        HeadDecision::Answered
    }

    /// Answers the paths that anybody may read: health, and the metadata that says whose tokens are accepted.
    fn answer_elsewhere(&mut self, path: &[u8]) {
        let endpoint = self.endpoint;
        let is_reading = matches!(self.head.verb, Verb::Get | Verb::Head);
        let answer = match path {
            path if HEALTH.contains(&path) && !is_reading => {
                Answer { allow: Some("GET, HEAD"), ..Answer::plain(Status::MethodNotAllowed) }
            }
            b"/" if is_reading && self.head.accepts.html => {
                Answer::new(Status::Ok, AnswerBody::Html(WELCOME))
            }
            b"/livez" => Answer::new(Status::Ok, AnswerBody::Text("ok\n")),
            b"/readyz" | b"/healthz" if endpoint.is_ready() => {
                Answer::new(Status::Ok, AnswerBody::Text("ok\n"))
            }
            b"/readyz" | b"/healthz" if endpoint.server.running_tasks() > 0 => {
                Answer::new(Status::Unavailable, AnswerBody::Text("draining, tasks are running\n"))
            }
            b"/readyz" | b"/healthz" => Answer::new(Status::Unavailable, AnswerBody::Text("draining\n")),
            _ => match endpoint.admission.metadata_at(path).filter(|_| is_reading) {
                Some(metadata) => Answer::new(Status::Ok, AnswerBody::Json(metadata)),
                None => Answer::refusal(Status::NotFound, &NOT_HERE),
            },
        };
        self.answer(answer);
    }

    fn answer_preflight(&mut self) {
        let headers = self.text(self.head.access_control_request_headers);
        let answer = if self.sender.has_cors() && self.head.access_control_request_method.is_some() {
            Answer { preflight: Some(headers.unwrap_or_default()), ..Answer::plain(Status::NoContent) }
        } else {
            Answer { allow: Some(ALLOWED), ..Answer::plain(Status::MethodNotAllowed) }
        };
        self.answer(answer);
    }

    fn answer(&mut self, answer: Answer<'_>) {
        self.sender.answer(self.endpoint, self.head, answer);
    }

    fn refuse(&mut self, status: Status, why: &dyn Display) {
        self.answer(Answer::refusal(status, why));
    }

    fn refuse_message(&mut self, error: &ProtocolError<'_>) {
        self.answer(Answer::of(self.endpoint.server.refusal_without_request(error)));
    }

    /// The session that a request without a body names.
    fn session(&mut self, principal: u128) -> Option<(u128, Arc<Session>)> {
        let Some(text) = self.text(self.head.session_id) else {
            self.refuse_message(&ProtocolError::SessionRequired);
            return None;
        };
        let id = parse_session(text);
        let found = id.and_then(|id| Some((id, self.endpoint.server.find_session(id, principal)?)));
        if found.is_none() {
            self.refuse_message(&ProtocolError::UnknownSession);
        }
        found
    }

    fn open_stream(&mut self, principal: u128) -> Option<SessionStream> {
        if !self.head.accepts.is_given || !self.head.accepts.event_stream {
            let remedy = "a stream is sent as text/event-stream: say so in Accept";
            self.refuse(Status::NotAcceptable, &remedy);
            return None;
        }
        let (_, session) = self.session(principal)?;
        self.sender.owner = SessionKey { principal, session: session.number() };
        let last_event = self.text(self.head.last_event_id);
        let stream = SessionStream::of_session(self.endpoint, session, last_event, self.head);
        let Some(mut stream) = stream else {
            self.refuse(Status::NotFound, &"the stream of that event is gone");
            return None;
        };
        stream.begin(self.endpoint, self.sender);
        Some(stream)
    }

    fn end_session(&mut self, principal: u128) {
        let Some((id, _)) = self.session(principal) else { return };
        self.endpoint.server.end_session(id, principal);
        self.answer(Answer::plain(Status::NoContent));
    }
}
