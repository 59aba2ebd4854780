//! How answers and notifications look on the wire: the only place that writes the JSON-RPC envelope.

use crate::protocol::{Echo, Era, InputRequest, LogLevel, Meta, Method, ProtocolError, Revision};
use crate::server::state::changes::{Change, Filter};
use crate::wire::{Raw, Reply};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::{self, Write as _};

/// The id of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnswerId<'a> {
    /// The request's id, as JSON text.
    Of(&'a str),
    /// No id could be read, and the revision allows an answer without one.
    Omitted,
    /// No id could be read, and the revision demands one: `null`, as JSON-RPC 2.0 says.
    Null,
}

impl AnswerId<'_> {
    /// The id for an answer to a message without a readable one.
    pub(crate) fn unreadable(revision: Option<Revision>) -> Self {
        if revision.is_some_and(Revision::error_requires_id) { Self::Null } else { Self::Omitted }
    }
}

/// Opens an answer up to and including the key of its payload.
fn open(reply: &mut Reply, id: AnswerId<'_>, payload: &'static str) {
    reply.raw(r#"{"jsonrpc":"2.0""#);
    match id {
        AnswerId::Of(id) => {
            reply.raw(r#","id":"#);
            reply.json(Raw::trusted(id));
        }
        AnswerId::Omitted => {}
        AnswerId::Null => reply.raw(r#","id":null"#),
    }
    reply.raw(payload);
}

/// Writes a whole result.
pub(crate) fn result(reply: &mut Reply, id: &str, body: Raw<'_>) {
    open(reply, AnswerId::Of(id), r#","result":"#);
    reply.json(body);
    reply.raw("}");
}

/// Opens a tool's result up to the first content block.
pub(crate) fn open_tool_result(reply: &mut Reply, id: &str, era: Era) {
    open(reply, AnswerId::Of(id), r#","result":{"#);
    if era == Era::Modern {
        reply.raw(r#""resultType":"complete","#);
    }
    reply.raw(r#""content":["#);
}

/// Closes a tool's result after its last member. `meta` is the `_meta` of modern results.
pub(crate) fn close_tool_result(reply: &mut Reply, era: Era, meta: &RawValue) {
    if era == Era::Modern {
        close_modern_result(reply, meta);
    } else {
        reply.raw("}}");
    }
}

/// Closes a result of the modern era after its last member.
pub(crate) fn close_modern_result(reply: &mut Reply, meta: &RawValue) {
    reply.raw(r#","_meta":"#);
    reply.json(meta.into());
    reply.raw("}}");
}

/// Writes a whole error answer.
pub(crate) fn error(reply: &mut Reply, era: Era, id: AnswerId<'_>, error: &ProtocolError<'_>) {
    open(reply, id, r#","error":{"code":"#);
    reply.integer(error.code(era));
    reply.raw(r#","message":""#);
    display(reply, error);
    reply.raw("\"");
    if let ProtocolError::UnsupportedVersion { requested } = error {
        reply.raw(r#","data":{"supported":["#);
        for (index, revision) in ProtocolError::SUPPORTED.into_iter().enumerate() {
            reply.raw(if index == 0 { "\"" } else { ",\"" });
            reply.raw(revision.as_str());
            reply.raw("\"");
        }
        reply.raw(r#"],"requested":""#);
        display(reply, &Echo(requested));
        reply.raw(r#""}"#);
    }
    match error {
        ProtocolError::ResourceNotFound { uri } => {
            reply.raw(r#","data":{"uri":"#);
            reply.string(uri);
            reply.raw("}");
        }
        ProtocolError::MissingCapability { required } => {
            reply.raw(r#","data":{"requiredCapabilities":"#);
            reply.raw(required.required_json());
            reply.raw("}");
        }
        _ => {}
    }
    reply.raw("}}");
}

/// Escapes what `text` prints into the string that is open.
pub(crate) fn display(reply: &mut Reply, text: &dyn fmt::Display) {
    struct Escaped<'r>(&'r mut Reply);
    impl fmt::Write for Escaped<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0.string_body(part);
            Ok(())
        }
    }
    // Writing to a reply does not fail: a full reply reports it at its end.
    let _ = write!(Escaped(reply), "{text}");
}

/// Writes a notification of progress. `token` is JSON text.
pub(crate) fn progress(
    reply: &mut Reply,
    token: &str,
    progress: f64,
    total: Option<f64>,
    message: Option<&str>,
) {
    open_notification(reply, Method::PROGRESS);
    reply.raw(r#""progressToken":"#);
    reply.json(Raw::trusted(token));
    reply.raw(r#","progress":"#);
    reply.number(progress);
    if let Some(total) = total {
        reply.raw(r#","total":"#);
        reply.number(total);
    }
    if let Some(message) = message {
        reply.raw(r#","message":"#);
        reply.string(message);
    }
    reply.raw("}}");
}

/// Writes a notification with a log message.
///
/// # Errors
/// When `data` cannot be JSON.
pub(crate) fn log<T: Serialize + ?Sized>(
    reply: &mut Reply,
    level: LogLevel,
    logger: &str,
    data: &T,
) -> Result<(), serde_json::Error> {
    open_notification(reply, Method::LOG_MESSAGE);
    reply.raw(r#""level":""#);
    reply.raw(level.as_str());
    reply.raw(r#"","logger":"#);
    reply.string(logger);
    reply.raw(r#","data":"#);
    reply.value(data)?;
    reply.raw("}}");
    Ok(())
}

/// Writes a request for the client's roots; `number` becomes part of its id.
pub(crate) fn roots_request(reply: &mut Reply, number: u64) {
    reply.raw(r#"{"jsonrpc":"2.0","id":"roots-"#);
    reply.integer(number);
    reply.raw(r#"","method":""#);
    reply.raw(Method::ROOTS_LIST);
    reply.raw(r#""}"#);
}

/// Whether `id`, as JSON text, is that of our roots request `number`.
pub(crate) fn is_roots_request(id: &str, number: u64) -> bool {
    let digits = id.strip_prefix("\"roots-").and_then(|rest| rest.strip_suffix('"'));
    // Numbers begin at 1: 0 means that no request was sent.
    number > 0 && digits.and_then(|digits| digits.parse().ok()) == Some(number)
}

fn open_notification(reply: &mut Reply, method: &'static str) {
    reply.raw(r#"{"jsonrpc":"2.0","method":""#);
    reply.raw(method);
    reply.raw(r#"","params":{"#);
}

/// The `_meta` that names the server in modern results. `implementation` is JSON text.
///
/// # Errors
/// When `implementation` is not JSON.
pub(crate) fn server_meta(implementation: &str) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(format!(r#"{{"{}":{implementation}}}"#, Meta::SERVER_INFO))
}

/// The server as the answer to `initialize` describes it.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) capabilities: Box<RawValue>,
    pub(crate) server_info: Box<RawValue>,
    pub(crate) instructions: Option<String>,
}

/// Writes the answer to `initialize`.
pub(crate) fn initialize(reply: &mut Reply, id: &str, revision: Revision, handshake: &Handshake) {
    open(reply, AnswerId::Of(id), r#","result":{"protocolVersion":""#);
    reply.raw(revision.as_str());
    reply.raw(r#"","capabilities":"#);
    reply.json((&*handshake.capabilities).into());
    reply.raw(r#","serverInfo":"#);
    reply.json((&*handshake.server_info).into());
    if let Some(instructions) = &handshake.instructions {
        reply.raw(r#","instructions":"#);
        reply.string(instructions);
    }
    reply.raw("}}");
}

/// Opens a result up to its first member.
pub(crate) fn open_result(reply: &mut Reply, id: &str, era: Era) {
    open(reply, AnswerId::Of(id), r#","result":{"#);
    if era == Era::Modern {
        reply.raw(r#""resultType":"complete","#);
    }
}

/// Opens a modern result without members of its own.
pub(crate) fn open_acknowledgement(reply: &mut Reply, id: &str) {
    open(reply, AnswerId::Of(id), r#","result":{"resultType":"complete""#);
}

/// Opens the result of a call that continues as a task.
pub(crate) fn open_task_result(reply: &mut Reply, id: &str) {
    open(reply, AnswerId::Of(id), r#","result":{"resultType":"task","#);
}

/// Writes how long a client may cache a result, and for whom.
pub(crate) fn caching(reply: &mut Reply, ttl_ms: usize, scope: &'static str) {
    reply.raw(r#","ttlMs":"#);
    reply.integer(ttl_ms);
    reply.raw(r#","cacheScope":""#);
    reply.raw(scope);
    reply.raw("\"");
}

/// Writes the result of a call that needs input of its client.
pub(crate) fn input_required<'a>(
    reply: &mut Reply,
    id: &str,
    requests: impl Iterator<Item = (&'a str, &'a InputRequest)>,
    state: Option<&str>,
    meta: &RawValue,
) {
    open(reply, AnswerId::Of(id), r#","result":{"resultType":"input_required""#);
    let mut is_first = true;
    for (key, request) in requests {
        reply.raw(if std::mem::take(&mut is_first) { r#","inputRequests":{"# } else { "," });
        reply.string(key);
        reply.raw(":");
        request.write(reply);
    }
    if !is_first {
        reply.raw("}");
    }
    if let Some(state) = state {
        reply.raw(r#","requestState":"#);
        reply.string(state);
    }
    close_modern_result(reply, meta);
}

/// Writes a request to a client of the legacy era.
pub(crate) fn client_request(reply: &mut Reply, id: u64, request: &InputRequest) {
    reply.raw(r#"{"jsonrpc":"2.0","id":"#);
    reply.integer(id);
    reply.raw(r#","method":""#);
    reply.raw(request.method());
    reply.raw("\"");
    if let Some(params) = request.params() {
        reply.raw(r#","params":"#);
        reply.json(params);
    }
    reply.raw("}");
}

/// Writes the first message of a subscription, which lists the changes it reports. `id` is JSON text.
pub(crate) fn acknowledged(reply: &mut Reply, id: &str, filter: &Filter) {
    open_notification(reply, Method::ACKNOWLEDGED);
    subscription_id(reply, id);
    reply.raw(r#","notifications":{"#);
    let kinds = [
        (filter.tools, r#""toolsListChanged":true"#),
        (filter.prompts, r#""promptsListChanged":true"#),
        (filter.resources, r#""resourcesListChanged":true"#),
    ];
    let mut separator = "";
    for (_, member) in kinds.iter().filter(|(is_wanted, _)| *is_wanted) {
        reply.raw(separator);
        reply.raw(member);
        separator = ",";
    }
    if !filter.uris.is_empty() {
        reply.raw(separator);
        reply.raw(r#""resourceSubscriptions":"#);
        let mut separator = "[";
        for uri in &filter.uris {
            reply.raw(separator);
            reply.string(uri);
            separator = ",";
        }
        reply.raw("]");
    }
    reply.raw("}}}");
}

/// Writes a notification of a change; `subscription` is the id of the `subscriptions/listen` request, if there is one.
pub(crate) fn change(reply: &mut Reply, change: &Change, subscription: Option<&str>) {
    open_notification(reply, change.method());
    if let Some(id) = subscription {
        subscription_id(reply, id);
    }
    if let Change::Resource(uri) = change {
        reply.raw(if subscription.is_some() { r#","uri":"# } else { r#""uri":"# });
        reply.string(uri);
    }
    reply.raw("}}");
}

/// Writes the result of a subscription that the server ends.
pub(crate) fn subscription_ended(reply: &mut Reply, id: &str) {
    open(reply, AnswerId::Of(id), r#","result":{"resultType":"complete","#);
    subscription_id(reply, id);
    reply.raw("}}");
}

fn subscription_id(reply: &mut Reply, id: &str) {
    reply.raw(r#""_meta":{"io.modelcontextprotocol/subscriptionId":"#);
    reply.json(Raw::trusted(id));
    reply.raw("}");
}
