//! Reads as much of a message as the shim needs to repeat a handshake and to answer in place of the server.

use crate::protocol::{ArgumentsAt, IdField, MessageDecoder, Method};
use bumpalo::Bump;
use std::collections::HashSet;

/// Bytes of the longest handshake that is remembered.
pub(super) const MAX_HANDSHAKE_BYTES: usize = 64 * 1024;
/// The most requests in flight that are remembered. Further ones get no error after a restart.
const MAX_IN_FLIGHT: usize = 10_000;

/// The parts of a message that the shim needs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// Its id, as JSON text.
    pub(super) id: Option<String>,
    /// `None` for an answer.
    pub(super) method: Option<String>,
    /// The revision in its `_meta`.
    pub(super) version: Option<String>,
    /// The value of the header `Mcp-Name`.
    pub(super) name: Option<String>,
    /// The arguments of a tool, as JSON text.
    pub(super) arguments: Option<String>,
    /// The id of the request that a cancellation names, as JSON text.
    pub(super) cancels: Option<String>,
}

impl Summary {
    /// Reads a line. A line that is no message gives an empty summary.
    pub(super) fn of(line: &[u8]) -> Self {
        let arena = Bump::new();
        Self::read(line, &arena).unwrap_or_default()
    }

    fn read(line: &[u8], arena: &Bump) -> Option<Self> {
        let mut decoder = MessageDecoder::new(line, arena).ok()?;
        if decoder.begin().ok()? == ArgumentsAt::Here {
            decoder.skip_arguments().ok()?;
        }
        let message = decoder.message();
        let method = message.method.map(str::to_owned);
        let cancels =
            (method.as_deref() == Some(Method::Cancelled.as_str())).then(|| cancelled(line)).flatten();
        Some(Self {
            id: match message.id {
                IdField::Valid(id) => Some(id.as_json().to_owned()),
                IdField::Absent | IdField::Invalid => None,
            },
            version: message.meta.protocol_version.map(str::to_owned),
            name: message.name.or(message.uri).or(message.task_id).map(str::to_owned),
            arguments: message.arguments.map(|raw| raw.as_str().to_owned()),
            method,
            cancels,
        })
    }

    pub(super) fn is_request(&self) -> bool {
        self.method.is_some() && self.id.is_some()
    }

    pub(super) fn is_answer(&self) -> bool {
        self.method.is_none() && self.id.is_some()
    }

    pub(super) fn is(&self, method: Method) -> bool {
        self.method.as_deref() == Some(method.as_str())
    }
}

fn cancelled(line: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestId")]
        id: &'a serde_json::value::RawValue,
    }
    serde_json::from_slice::<Line<'_>>(line).ok().map(|line| line.params.id.get().to_owned())
}

/// The error for a request whose answer will not come.
pub(super) fn lost(id: &str, why: &str) -> Vec<u8> {
    let why = serde_json::Value::from(why);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":{why},"data":{{"reason":"connection_lost"}}}}}}"#
    )
    .into_bytes()
}

/// The error for a request that the shim did not pass on.
pub(super) fn too_long(id: &str, limit_bytes: usize) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"the message is longer than {limit_bytes} bytes"}}}}"#
    )
    .into_bytes()
}

/// The messages that opened a session, kept to be sent again.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    request: Option<(String, Vec<u8>)>,
    initialized: Option<Vec<u8>>,
}

impl Handshake {
    /// Remembers a line of the client if it belongs to the handshake.
    pub(super) fn watch(&mut self, summary: &Summary, line: &[u8]) {
        if line.len() > MAX_HANDSHAKE_BYTES {
            return;
        }
        match &summary.id {
            Some(id) if summary.is(Method::Initialize) && summary.version.is_none() => {
                *self = Self { request: Some((id.clone(), line.to_vec())), initialized: None };
            }
            None if summary.is(Method::Initialized) => self.initialized = Some(line.to_vec()),
            _ => {}
        }
    }

    /// The request and its id, if the client has completed its handshake.
    pub(super) fn complete(&self) -> Option<(&str, &[u8], &[u8])> {
        let (id, request) = self.request.as_ref()?;
        Some((id, request, self.initialized.as_ref()?))
    }
}

/// The requests without an answer yet.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    ids: HashSet<String>,
}

impl InFlight {
    pub(super) fn begin(&mut self, id: &str) {
        if self.ids.len() < MAX_IN_FLIGHT {
            self.ids.insert(id.to_owned());
        }
    }

    pub(super) fn end(&mut self, id: &str) -> bool {
        self.ids.remove(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> HashSet<String> {
        std::mem::take(&mut self.ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_as_far_as_needed() {
        let call = Summary::of(
            br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"t","arguments":{"n":1},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        );
        assert_eq!(call.id.as_deref(), Some("\"a\""));
        assert_eq!(call.name.as_deref(), Some("t"));
        assert_eq!(call.arguments.as_deref(), Some(r#"{"n":1}"#));
        assert_eq!(call.version.as_deref(), Some("2026-07-28"));
        assert!(call.is_request() && !call.is_answer());
        assert!(Summary::of(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).is_answer());
        let cancel =
            Summary::of(br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#);
        assert_eq!(cancel.cancels.as_deref(), Some("7"));
        assert_eq!(Summary::of(b"not JSON"), Summary::default());
    }

    #[test]
    fn a_handshake_is_remembered_when_it_is_complete() {
        let mut handshake = Handshake::default();
        let mut watch = |line: &str| handshake.watch(&Summary::of(line.as_bytes()), line.as_bytes());
        watch(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        watch(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
        assert!(handshake.complete().is_none());
        handshake.watch(
            &Summary::of(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        );
        assert_eq!(handshake.complete().map(|(id, ..)| id), Some("1"));
    }
}
