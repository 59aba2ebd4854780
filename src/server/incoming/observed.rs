//! Requests as a log sees them: who sent them, when they begin; what became of them, when they end.
//!
//! Only where somebody is given them ([`Server::report_requests_to`](crate::Server::report_requests_to)). Allocates
//! nothing once the name of a client is known.

use crate::metrics::Moment;
use crate::protocol::{Era, IdField, Message, Method};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::frame_context::FrameContext;
use crate::server::shared::Shared;
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::request_observer::{ClientNumber, RequestObserver};
use crate::traffic::{EndedRequest, RequestResult};
use crate::wire::Raw;
use bumpalo::Bump;
use serde::Deserialize;
use std::time::Duration;

/// What a client says of itself.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ClientInfo<'a> {
    #[serde(default)]
    pub(crate) name: &'a str,
    #[serde(default)]
    pub(crate) version: &'a str,
}

impl<'a> ClientInfo<'a> {
    /// Reads it; empty if it is not as it should be: nobody is refused for that.
    pub(crate) fn read(raw: Option<Raw<'a>>, arena: &'a Bump) -> Self {
        raw.and_then(|raw| raw.decode(arena).ok()).unwrap_or_default()
    }
}

/// Notes who sent a request. Notifications and answers of the client are no requests.
pub(crate) fn begin(
    observer: &RequestObserver,
    context: &FrameContext<'_>,
    message: &Message<'_>,
    era: Era,
    arena: &Bump,
) {
    let is_request = message.method.is_some() && matches!(message.id, IdField::Valid(_));
    // A call that goes on as a task ended when it became one.
    if !is_request || context.origin.in_task {
        return;
    }
    let client = match era {
        Era::Modern => observer.number_of(ClientInfo::read(message.meta.client_info, arena).name),
        Era::Legacy => context.session.client(),
    };
    context.call.note_client(client.or_unnamed());
}

/// Reports a request that ended after so long, if it is one, or was refused.
pub(crate) fn end(shared: &Shared, call: &CallState, outcome: &Outcome, is_detached: bool, took_ns: u64) {
    let Some(observer) = shared.requests.get() else { return };
    let client = call.take_client();
    let failure = call.failure();
    if client.is_none() && failure.is_none() {
        return;
    }
    let result = match (failure, outcome) {
        (Some(Failure::Tool), _) => RequestResult::ToolError,
        (Some(Failure::Code(code)), _) => RequestResult::Error(code),
        (None, _) if is_detached => RequestResult::Task,
        (None, Outcome::Silent | Outcome::Cancel) => RequestResult::Cancelled,
        (None, _) => RequestResult::Ok,
    };
    report(observer, shared, call, &Ended { client, result, answer_bytes: outcome.answer_bytes(), took_ns });
}

/// Reports a request that nobody answers any more, if it was begun: its client cancelled it, or left.
pub(crate) fn end_unanswered(shared: &Shared, call: &CallState) {
    let Some(observer) = shared.requests.get() else { return };
    let client = call.take_client();
    if client.is_none() {
        return;
    }
    // A subscription ends when its client leaves.
    let lasts = call.method() == Some(Method::Listen);
    let result = if lasts { RequestResult::Ok } else { RequestResult::Cancelled };
    let took_ns = call.came().map_or(0, |came| Moment::now().ns_since(came));
    report(observer, shared, call, &Ended { client, result, answer_bytes: 0, took_ns });
}

struct Ended {
    client: ClientNumber,
    result: RequestResult,
    answer_bytes: usize,
    took_ns: u64,
}

fn report(observer: &RequestObserver, shared: &Shared, call: &CallState, ended: &Ended) {
    let principal = call.details().principal();
    let tool = shared.definition_of(call.tool());
    let request = EndedRequest {
        client: observer.name_of(ended.client),
        principal,
        method: call.method().map(Method::as_str),
        tool: tool.as_ref().map(|tool| tool.name()),
        result: ended.result,
        answer_bytes: ended.answer_bytes,
        took: Duration::from_nanos(ended.took_ns),
    };
    observer.note(ended.client, &request);
}
