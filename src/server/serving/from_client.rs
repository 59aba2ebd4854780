//! Messages with which a client describes itself: its handshake, its notifications, its answers to the server's requests.

use crate::memory::lasting;
use crate::protocol::{Capability, ClientCapabilities, Id, IdField, Method, ProtocolError, Revision};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::handler::tool::Toolset;
use crate::server::incoming::checks::Checked;
use crate::server::incoming::observed::ClientInfo;
use crate::server::serving::listen;
use crate::server::state::lasting::Lasting;
use crate::server::state::session::Session;
use crate::wire::{Kind, Raw};
use serde::Deserialize;
use std::sync::Arc;

/// What a client says in its handshake.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize<'a> {
    protocol_version: &'a str,
    #[serde(default, borrow)]
    capabilities: Option<Raw<'a>>,
    #[serde(default, borrow)]
    client_info: Option<Raw<'a>>,
}

/// The handshake of the legacy era.
pub(crate) fn initialize(checked: &Checked<'_, '_>) -> Outcome {
    let context = checked.context;
    if context.origin.in_batch {
        let error = ProtocolError::InvalidRequest("initialize must not be part of a batch");
        return checked.refuse(&error);
    }
    let asked = match checked.decode_params::<Initialize<'_>>() {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    if asked.capabilities.is_some_and(|raw| raw.kind() != Kind::Object) {
        return checked.refuse(&ProtocolError::InvalidParams("capabilities must be an object"));
    }
    let revision = Revision::negotiate(asked.protocol_version);
    let (id, principal) = {
        let details = context.call.details();
        (details.id.clone(), details.principal())
    };
    let mut reply = context.shared.reply();
    envelope::initialize(&mut reply, &id, revision, context.shared.catalog.load().handshake());
    let outcome = context.shared.answered(reply, AnswerId::Of(&id));
    let is_on_connection = context.origin.http.is_none();
    if is_on_connection && context.has_session() {
        introduce(checked, &asked, revision, context.session);
        return outcome;
    }
    let Some(answer) = outcome.into_answer() else { return Outcome::Silent };
    let number = context.shared.sessions.next_number();
    let session = lasting(|| Arc::new(Session::new(number, principal)));
    introduce(checked, &asked, revision, &session);
    if is_on_connection {
        return Outcome::Opened { answer, session, id: None };
    }
    match context.shared.open_session(&session) {
        Ok(id) => Outcome::Opened { answer, session, id: Some(id) },
        Err(error) => checked.refuse(&error),
    }
}

/// Notes in a session what its client said of itself.
fn introduce(checked: &Checked<'_, '_>, asked: &Initialize<'_>, revision: Revision, session: &Session) {
    let Checked { context, arena, .. } = *checked;
    let capabilities = asked
        .capabilities
        .map_or_else(ClientCapabilities::default, |raw| ClientCapabilities::decode(raw, arena));
    session.record_handshake(revision, capabilities);
    let client = ClientInfo::read(asked.client_info, arena);
    if let Some(observer) = context.shared.requests.get() {
        let number = observer.number_of(client.name);
        session.note_client(number);
        // The handshake itself is that client's, too.
        context.call.note_client(number);
    }
    tracing::debug!(
        client = client.name,
        version = client.version,
        asked = asked.protocol_version,
        revision = revision.as_str(),
        capabilities = asked.capabilities.map_or("none", Raw::as_str),
        session = session.number(),
        "handshake"
    );
}

/// Takes a notification of the client; unknown ones are ignored.
pub(crate) fn take_notification(
    toolset: &impl Toolset,
    method: Option<Method>,
    checked: &Checked<'_, '_>,
) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled<'a> {
        #[serde(borrow)]
        request_id: Raw<'a>,
    }
    let Checked { context, message, arena, .. } = *checked;
    match method {
        Some(Method::Cancelled) => match message.decode_params::<Cancelled<'_>>(arena) {
            Ok(cancelled) => match Id::from_raw(cancelled.request_id, arena) {
                Some(id) => {
                    id.as_json().clone_into(&mut context.call.details().id);
                    Outcome::Cancel
                }
                None => Outcome::Silent,
            },
            Err(_) => Outcome::Silent,
        },
        Some(Method::Initialized | Method::RootsListChanged) => {
            let knows_roots = context.session.capabilities().has(Capability::Roots);
            if toolset.wants_roots() && knows_roots {
                context.session.ask_for_roots();
            }
            let is_on_connection = context.origin.http.is_none() && context.has_session();
            if is_on_connection && method == Some(Method::Initialized) {
                listen::subscribe_legacy_client(context.shared, context.session);
            }
            Outcome::Silent
        }
        _ => Outcome::Silent,
    }
}

/// What a root takes beside its text.
const ROOT_BYTES: usize = 256;

/// The memory of a session's roots, kept among its values, where the next roots replace it.
struct RootsMemory(#[expect(dead_code, reason = "it is held")] Lasting);

/// Takes the client's answer to a request of the server; other answers are ignored.
pub(crate) fn take_response(toolset: &impl Toolset, checked: &Checked<'_, '_>) -> Outcome {
    #[derive(Deserialize)]
    struct Roots<'a> {
        #[serde(borrow)]
        roots: Vec<Root<'a>>,
    }
    #[derive(Deserialize)]
    struct Root<'a> {
        uri: &'a str,
    }
    let Checked { context, message, arena, .. } = *checked;
    let IdField::Valid(id) = message.id else { return Outcome::Silent };
    if !context.has_session() {
        // The server asked nothing. All peers without a session share one, which must not store one peer's answer.
        return Outcome::Silent;
    }
    if envelope::is_roots_request(id.as_json(), context.session.latest_roots_request()) {
        if let Some(result) = message.result
            && let Ok(Roots { roots }) = result.decode::<Roots<'_>>(arena)
        {
            let most = context.shared.limits.max_client_roots;
            if roots.len() > most {
                tracing::info!(roots = roots.len(), most, "a client has more roots than are used");
            }
            let uris: Vec<_> = roots.iter().take(most).map(|root| root.uri).collect();
            // A path is kept as text and as an open place, with its entry.
            let bytes = uris.iter().map(|uri| ROOT_BYTES + 2 * uri.len()).sum();
            match context.shared.pools.lasting.try_reserve(context.session.principal(), bytes) {
                Ok(memory) => {
                    lasting(|| toolset.take_roots(&uris, context.session.values()));
                    context.session.values().put(Arc::new(RootsMemory(memory)), 0);
                }
                Err(error) => tracing::warn!(%error, "the roots of a client are not used"),
            }
        }
        return Outcome::Silent;
    }
    let (is_error, body) = match (message.result, message.error) {
        (_, Some(error)) => (true, error),
        (Some(result), None) => (false, result),
        (None, None) => return Outcome::Silent,
    };
    context.shared.take_answer(context.session, id.as_json(), is_error, body.as_str());
    Outcome::Silent
}
