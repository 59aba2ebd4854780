//! Where a request goes, told from its head alone: what is answered at once, and whose body is wanted.

use super::codec::head::{ContentType, RequestHead, Verb};
use super::codec::response::{Persistence, Status};
use super::endpoint::{Endpoint, PATHS};
use super::exchange::{Exchange, State};
use super::reply::{Answer, AnswerBody, parse_session};
use super::stream::Follow;
use crate::protocol::{ProtocolError, Revision};
use crate::server::{Permit, Session};
use crate::transport::admission::{Admitted, Credentials, PeerAddress, Refusal};
use std::sync::Arc;
use std::time::Instant;

/// The verbs of the endpoint, as `Allow` lists them; those of the modern era, which has no sessions.
const ALLOWED: &str = "GET, POST, DELETE";
const ALLOWED_MODERN: &str = "POST";

/// What is said to a verb that the era of the request does not have.
const NO_SESSIONS: &str =
    "revision 2026-07-28 has no sessions and no streams apart from answers: send a POST";
/// What is said to a principal with a connection too many.
const SHARE_IS_TAKEN: &str = "too many connections of one principal: close some, or come back later (setting \
    principal_share_percent)";
/// What is said at every other path.
const NOT_HERE: &str =
    "nothing is here: MCP is spoken at /mcp, and /livez, /readyz and /healthz tell how the server is";

impl Exchange {
    /// Answers a request that needs no body, or gives who sends the body that is wanted.
    pub(super) fn route(
        &mut self,
        endpoint: &Arc<Endpoint>,
        peer: PeerAddress,
        connection: &mut Permit,
        head: &RequestHead,
    ) -> Option<Admitted> {
        let input = self.input.take()?;
        let origin = head.origin.map(|span| span.text(&input));
        self.cors = origin
            .filter(|origin| endpoint.admission.allows_cors() && endpoint.admission.allows_origin(origin))
            .map(Box::from);
        let path = head.path.text(&input);
        let admitted = if PATHS.contains(&path) {
            self.route_endpoint(endpoint, peer, connection, head, &input)
        } else {
            self.route_elsewhere(endpoint, head, path);
            None
        };
        self.input = Some(input);
        admitted
    }

