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
    reply.token(r#"{"jsonrpc":"2.0""#);
    match id {
        AnswerId::Of(id) => {
            reply.token(r#","id":"#);
            reply.raw(Raw::trusted(id));
        }
        AnswerId::Omitted => {}
        AnswerId::Null => reply.token(r#","id":null"#),
    }
    reply.token(payload);
}

/// Writes a whole result.
pub(crate) fn result(reply: &mut Reply, id: &str, body: Raw<'_>) {
    open(reply, AnswerId::Of(id), r#","result":"#);
    reply.raw(body);
    reply.token("}");
}

/// Writes an error answer from the error of another answer.
pub(crate) fn known_error(reply: &mut Reply, id: &str, error: Raw<'_>) {
    open(reply, AnswerId::Of(id), r#","error":"#);
    reply.raw(error);
    reply.token("}");
}

/// Writes the result of a call that went on as a task of revision 2025-11-25, an object, with the task that it belongs to.
pub(crate) fn task_outcome(reply: &mut Reply, id: &str, result: &str, task: &str) {
    let members = result.trim_ascii_end().strip_suffix('}').unwrap_or(result);
    open(reply, AnswerId::Of(id), r#","result":"#);
    reply.raw(Raw::trusted(members));
    let is_empty = members.trim_ascii() == "{";
    reply.token(if is_empty { r#""_meta":{""# } else { r#","_meta":{""# });
    reply.token(Meta::RELATED_TASK);
    reply.token(r#"":{"taskId":"#);
    reply.string(task);
    reply.token("}}}}");
}

/// Opens a tool's result up to the first content block.
pub(crate) fn open_tool_result(reply: &mut Reply, id: &str, era: Era) {
    open(reply, AnswerId::Of(id), r#","result":{"#);
    if era == Era::Modern {
        reply.token(r#""resultType":"complete","#);
    }
    reply.token(r#""content":["#);
}

/// Closes a tool's result after its last member. `meta` is the `_meta` of modern results.
pub(crate) fn close_tool_result(reply: &mut Reply, era: Era, meta: &RawValue) {
    if era == Era::Modern {
        close_modern_result(reply, meta);
    } else {
        close_result(reply);
    }
}

/// Closes a result of the modern era after its last member.
pub(crate) fn close_modern_result(reply: &mut Reply, meta: &RawValue) {
    reply.token(r#","_meta":"#);
    reply.raw(meta.into());
    reply.token("}}");
}

/// Writes a whole error answer.
pub(crate) fn error(reply: &mut Reply, era: Era, id: AnswerId<'_>, error: &ProtocolError<'_>) {
    open(reply, id, r#","error":{"code":"#);
    reply.integer(error.code(era));
    reply.token(r#","message":""#);
    display(reply, error);
    reply.token("\"");
    if let ProtocolError::UnsupportedVersion { requested } = error {
        reply.token(r#","data":{"supported":["#);
        for (index, revision) in ProtocolError::SUPPORTED.into_iter().enumerate() {
            reply.token(if index == 0 { "\"" } else { ",\"" });
            reply.token(revision.as_str());
            reply.token("\"");
        }
        reply.token(r#"],"requested":""#);
        display(reply, &Echo(requested));
        reply.token(r#""}"#);
    }
    match error {
        ProtocolError::ResourceNotFound { uri } => {
            reply.token(r#","data":{"uri":"#);
            reply.string(uri);
            reply.token("}");
        }
        ProtocolError::CustomWithData { data, .. } => {
            reply.token(r#","data":"#);
            reply.raw(*data);
        }
        ProtocolError::MissingCapability { required } => {
            reply.token(r#","data":{"requiredCapabilities":"#);
            reply.token(required.required_json());
            reply.token("}");
        }
        _ => {}
    }
    reply.token("}}");
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
    reply.token(r#""progressToken":"#);
    reply.raw(Raw::trusted(token));
    reply.token(r#","progress":"#);
    reply.number(progress);
    if let Some(total) = total {
        reply.token(r#","total":"#);
        reply.number(total);
    }
    if let Some(message) = message {
        reply.token(r#","message":"#);
        reply.string(message);
    }
    reply.token("}}");
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
    reply.token(r#""level":""#);
    reply.token(level.as_str());
    reply.token(r#"","logger":"#);
    reply.string(logger);
    reply.token(r#","data":"#);
    reply.value(data)?;
    reply.token("}}");
    Ok(())
}

/// Writes a request for the client's roots; `number` becomes part of its id.
pub(crate) fn roots_request(reply: &mut Reply, number: u64) {
    reply.token(r#"{"jsonrpc":"2.0","id":"roots-"#);
    reply.integer(number);
    reply.token(r#"","method":""#);
    reply.token(Method::ROOTS_LIST);
    reply.token(r#""}"#);
}

/// Whether `id`, as JSON text, is that of our roots request `number`.
pub(crate) fn is_roots_request(id: &str, number: u64) -> bool {
    let digits = id.strip_prefix("\"roots-").and_then(|rest| rest.strip_suffix('"'));
    // Numbers begin at 1: 0 means that no request was sent.
    number > 0 && digits.and_then(|digits| digits.parse().ok()) == Some(number)
}

fn open_notification(reply: &mut Reply, method: &'static str) {
    reply.token(r#"{"jsonrpc":"2.0","method":""#);
    reply.token(method);
    reply.token(r#"","params":{"#);
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
    /// Those of revision 2025-11-25, where they are others.
    pub(crate) capabilities_with_tasks: Option<Box<RawValue>>,
    pub(crate) server_info: Box<RawValue>,
    pub(crate) instructions: Option<String>,
}

/// Writes the answer to `initialize`.
pub(crate) fn initialize(reply: &mut Reply, id: &str, revision: Revision, handshake: &Handshake) {
    open(reply, AnswerId::Of(id), r#","result":{"protocolVersion":""#);
    reply.token(revision.as_str());
    reply.token(r#"","capabilities":"#);
    let with_tasks = handshake.capabilities_with_tasks.as_ref().filter(|_| revision.has_tasks());
    reply.raw((&**with_tasks.unwrap_or(&handshake.capabilities)).into());
    reply.token(r#","serverInfo":"#);
    reply.raw((&*handshake.server_info).into());
    if let Some(instructions) = &handshake.instructions {
        reply.token(r#","instructions":"#);
        reply.string(instructions);
    }
    reply.token("}}");
}

/// Opens a result up to its first member.
pub(crate) fn open_result(reply: &mut Reply, id: &str, era: Era) {
    open(reply, AnswerId::Of(id), r#","result":{"#);
    if era == Era::Modern {
        reply.token(r#""resultType":"complete","#);
    }
}

/// Closes a result after its last member.
pub(crate) fn close_result(reply: &mut Reply) {
    reply.token("}}");
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
    reply.token(r#","ttlMs":"#);
    reply.integer(ttl_ms);
    reply.token(r#","cacheScope":""#);
    reply.token(scope);
    reply.token("\"");
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
        reply.token(if std::mem::take(&mut is_first) { r#","inputRequests":{"# } else { "," });
        reply.string(key);
        reply.token(":");
        request.write(reply);
    }
    if !is_first {
        reply.token("}");
    }
    if let Some(state) = state {
        reply.token(r#","requestState":"#);
        reply.string(state);
    }
    close_modern_result(reply, meta);
}

/// Writes a request to a client of the legacy era.
pub(crate) fn client_request(reply: &mut Reply, id: u64, request: &InputRequest) {
    reply.token(r#"{"jsonrpc":"2.0","id":"#);
    reply.integer(id);
    reply.token(r#","method":""#);
    reply.token(request.method());
    reply.token("\"");
    if let Some(params) = request.params() {
        reply.token(r#","params":"#);
        reply.raw(params);
    }
    reply.token("}");
}

/// Writes the first message of a subscription, which lists the changes it reports. `id` is JSON text.
pub(crate) fn acknowledged(reply: &mut Reply, id: &str, filter: &Filter) {
    open_notification(reply, Method::ACKNOWLEDGED);
    subscription_id(reply, id);
    reply.token(r#","notifications":{"#);
    let kinds = [
        (filter.tools, r#""toolsListChanged":true"#),
        (filter.prompts, r#""promptsListChanged":true"#),
        (filter.resources, r#""resourcesListChanged":true"#),
    ];
    let mut separator = "";
    for (_, member) in kinds.iter().filter(|(is_wanted, _)| *is_wanted) {
        reply.token(separator);
        reply.token(member);
        separator = ",";
    }
    if !filter.uris.is_empty() {
        reply.token(separator);
        reply.token(r#""resourceSubscriptions":"#);
        let mut separator = "[";
        for uri in &filter.uris {
            reply.token(separator);
            reply.string(uri);
            separator = ",";
        }
        reply.token("]");
    }
    reply.token("}}}");
}

/// Writes a notification of a change; `subscription` is the id of the `subscriptions/listen` request, if there is one.
pub(crate) fn change(reply: &mut Reply, change: &Change, subscription: Option<&str>) {
    open_notification(reply, change.method());
    if let Some(id) = subscription {
        subscription_id(reply, id);
    }
    if let Change::Resource(uri) = change {
        reply.token(if subscription.is_some() { r#","uri":"# } else { r#""uri":"# });
        reply.string(uri);
    }
    reply.token("}}");
}

/// Writes a notification of the status of a task. `write` writes the members of the task; where it has none to write, this
/// returns `false`, and what was written is of no use.
pub(crate) fn task_status(reply: &mut Reply, write: impl FnOnce(&mut Reply) -> bool) -> bool {
    open_notification(reply, Method::TASK_STATUS);
    let is_written = write(reply);
    reply.token("}}");
    is_written
}

/// Writes the result of a subscription that the server ends.
pub(crate) fn subscription_ended(reply: &mut Reply, id: &str) {
    open(reply, AnswerId::Of(id), r#","result":{"resultType":"complete","#);
    subscription_id(reply, id);
    reply.token("}}");
}

fn subscription_id(reply: &mut Reply, id: &str) {
    reply.token(r#""_meta":{"io.modelcontextprotocol/subscriptionId":"#);
    reply.raw(Raw::trusted(id));
    reply.token("}");
}
