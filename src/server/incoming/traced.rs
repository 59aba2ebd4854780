//! Requests as their spans describe them: what they ask for when they are checked, what became of them when they end.

use crate::memory::{KIND_SHIFT, kind};
use crate::metrics::Moment;
use crate::protocol::{Era, Message, Method, Revision};
use crate::server::incoming::frame_context::FrameContext;
use crate::server::shared::Shared;
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::traced::TracedRequest;
use crate::traces::{ParentSpan, RequestSpan, SpanTarget};
use std::time::{Duration, SystemTime};

/// The longest name or URI of a span; the rest is cut off.
const MAX_TARGET_BYTES: usize = 256;
/// What unknown methods are called: a span has no name that a client makes up.
const OTHER: &str = "_OTHER";
/// The type of error of requests that have no answer.
const CANCELLED: &str = "cancelled";

/// Remembers what the span of a request or notification will say. What has no method is an answer of the client.
pub(crate) fn begin(context: &FrameContext<'_>, message: &Message<'_>, era: Era, method: Option<Method>) {
    // A call that goes on as a task had its span when it became one.
    if context.shared.traces.get().is_none() || message.method.is_none() || context.origin.in_task {
        return;
    }
    let target = match method {
        Some(Method::ToolsCall | Method::PromptsGet) => message.name,
        Some(Method::ResourcesRead | Method::Subscribe | Method::Unsubscribe) => message.uri,
        _ => None,
    };
    let revision = match era {
        Era::Modern => message.meta.protocol_version.and_then(Revision::parse),
        Era::Legacy => context
            .session
            .revision()
            .or_else(|| context.header(|http| http.version).and_then(Revision::from_header)),
    };
    let traced = Box::new(TracedRequest {
        parent: ParentSpan::read(message.meta.trace_parent, message.meta.trace_state),
        method,
        target: target.map(|text| text[..text.floor_char_boundary(MAX_TARGET_BYTES)].into()),
        revision,
        session: (era == Era::Legacy && context.has_session()).then(|| context.session.number()),
        transport: transport(context),
    });
    context.call.details().traced = Some(traced);
}

/// How the request came. Who shows a token is known by it, so over a Unix socket a request with one counts as `tcp`.
fn transport(context: &FrameContext<'_>) -> &'static str {
    let is_unix = context.call.details().principal() >> KIND_SHIFT == kind::UNIX;
    match (is_unix, &context.origin.http) {
        (true, _) => "unix",
        (false, Some(_)) => "tcp",
        (false, None) => "pipe",
    }
}

/// Makes the span of a request that took so long, if it was begun.
pub(crate) fn end(shared: &Shared, call: &CallState, took_ns: u64) {
    record(shared, call, took_ns, None);
}

/// Makes the span of a request that nobody answers any more, if it was begun: its client cancelled it, or left.
pub(crate) fn end_unanswered(shared: &Shared, call: &CallState) {
    if shared.traces.get().is_none() || call.details().traced.is_none() {
        return;
    }
    let took_ns = call.came().map_or(0, |came| Moment::now().ns_since(came));
    record(shared, call, took_ns, Some(CANCELLED));
}

fn record(shared: &Shared, call: &CallState, took_ns: u64, unanswered: Option<&str>) {
    let Some(exporter) = shared.traces.get() else { return };
    let mut details = call.details();
    let Some(traced) = details.traced.take() else { return };
    // A cancellation has the id of what it cancels.
    let is_notification = traced.method.is_some_and(Method::is_notification);
    let id = if is_notification { String::new() } else { details.id.clone() };
    drop(details);
    let failure = call.failure();
    let target = traced.target.as_deref().map_or(SpanTarget::None, |name| match traced.method {
        Some(Method::ToolsCall) => {
            SpanTarget::Tool { name, is_known: shared.catalog.load().tool(name).is_some() }
        }
        Some(Method::PromptsGet) => SpanTarget::Prompt { name, is_known: failure.is_none() },
        _ => SpanTarget::Resource(name),
    });
    // A subscription ends when its client leaves.
    let unanswered = unanswered.filter(|_| traced.method != Some(Method::Listen));
    let ended = SystemTime::now();
    exporter.record(RequestSpan {
        parent: traced.parent,
        method: traced.method.map_or(OTHER, Method::as_str),
        target,
        id: &id,
        revision: traced.revision.map(Revision::as_str),
        session: traced.session,
        transport: traced.transport,
        error: unanswered.map(str::to_owned).or_else(|| failure.map(|failure| failure.to_string())),
        code: failure.and_then(|failure| match failure {
            Failure::Code(code) => Some(code),
            Failure::Tool => None,
        }),
        began: ended.checked_sub(Duration::from_nanos(took_ns)).unwrap_or(ended),
        ended,
    });
}