    fn route_endpoint(
        &mut self,
        endpoint: &Arc<Endpoint>,
        peer: PeerAddress,
        connection: &mut Permit,
        head: &RequestHead,
        input: &[u8],
    ) -> Option<Admitted> {
        let text = |span: Option<super::codec::head::Span>| span.map(|span| span.text(input));
        if head.verb == Verb::Options {
            self.preflight(endpoint, head, input);
            return None;
        }
        let credentials = Credentials {
            host: text(head.host),
            origin: text(head.origin),
            authorization: text(head.authorization),
            peer,
        };
        let admitted = match endpoint.admission.admit(&credentials, Instant::now()) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.reject(endpoint, head, &refusal);
                return None;
            }
        };
        if !self.has_share(endpoint, connection, head, admitted.principal.key()) {
            return None;
        }
        let version = text(head.protocol_version).map(|version| std::str::from_utf8(version).ok());
        let revision = version.map(|version| version.and_then(Revision::parse));
        match head.verb {
            Verb::Post => match head.content_type {
                ContentType::Json => return Some(admitted),
                _ => self.refuse(
                    endpoint,
                    head,
                    Status::UnsupportedMediaType,
                    "the body must be application/json",
                ),
            },
            _ if revision.flatten().is_some_and(Revision::is_modern) => {
                let fault = Answer::fault(Status::MethodNotAllowed, &NO_SESSIONS);
                let answer = Answer { allow: Some(ALLOWED_MODERN), ..fault.answer() };
                self.answer(endpoint, answer, Some(head), Persistence::of(head));
            }
            Verb::Get | Verb::Delete if revision == Some(None) => {
                let error = ProtocolError::InvalidRequest(ProtocolError::UNKNOWN_VERSION_HEADER);
                self.refuse_message(endpoint, head, &error);
            }
            Verb::Get => self.open_stream(endpoint, head, input, admitted.principal.key()),
            Verb::Delete => self.end_session(endpoint, head, input, admitted.principal.key()),
            _ => {
                let answer = Answer { allow: Some(ALLOWED), ..Answer::plain(Status::MethodNotAllowed) };
                self.answer(endpoint, answer, Some(head), Persistence::of(head));
            }
        }
        None
    }

    /// Whether the connection is one of the share of who speaks on it, now that this is known. Where that share is
    /// taken the connection ends, and what is left of it takes nobody's place: who is turned away all the time must
    /// not fill the share of its address, in which others arrive.
    fn has_share(
        &mut self,
        endpoint: &Endpoint,
        connection: &mut Permit,
        head: &RequestHead,
        principal: u128,
    ) -> bool {
        if connection.belongs_to(principal) || connection.move_to(principal) {
            return true;
        }
        self.is_cut_off = !connection.linger();
        self.refuse_and_close(endpoint, Status::Unavailable, &SHARE_IS_TAKEN, Some(head));
        false
    }

    /// What is said without asking who wants to know: whether the server lives, and whose tokens it takes.
    fn route_elsewhere(&mut self, endpoint: &Endpoint, head: &RequestHead, path: &[u8]) {
        let is_reading = matches!(head.verb, Verb::Get | Verb::Head);
        let (is_alive, is_ready) = (Some("ok\n"), endpoint.is_ready());
        let text = match path {
            b"/livez" => is_alive,
            b"/readyz" | b"/healthz" if is_ready => is_alive,
            b"/readyz" | b"/healthz" => None,
            _ => {
                let metadata = endpoint.admission.metadata_at(path).filter(|_| is_reading);
                let answer = match metadata {
                    Some(metadata) => Answer::new(Status::Ok, AnswerBody::Json(metadata)),
                    None => return self.refuse(endpoint, head, Status::NotFound, NOT_HERE),
                };
                return self.answer(endpoint, answer, Some(head), Persistence::of(head));
            }
        };
        let answer = match text {
            _ if !is_reading => {
                Answer { allow: Some("GET, HEAD"), ..Answer::plain(Status::MethodNotAllowed) }
            }
            Some(text) => Answer::new(Status::Ok, AnswerBody::Text(text)),
            None if endpoint.server.running_tasks() > 0 => {
                Answer::new(Status::Unavailable, AnswerBody::Text("draining, tasks are running\n"))
            }
            None => Answer::new(Status::Unavailable, AnswerBody::Text("draining\n")),
        };
        self.answer(endpoint, answer, Some(head), Persistence::of(head));
    }

    fn preflight(&mut self, endpoint: &Endpoint, head: &RequestHead, input: &[u8]) {
        let is_allowed = self.cors.is_some();
        let asked = head.access_control_request_headers.map(|span| span.text(input).to_vec());
        let answer = if is_allowed && head.access_control_request_method.is_some() {
            Answer {
                preflight: Some(asked.as_deref().unwrap_or_default()),
                ..Answer::plain(Status::NoContent)
            }
        } else {
            Answer { allow: Some(ALLOWED), ..Answer::plain(Status::MethodNotAllowed) }
        };
        self.answer(endpoint, answer, Some(head), Persistence::of(head));
    }

    pub(super) fn reject(&mut self, endpoint: &Endpoint, head: &RequestHead, refusal: &Refusal) {
        let status = Status::from_code(refusal.status()).unwrap_or(Status::Forbidden);
        let fault = Answer::fault(status, refusal);
        let mut answer = fault.answer();
        answer.challenge = refusal.challenge();
        answer.retry_after_seconds = refusal.retry_after_seconds();
        self.answer(endpoint, answer, Some(head), Persistence::of(head));
    }

    fn refuse(&mut self, endpoint: &Endpoint, head: &RequestHead, status: Status, why: &str) {
        let fault = Answer::fault(status, &why);
        self.answer(endpoint, fault.answer(), Some(head), Persistence::of(head));
    }

    /// The session that a request without a body speaks of.
    fn session(
        &mut self,
        endpoint: &Endpoint,
        head: &RequestHead,
        input: &[u8],
        principal: u128,
    ) -> Option<(u128, Arc<Session>)> {
        let Some(span) = head.session_id else {
            self.refuse_message(endpoint, head, &ProtocolError::SessionRequired);
            return None;
        };
        let id = parse_session(span.text(input));
        let found = id.and_then(|id| Some((id, endpoint.server.find_session(id, principal)?)));
        if found.is_none() {
            self.refuse_message(endpoint, head, &ProtocolError::UnknownSession);
        }
        found
    }

    fn refuse_message(&mut self, endpoint: &Endpoint, head: &RequestHead, error: &ProtocolError<'_>) {
        let outcome = endpoint.server.refusal_without_request(error);
        self.answer(endpoint, Answer::of(outcome), Some(head), Persistence::of(head));
    }

    fn open_stream(&mut self, endpoint: &Arc<Endpoint>, head: &RequestHead, input: &[u8], principal: u128) {
        if !head.accepts.is_given || !head.accepts.event_stream {
            let remedy = "a stream is sent as text/event-stream: say so in Accept";
            return self.refuse(endpoint, head, Status::NotAcceptable, remedy);
        }
        let Some((_, session)) = self.session(endpoint, head, input, principal) else { return };
        let last_event = head.last_event_id.map(|span| span.text(input));
        match Follow::session(endpoint, session, last_event, head) {
            Some(follow) => self.begin_following(endpoint, follow, head),
            None => self.refuse(endpoint, head, Status::NotFound, "the stream of that event is gone"),
        }
    }

    fn end_session(&mut self, endpoint: &Endpoint, head: &RequestHead, input: &[u8], principal: u128) {
        let Some((id, _)) = self.session(endpoint, head, input, principal) else { return };
        endpoint.server.end_session(id, principal);
        self.answer(endpoint, Answer::plain(Status::NoContent), Some(head), Persistence::of(head));
    }

    /// Whether the connection is past its last request.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing)
    }
}
